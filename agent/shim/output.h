/*
 * output.h - from the job's pipe to the spool, no faster than the disk, no slower than a file
 *
 * The pipe holds 1 MiB. The first bytes after a pause are taken at once; while the job
 * keeps writing there is one round of reads per OUTPUT_PACE_US, so a line costs the job one
 * copy and nobody a wake-up. A full disk stops the reading, and so the job.
 */
#ifndef AGENT_SHIM_OUTPUT_H
#define AGENT_SHIM_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/shim/mask.h"
#include "agent/shim/wire.h"

enum { OUTPUT_PACE_US = 200, OUTPUT_PIPE_BYTES = 1 << 20, OUTPUT_BUFFER_BYTES = 128 * 1024 };

enum output_state {
	OUTPUT_IDLE,  /* the pipe is empty: poll it */
	OUTPUT_BUSY,  /* bytes were moved: come again in OUTPUT_PACE_US */
	OUTPUT_END,   /* no writer is left */
	OUTPUT_FULL,  /* the disk is: bytes wait in memory, come again in a while */
	OUTPUT_LIMIT, /* the spool has reached its limit */
};

struct output {
	const char *name;
	bool service;
	uint64_t length, limit; /* limit: of all, or of one segment */
	uint64_t dropped;	/* of a service, when the disk is full */
	int spool, pipe;	/* pipe: the reading end, -1 when closed */
	uint64_t segment;
	struct mask mask;
	size_t held,
		ready; /* buffer: ready bytes to write, then held ones that may become a match */
	int error;     /* why the disk took no more */
	bool touched;
	unsigned char buffer[OUTPUT_BUFFER_BYTES] __attribute__((aligned(4096)));
};

/* Creates spool/NAME (EEXIST if it is there: it was started before), or for a service goes on at
 * `length`. -1 with errno. */
int output_open(struct output *o);
/* A pipe for one start of the program: the writing end, or -1 with errno. */
int output_pipe(struct output *o);
/* Moves what is in the pipe; final: nothing more comes, held bytes are let go. */
enum output_state output_pump(struct output *o, bool final);
void output_close_pipe(struct output *o);
/* The exit record and its rename. -1: no room on the disk, call it again; 0 done, or the spool is
 * gone. */
int output_seal(struct output *o, const struct shim_record *record);
/* Closes all and gives the buffer's memory back. */
void output_close(struct output *o);

#endif
