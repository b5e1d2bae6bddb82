/*
 * verbs.h - all that the command line can do
 */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/args.h"

extern const struct family verb_families[];

/* A file per family. */
extern const struct verb author_verbs[], submit_verbs[], run_verbs[], log_verbs[], delivery_verbs[],
	release_verbs[], environment_verbs[], agent_verbs[], artifact_verbs[], event_verbs[],
	token_verbs[], session_verbs[], dev_verbs[], help_verbs[], unbuilt_verbs[];

#endif
