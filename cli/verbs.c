/*
 * The table. What is known and not built is refused by name (E0900).
 */
#include "cli/verbs.h"

const struct verb unbuilt_verbs[] = {
	{ .name = "plan" },	     { .name = "run" },		  { .name = "deploy" },
	{ .name = "verify" },	     { .name = "approve" },	  { .name = "reject" },
	{ .name = "env freeze" },    { .name = "gates replay" },  { .name = "secrets ls" },
	{ .name = "secrets set" },   { .name = "secrets rm" },	  { .name = "admin backup" },
	{ .name = "admin restore" }, { .name = "admin gc" },	  { .name = "admin audit" },
	{ .name = "runs diff" },     { .name = "releases diff" }, { .name = NULL },
};

const struct family verb_families[] = {
	{ "Write a pipeline", author_verbs },
	{ "Run it", submit_verbs },
	{ "Runs", run_verbs },
	{ "Read what it says", log_verbs },
	{ "Deliver", delivery_verbs },
	{ "Releases", release_verbs },
	{ "Environments", environment_verbs },
	{ "Data and models", artifact_verbs },
	{ "Hosts", agent_verbs },
	{ "What happened", event_verbs },
	{ "Access", token_verbs },
	{ "This computer", session_verbs },
	{ "All of it on this computer", dev_verbs },
	{ "Help", help_verbs },
	{ "Not built yet", unbuilt_verbs },
	{ 0 },
};
