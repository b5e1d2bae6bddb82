/*
 * file_arg.h - the pipeline file that an argument means
 */
#ifndef CLI_FILE_ARG_H
#define CLI_FILE_ARG_H

#include "base/buf.h"
#include "base/error.h"
#include "spec/diagnostics.h"

/* "" and "." and a directory: its sluice.yaml. */
struct pipeline_file {
	char *path;	 /* to open it */
	char *shown;	 /* for messages: as short as the user's word allows */
	char *directory; /* the source tree, when the argument was a directory; else NULL */
	struct buf text;
};

/* E0205 when there is none; E0102 when it is too large. */
int pipeline_file_read(const char *argument, struct pipeline_file *ret, struct error *err);
void pipeline_file_release(struct pipeline_file *f); /* fits cleanup() */

/* Says on stderr what is wrong with it: for people, or (json) as `lint --format json` does. */
void say_diagnostics(struct diagnostics *d, bool json);

#endif
