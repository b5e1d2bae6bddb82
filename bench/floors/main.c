/*
 * bench_floor NAME ARGS...: one floor, measured once. bench_load runs it between two rounds of its
 * own, so that both see the same machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "floors/floor.h"

static const struct {
	const char *name;
	int args;
	void (*run)(char **args);
} floors[] = {
	{ "spawn", 2, floor_spawn }, { "commits", 2, floor_commits }, { "path", 2, floor_path },
	{ "hash", 1, floor_hash },   { "log", 3, floor_log },	      { "upload", 2, floor_upload },
	{ "tree", 2, floor_tree },
};

_Noreturn void floor_die(const char *what)
{
	fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

double floor_clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double floor_part(double *values, size_t n, double p)
{
	qsort(values, n, sizeof *values, by_value);
	return values[(size_t)(p * (double)(n - 1) + 0.5)];
}

void floor_write(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			floor_die("writing");
		data = (const char *)data + n;
		len -= (size_t)n;
	}
}

int floor_read(int fd, void *data, size_t len)
{
	while (len) {
		ssize_t n = read(fd, data, len);

		if (n < 0)
			floor_die("reading");
		if (n == 0)
			return 0;
		data = (char *)data + n;
		len -= (size_t)n;
	}
	return 1;
}

void floor_pair(int ret[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;
	int one = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(server, (void *)&addr, len) < 0 || listen(server, 1) < 0 ||
	    getsockname(server, (void *)&addr, &len) < 0)
		floor_die("listening");
	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(ret[0], (void *)&addr, len) < 0)
		floor_die("connecting");
	ret[1] = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	for (int i = 0; i < 2; i++)
		setsockopt(ret[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	close(server);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof floors / sizeof *floors; i++)
		if (strcmp(argv[1], floors[i].name) == 0 && argc == 2 + floors[i].args) {
			floors[i].run(argv + 2);
			return 0;
		}
	fprintf(stderr, "usage: bench_floor NAME ARGS...; floors/floor.h lists them\n");
	return 2;
}
