/*
 * api.h - the rpcs that the controller serves
 *
 * A handler unpacks, asks the engine for a decision or reads the store, and packs. It never changes
 * state itself. Whoever calls was let in by the guard (guard.c), whose table of roles is the ACCESS
 * of each row. What is open is answered by the engine, what is closed by the store.
 */
#ifndef API_API_H
#define API_API_H

#include <stdint.h>
#include "blob/store.h"
#include "controller/api/authority.h"
#include "controller/engine/engine.h"
#include "controller/logs/logbook.h"
#include "controller/store/store.h"
#include "rpc/rpc.h"

struct metrics;
struct sessions;

/* What handlers work with; rpc_self() of every call. All of it outlives the server. */
struct api {
	struct engine *engine;
	struct store *store;
	struct logbook *logbook;
	struct blob_store *blobs;
	struct authority *authority;
	struct sessions *sessions;
	struct metrics *metrics; /* metrics.h */
	const char *cluster;
	const char *state_dir;
	int64_t started_ms;
	struct rpc_server *server; /* whose calls are cut when somebody loses access */
	int agents_port;	   /* told at enrolment; set once the server listens */
};

/* Adds every service and the guard. */
void api_serve(struct rpc_server *server, struct api *api);

/* The agents' open sessions, by the handle that effects name. */
struct sessions *sessions_new(void);
void sessions_free(struct sessions *s);
/* struct engine_effects.perform for what goes to agents; arg is the api. */
void sessions_perform(void *api, struct effect *effect);
void sessions_performed(void *api); /* the last of a turn: now it is sent */

#endif
