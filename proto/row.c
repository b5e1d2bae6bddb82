/*
 * What the columns of each kind of row are. One function per kind fills them in
 * from the message; `open` says whether the next start needs the row in memory,
 * from the message alone. Jobs and specs are the exception: they stay as long as
 * the run they belong to, which row_kept_open_by() says.
 */
#include "proto/row.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "sluice/v1/agents.pb-c.h"
#include "sluice/v1/artifacts.pb-c.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/runs.pb-c.h"
#include "sluice/v1/store.pb-c.h"
#include "sluice/v1/tokens.pb-c.h"

enum { SCRATCH = 256 };

static void describe_controller(const void *message, struct row *r, char *scratch)
{
	r->id = "controller";
	r->open = true;
}

static void describe_token(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Token *m = message;

	r->id = m->id;
	r->key = m->hash;
	r->state = m->revoked ? 2 : 1;
	r->time_ms = m->created_ms;
	r->open = !m->revoked;
}

/* It has no time of creation: its id begins with one, and a list of tokens wants those that end
 * last first. */
static void describe_enrol_token(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__EnrolTokenRow *m = message;

	r->id = m->id;
	r->key = m->hash;
	r->state = m->used_ms ? 2 : 1;
	r->time_ms = m->expires_ms;
	r->open = !m->used_ms;
}

/* A revoked agent is still known: its certificates are refused by name, and it may run a service.
 */
static void describe_agent(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Agent *m = message;

	r->id = m->id;
	r->key = m->name;
	r->state = (int)m->state;
	r->time_ms = m->enrolled_ms;
	r->open = true;
}

static void describe_published(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__PublishedRow *m = message;

	r->id = m->name;
	r->number = m->version;
	r->time_ms = m->at_ms;
	r->open = true;
}

static void describe_release(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Release *m = message;

	r->id = m->id;
	r->parent = m->run_id;
	r->key = m->digest;
	r->number = m->number;
	r->time_ms = m->created_ms;
}

static void describe_environment(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Environment *m = message;

	r->id = m->id;
	r->key = m->name;
	r->open = true;
}

static void describe_promotion(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Promotion *m = message;

	r->id = m->id;
	r->parent = m->environment;
	r->key = m->release;
	r->state = (int)m->state;
	r->number = m->number;
	r->time_ms = m->created_ms;
	switch (m->state) {
	case SLUICE__V1__PROMOTION__STATE__SUCCEEDED:
	case SLUICE__V1__PROMOTION__STATE__FAILED:
	case SLUICE__V1__PROMOTION__STATE__ROLLED_BACK:
	case SLUICE__V1__PROMOTION__STATE__CANCELLED:
		break;
	default:
		r->open = true;
	}
}

static void describe_run(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Run *m = message;

	r->id = m->id;
	r->key = m->pipeline;
	r->state = (int)m->state;
	r->number = m->number;
	r->time_ms = m->created_ms;
	r->open = m->state == SLUICE__V1__RUN_STATE__RUN_RUNNING;
}

static void describe_run_spec(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__RunSpecRow *m = message;

	r->id = m->run_id;
	r->parent = m->run_id;
}

static void describe_job(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Job *m = message;

	r->id = m->id;
	r->parent = m->run_id;
	r->key = m->spec ? m->spec->name : "";
	r->state = (int)m->state;
	r->number = m->index;
	r->time_ms = m->created_ms;
	r->open = m->state < SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
}

static void describe_attempt(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Attempt *m = message;

	snprintf(scratch, SCRATCH, "%llu", (unsigned long long)m->fence);
	r->id = scratch;
	r->parent = m->job_id;
	r->key = m->agent_id;
	r->state = (int)m->state;
	r->number = m->number;
	r->time_ms = m->offered_ms;
	r->open = m->state < SLUICE__V1__ATTEMPT_STATE__ATTEMPT_SUCCEEDED;
}

/* state: the kind of artifact, by which lists are filtered */
static void describe_artifact(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Artifact *m = message;

	r->id = m->id;
	r->parent = m->run_id;
	r->key = m->digest;
	r->state = (int)m->kind;
	r->number = m->version;
	r->time_ms = m->created_ms;
}

