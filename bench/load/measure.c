/*
 * Measuring: nothing here knows what is measured.
 */
#include "load/measure.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/spawn.h"

enum { ARGS_MAX = 8, FLOOR_LIMIT_MS = 300000 };

bool quick;
static unsigned missed;

unsigned rounds(void)
{
	return quick ? 1 : 5;
}

void die(const struct error *err, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "bench: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "%s%s\n", err ? ": " : "", err ? err->text : "");
	exit(1);
}

double clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void pause_s(double seconds)
{
	struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&t, NULL);
}

/* ---- series ---- */

void series_add(struct series *s, double value)
{
	if (!s->v)
		s->v = xcalloc(SERIES_MAX, sizeof *s->v);
	if (s->n < SERIES_MAX)
		s->v[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double series_part(struct series *s, double p)
{
	if (!s->n)
		return 0;
	qsort(s->v, s->n, sizeof *s->v, by_value);
	return s->v[(size_t)(p * (double)(s->n - 1) + 0.5)];
}

void series_release(struct series *s)
{
	free(s->v);
	*s = (struct series){ 0 };
}

/* ---- figures ---- */

static void number(double v, char ret[32])
{
	snprintf(ret, 32, v >= 1000 || v <= -1000 ? "%.0f" : "%.4g", v);
}

static void say(const struct figure *f, double ratio)
{
	double judged = f->floor > 0 ? ratio : f->value;
	char value[32], floor[32] = "-", text[32] = "-";

	number(f->value, value);
	if (f->floor > 0) {
		number(f->floor, floor);
		number(ratio, text);
	}
	printf("%s %s %s %s %s %s\n", f->goal, f->name, value, f->unit, floor, text);
	fflush(stdout);
	if ((f->bound == AT_LEAST && judged < f->limit) ||
	    (f->bound == AT_MOST && judged > f->limit)) {
		missed++;
		fprintf(stderr, "# goal %s: %s is %.4g, not below means %s %.4g\n", f->goal,
			f->name, judged, f->bound == AT_LEAST ? "at least" : "at most", f->limit);
	}
}

void figure_say(const struct figure *f)
{
	say(f, f->floor > 0 ? f->value / f->floor : 0);
}

void figure_rounds(struct figure f, struct series *values, struct series *floors)
{
	struct series ratios = { 0 };

	for (size_t i = 0; i < values->n && i < floors->n; i++)
		series_add(&ratios, values->v[i] / floors->v[i]);
	f.value = series_median(values);
	f.floor = series_median(floors);
	say(&f, series_median(&ratios));
	series_release(&ratios);
	series_release(values);
	series_release(floors);
}

unsigned figures_missed(void)
{
	return missed;
}

/* ---- processes ---- */

/* All of a small file of /proc, NUL-terminated. */
static int slurp(const char *path, char *data, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, data, size - 1);

	if (fd >= 0)
		close(fd);
	data[n > 0 ? n : 0] = '\0';
	return n > 0 ? 0 : -1;
}

static double field_mib(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtod(at + strlen(name), NULL) / 1024 : 0;
}

struct usage usage_of(pid_t pid)
{
	char path[64], text[8192];
	struct usage u = { 0 };
	unsigned long user, system;
	const char *after;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	if (slurp(path, text, sizeof text) < 0)
		die(NULL, "process %d has ended", pid);
	after = strrchr(text, ')');
	if (after && sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			    &user, &system) == 2)
		u.cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	if (slurp(path, text, sizeof text) == 0) {
		u.rss = field_mib(text, "VmRSS:");
		u.peak = field_mib(text, "VmHWM:");
		u.anon = field_mib(text, "RssAnon:");
	}
	return u;
}

void usage_reset_peak(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "5", 1) != 1)
		die(NULL, "the peak of process %d cannot be reset", pid);
	close(fd);
}

/* ---- floors ---- */

int floor_now(double ret[2], const char *name, ...)
{
	const char *argv[ARGS_MAX] = { getenv("BENCH_FLOOR"), name };
	struct spawn spawn = { .argv = argv, .in = -1, .out = -1, .errout = -1 };
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	va_list args;
	int n = 2;

	va_start(args, name);
	while (n < ARGS_MAX - 1 && (argv[n] = va_arg(args, const char *)))
		n++;
	va_end(args);
	if (!argv[0])
		die(NULL, "BENCH_FLOOR does not name the floors' program: start bench/run");
	if (spawn_run(&spawn, FLOOR_LIMIT_MS, 4096, &out, &err) < 0)
		die(&err, "floor '%s'", name);
	n = sscanf(buf_str(&out), "%lf %lf", &ret[0], &ret[1]);
	if (n < 1)
		die(NULL, "floor '%s' said '%s'", name, buf_str(&out));
	return n;
}
