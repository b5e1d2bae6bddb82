/*
 * States and ends in words, as people read them in sentences.
 */
#include <stdio.h>
#include <string.h>

#include "controller/model/attempts.h"
#include "controller/model/jobs.h"

const char *job_state_name(Sluice__V1__JobState state)
{
	static const char *const names[] = { "unknown",	  "blocked", "queued",	  "active",
					     "succeeded", "failed",  "cancelled", "skipped" };

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *attempt_state_name(Sluice__V1__AttemptState state)
{
	static const char *const names[] = { "unknown",	   "offered",	"running",
					     "cancelling", "succeeded", "failed",
					     "cancelled",  "lost",	"withdrawn" };

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *exit_reason_name(Sluice__V1__ExitReason reason)
{
	static const char *const names[] = {
		[SLUICE__V1__EXIT_REASON__EXIT_REASON_UNSPECIFIED] = "unknown",
		[SLUICE__V1__EXIT_REASON__EXIT_OK] = "ok",
		[SLUICE__V1__EXIT_REASON__EXIT_CODE] = "exit",
		[SLUICE__V1__EXIT_REASON__EXIT_SIGNAL] = "signal",
		[SLUICE__V1__EXIT_REASON__EXIT_TIMEOUT] = "timeout",
		[SLUICE__V1__EXIT_REASON__EXIT_OUT_OF_MEMORY] = "out_of_memory",
		[SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST] = "agent_lost",
		[SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST] = "host_lost",
		[SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED] = "preempted",
		[SLUICE__V1__EXIT_REASON__EXIT_CANCELLED] = "cancelled",
		[SLUICE__V1__EXIT_REASON__EXIT_INFRA] = "infra",
		[SLUICE__V1__EXIT_REASON__EXIT_LOG_LIMIT] = "log_limit",
		[SLUICE__V1__EXIT_REASON__EXIT_AGENT_DISK_FULL] = "agent_disk_full",
		[SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING] = "output_missing",
		[SLUICE__V1__EXIT_REASON__EXIT_GATE_FAILED] = "gate_failed",
	};

	return (size_t)reason < ARRAY_SIZE(names) ? names[reason] : "unknown";
}

/* A part of a sentence: "failed: exit 137", "again after the agent was lost". */
static const char *phrase(Sluice__V1__ExitReason reason)
{
	switch (reason) {
	case SLUICE__V1__EXIT_REASON__EXIT_OK:
		return "a good end";
	case SLUICE__V1__EXIT_REASON__EXIT_TIMEOUT:
		return "its timeout";
	case SLUICE__V1__EXIT_REASON__EXIT_OUT_OF_MEMORY:
		return "out of memory";
	case SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST:
		return "the agent was lost";
	case SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST:
		return "the host was lost";
	case SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED:
		return "the agent was told to stop";
	case SLUICE__V1__EXIT_REASON__EXIT_CANCELLED:
		return "it was cancelled";
	case SLUICE__V1__EXIT_REASON__EXIT_INFRA:
		return "it could not be started";
	case SLUICE__V1__EXIT_REASON__EXIT_LOG_LIMIT:
		return "its log reached the limit";
	case SLUICE__V1__EXIT_REASON__EXIT_AGENT_DISK_FULL:
		return "the agent's disk was full";
	case SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING:
		return "an output was missing or refused";
	case SLUICE__V1__EXIT_REASON__EXIT_GATE_FAILED:
		return "a gate did not pass";
	default:
		return "an unknown end";
	}
}

char *exit_format(const Sluice__V1__Exit *exit, char *ret)
{
	enum { SIZE = 128 };

	if (exit->reason == SLUICE__V1__EXIT_REASON__EXIT_CODE)
		snprintf(ret, SIZE, "exit %d", exit->code);
	else if (exit->reason == SLUICE__V1__EXIT_REASON__EXIT_SIGNAL)
		snprintf(ret, SIZE, "signal %d", exit->signal);
	else
		snprintf(ret, SIZE, "%s", phrase(exit->reason));
	return ret;
}