/* The first 160 bits of a digest are enough to tell digests apart, and five of them fit a key. */
static const char *digest_start(const char *digest)
{
	const char *hex = strchr(digest, ':');

	return hex ? hex + 1 : digest;
}

static void describe_verdict(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__Verdict *m = message;

	snprintf(scratch, SCRATCH, "%.40s+%.40s+%.40s+%.40s+%.40s", digest_start(m->gate),
		 digest_start(m->candidate), m->champion, digest_start(m->set),
		 digest_start(m->evaluator));
	r->id = m->id;
	r->parent = m->job_id;
	r->key = scratch;
	r->state = (int)m->state;
	r->time_ms = m->at_ms;
}

static void describe_request(const void *message, struct row *r, char *scratch)
{
	const Sluice__V1__RequestRow *m = message;

	r->id = m->id;
	r->key = m->method;
	r->time_ms = m->at_ms;
}

static const struct kind {
	const char *name;
	const ProtobufCMessageDescriptor *descriptor;
	void (*describe)(const void *message, struct row *ret, char *scratch);
	enum row_kind kept_open_by;
} kinds[ROW_KINDS] = {
	[ROW_CONTROLLER] = { "controller", &sluice__v1__controller_row__descriptor,
			     describe_controller, 0 },
	[ROW_TOKEN] = { "token", &sluice__v1__token__descriptor, describe_token, 0 },
	[ROW_ENROL_TOKEN] = { "enrolment token", &sluice__v1__enrol_token_row__descriptor,
			      describe_enrol_token, 0 },
	[ROW_AGENT] = { "agent", &sluice__v1__agent__descriptor, describe_agent, 0 },
	[ROW_PUBLISHED] = { "published name", &sluice__v1__published_row__descriptor,
			    describe_published, 0 },
	[ROW_RELEASE] = { "release", &sluice__v1__release__descriptor, describe_release, 0 },
	[ROW_ENVIRONMENT] = { "environment", &sluice__v1__environment__descriptor,
			      describe_environment, 0 },
	[ROW_PROMOTION] = { "promotion", &sluice__v1__promotion__descriptor, describe_promotion,
			    0 },
	[ROW_RUN] = { "run", &sluice__v1__run__descriptor, describe_run, 0 },
	[ROW_RUN_SPEC] = { "pipeline of a run", &sluice__v1__run_spec_row__descriptor,
			   describe_run_spec, ROW_RUN },
	[ROW_JOB] = { "job", &sluice__v1__job__descriptor, describe_job, ROW_RUN },
	[ROW_ATTEMPT] = { "attempt", &sluice__v1__attempt__descriptor, describe_attempt, 0 },
	[ROW_ARTIFACT] = { "artifact", &sluice__v1__artifact__descriptor, describe_artifact, 0 },
	[ROW_VERDICT] = { "verdict", &sluice__v1__verdict__descriptor, describe_verdict, 0 },
	[ROW_REQUEST] = { "request", &sluice__v1__request_row__descriptor, describe_request, 0 },
};

static const struct kind *kind_of(enum row_kind kind)
{
	assert(kind >= ROW_CONTROLLER && kind < ROW_KINDS);
	return &kinds[kind];
}

void row_describe(enum row_kind kind, const ProtobufCMessage *message, struct row *ret,
		  char scratch[SCRATCH])
{
	const struct kind *k = kind_of(kind);

	assert(message->descriptor == k->descriptor);
	*ret = (struct row){ .kind = kind, .id = "", .parent = "", .key = "" };
	k->describe(message, ret, scratch);
}

const ProtobufCMessageDescriptor *row_descriptor(enum row_kind kind)
{
	return kind_of(kind)->descriptor;
}

const char *row_kind_name(enum row_kind kind)
{
	return kind_of(kind)->name;
}

enum row_kind row_kept_open_by(enum row_kind kind)
{
	return kind_of(kind)->kept_open_by;
}
