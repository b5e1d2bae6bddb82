/*
 * measure.h - clocks, percentiles, what a process uses, and the line that a figure is
 *
 * A figure is printed as `goal name value unit floor ratio`, where ratio is value / floor; a `-`
 * stands for what there is not. Below or above its bound it is marked on stderr and counted.
 * Everything here ends the program on failure: a bench that could not measure has no figures.
 */
#ifndef LOAD_MEASURE_H
#define LOAD_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"

#define MIB (1024.0 * 1024.0)

enum { SERIES_MAX = 1 << 16 };

struct series {
	double *v;
	size_t n;
};

void series_add(struct series *s, double value); /* past SERIES_MAX they are dropped */
double series_part(struct series *s, double p);	 /* sorts it; 0 when it is empty */
#define series_median(s) series_part((s), 0.5)
void series_release(struct series *s);

double clock_s(void);
void pause_s(double seconds);

/* How a figure is judged: its ratio to the floor, or itself when it has no floor. */
enum bound { NO_BOUND, AT_LEAST, AT_MOST };

struct figure {
	const char *goal, *name, *unit;
	double value, floor; /* floor 0: it has none */
	enum bound bound;
	double limit; /* SPEED.md, "not below" */
};

void figure_say(const struct figure *f);
unsigned figures_missed(void);
/* Each round gives a value and the floor of that moment; the medians and the median of the ratios
 * are said. Empties both. */
void figure_rounds(struct figure f, struct series *values, struct series *floors);

struct usage {
	double cpu_s;	  /* user and system, since its start */
	double rss, peak; /* MiB */
	double anon;	  /* MiB, its own */
};

struct usage usage_of(pid_t pid);
void usage_reset_peak(pid_t pid);

/* One floor, now: bench_floor NAME ARGS..., NULL at the end. ret has two numbers; how many came. */
int floor_now(double ret[2], const char *name, ...) __attribute__((sentinel));

/* `--quick`: few rounds and small sizes, to see that all of it works. */
extern bool quick;
unsigned rounds(void); /* 5, quick 1 */

_Noreturn void die(const struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
