/*
 * outputs.h - what a job leaves behind: artifacts, report, notes
 *
 * Called when the job's processes are gone. Paths were checked to be relative when the file was
 * loaded; here they are resolved beneath the working directory, so that a link the job made cannot
 * lead out of it.
 */
#ifndef AGENT_OUTPUTS_H
#define AGENT_OUTPUTS_H

#include "agent/workspace.h"
#include "base/error.h"
#include "sluice/v1/agents.pb-c.h"
#include "transfer/transfer.h"

enum { META_FILE_MAX = 64 << 10 };

/*
 * Uploads every output of the assignment into *ret (heap message): outputs, report and notes.
 * ERR_NOT_FOUND when an output is not there: the job's fault; other errors are not.
 */
int outputs_upload(const struct transfer *t, const struct workspace *ws,
		   const Sluice__V1__Assignment *a, Sluice__V1__FinishedAttempt *ret,
		   struct error *err);

#endif
