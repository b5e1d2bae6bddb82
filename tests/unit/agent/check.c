#include "agent/check.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* A server that answers one request with a text, and with so many more bytes. */
static struct server {
	int fd;
	unsigned port;
	const char *answer;
	bool endless;
	pthread_t thread;
} server;

static void *serve(void *arg)
{
	char request[4096], filler[4096];
	cleanup(closep) int fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);

	memset(filler, 'x', sizeof filler);
	if (fd < 0 || read(fd, request, sizeof request) <= 0)
		return NULL;
	if (send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL) < 0)
		return NULL;
	while (server.endless && send(fd, filler, sizeof filler, MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void listen_here(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;

	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	cr_assert_eq(bind(server.fd, (struct sockaddr *)&a, sizeof a), 0);
	cr_assert_eq(listen(server.fd, 4), 0);
	cr_assert_eq(getsockname(server.fd, (struct sockaddr *)&a, &len), 0);
	server.port = ntohs(a.sin_port);
}

static int probe(const char *answer, bool endless, int64_t timeout_ms, struct error *err)
{
	struct check check = { .host = "127.0.0.1", .path = "/h", .timeout_ms = timeout_ms };
	int r;

	listen_here();
	check.port = server.port;
	server.answer = answer;
	server.endless = endless;
	cr_assert_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
	r = check_http(&check, err);
	pthread_join(server.thread, NULL);
	close(server.fd);
	return r;
}

TestSuite(check, .timeout = 30);

Test(check, only_a_whole_answer_of_2xx_is_healthy)
{
	static const struct {
		const char *answer, *says; /* NULL: healthy */
	} table[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", NULL },
		{ "HTTP/1.1 204 No Content\r\n\r\n", NULL },
		{ "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", "302" },
		{ "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404" },
		{ "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "GET" },
		{ "ready\n", "GET" }, /* HTTP/0.9, or no HTTP at all */
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };
		int r = probe(table[i].answer, false, 5000, &err);

		cr_expect_eq(r, table[i].says ? -1 : 0, "%s: %s", table[i].answer, err.text);
		if (table[i].says)
			cr_expect(err.code == ERR_UNAVAILABLE && strstr(err.text, table[i].says),
				  "%s: %s", table[i].answer, err.text);
	}
}

Test(check, a_body_without_an_end_ends_with_the_time)
{
	int64_t begin = clock_boot_ms();
	struct error err = { 0 };

	cr_expect_lt(probe("HTTP/1.1 200 OK\r\n\r\n", true, 300, &err), 0);
	cr_expect_eq(err.code, ERR_UNAVAILABLE, "%s", err.text);
	cr_expect_lt(clock_boot_ms() - begin, 10000);
}

static bool soon(void *arg)
{
	return clock_boot_ms() >= *(int64_t *)arg;
}

Test(check, a_probe_that_is_no_longer_wanted_ends_before_its_time)
{
	int64_t begin = clock_boot_ms(), until = begin + 100;
	struct check check = { .host = "127.0.0.1",
			       .path = "/h",
			       .timeout_ms = 3600000,
			       .cancelled = soon,
			       .arg = &until };
	struct error err = { 0 };

	listen_here(); /* connects, and never answers */
	check.port = server.port;
	cr_expect_lt(check_http(&check, &err), 0);
	cr_expect_eq(err.code, ERR_CANCELLED, "%s", err.text);
	cr_expect_lt(clock_boot_ms() - begin, 15000);
	close(server.fd);
}
