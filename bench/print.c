/*
 * bench_print: the job of the goals about logs and of the kills
 *	lines N SIZE [FILE]	N lines of 100 bytes in writes of SIZE; the seconds it took into
 *FILE stamps N US		N lines of 100 bytes, one every US microseconds, each with its
 *moment flood MS		1,000 such lines a millisecond, for so long
 *	bytes N FILE		N MiB that do not compress, into FILE
 *	seeded N LEDGER		one line for this start into LEDGER, then N lines that tell its job
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 100, BUFFER = 1 << 20 };

static char buffer[BUFFER];

static double clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void wait_until(double us)
{
	double left = us - clock_us();
	struct timespec t = { (time_t)(left / 1e6), (long)((int64_t)left % 1000000 * 1000) };

	if (left > 0)
		nanosleep(&t, NULL);
}

static void put(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			exit(1);
		data += n;
		len -= (size_t)n;
	}
}

static void lines(char **args, int n_args)
{
	long left = atol(args[0]);
	long per = atol(args[1]) / LINE;
	double began = clock_us();

	if (per < 1 || per > BUFFER / LINE)
		exit(2);
	memset(buffer, 'x', sizeof buffer);
	for (long i = 0; i < per; i++)
		buffer[i * LINE + LINE - 1] = '\n';
	for (; left > 0; left -= per)
		put(1, buffer, (size_t)(left < per ? left : per) * LINE);
	if (n_args > 2) {
		FILE *f = fopen(args[2], "we");

		if (!f || fprintf(f, "%.6f\n", (clock_us() - began) / 1e6) < 0 || fclose(f))
			exit(1);
	}
}

static void stamp(char *line)
{
	char moment[32];

	snprintf(moment, sizeof moment, "%016.0f", clock_us());
	memset(line, '.', LINE - 1);
	memcpy(line, moment, 16);
	line[LINE - 1] = '\n';
}

static void stamps(char **args)
{
	double next = clock_us();

	for (long n = atol(args[0]); n > 0; n--) {
		stamp(buffer);
		put(1, buffer, LINE);
		wait_until(next += atof(args[1]));
	}
}

static void flood(char **args)
{
	double next = clock_us();

	for (long ms = atol(args[0]); ms > 0; ms--) {
		stamp(buffer);
		for (int i = 1; i < 1000; i++)
			memcpy(buffer + i * LINE, buffer, LINE);
		put(1, buffer, 1000 * LINE);
		wait_until(next += 1000);
	}
}

static void bytes(char **args)
{
	int fd = open(args[1], O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
	uint64_t state = (uint64_t)clock_us() | 1, *words = (uint64_t *)(void *)buffer;

	if (fd < 0)
		exit(1);
	for (long left = atol(args[0]); left > 0; left--) {
		for (size_t i = 0; i < BUFFER / sizeof *words; i++) {
			state ^= state >> 12; /* xorshift64* */
			state ^= state << 25;
			state ^= state >> 27;
			words[i] = state * 2685821657736338717u;
		}
		put(fd, buffer, BUFFER);
	}
	close(fd);
}

static void seeded(char **args)
{
	const char *run = getenv("SLUICE_RUN"), *job = getenv("SLUICE_JOB");
	int ledger = open(args[1], O_WRONLY | O_APPEND | O_CLOEXEC);
	char line[256];
	int n;

	if (!run || !job || ledger < 0)
		exit(1);
	n = snprintf(line, sizeof line, "%s/%s\n", run, job);
	put(ledger, line, (size_t)n);
	close(ledger);
	for (long i = 0; i < atol(args[0]); i++) {
		n = snprintf(line, sizeof line, "%s/%s line %ld\n", run, job, i);
		put(1, line, (size_t)n);
		wait_until(clock_us() + 200);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (strcmp(what, "lines") == 0 && argc > 3)
		lines(argv + 2, argc - 2);
	else if (strcmp(what, "stamps") == 0 && argc > 3)
		stamps(argv + 2);
	else if (strcmp(what, "flood") == 0)
		flood(argv + 2);
	else if (strcmp(what, "bytes") == 0 && argc > 3)
		bytes(argv + 2);
	else if (strcmp(what, "seeded") == 0 && argc > 3)
		seeded(argv + 2);
	else
		return 2;
	return 0;
}
