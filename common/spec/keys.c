/*
 * The table, and ways through it. A row is what there is to know about a key; nothing
 * about a key is said anywhere else but in the code that gives it its meaning.
 */
#include "spec/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define MS_S	    INT64_C(1000)
#define MS_M	    (60 * MS_S)
#define MS_H	    (60 * MS_M)
#define MS_D	    (24 * MS_H)
#define NAMED(type) KEY_NAMED, SCALAR_NONE, SCALAR_##type
#define MAP	    KEY_MAP, SCALAR_NONE
#define ONE(type)   KEY_SCALAR, SCALAR_##type
#define LIST(type)  KEY_LIST, SCALAR_##type
#define VALUES	    KEY_VALUES, SCALAR_VALUE, SCALAR_VARIABLE

const struct key keys_root = { .path = "", .shape = KEY_MAP };

/* clang-format off: one or two rows a key */
const struct key keys[] = {
	{ "version", ONE(INT), .required = true, .doc = "The version of this format: 1.",
	  .example = "version: 1" },
	{ "pipeline", ONE(NAME), .required = true,
	  .doc = "The name of the pipeline; runs and releases carry it.",
	  .example = "pipeline: fraud-scoring" },
	{ "use", LIST(PATH), .unbuilt = true, .doc = "Files of reusable jobs.",
	  .example = "use: [./cd/templates.yaml]" },

	{ "triggers", MAP, .unbuilt = true, .doc = "What starts a run without a person." },
	{ "triggers.push", MAP, .unbuilt = true, .doc = "A push to the repository.",
	  .example = "push: {branches: [main], paths: [src/**]}" },
	{ "triggers.push.branches", LIST(TEXT), .unbuilt = true, .doc = "Globs of branches." },
	{ "triggers.push.paths", LIST(TEXT), .unbuilt = true,
	  .doc = "Globs of paths, one of which must have changed." },
	{ "triggers.schedule", MAP, .unbuilt = true, .doc = "Times by cron, always with a zone.",
	  .example =
		  "schedule: {cron: \"0 3 * * MON\", timezone: Europe/Berlin, missed: run_once}" },
	{ "triggers.schedule.cron", ONE(TEXT), .unbuilt = true, .required = true,
	  .doc = "Minute, hour, day of month, month, day of week." },
	{ "triggers.schedule.timezone", ONE(TEXT), .unbuilt = true, .required = true,
	  .doc = "An IANA time zone." },
	{ "triggers.schedule.missed", ONE(CHOICE), .unbuilt = true, .choices = "run_once|skip|all",
	  .value = "run_once", .doc = "What follows times missed while the controller was down." },
	{ "triggers.schedule.overlap", ONE(CHOICE), .unbuilt = true,
	  .choices = "forbid|queue|replace", .value = "forbid",
	  .doc = "When the run before has not ended." },
	{ "triggers.dataset", MAP, .unbuilt = true, .doc = "A new version of a published artifact.",
	  .example = "dataset: {artifact: transactions, settle: 30m}" },
	{ "triggers.dataset.artifact", ONE(NAME), .unbuilt = true, .required = true,
	  .doc = "The published name." },
	{ "triggers.dataset.settle", ONE(DURATION), .unbuilt = true,
	  .doc = "Quiet time after the last version." },
	{ "triggers.drift", MAP, .unbuilt = true, .doc = "A signal of a live release.",
	  .example = "drift: {environment: production, when: psi_max > 0.2, for: 2h, at_most: "
		     "1/day}" },
	{ "triggers.drift.environment", ONE(NAME), .unbuilt = true, .required = true,
	  .doc = "Where it is live." },
	{ "triggers.drift.when", ONE(EXPECTATION), .unbuilt = true, .required = true,
	  .doc = "The expectation that means drift." },
	{ "triggers.drift.for", ONE(DURATION), .unbuilt = true, .doc = "How long it must hold." },
	{ "triggers.drift.at_most", ONE(TEXT), .unbuilt = true, .doc = "The cap, such as 1/day." },
	{ "triggers.after", ONE(NAME), .unbuilt = true, .doc = "Another pipeline's success." },

	{ "params", NAMED(PLAIN_NAME),
	  .doc = "Values that a submit may give; a job reads $PARAM_NAME.",
	  .example = "params: {epochs: {type: int, default: 12, min: 1, max: 200}}" },
	{ "params.*", MAP, .doc = "One parameter." },
	{ "params.*.type", ONE(CHOICE), .required = true, .choices = "string|int|float|bool|choice",
	  .doc = "What its value is.", .example = "type: int" },
	{ "params.*.default", ONE(VALUE),
	  .doc = "The value when a submit gives none; without it, one must be given.",
	  .example = "default: 12" },
	{ "params.*.min", ONE(NUMBER), .doc = "The least value of an int or float.",
	  .example = "min: 1" },
	{ "params.*.max", ONE(NUMBER), .doc = "The greatest value of an int or float.",
	  .example = "max: 200" },
	{ "params.*.options", LIST(VALUE), .doc = "The values of a choice.",
	  .example = "options: [base, large]" },

	{ "secrets", LIST(VARIABLE), .unbuilt = true,
	  .doc = "Names of secrets; a job sees one only if it lists it." },

	{ "defaults", MAP, .doc = "What holds for every job that does not say otherwise.",
	  .example = "defaults: {timeout: 30m, retry: {max: 2}}" },
	{ "defaults.image", ONE(TEXT), .unbuilt = true, .doc = "As `jobs.*.image`." },
	{ "defaults.timeout", ONE(DURATION), .min = 1, .max = 30 * MS_D,
	  .doc = "As `jobs.*.timeout`.", .example = "timeout: 30m" },
	{ "defaults.grace", ONE(DURATION), .max = MS_H, .doc = "As `jobs.*.grace`.",
	  .example = "grace: 10s" },
	{ "defaults.retry", MAP, .like = "jobs.*.retry", .doc = "As `jobs.*.retry`, key by key.",
	  .example = "retry: {max: 3, causes: [agent_lost]}" },
	{ "defaults.on_lost", ONE(CHOICE), .choices = "rerun|fail|wait!",
	  .doc = "As `jobs.*.on_lost`.", .example = "on_lost: rerun" },
	{ "defaults.lease", ONE(DURATION), .min = 2 * MS_S, .max = 24 * MS_H,
	  .doc = "As `jobs.*.lease`.", .example = "lease: 15m" },
	{ "defaults.priority", ONE(INT), .min = -100, .max = 100, .doc = "As `jobs.*.priority`.",
	  .example = "priority: 5" },
	{ "defaults.env", VALUES, .doc = "As `jobs.*.env`; a job's own variables come on top.",
	  .example = "env: {PYTHONUNBUFFERED: 1}" },

	{ "jobs", NAMED(PLAIN_NAME), .required = true, .doc = "What a run does.",
	  .example = "jobs: {train: {run: python3 train.py}}" },
	{ "jobs.*", MAP, .doc = "One job; with a matrix, several of its kind." },
	{ "jobs.*.run", ONE(SHELL), .required = true,
	  .doc = "A text for /bin/sh -ec, started in the run's source tree. Nothing is "
		 "interpolated: values arrive as variables.",
	  .example = "run: python3 train.py --data \"$INPUT_DATASET\"" },
	{ "jobs.*.image", ONE(TEXT), .unbuilt = true,
	  .doc = "A prepared environment to run in; without it, the host." },
	{ "jobs.*.env", VALUES, .doc = "Further environment variables.",
	  .example = "env: {OMP_NUM_THREADS: 8}" },
	{ "jobs.*.secrets", LIST(VARIABLE), .unbuilt = true,
	  .doc = "The secrets that this job sees." },
	{ "jobs.*.use", ONE(NAME), .unbuilt = true,
	  .doc = "A job of a file under the top-level `use`, to start from." },
	{ "jobs.*.with", VALUES, .unbuilt = true, .doc = "Values for the job that is used." },
	{ "jobs.*.inputs", NAMED(PLAIN_NAME),
	  .doc = "What the job reads, and so what it waits for; the place is in $INPUT_NAME.",
	  .example = "inputs: {dataset: data.dataset}" },
	{ "jobs.*.inputs.*", KEY_MAP, SCALAR_REFERENCE,
	  .doc = "`job.output`; `job.*.output` is a directory with an entry per instance of a "
		 "matrix; or a published artifact.",
	  .example = "dataset: data.dataset" },
	{ "jobs.*.inputs.*.artifact", ONE(NAME), .required = true,
	  .doc = "A name that some output is published under.",
	  .example = "dataset: {artifact: transactions, version: latest}" },
	{ "jobs.*.inputs.*.version", ONE(VERSION), .value = "latest",
	  .doc = "A version's number, or `latest` when the run is created.",
	  .example = "version: latest" },
	{ "jobs.*.outputs", NAMED(PLAIN_NAME),
	  .doc = "What the job writes and others may read; it may also write to $OUTPUT_NAME.",
	  .example = "outputs: {model: out/model.bin}" },
	{ "jobs.*.outputs.*", KEY_MAP, SCALAR_PATH, .doc = "A path, or more about it.",
	  .example = "model: out/model.bin" },
	{ "jobs.*.outputs.*.path", ONE(PATH), .required = true,
	  .doc = "A file or directory, relative to the workspace.",
	  .example = "path: out/model.bin" },
	{ "jobs.*.outputs.*.kind", ONE(CHOICE), .choices = "any|data|model|code|report",
	  .value = "any", .doc = "What it is.", .example = "kind: model" },
	{ "jobs.*.outputs.*.publish", ONE(NAME),
	  .doc = "A version of this name is made once the job's gates passed.",
	  .example = "publish: transactions" },
	{ "jobs.*.outputs.*.meta", ONE(PATH),
	  .doc = "A JSON object the job writes: rows, data_until, produced_at.",
	  .example = "meta: out/data.json" },
	{ "jobs.*.needs", KEY_SCALAR_LIST, SCALAR_PLAIN_NAME,
	  .doc = "Jobs to wait for without reading from them.", .example = "needs: [prepare]" },
	{ "jobs.*.matrix", KEY_NAMED, SCALAR_VALUE, SCALAR_PLAIN_NAME,
	  .doc = "One instance of the job for each combination; a job reads $MATRIX_NAME.",
	  .example = "matrix: {seed: [1, 2, 3]}" },
	{ "jobs.*.matrix.*", LIST(VALUE), .doc = "The values of one dimension.",
	  .example = "seed: [1, 2, 3]" },
	{ "jobs.*.matrix.include", KEY_LIST_MAP, SCALAR_VALUE,
	  .doc = "Combinations to add; each names every dimension.",
	  .example = "include: [{seed: 7, lr: 0.5}]" },
	{ "jobs.*.matrix.exclude", KEY_LIST_MAP, SCALAR_VALUE,
	  .doc = "Combinations to leave out; one may name some of the dimensions.",
	  .example = "exclude: [{seed: 1, lr: 0.1}]" },
	{ "jobs.*.resources", MAP, .doc = "What the job claims of its host.",
	  .example = "resources: {gpu: 1, memory: 16G}" },
	{ "jobs.*.resources.cpu", ONE(CPU), .value = "claims none", .doc = "CPUs.",
	  .example = "cpu: 4" },
	{ "jobs.*.resources.memory", ONE(SIZE), .value = "claims none, no limit",
	  .doc = "Memory, and its limit.", .example = "memory: 16G" },
	{ "jobs.*.resources.gpu", ONE(INT), .max = 1024, .value = "0",
	  .doc = "Whole GPUs, exclusive.", .example = "gpu: 1" },
	{ "jobs.*.resources.gpu_memory", ONE(SIZE),
	  .doc = "What each of the GPUs must have at least.", .example = "gpu_memory: 40G" },
	{ "jobs.*.resources.disk", ONE(SIZE), .doc = "Free space wanted.",
	  .example = "disk: 200G" },
	{ "jobs.*.resources.agents", LIST(LABEL),
	  .doc = "Labels that the agent must have, all of them.", .example = "agents: [zone=a]" },
	{ "jobs.*.timeout", ONE(DURATION), .min = 1, .max = 30 * MS_D, .value = "1h",
	  .doc = "How long an attempt may run.", .example = "timeout: 30m" },
	{ "jobs.*.grace", ONE(DURATION), .max = MS_H, .value = "10s",
	  .doc = "Between TERM and KILL.", .example = "grace: 10s" },
	{ "jobs.*.retry", MAP,
	  .doc = "Which ends are tried again; a program that is wrong never is.",
	  .example = "retry: {max: 3, causes: [agent_lost]}" },
	{ "jobs.*.retry.max", ONE(INT), .max = 100, .value = "2",
	  .doc = "Attempts beyond the first, those after a lost agent included.",
	  .example = "max: 3" },
	{ "jobs.*.retry.causes", LIST(CAUSE), .value = "[preempted, infra]",
	  .doc = "preempted, out_of_memory, infra, timeout, exit:N; agent_lost says in words what "
		 "`on_lost: rerun` does.",
	  .example = "causes: [preempted, infra, exit:75]" },
	{ "jobs.*.retry.wait", ONE(DURATION), .max = MS_D, .value = "10s",
	  .doc = "Before the next attempt.", .example = "wait: 1m" },
	{ "jobs.*.on_lost", ONE(CHOICE), .choices = "rerun|fail|wait!", .value = "rerun",
	  .doc = "When its agent is lost: run again elsewhere (at most `retry.max` times), or "
		 "fail.",
	  .example = "on_lost: rerun" },
	{ "jobs.*.wait_for", ONE(DURATION), .unbuilt = true, .value = "30m",
	  .doc = "How long `on_lost: wait` waits for the same agent." },
	{ "jobs.*.lease", ONE(DURATION), .min = 2 * MS_S, .max = 24 * MS_H, .value = "15m",
	  .doc = "How long an agent may be unreachable before the job counts as lost and is "
		 "stopped there.",
	  .example = "lease: 15m" },
	{ "jobs.*.priority", ONE(INT), .min = -100, .max = 100, .value = "0",
	  .doc = "Higher starts first.", .example = "priority: 5" },
	{ "jobs.*.cache", MAP, .unbuilt = true,
	  .doc = "Skip when inputs are unchanged; keep directories between runs." },
	{ "jobs.*.cache.key", LIST(PATH), .unbuilt = true,
	  .doc = "Files whose digests are the key." },
	{ "jobs.*.cache.paths", LIST(PATH), .unbuilt = true, .doc = "Directories to keep." },
	{ "jobs.*.cache.max_age", ONE(DURATION), .unbuilt = true,
	  .doc = "How long a volatile source may be reused." },
	{ "jobs.*.checkpoint", MAP, .unbuilt = true,
	  .doc = "What is kept while the job runs, and restored elsewhere." },
	{ "jobs.*.checkpoint.path", ONE(PATH), .unbuilt = true, .required = true,
	  .doc = "The directory." },
	{ "jobs.*.checkpoint.every", ONE(DURATION), .unbuilt = true, .doc = "How often." },
	{ "jobs.*.metrics", ONE(PATH),
	  .doc = "One JSON object of numbers, or one a line; gates read the last value of each.",
	  .example = "metrics: out/metrics.jsonl" },
	{ "jobs.*.report", ONE(PATH), .doc = "A Markdown file shown with the run.",
	  .example = "report: out/report.md" },
	{ "jobs.*.evaluates", MAP,
	  .doc = "The job measures a candidate on a set; its metrics are kept under both and this "
		 "job.",
	  .example = "evaluates: {candidate: model, set: dataset}" },
	{ "jobs.*.evaluates.candidate", ONE(PLAIN_NAME), .required = true,
	  .doc = "An input or output of this job.", .example = "candidate: model" },
	{ "jobs.*.evaluates.set", ONE(PLAIN_NAME),
	  .doc = "The evaluation set: an input of this job.", .example = "set: dataset" },
	{ "jobs.*.gates", KEY_SCALAR_LIST, SCALAR_EXPECTATION,
	  .doc = "Expectations over this job's metrics, champion.NAME (the release live in the "
		 "last environment) and ENVIRONMENT.NAME.",
	  .example = "gates: [accuracy >= champion.accuracy - 0.002]" },
	{ "jobs.*.compare", MAP, .unbuilt = true,
	  .doc = "Statistics over two series sampled side by side." },
	{ "jobs.*.compare.signal", ONE(NAME), .unbuilt = true, .required = true,
	  .doc = "The signal." },
	{ "jobs.*.compare.against", ONE(NAME), .unbuilt = true, .value = "champion",
	  .doc = "The control." },
	{ "jobs.*.compare.test", ONE(CHOICE), .unbuilt = true, .choices = "mann_whitney",
	  .doc = "The test." },
	{ "jobs.*.compare.confidence", ONE(NUMBER), .unbuilt = true, .value = "0.98",
	  .doc = "The confidence." },
	{ "jobs.*.compare.effect", ONE(NUMBER), .unbuilt = true, .value = "0.25",
	  .doc = "The least effect that counts." },
	{ "jobs.*.freshness", MAP, .unbuilt = true, .doc = "How old the data may become." },
	{ "jobs.*.freshness.warn_after", ONE(DURATION), .unbuilt = true,
	  .doc = "WARN from here on." },
	{ "jobs.*.freshness.error_after", ONE(DURATION), .unbuilt = true,
	  .doc = "STALE from here on." },
	{ "jobs.*.release", MAP,
	  .doc = "When the job succeeds, an immutable release is made of these parts. One job of a "
		 "pipeline.",
	  .example = "release: {parts: {model: model, code: source}}" },
	{ "jobs.*.release.parts", KEY_VALUES, SCALAR_PLAIN_NAME, SCALAR_PLAIN_NAME,
	  .required = true,
	  .doc = "Part names, each with an input or output of this job, or `source`: the run's "
		 "source tree.",
	  .example = "parts: {model: model, code: source}" },
	{ "jobs.*.release.notes", ONE(PATH), .doc = "A Markdown file that says what is new.",
	  .example = "notes: out/notes.md" },

	{ "signals", NAMED(VARIABLE), .unbuilt = true,
	  .doc = "Measurements of what is live, for verify, canary, rollback, drift." },
	{ "signals.*", MAP, .unbuilt = true, .doc = "One signal." },
	{ "signals.*.prometheus", ONE(TEXT), .unbuilt = true, .doc = "An instant query." },
	{ "signals.*.http", ONE(TEXT), .unbuilt = true, .doc = "A JSON document." },
	{ "signals.*.path", ONE(TEXT), .unbuilt = true,
	  .doc = "Where in the JSON document the number is." },
	{ "signals.*.run", ONE(SHELL), .unbuilt = true, .doc = "A job that reports it." },
	{ "signals.*.every", ONE(DURATION), .unbuilt = true, .doc = "How often." },
	{ "signals.*.timeout", ONE(DURATION), .unbuilt = true,
	  .doc = "How long one measurement may take." },

	{ "environments", NAMED(NAME),
	  .doc = "Where releases go. Applied by `sluice env apply`; may be a file of its own.",
	  .example =
		  "environments: {staging: {agents: [env=staging], deploy: {service: ./serve}}}" },
	{ "environments.*", MAP,
	  .doc = "One environment: an ordered set of hosts with one live release." },
	{ "environments.*.after", ONE(NAME),
	  .doc = "The environment a release must be verified in first.",
	  .example = "after: staging" },
	{ "environments.*.agents", LIST(LABEL), .required = true,
	  .doc = "Its hosts: the agents with all of these labels.",
	  .example = "agents: [env=staging]" },
	{ "environments.*.auto", ONE(CHOICE), .choices = "off|newest", .value = "off",
	  .doc = "Promote the newest eligible release by itself.", .example = "auto: newest" },
	{ "environments.*.shared", ONE(BOOL), .value = "false",
	  .doc = "Its hosts take other jobs, too.", .example = "shared: true" },
	{ "environments.*.soak", ONE(DURATION), .unbuilt = true,
	  .doc = "Time as the verified live release of `after`." },
	{ "environments.*.approve", MAP, .unbuilt = true, .doc = "People who must agree." },
	{ "environments.*.approve.from", LIST(NAME), .unbuilt = true, .required = true,
	  .doc = "Their groups." },
	{ "environments.*.approve.count", ONE(INT), .unbuilt = true, .min = 1, .max = 100,
	  .value = "1", .doc = "How many." },
	{ "environments.*.approve.not_author", ONE(BOOL), .unbuilt = true, .value = "false",
	  .doc = "Not who submitted the run." },
	{ "environments.*.approve.expires", ONE(DURATION), .unbuilt = true,
	  .doc = "How long it may take." },
	{ "environments.*.window", MAP, .unbuilt = true, .doc = "When changes may start." },
	{ "environments.*.window.days", ONE(TEXT), .unbuilt = true, .doc = "Such as MON-THU." },
	{ "environments.*.window.hours", ONE(TEXT), .unbuilt = true,
	  .doc = "Such as 09:00-16:00." },
	{ "environments.*.window.timezone", ONE(TEXT), .unbuilt = true,
	  .doc = "An IANA time zone." },
	{ "environments.*.freeze", MAP, .unbuilt = true, .doc = "When no change may start." },
	{ "environments.*.freeze.from", ONE(TEXT), .unbuilt = true, .doc = "The first day." },
	{ "environments.*.freeze.to", ONE(TEXT), .unbuilt = true, .doc = "The last day." },
	{ "environments.*.max_data_age", ONE(DURATION), .unbuilt = true,
	  .doc = "How old a release's data may be." },
	{ "environments.*.on_stale", MAP, .unbuilt = true,
	  .doc = "What to submit when live data is too old." },
	{ "environments.*.on_stale.submit", ONE(NAME), .unbuilt = true, .required = true,
	  .doc = "The pipeline." },
	{ "environments.*.on_stale.at_most", ONE(TEXT), .unbuilt = true,
	  .doc = "The cap, such as 1/day." },
	{ "environments.*.on_revoke", ONE(CHOICE), .unbuilt = true, .choices = "alert|rollback",
	  .value = "alert", .doc = "When a live release's verdict is revoked." },
	{ "environments.*.on_fail", ONE(CHOICE), .unbuilt = true, .choices = "rollback|abort|pause",
	  .value = "rollback", .doc = "When a gate fails." },
	{ "environments.*.give_up", ONE(DURATION), .unbuilt = true, .value = "24h",
	  .doc = "How long a paused rollout waits for a person." },

	{ "environments.*.deploy", MAP, .required = true,
	  .doc = "How a release gets onto the hosts.",
	  .example =
		  "deploy: {service: ./serve --port \"$SLUICE_PORT\", check: {http: /healthz}}" },
	{ "environments.*.deploy.service", ONE(SHELL),
	  .doc = "A server that the agent keeps running; it listens on $SLUICE_PORT.",
	  .example = "service: ./serve --port \"$SLUICE_PORT\"" },
	{ "environments.*.deploy.run", ONE(SHELL),
	  .doc = "Or a command that hands the unpacked release to what runs it.",
	  .example = "run: ./deploy/apply.sh" },
	{ "environments.*.deploy.port", ONE(INT), .min = 1, .max = 65535,
	  .value = "the agent picks one of its service_ports", .doc = "A fixed $SLUICE_PORT.",
	  .example = "port: 8000" },
	{ "environments.*.deploy.check", MAP, .value = "the service's process stays up",
	  .doc = "What tells that a host serves the release.",
	  .example = "check: {http: /healthz}" },
	{ "environments.*.deploy.check.http", ONE(TEXT),
	  .doc = "A path on $SLUICE_PORT that answers 2xx.", .example = "http: /healthz" },
	{ "environments.*.deploy.check.run", ONE(SHELL), .doc = "Or a command that exits with 0.",
	  .example = "run: ./deploy/check.sh" },
	{ "environments.*.deploy.check.every", ONE(DURATION), .min = 100, .max = MS_H,
	  .value = "1s", .doc = "Between two probes.", .example = "every: 1s" },
	{ "environments.*.deploy.check.healthy_for", ONE(DURATION), .max = MS_D, .value = "10s",
	  .doc = "How long it must hold.", .example = "healthy_for: 10s" },
	{ "environments.*.deploy.check.deadline", ONE(DURATION), .min = 1, .max = MS_D,
	  .value = "5m", .doc = "By when it must hold.", .example = "deadline: 5m" },
	{ "environments.*.deploy.check.timeout", ONE(DURATION), .min = 1, .max = MS_H,
	  .value = "5s", .doc = "Of one probe.", .example = "timeout: 5s" },
	{ "environments.*.deploy.strategy", ONE(CHOICE),
	  .choices = "recreate|rolling|canary!|blue_green!", .value = "rolling",
	  .doc = "recreate: stop all, start all. rolling: a batch at a time.",
	  .example = "strategy: rolling" },
	{ "environments.*.deploy.batch", ONE(SHARE), .value = "1", .doc = "Hosts at a time.",
	  .example = "batch: 50%" },
	{ "environments.*.deploy.pause", ONE(DURATION), .max = MS_D, .value = "0s",
	  .doc = "Between two batches.", .example = "pause: 30s" },
	{ "environments.*.deploy.expect", LIST(EXPECTATION), .unbuilt = true,
	  .doc = "Expectations after each batch." },
	{ "environments.*.deploy.max_unavailable", ONE(SHARE),
	  .value = "as `batch`; with recreate all",
	  .doc = "Hosts that may not serve at a time, for any cause; a share rounds down, at least "
		 "1.",
	  .example = "max_unavailable: 1" },
	{ "environments.*.deploy.max_failed", ONE(INT), .max = 100000, .value = "0",
	  .doc = "Failed hosts that do not fail the rollout.", .example = "max_failed: 1" },
	{ "environments.*.deploy.slots", ONE(INT), .min = 2, .max = 100, .value = "3",
	  .doc = "Releases kept on a host.", .example = "slots: 3" },
	{ "environments.*.deploy.resources", MAP, .like = "jobs.*.resources",
	  .doc = "What the service claims of each host, as `jobs.*.resources`.",
	  .example = "resources: {memory: 8G}" },
	{ "environments.*.deploy.env", VALUES,
	  .doc = "Further environment variables of service, run, check and hooks.",
	  .example = "env: {WORKERS: 4}" },
	{ "environments.*.deploy.timeout", ONE(DURATION), .min = 1, .max = MS_D, .value = "10m",
	  .doc = "Of `run` and of each hook.", .example = "timeout: 10m" },
	{ "environments.*.deploy.grace", ONE(DURATION), .max = MS_H, .value = "10s",
	  .doc = "Between TERM and KILL of the service.", .example = "grace: 30s" },
	{ "environments.*.deploy.prepare", ONE(SHELL),
	  .doc = "A hook: after unpacking, before anything changes.",
	  .example = "prepare: ./deploy/warm.sh" },
	{ "environments.*.deploy.activate", ONE(SHELL), .doc = "A hook: right after the switch.",
	  .example = "activate: ./deploy/reload.sh" },
	{ "environments.*.deploy.drain", ONE(SHELL), .doc = "A hook: before the old release stops.",
	  .example = "drain: ./deploy/drain.sh" },
	{ "environments.*.deploy.progress", ONE(DURATION), .min = 1, .max = MS_D, .value = "10m",
	  .doc = "A rollout in which no host turned new for this long has failed.",
	  .example = "progress: 10m" },
	{ "environments.*.deploy.unreachable", KEY_MAP, SCALAR_CHOICE, .choices = "fail",
	  .value = "{wait: 10m}",
	  .doc = "`fail` at once, or wait for a host, then fail or skip it.",
	  .example = "unreachable: {wait: 10m}" },
	{ "environments.*.deploy.unreachable.skip", ONE(INT), .min = 1, .max = 100000,
	  .doc = "How many hosts may be skipped.", .example = "skip: 1" },
	{ "environments.*.deploy.unreachable.wait", ONE(DURATION), .min = 1, .max = MS_D,
	  .doc = "How long first.", .example = "wait: 10m" },
	{ "environments.*.deploy.canary", MAP, .unbuilt = true,
	  .doc = "Steps of the canary strategy." },
	{ "environments.*.deploy.canary.steps", LIST(SHARE), .unbuilt = true, .required = true,
	  .doc = "Hosts that are new at each step." },
	{ "environments.*.deploy.canary.every", ONE(DURATION), .unbuilt = true,
	  .doc = "Between two samples." },
	{ "environments.*.deploy.canary.for", ONE(DURATION), .unbuilt = true,
	  .doc = "How long at each step." },
	{ "environments.*.deploy.canary.delay", ONE(DURATION), .unbuilt = true,
	  .doc = "Before the first sample." },
	{ "environments.*.deploy.canary.expect", LIST(EXPECTATION), .unbuilt = true,
	  .doc = "Expectations at each step." },
	{ "environments.*.deploy.canary.tolerate", MAP, .unbuilt = true,
	  .doc = "What is tolerated." },
	{ "environments.*.deploy.canary.tolerate.failures", ONE(INT), .unbuilt = true, .value = "0",
	  .doc = "Samples that fail." },
	{ "environments.*.deploy.canary.tolerate.errors", ONE(INT), .unbuilt = true, .value = "4",
	  .doc = "Errors in a row." },
	{ "environments.*.deploy.canary.tolerate.no_data", ONE(INT), .unbuilt = true, .value = "0",
	  .doc = "Samples without data." },
	{ "environments.*.deploy.blue_green", MAP, .unbuilt = true,
	  .doc = "Of the blue_green strategy." },
	{ "environments.*.deploy.blue_green.preview", LIST(EXPECTATION), .unbuilt = true,
	  .doc = "Expectations before the switch." },
	{ "environments.*.deploy.blue_green.expect", LIST(EXPECTATION), .unbuilt = true,
	  .doc = "Expectations after it." },
	{ "environments.*.deploy.blue_green.keep_old", ONE(DURATION), .unbuilt = true,
	  .value = "10m", .doc = "How long the old slot is kept warm." },

	{ "environments.*.verify", NAMED(PLAIN_NAME),
	  .doc = "Steps that must pass before a release counts as verified here.",
	  .example = "verify: {smoke: {run: pytest -q tests/smoke, timeout: 5m}}" },
	{ "environments.*.verify.*", MAP,
	  .doc = "One step; it runs on a host of the environment and reads $SLUICE_ENDPOINTS." },
	{ "environments.*.verify.*.run", ONE(SHELL), .required = true,
	  .doc = "As `jobs.*.run`, started in part `code` of the release.",
	  .example = "run: pytest -q tests/smoke" },
	{ "environments.*.verify.*.env", VALUES, .doc = "As `jobs.*.env`.",
	  .example = "env: {SMOKE: 1}" },
	{ "environments.*.verify.*.timeout", ONE(DURATION), .min = 1, .max = 30 * MS_D,
	  .value = "10m", .doc = "As `jobs.*.timeout`.", .example = "timeout: 5m" },
	{ "environments.*.verify.*.metrics", ONE(PATH), .doc = "As `jobs.*.metrics`.",
	  .example = "metrics: out/smoke.json" },
	{ "environments.*.verify.*.expect", KEY_SCALAR_LIST, SCALAR_EXPECTATION,
	  .doc = "Expectations over the step's metrics.", .example = "expect: [p99_ms < 250]" },
	{ "environments.*.verify.*.agents", LIST(LABEL), .value = "the environment's hosts",
	  .doc = "Where it runs instead.", .example = "agents: [env=probe]" },
	{ "environments.*.verify.*.resources", MAP, .like = "jobs.*.resources",
	  .doc = "As `jobs.*.resources`.", .example = "resources: {cpu: 1}" },
	{ "environments.*.verify.*.every", ONE(DURATION), .unbuilt = true,
	  .doc = "Between two samples." },
	{ "environments.*.verify.*.for", ONE(DURATION), .unbuilt = true,
	  .doc = "How long to sample." },
	{ "environments.*.verify.*.delay", ONE(DURATION), .unbuilt = true,
	  .doc = "Before the first sample." },
	{ "environments.*.verify.*.tolerate", MAP, .unbuilt = true,
	  .like = "environments.*.deploy.canary.tolerate", .doc = "What is tolerated." },

	{ "environments.*.rollback", MAP, .unbuilt = true, .doc = "The watch after a rollout." },
	{ "environments.*.rollback.expect", LIST(EXPECTATION), .unbuilt = true,
	  .doc = "What must hold." },
	{ "environments.*.rollback.for", ONE(DURATION), .unbuilt = true, .value = "24h",
	  .doc = "How long." },
	{ "environments.*.rollback.then", MAP, .unbuilt = true,
	  .doc = "What to submit after a rollback." },
	{ "environments.*.rollback.then.submit", ONE(NAME), .unbuilt = true, .required = true,
	  .doc = "The pipeline." },
	{ "environments.*.rollback.then.params", VALUES, .unbuilt = true,
	  .doc = "Its parameters." },
	{ "environments.*.rollback.then.at_most", ONE(TEXT), .unbuilt = true,
	  .doc = "The cap, such as 1/day." },

	{ "notify", NAMED(NAME), .unbuilt = true, .doc = "Whom to tell." },
	{ "notify.*", MAP, .unbuilt = true, .doc = "One receiver." },
	{ "notify.*.webhook", ONE(TEXT), .unbuilt = true, .required = true,
	  .doc = "A URL to POST to." },
	{ "notify.*.events", LIST(NAME), .unbuilt = true, .doc = "Which events." },
};
/* clang-format on */

