/*
 * Probes with libcurl: no proxy, no redirect, the body is dropped. It is loaded with the first
 * probe: it and the libraries it brings are a sixth of an agent's memory, and most agents run no
 * service.
 */
#include "agent/check.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/thread.h"

/* What is used of it. */
struct curl {
	__typeof__(curl_global_init) *global_init;
	__typeof__(curl_easy_init) *easy_init;
	__typeof__(curl_easy_setopt) *easy_setopt;
	__typeof__(curl_easy_perform) *easy_perform;
	__typeof__(curl_easy_getinfo) *easy_getinfo;
	__typeof__(curl_easy_cleanup) *easy_cleanup;
	__typeof__(curl_easy_strerror) *easy_strerror;
};

static int curl_load(struct curl *ret, struct error *err)
{
	struct curl c;
	const struct {
		void *at;
		const char *name;
	} symbols[] = {
		{ &c.global_init, "curl_global_init" },
		{ &c.easy_init, "curl_easy_init" },
		{ &c.easy_setopt, "curl_easy_setopt" },
		{ &c.easy_perform, "curl_easy_perform" },
		{ &c.easy_getinfo, "curl_easy_getinfo" },
		{ &c.easy_cleanup, "curl_easy_cleanup" },
		{ &c.easy_strerror, "curl_easy_strerror" },
	};
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *symbol = library ? dlsym(library, symbols[i].name) : NULL;

		if (!symbol) {
			error_set(err, ERR_UNAVAILABLE, "loading libcurl: %s", dlerror());
			error_hint(err, "install libcurl4 on this host");
			return -1;
		}
		*(void **)symbols[i].at = symbol;
	}
	c.global_init(CURL_GLOBAL_DEFAULT);
	*ret = c;
	return 0;
}

/* Loaded once and kept; if that fails the next probe tries again. */
static const struct curl *curl_get(struct error *err)
{
	static struct lock lock = LOCK_INIT; /* guards these */
	static struct curl curl;
	static bool loaded;
	LOCKED(&lock);

	if (!loaded && curl_load(&curl, err) < 0)
		return NULL;
	loaded = true;
	return &curl;
}

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

static CURLcode get(const struct curl *curl, const struct check *check, const char *url,
		    long *ret_status)
{
	CURL *c = curl->easy_init();
	CURLcode r;

	if (!c)
		return CURLE_FAILED_INIT;
	curl->easy_setopt(c, CURLOPT_URL, url);
	curl->easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(c, CURLOPT_PROXY, "");
	curl->easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
	curl->easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)check->timeout_ms);
	curl->easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	curl->easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl->easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on);
	curl->easy_setopt(c, CURLOPT_XFERINFODATA, check);
	r = curl->easy_perform(c);
	curl->easy_getinfo(c, CURLINFO_RESPONSE_CODE, ret_status);
	curl->easy_cleanup(c);
	return r;
}

int check_http(const struct check *check, struct error *err)
{
	cleanup(freep) char *url = xprintf("http://%s:%u%s%s", check->host, check->port,
					   *check->path == '/' ? "" : "/", check->path);
	const struct curl *curl = curl_get(err);
	long status = 0;
	CURLcode r;

	if (!curl)
		return error_wrap(err, "GET %s", url);
	r = get(curl, check, url, &status);
	if (r == CURLE_ABORTED_BY_CALLBACK)
		return error_set(err, ERR_CANCELLED, "GET %s: no longer wanted", url);
	if (r != CURLE_OK)
		return error_set(err, ERR_UNAVAILABLE, "GET %s: %s", url, curl->easy_strerror(r));
	if (status < 200 || status > 299)
		return error_set(err, ERR_UNAVAILABLE, "GET %s answered %ld", url, status);
	return 0;
}
