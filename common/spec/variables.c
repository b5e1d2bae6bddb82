/*
 * The variables that jobs, services and hooks find in their environment. The agent sets them
 * (agent/workspace.c, agent/hooks.c); a test holds it to this table.
 */
#include "spec/spec.h"

const struct spec_seen spec_seen[] = {
	{ "PARAM_NAME", SEEN_BY_JOBS, "the parameter `name`; a list is JSON" },
	{ "MATRIX_NAME", SEEN_BY_JOBS, "this instance's value of the matrix key `name`" },
	{ "INPUT_NAME", SEEN_BY_JOBS,
	  "path of the input `name`: the file or directory that was packed; of a fan-in a "
	  "directory "
	  "with an entry for each instance" },
	{ "OUTPUT_NAME", SEEN_BY_JOBS, "path at which the output `name` is expected" },
	{ "SLUICE_METRICS", SEEN_BY_JOBS, "path of the metrics file, where `metrics` names one" },
	{ "SLUICE_RUN", SEEN_BY_JOBS, "number of the run" },
	{ "SLUICE_PIPELINE", SEEN_BY_JOBS, "name of the pipeline" },
	{ "SLUICE_JOB", SEEN_BY_JOBS, "name of the job's instance: `train[seed=1]`" },
	{ "SLUICE_ATTEMPT", SEEN_BY_JOBS, "1, 2, ...: which attempt of the job this is" },
	{ "SLUICE_GPUS", SEEN_BY_JOBS, "how many GPUs are this job's alone" },
	{ "CUDA_VISIBLE_DEVICES", SEEN_BY_JOBS, "which: \"\" if none" },
	{ "CUDA_DEVICE_ORDER", SEEN_BY_JOBS, "PCI_BUS_ID, as the numbers above count" },
	{ "SLUICE_ENVIRONMENT", SEEN_BY_JOBS | SEEN_BY_SERVICES,
	  "name of the environment: of services, hooks and verify steps" },
	{ "SLUICE_RELEASE", SEEN_BY_JOBS | SEEN_BY_SERVICES,
	  "its release, like `r57`: of services, hooks and verify steps" },
	{ "SLUICE_RELEASE_DIR", SEEN_BY_JOBS | SEEN_BY_SERVICES,
	  "directory with the release's parts: of services, hooks and verify steps" },
	{ "SLUICE_ENDPOINTS", SEEN_BY_JOBS,
	  "`host:port,...` of the services of the environment: of verify steps" },
	{ "SLUICE_PORT", SEEN_BY_SERVICES, "port that the service is to listen on" },
	{ "HOME", SEEN_BY_JOBS | SEEN_BY_SERVICES,
	  "a job's: an empty directory of its own; a service's: as TMPDIR" },
	{ "TMPDIR", SEEN_BY_JOBS | SEEN_BY_SERVICES,
	  "a job's: an empty directory of its own, gone with it; a service's: one for the "
	  "environment on this host" },
	{ "CI", SEEN_BY_JOBS, "true" },
	{ "SLUICE", SEEN_BY_JOBS | SEEN_BY_SERVICES, "true" },
	{ "PATH", SEEN_BY_JOBS | SEEN_BY_SERVICES, "the agent's" },
	{ "LANG", SEEN_BY_JOBS | SEEN_BY_SERVICES, "the agent's, where it has one" },
	{ "LC_ALL", SEEN_BY_JOBS | SEEN_BY_SERVICES, "the agent's, where it has one" },
	{ "TZ", SEEN_BY_JOBS | SEEN_BY_SERVICES, "the agent's, where it has one" },
	{ "LD_LIBRARY_PATH", SEEN_BY_JOBS | SEEN_BY_SERVICES, "the agent's, where it has one" },
	{ "SLUICE_SHIM", SEEN_BY_JOBS | SEEN_BY_SERVICES,
	  "which run a process belongs to; how those that escaped are found" },
	{ 0 },
};

static const char seen_head[] =
	"\n## What a job sees\n\n"
	"Nothing of a file's is put into the text of a command: all of it arrives in the "
	"environment. "
	"Names are in capitals with `_` for what is no letter or digit (`raw-data` is "
	"`INPUT_RAW_DATA`). The keys of `env` come on top of what is listed here, which is all "
	"there is: of the "
	"agent's own environment a job sees what is marked.\n\n"
	"| variable | jobs, verify steps | services, hooks | what it is |\n|---|---|---|---|\n";

void spec_seen_markdown(struct buf *out)
{
	buf_puts(out, seen_head);
	for (const struct spec_seen *v = spec_seen; v->name; v++)
		buf_printf(out, "| `%s` | %s | %s | %s |\n", v->name,
			   v->by & SEEN_BY_JOBS ? "yes" : "", v->by & SEEN_BY_SERVICES ? "yes" : "",
			   v->doc);
}
