/*
 * outputs.h - what a job leaves behind: artifacts, metrics, report, notes
 *
 * Called when the job's processes are gone. Paths were checked to be relative when the file was
 * loaded; here they are resolved beneath the working directory, so that a link the job made cannot
 * lead out of it.
 */
#ifndef AGENT_OUTPUTS_H
#define AGENT_OUTPUTS_H

#include "agent/workspace.h"
#include "base/buf.h"
#include "base/error.h"
#include "sluice/v1/agents.pb-c.h"
#include "transfer/transfer.h"

enum {
	METRICS_FILE_MAX = 16 << 20,
	METRICS_MAX = 1000, /* names of one attempt */
	META_FILE_MAX = 64 << 10,
};

/*
 * Uploads every output of the assignment into *ret (heap message): outputs, report and notes.
 * ERR_NOT_FOUND when an output is not there: the job's fault; other errors are not.
 */
int outputs_upload(const struct transfer *t, const struct workspace *ws,
		   const Sluice__V1__Assignment *a, Sluice__V1__FinishedAttempt *ret,
		   struct error *err);

/*
 * The last value of each name in the metrics file (one JSON object, or one a line) into *ret, and
 * the file itself, a JSON object a line, into *ret_lines. A missing file is no error: a job need
 * not report. ERR_INVALID names the line that is no JSON object.
 */
int outputs_metrics(const struct workspace *ws, const Sluice__V1__Assignment *a,
		    Sluice__V1__FinishedAttempt *ret, struct buf *ret_lines, struct error *err);

#endif
