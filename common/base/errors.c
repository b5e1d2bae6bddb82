/*
 * The catalogue. An entry is added where its number belongs (a unit test holds
 * the order); a number that was ever released keeps its meaning, and an error
 * that is no more keeps its entry.
 */
#include "base/errors.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* clang-format off: one row an entry: id, code, title, explanation, hint */
const struct error_entry error_catalogue[] = {
	/* E01: the pipeline file */
	{ "E0101", ERR_INVALID, "not valid YAML",
	  "The file could not be read as YAML. The place shown is where the reader gave up; the "
	  "mistake is there or shortly before.",
	  "check indentation (spaces, never tabs), quotes and brackets around the place shown" },
	{ "E0102", ERR_EXHAUSTED, "too large",
	  "A pipeline file has at most 256 KiB, depth 32, 20,000 nodes, 500 jobs after expansion "
	  "and 256 instances in one matrix, so that a hostile file cannot tie up the controller.",
	  "split the pipeline, or move data into files that jobs read" },
	{ "E0103", ERR_INVALID, "duplicate key",
	  "The same key stands twice in one mapping. YAML readers differ in which one they obey, "
	  "so neither is.",
	  "remove one of the two" },
	{ "E0104", ERR_INVALID, "a part of YAML that is not used here",
	  "Tags, anchors, aliases and the merge key `<<` are refused: they hide what a job is made "
	  "of.",
	  "share jobs with `use:` and `with:`" },
	{ "E0105", ERR_INVALID, "missing key", "A key that is needed here is not there.", "" },
	{ "E0106", ERR_INVALID, "wrong type",
	  "The value has another type than its key asks for, for instance a list where one text is "
	  "expected.",
	  "" },
	{ "E0107", ERR_INVALID, "unknown key",
	  "No key of this name exists here. Nothing is silently ignored, so a misspelt key is an "
	  "error.",
	  "" },
	{ "E0108", ERR_INVALID, "value out of range",
	  "The value is of the right type but is not one that is allowed: too small, too large, or "
	  "not in the list of choices.",
	  "" },
	{ "E0109", ERR_INVALID, "unknown version",
	  "The file says `version:` with a number that this program does not know.",
	  "write `version: 1`" },
	{ "E0110", ERR_INVALID, "not a valid name",
	  "Names of pipelines, jobs, outputs and environments are made of letters, digits, '.', "
	  "'_' and '-', up to 128, and begin with a letter, a digit or '_'.",
	  "" },
	{ "E0111", ERR_INVALID, "unknown reference",
	  "An input, `needs`, `after`, `use` or signal names something that this file does not "
	  "define.",
	  "" },
	{ "E0112", ERR_INVALID, "jobs wait for each other in a circle",
	  "The inputs and `needs` of these jobs form a cycle, so none of them could ever start.",
	  "remove one of the edges named" },
	{ "E0113", ERR_INVALID, "not a valid expression",
	  "A gate or condition could not be read. An expectation is one comparison, like `auc >= "
	  "champion.auc - 0.002`.",
	  "" },
	{ "E0114", ERR_INVALID, "unknown name in an expression",
	  "A bare name is a metric of the job itself or else a signal; this one is neither, or it "
	  "is both.",
	  "define it under `signals:`, or report it as a metric of this job" },
	{ "E0115", ERR_INVALID, "an expectation without a comparison",
	  "An expectation must compare: `signal op expression`. A bare value would always pass or "
	  "always fail.",
	  "write a comparison, like `error_rate < 0.01`" },
	{ "E0116", ERR_INVALID, "not a valid schedule",
	  "A schedule is five cron fields (minute, hour, day of month, month, day of week) and an "
	  "IANA time zone.",
	  "write it like cron: \"0 3 * * MON\", timezone: Europe/Berlin" },
	{ "E0117", ERR_INVALID, "not a valid duration or size",
	  "Durations carry their unit (250ms, 90s, 5m, 1h30m, 7d); sizes are bytes or powers of "
	  "1024 (512, 16G, 40GiB).",
	  "" },
	{ "E0118", ERR_INVALID, "a file that is used was not found",
	  "A file named under `use:` is not in the source tree. It is read where the tree is, not "
	  "on the controller.",
	  "check the path; it is relative to the file that names it" },
	{ "E0119", ERR_INVALID, "keys that exclude each other",
	  "Both keys are understood, but not together here.", "" },
	{ "E0120", ERR_INVALID, "names that clash",
	  "Two names become the same environment variable or the same word in a gate, or the name "
	  "is one that sluice sets itself: PARAM_, MATRIX_, INPUT_, OUTPUT_ and SLUICE_ are "
	  "reserved, and for jobs CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER.",
	  "choose another name" },
	{ "E0121", ERR_INVALID, "a setting that may surprise",
	  "A warning: the file is valid, but what is written here will probably not do what was "
	  "meant. `sluice lint --strict` takes warnings for errors.",
	  "" },

	/* E02: what was given to a command or a run */
	{ "E0201", ERR_INVALID, "unknown parameter",
	  "The pipeline declares no parameter of this name.", "" },
	{ "E0202", ERR_INVALID, "parameter value refused",
	  "The value is not of the parameter's type, or not within its min, max or options.", "" },
	{ "E0203", ERR_INVALID, "parameter missing",
	  "The parameter has no default, so a run must be given a value.",
	  "pass it with -p NAME=VALUE" },
	{ "E0204", ERR_NOT_FOUND, "no such thing",
	  "No run, job, release, artifact, agent or environment has this name or number.", "" },
	{ "E0205", ERR_NOT_FOUND, "no pipeline file",
	  "A pipeline lives in `sluice.yaml` at the root of the source tree.",
	  "sluice init writes a first one" },
	{ "E0206", ERR_EXHAUSTED, "message too large",
	  "No message of the protocol is larger than 1 MiB; large data travels as artifacts.",
	  "move the data into a file and pass it as an artifact" },
	{ "E0207", ERR_INVALID, "text is not UTF-8",
	  "Every text in the protocol is UTF-8; other bytes are refused rather than stored and "
	  "shown wrongly.",
	  "" },
	{ "E0208", ERR_NOT_FOUND, "artifact version not found",
	  "No published artifact of this name has the version asked for, or none was published "
	  "yet.",
	  "sluice artifacts ls lists the names and versions" },

	/* E03: who may do what */
	{ "E0301", ERR_UNAUTHENTICATED, "no valid token",
	  "The request carried no token, or one that is unknown, revoked or expired.",
	  "sluice login ADDRESS --ca-sha256 HASH --token-file FILE" },
	{ "E0302", ERR_DENIED, "role not sufficient",
	  "The token is valid but its role does not allow this.",
	  "ask an admin for a token with the role named" },
	{ "E0303", ERR_UNAUTHENTICATED, "certificate refused",
	  "The certificate is not from this controller's CA, has expired, was revoked, or names "
	  "someone else.",
	  "enrol the agent again with a fresh token" },
	{ "E0304", ERR_UNAUTHENTICATED, "enrolment token refused",
	  "An enrolment token is good for one use and a limited time; this one was used, has "
	  "expired or is unknown.",
	  "sluice agents token makes a new one" },
	{ "E0305", ERR_DENIED, "secret file open to others",
	  "Keys and tokens must be readable by their owner only.", "chmod 600 the file named" },
	{ "E0306", ERR_DENIED, "approval not allowed",
	  "The environment's policy does not count an approval by this person: not in the group "
	  "asked for, or the author of the release.",
	  "" },
	{ "E0307", ERR_UNAVAILABLE, "controller not reached",
	  "Nobody answers at the controller's address, or what answers is not the controller whose "
	  "CA is known.",
	  "check the address with sluice context ls, and that the controller runs" },

	/* E04: delivery */
	{ "E0401", ERR_CONFLICT, "gate not passed",
	  "An expectation failed, or could not be decided. The verdict lists each with its "
	  "numbers.",
	  "" },
	{ "E0402", ERR_CONFLICT, "environment is on hold",
	  "A hold keeps releases from being promoted automatically, for instance after a rollback "
	  "by hand.",
	  "sluice env unhold ENVIRONMENT lifts it" },
	{ "E0403", ERR_CONFLICT, "release is quarantined",
	  "This release was rolled back or failed its verification; it is not promoted again by "
	  "itself.",
	  "make a better release: sluice submit; or promote it all the same, which is recorded, "
	  "with "
	  "--override REASON (role approver)" },
	{ "E0404", ERR_CONFLICT, "not verified in the environment before",
	  "An environment with `after:` takes only releases that passed the environment named "
	  "there and soaked.",
	  "" },
	{ "E0405", ERR_CONFLICT, "outside the window",
	  "The environment's `window:` does not allow changes at this time.", "" },
	{ "E0406", ERR_CONFLICT, "another promotion is under way",
	  "An environment changes by one promotion at a time; a newer one waits or takes its place "
	  "by the strategy's rules.",
	  "sluice env show ENVIRONMENT --watch shows it" },
	{ "E0407", ERR_CONFLICT, "data too old",
	  "The data this release was made from is older than the environment's `max_data_age`.",
	  "run the data pipeline, then promote the release made from it" },
	{ "E0408", ERR_CONFLICT, "another pipeline's release",
	  "An environment has one release stream, recorded at its first apply.", "" },
	{ "E0409", ERR_CONFLICT, "nothing to roll back to",
	  "No earlier release of this environment was live and good, or none is still kept.",
	  "name one with --to RELEASE" },
	{ "E0410", ERR_EXHAUSTED, "no host fits",
	  "A host matched by the environment cannot hold the service's resources; the numbers are "
	  "named.",
	  "" },
	{ "E0411", ERR_INTERNAL, "deployment failed on a host",
	  "Preparing, activating or checking the release failed on the host named; its log says "
	  "how.",
	  "sluice env logs ENVIRONMENT" },

	/* E05: agents and what runs on them */
	{ "E0501", ERR_UNAVAILABLE, "agent lost",
	  "The agent did not renew its lease in time. By then its jobs are stopped at the host, "
	  "too, so they may start elsewhere.",
	  "" },
	{ "E0502", ERR_UNAVAILABLE, "host lost", "The host restarted while the job ran.", "" },
	{ "E0503", ERR_EXHAUSTED, "log limit reached",
	  "An attempt writes at most 1 GiB of log; then it fails, because a log is never cut "
	  "silently.",
	  "write less, or write to an artifact" },
	{ "E0504", ERR_EXHAUSTED, "agent's disk full",
	  "The agent ran out of disk while the job ran. The job was slowed down first and then "
	  "failed.",
	  "free space on the agent, or ask for more with resources: {disk: ...}" },
	{ "E0505", ERR_EXHAUSTED, "out of memory",
	  "The job used more memory than its limit, or than its host had.",
	  "raise resources: {memory: ...}" },
	{ "E0506", ERR_TIMEOUT, "job timed out", "The job ran for longer than its `timeout`.",
	  "raise timeout:, or find out with the log where the time went" },
	{ "E0507", ERR_NOT_FOUND, "output missing",
	  "The job ended well but did not write an output that the pipeline file promises.", "" },
	{ "E0508", ERR_INVALID, "archive refused",
	  "The archive holds something that is not unpacked: a path that leaves its directory, a "
	  "device, a link to the outside, or more than was declared.",
	  "" },
	{ "E0509", ERR_DENIED, "stale fence",
	  "A message of an attempt or a promotion that was superseded. Only the holder of the "
	  "newest fence may act.",
	  "" },
	{ "E0510", ERR_EXHAUSTED, "no agent fits",
	  "No enrolled agent has the resources and labels that the job asks for.",
	  "sluice agents ls shows what there is" },

	/* E06: storage */
	{ "E0601", ERR_EXHAUSTED, "disk full",
	  "The controller's disk is full or below its reserve. What was acknowledged is safe; "
	  "running work, cancelling and rollback go on.",
	  "free space under the state directory, or lower retention" },
	{ "E0602", ERR_CORRUPT, "stored bytes are damaged",
	  "What was read does not have the digest it was stored under. It is refused: a wrong byte "
	  "is never delivered.",
	  "bring back what the message names from a backup" },
	{ "E0603", ERR_CORRUPT, "database damaged",
	  "The database or its log of commits failed its check, or the two do not belong together. "
	  "Nothing is served from them.",
	  "bring back what the message names, or the last backup, all of its files together" },
	{ "E0604", ERR_CONFLICT, "schema is newer than the program",
	  "The database was written by a newer controller, which an older one would not "
	  "understand; "
	  "or its log of commits by another version than this one.",
	  "start that version, and stop it in order before another is started; or go back to the "
	  "copy made before the migration" },
	{ "E0605", ERR_CONFLICT, "state directory in use",
	  "Another process holds the lock of this state directory.", "stop the other one first" },
	{ "E0606", ERR_EXHAUSTED, "the controller is busy",
	  "It serves as many calls at a time as it is told to, or one caller has as many open as "
	  "one "
	  "may have. Agents try again by themselves.",
	  "try again, with fewer at a time; the controller's max_calls sets the limit" },

	{ "E0900", ERR_UNIMPLEMENTED, "not supported",
	  "The key or command is part of Sluice's language but this version does not support it. "
	  "It is refused by name: nothing is silently ignored.",
	  "" },
};
/* clang-format on */

