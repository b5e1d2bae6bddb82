/*
 * private.h - what the files of the world and of running work share among themselves
 *
 * Not for delivery, not for other folders.
 */
#ifndef MODEL_PRIVATE_H
#define MODEL_PRIVATE_H

#include "controller/model/caller.h"
#include "controller/model/world.h"
#include "proto/message.h"

enum {
	REQUEST_ID_MAX = 128,
	OPEN_JOBS_MAX = 1000 * 1000,
	RUN_SPEC_MAX = 3 << 20, /* bytes of a run's file and pipeline: a row holds 4 MiB */
	METRICS_MAX = 1000,	/* of one attempt */
};

/* Every decision begins with it. */
static inline void world_at(struct world *w, struct now now)
{
	w->now = now;
}

/* ---- entity.c: in and out of memory ---- */
struct run *entity_run_new(struct world *w, Sluice__V1__Run *row);
struct job *entity_job_new(struct world *w, struct run *run, Sluice__V1__Job *row);
struct attempt *entity_attempt_new(struct world *w, struct job *job, struct agent *agent,
				   Sluice__V1__Attempt *row);
struct agent *entity_agent_new(struct world *w, Sluice__V1__Agent *row);
struct release *entity_release_new(struct world *w, Sluice__V1__Release *row);
struct environment *entity_environment_new(struct world *w, Sluice__V1__Environment *row);
struct promotion *entity_promotion_new(struct world *w, struct environment *env,
				       Sluice__V1__Promotion *row);
struct enrol_token *entity_enrol_token_new(struct world *w, Sluice__V1__EnrolTokenRow *row);
struct token *entity_token_new(struct world *w, Sluice__V1__Token *row);
struct published *entity_published_new(struct world *w, Sluice__V1__PublishedRow *row);
void entity_free(struct world *w, struct entity *e); /* out of every index first */
bool entity_is_closed(const struct entity *e);
void world_drop_idle(struct world *w);

/* ---- record.c ---- */
void records_release(struct world *w);
int records_put(struct world *w, int (*put)(void *arg, const struct row *row, struct error *err),
		void *arg, struct error *err);

/* ---- world_write.c ---- */
void effect_add(struct world *w, struct effect *e);
/* For a session that is not (or no longer) an agent's. */
void world_close_stale(struct world *w, uint64_t session, enum error_code code, const char *reason);
void world_log_closed(struct world *w, const struct attempt *a);
Sluice__V1__Actor *actor_copy(const Sluice__V1__Actor *actor); /* NULL: the controller */

/* ---- small things ---- */
Sluice__V1__Variable *variable_copy(const Sluice__V1__Variable *v);
/* Room for the number as text; returned. */
char *fence_format(uint64_t fence, char ret[24]);
/* "zone=a env=prod" into ret, or "" */
void labels_format(Sluice__V1__Variable *const *labels, size_t n, struct buf *ret);

#endif
