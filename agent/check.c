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

static void init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

int check_http(const char *host, unsigned port, const char *path, int64_t timeout_ms,
	       struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	cleanup(freep) char *url =
		xprintf("http://%s:%u%s%s", host, port, *path == '/' ? "" : "/", path);
	long status = 0;
	CURLcode r;
	CURL *c;

	pthread_once(&once, init);
	c = curl_easy_init();
	if (!c)
		return error_set(err, ERR_INTERNAL, "libcurl does not start");
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	r = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	if (r != CURLE_OK)
		return error_set(err, ERR_UNAVAILABLE, "GET %s: %s", url, curl_easy_strerror(r));
	if (status < 200 || status > 299)
		return error_set(err, ERR_UNAVAILABLE, "GET %s answered %ld", url, status);
	return 0;
}
