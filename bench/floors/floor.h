/*
 * floor.h - what the machine can do at best: the same work with nothing of ours in the way
 *
 * A floor prints its figures on one line, numbers alone, and exits 0. Any failure ends the program:
 * a floor that could not do its work has no figure. Processes here fork and hold no threads of
 * gRPC.
 */
#ifndef FLOORS_FLOOR_H
#define FLOORS_FLOOR_H

#include <stddef.h>
#include <stdint.h>

double floor_clock_s(void);
/* The p-th part (0..1) of n values, which are sorted. */
double floor_part(double *values, size_t n, double p);
/* All of it, or the end of the program; reading: false when the peer has ended. */
void floor_write(int fd, const void *data, size_t len);
int floor_read(int fd, void *data, size_t len);
void floor_pair(int ret[2]); /* two ends of a TCP connection over loopback */
_Noreturn void floor_die(const char *what);

/* Programs of the table; args are those after the name, NULL at the end. */
void floor_spawn(char **args);	 /* COUNT AT_ONCE: spawns with a captured pipe, per second */
void floor_commits(char **args); /* DIR SECONDS: commits of one row, SQLite FULL, per second */
void floor_path(char **args);	 /* DIR COUNT: the smallest honest path of a job, ms, p50 and p99 */
void floor_hash(char **args);	 /* FILE: SHA-256 of what is in the page cache, MiB/s */
void floor_log(char **args);	 /* DIR LINES WRITE: pipe, TCP, file, lines/s */
void floor_upload(char **args);	 /* DIR FILE: both ends hash, early writeback, MiB/s */
void floor_tree(char **args);	 /* DIR TREE: tar and hash, TCP, hash and one file, files/s */

#endif
