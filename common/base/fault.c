/*
 * The faults of SLUICE_FAULTS. The list is read at the first passing; a list
 * that cannot be read ends the program, because a test whose fault is misspelt
 * would pass.
 */
#include "base/fault.h"

#ifdef SLUICE_FAULTS

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"

enum action { FAULT_KILL, FAULT_DELAY, FAULT_ERROR, FAULT_HALF };

struct fault {
	struct fault *next;
	char *name;
	enum action action;
	unsigned long delay_ms;
	unsigned long at;     /* the passing that it strikes; 0: each */
	bool on;	      /* and all that follow */
	unsigned long one_in; /* 0: not drawn */
	uint64_t seed;	      /* the state of the draw */
	unsigned long passed;
};

static struct lock guard = LOCK_INIT; /* guards all that follows */
static struct fault *faults;
static bool loaded;

static _Noreturn void refuse(const char *spec)
{
	fprintf(stderr,
		"SLUICE_FAULTS: cannot read '%s'; write name=kill@3, name=delay:250, "
		"name=error@2+, name=short@2 or name=kill%%5:seed\n",
		spec);
	abort();
}

static unsigned long take(const char **at, const char *spec)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(*at, &end, 10);
	if (end == *at || **at == '-' || **at == '+' || errno)
		refuse(spec);
	*at = end;
	return n;
}

static const char *take_action(struct fault *f, const char *at, const char *spec)
{
	static const struct {
		const char *word;
		enum action action;
	} words[] = { { "kill", FAULT_KILL },
		      { "delay:", FAULT_DELAY },
		      { "error", FAULT_ERROR },
		      { "short", FAULT_HALF } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i].word);

		if (strncmp(at, words[i].word, len) != 0)
			continue;
		f->action = words[i].action;
		at += len;
		if (f->action == FAULT_DELAY)
			f->delay_ms = take(&at, spec);
		return at;
	}
	refuse(spec);
}

static const char *take_when(struct fault *f, const char *at, const char *spec)
{
	if (*at == '@') {
		at++;
		f->at = take(&at, spec);
		f->on = *at == '+';
		return at + f->on;
	}
	if (*at == '%') {
		at++;
		f->one_in = take(&at, spec);
		if (!f->one_in || *at++ != ':')
			refuse(spec);
		f->seed = take(&at, spec);
	}
	return at;
}

static void load_locked(const char *spec)
{
	const char *at = spec;

	lock_assert_held(&guard);
	loaded = true;
	while (faults) {
		struct fault *f = faults;

		faults = f->next;
		free(f->name);
		free(f);
	}
	while (*at) {
		size_t len = strcspn(at, "=");
		struct fault *f;

		if (!len || !at[len])
			refuse(spec);
		f = xcalloc(1, sizeof *f);
		f->name = xstrndup(at, len);
		f->next = faults;
		faults = f;
		at = take_when(f, take_action(f, at + len + 1, spec), spec);
		if (*at && *at++ != ',')
			refuse(spec);
	}
}

/* splitmix64 (Steele, Lea, Flood 2014): any seed is a good one. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static bool strikes(struct fault *f)
{
	f->passed++;
	if (f->one_in)
		return draw(&f->seed) % f->one_in == 0;
	return !f->at || f->passed == f->at || (f->on && f->passed > f->at);
}

void fault_load(const char *spec)
{
	LOCKED(&guard);
	load_locked(spec);
}

/* What a write is about to put where; fd -1: it is no write. */
struct writing {
	int fd;
	const void *data;
	size_t len;
};

static void write_half(const struct writing *w)
{
	if (w->fd >= 0 && write(w->fd, w->data, w->len / 2) < 0)
		fprintf(stderr, "a short write: %s\n", strerror(errno));
}

/* 0, or what the place fails with. */
static int pass(const char *name, const struct writing *w)
{
	unsigned long delay_ms = 0;
	int fail = 0;

	lock_take(&guard);
	if (!loaded)
		load_locked(getenv("SLUICE_FAULTS") ? getenv("SLUICE_FAULTS") : "");
	for (struct fault *f = faults; f; f = f->next) {
		if (strcmp(f->name, name) != 0 || !strikes(f))
			continue;
		if (f->action == FAULT_KILL || f->action == FAULT_HALF)
			write_half(w);
		if (f->action == FAULT_KILL)
			kill(getpid(), SIGKILL);
		if (f->action == FAULT_ERROR || f->action == FAULT_HALF)
			fail = f->action == FAULT_HALF ? ENOSPC : EIO;
		delay_ms += f->delay_ms;
	}
	lock_drop(&guard);
	if (delay_ms) {
		struct timespec t = { (time_t)(delay_ms / 1000),
				      (long)(delay_ms % 1000) * 1000000 };

		while (nanosleep(&t, &t) < 0 && errno == EINTR)
			;
	}
	return fail;
}

bool fault_point(const char *name)
{
	const struct writing none = { .fd = -1 };

	return pass(name, &none) != 0;
}

bool fault_short(const char *name, int fd, const void *data, size_t len)
{
	const struct writing w = { fd, data, len };
	int fail = pass(name, &w);

	if (fail)
		errno = fail;
	return fail != 0;
}

#endif