const size_t keys_count = ARRAY_SIZE(keys);

/* Is path "base.x" with no further dot? */
static bool directly_below(const char *path, const char *base, size_t len)
{
	if (!len)
		return !strchr(path, '.');
	return !strncmp(path, base, len) && path[len] == '.' && !strchr(path + len + 1, '.');
}

const struct key *keys_below(const struct key *map, const struct key *last)
{
	const char *base = map->like ? map->like : map->path;
	size_t len = strlen(base);

	for (const struct key *k = last ? last + 1 : keys; k < keys + keys_count; k++)
		if (directly_below(k->path, base, len) && strcmp(key_name(k), "*") != 0)
			return k;
	return NULL;
}

const struct key *keys_lookup(const char *path)
{
	if (!*path)
		return &keys_root;
	for (size_t i = 0; i < keys_count; i++)
		if (!strcmp(keys[i].path, path))
			return &keys[i];
	return NULL;
}

const struct key *keys_find(const struct key *map, const char *name)
{
	const struct key *k = NULL;
	char path[128];

	while ((k = keys_below(map, k)))
		if (!strcmp(key_name(k), name))
			return k;
	if (map->shape != KEY_NAMED)
		return NULL;
	snprintf(path, sizeof path, "%s.*", map->path);
	return keys_lookup(path);
}

const char *key_name(const struct key *key)
{
	const char *dot = strrchr(key->path, '.');

	return dot ? dot + 1 : key->path;
}

bool key_choice(const char **at, char *ret_name, size_t size, bool *ret_unbuilt)
{
	size_t n = strcspn(*at, "|");

	if (!n)
		return false;
	*ret_unbuilt = (*at)[n - 1] == '!';
	snprintf(ret_name, size, "%.*s", (int)(n - *ret_unbuilt), *at);
	*at += n + ((*at)[n] == '|');
	return true;
}
