/*
 * progress.h - what running jobs say of themselves: the last line of their metrics
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "rpc/rpc.h"
#include "sluice/v1/runs.pb-c.h"

struct progress_reader;

struct progress_reader *progress_new(struct rpc_channel *channel);
void progress_free(struct progress_reader *p);
/* Reads, at most every few seconds, the newest metrics of the run's active jobs. */
void progress_look(struct progress_reader *p, const Sluice__V1__RunDetail *run);
/* "epoch 9 loss 0.213 ↓", or NULL; arg is the reader (run_view.h). */
const char *progress_of(void *arg, const Sluice__V1__Job *job);

/* From a line of JSON, with the one before for the arrows (or NULL); on the heap, NULL when it
 * holds no number. */
char *progress_text(const char *line, const char *before);

#endif
