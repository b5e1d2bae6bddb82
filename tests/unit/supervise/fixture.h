/*
 * fixture.h - a state directory, a supervisor and one slot for each test
 */
#ifndef TESTS_SUPERVISE_FIXTURE_H
#define TESTS_SUPERVISE_FIXTURE_H

#include <criterion/criterion.h>
#include "agent/supervise.h"

struct bench {
	char dir[64];
	struct contain contain;
	struct supervise *supervise;
	struct slot *slot;
};

/* The weakest kind that is asked for; skips the test where the host cannot do it. */
void bench_open(struct bench *b, enum contain_kind kind);
void bench_open_in(struct bench *b, enum contain_kind kind, const char *dir, const char *cgroup);
/* Ends what still runs, waits for the shim to leave, removes the directory. */
void bench_close(struct bench *b);
/* As an agent that was killed and started again: a new supervisor, no slot. */
void bench_restart(struct bench *b);

/* A spec with fence and shell command. */
struct supervise_spec a_job(uint64_t fence, const char *command);
void must_run(struct bench *b, const struct supervise_spec *spec);
/* The next event of that kind, within 20 s; others are passed over. */
struct slot_event await(struct slot *slot, enum slot_event_kind kind);
/* Runs to its end and gives the record. */
struct shim_record run_to_end(struct bench *b, const struct supervise_spec *spec);
/* All of stream 0, NUL-terminated: freed by the caller. */
char *output_of(struct bench *b, const char *name, size_t *ret_len);
char *output_of_fence(struct bench *b, uint64_t fence);
struct found what_became(struct bench *b, const char *name);
/* Waits until the file of that name has a number in it. */
long number_in(const char *dir, const char *name);
bool process_lives(pid_t pid);
/* Until it is gone; false after 5 s. */
bool process_ends(pid_t pid);
int open_descriptors(pid_t pid);

#endif