const size_t error_catalogue_count = ARRAY_SIZE(error_catalogue);

static int compare(const void *id, const void *entry)
{
	return strcmp(id, ((const struct error_entry *)entry)->id);
}

const struct error_entry *error_lookup(const char *id)
{
	return bsearch(id, error_catalogue, ARRAY_SIZE(error_catalogue), sizeof *error_catalogue,
		       compare);
}

void error_reference_markdown(struct buf *out)
{
	static const char *const families[] = { "",	    "Pipeline file", "Input",	"Access",
						"Delivery", "Agent",	     "Storage", "",
						"",	    "Not supported" };
	int family = 0;

	buf_puts(out, "# Errors\n\n"
		      "<!-- made by `sluice explain --markdown` from the catalogue; a test holds "
		      "it equal -->\n\n"
		      "Every error that names a number, what it means and what to do. `sluice "
		      "explain E0107` "
		      "says the same in a terminal.\n");
	for (size_t i = 0; i < error_catalogue_count; i++) {
		const struct error_entry *e = &error_catalogue[i];

		if (e->id[2] - '0' != family) {
			family = e->id[2] - '0';
			buf_printf(out, "\n## E0%d: %s\n", family, families[family]);
		}
		buf_printf(out, "\n### %s: %s\n\n%s\n", e->id, e->title, e->explain);
		if (*e->hint)
			buf_printf(out, "\nWhat to do: %s.\n", e->hint);
	}
}
