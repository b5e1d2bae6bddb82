/*
 * grpc.health.v1, as health.proto describes it. A service that was added
 * serves from start to stop, unless rpc_server_health() says otherwise; "" is
 * the server as a whole. A watcher costs no thread.
 */
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "rpc/internal.h"

typedef Grpc__Health__V1__HealthCheckRequest Request;
typedef Grpc__Health__V1__HealthCheckResponse Reply;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus Status;

#define UNKNOWN	    GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
#define SERVING	    GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING

enum { MAX_NAME = 256 };

struct entry {
	char *service;
	Status status;
	UT_hash_handle hh;
};

struct watcher {
	struct list link;
	struct rpc_call *call;
	char *service;
};

struct rpc_health {
	struct lock lock; /* guards both */
	struct entry *entries;
	struct list watchers;
};

static int check_name(const Request *req, struct error *err)
{
	if (strlen(req->service) < MAX_NAME)
		return 0;
	return error_set(err, ERR_INVALID, "the service's name is longer than %d bytes",
			 MAX_NAME - 1);
}

static Status status_locked(struct rpc_health *h, const char *service)
{
	struct entry *e;

	lock_assert_held(&h->lock);
	HASH_FIND_STR(h->entries, service, e);
	return e ? e->status : UNKNOWN;
}

static int check(struct rpc_call *call, const Request *req, Reply *reply, struct error *err)
{
	struct rpc_health *h = rpc_self(call);

	if (check_name(req, err) < 0)
		return -1;
	lock_take(&h->lock);
	reply->status = status_locked(h, req->service);
	lock_drop(&h->lock);
	if (reply->status == UNKNOWN)
		return error_set(err, ERR_NOT_FOUND, "there is no service '%s'", req->service);
	return 0;
}

/* A watcher that does not read what came before is told no more. */
static void tell(struct watcher *w, Status status)
{
	Reply reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	reply.status = status;
	rpc_post(w->call, &reply, NULL);
}

static int watch_opened(struct rpc_call *call, void *self, struct error *err)
{
	struct watcher *w = xcalloc(1, sizeof *w);

	w->call = call;
	list_init(&w->link);
	rpc_session_set(call, w);
	return 0;
}

static int watch_received(struct rpc_call *call, const Request *req, struct error *err)
{
	struct watcher *w = rpc_session_get(call);
	struct rpc_health *h = rpc_self(call);

	if (check_name(req, err) < 0)
		return -1;
	w->service = xstrdup(req->service);
	LOCKED(&h->lock);
	tell(w, status_locked(h, w->service));
	list_append(&h->watchers, &w->link);
	return 0;
}

static void watch_closed(struct rpc_call *call, const struct error *why)
{
	struct watcher *w = rpc_session_get(call);
	struct rpc_health *h = rpc_self(call);

	lock_take(&h->lock);
	list_remove(&w->link);
	lock_drop(&h->lock);
	free(w->service);
	free(w);
}

static const struct rpc_method health_api[] = {
	RPC_UNARY(PUBLIC, Check, check, Request, Reply),
	RPC_WATCH(PUBLIC, Watch, watch_opened, watch_received, watch_closed, Request, Reply),
	RPC_END,
};

void rpc_server_health(struct rpc_server *s, const char *service, bool serving)
{
	struct rpc_health *h = s->health;
	struct watcher *w;
	struct entry *e;
	Status status = serving ? SERVING : NOT_SERVING;

	LOCKED(&h->lock);
	HASH_FIND_STR(h->entries, service, e);
	if (!e) {
		e = xcalloc(1, sizeof *e);
		e->service = xstrdup(service);
		HASH_ADD_KEYPTR(hh, h->entries, e->service, strlen(e->service), e);
	}
	if (e->status == status)
		return;
	e->status = status;
	list_each(w, &h->watchers, link)
		if (strcmp(w->service, service) == 0)
			tell(w, status);
}

void health_all(struct rpc_server *s, bool serving)
{
	struct rpc_route *route, *tmp;

	rpc_server_health(s, "", serving);
	HASH_ITER(hh, s->routes, route, tmp)
		rpc_server_health(s, route->service->name, serving);
}

void health_init(struct rpc_server *s)
{
	s->health = xcalloc(1, sizeof *s->health);
	lock_init(&s->health->lock);
	list_init(&s->health->watchers);
	rpc_server_add(s, &grpc__health__v1__health__descriptor, health_api, s->health);
}

void health_free(struct rpc_server *s)
{
	struct entry *e, *tmp;

	if (!s->health)
		return;
	HASH_ITER(hh, s->health->entries, e, tmp) {
		HASH_DEL(s->health->entries, e);
		free(e->service);
		free(e);
	}
	lock_release(&s->health->lock);
	free(s->health);
}
