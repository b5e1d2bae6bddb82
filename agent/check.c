/*
 * Probes with libcurl: no proxy, no redirect, the body is dropped.
 */
#include "agent/check.h"

#include <curl/curl.h>
#include <pthread.h>

#include "base/mem.h"

static size_t drop(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

/* Not 0: the transfer ends. */
static int go_on(void *arg, curl_off_t to_come, curl_off_t came, curl_off_t to_go, curl_off_t gone)
{
	const struct check *check = arg;

	return check->cancelled && check->cancelled(check->arg);
}

static void init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static CURLcode get(const struct check *check, const char *url, long *ret_status)
{
	CURL *c = curl_easy_init();
	CURLcode r;

	if (!c)
		return CURLE_FAILED_INIT;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)check->timeout_ms);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, check);
	r = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, ret_status);
	curl_easy_cleanup(c);
	return r;
}

int check_http(const struct check *check, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	cleanup(freep) char *url = xprintf("http://%s:%u%s%s", check->host, check->port,
					   *check->path == '/' ? "" : "/", check->path);
	long status = 0;
	CURLcode r;

	pthread_once(&once, init);
	r = get(check, url, &status);
	if (r == CURLE_ABORTED_BY_CALLBACK)
		return error_set(err, ERR_CANCELLED, "GET %s: no longer wanted", url);
	if (r != CURLE_OK)
		return error_set(err, ERR_UNAVAILABLE, "GET %s: %s", url, curl_easy_strerror(r));
	if (status < 200 || status > 299)
		return error_set(err, ERR_UNAVAILABLE, "GET %s answered %ld", url, status);
	return 0;
}
