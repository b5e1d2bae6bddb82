/*
 * Putting a controller together: lock, logs, database, engine, authority, blobs, server. Each part
 * knows only those before it.
 */
#include "controller/controller.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "controller/api/api.h"
#include "controller/api/metrics.h"
#include "controller/collect.h"
#include "controller/model/agents.h"
#include "controller/model/tokens.h"
#include "crypto/keys.h"
#include "crypto/random.h"
#include "proto/message.h"

enum { STOP_GRACE_MS = 500, NAMES = 64 };

const struct config_key controller_keys[] = {
	{ "state_dir", CONFIG_STRING, "/var/lib/sluice",
	  "where database, artifacts, logs and certificates are kept", 0, 0 },
	{ "listen_users", CONFIG_STRING, "127.0.0.1:7700",
	  "address for people and enrolment; port 0: any", 0, 0 },
	{ "listen_agents", CONFIG_STRING, "127.0.0.1:7701", "address for agents; port 0: any", 0,
	  0 },
	{ "names", CONFIG_LIST, "localhost,127.0.0.1",
	  "names and addresses in the server's certificate", 0, 0 },
	{ "log_retention", CONFIG_DURATION, "90d",
	  "how long logs of ended runs, and of services, are kept", 3600000, 0x7fffffffffff },
	{ "service_logs", CONFIG_SIZE, "1G", "what is kept of the log of each service on each host",
	  1 << 20, 1LL << 40 },
	{ "reserve", CONFIG_SIZE, "256M", "free disk below which only work under way is finished",
	  0, 0 },
	{ "max_calls", CONFIG_INT, "256", "rpcs at a time", 8, 100000 },
	{ "verbose", CONFIG_BOOL, "false", "log what is usually not worth a line", 0, 0 },
	{ NULL, CONFIG_STRING, NULL, NULL, 0, 0 },
};

struct controller {
	const struct config *config;
	const char *state_dir;
	int lock;
	char *cluster;
	struct store *store;
	struct engine *engine;
	struct authority *authority;
	struct logbook *logbook;
	struct blob_store *blobs;
	struct rpc_server *server;
	struct api api;
};

/* The server has stopped, so nobody asks any more; the engine still may have something to say to
 * sessions, whose calls are the server's. */
static void free_parts(struct controller *c)
{
	if (c->engine)
		engine_stop(c->engine);
	rpc_server_free(c->server);
	engine_free(c->engine);
	metrics_free(c->api.metrics);
	sessions_free(c->api.sessions);
	logbook_close(c->logbook);
	blob_store_close(c->blobs);
	authority_free(c->authority);
	store_close(c->store);
	closep(&c->lock);
	free(c->cluster);
	free(c);
}

static int take_lock(struct controller *c, struct error *err)
{
	cleanup(freep) char *path = path_join(c->state_dir, "lock");
	cleanup(freep) char *ca = path_join(c->state_dir, "ca");

	if (file_make_dirs(c->state_dir, 0700, err) < 0)
		return -1;
	if (file_lock(path, &c->lock, err) == 0) {
		file_remove_temps(c->state_dir);
		file_remove_temps(ca);
		return 0;
	}
	return err->code == ERR_CONFLICT
		       ? error_id(err, "E0605", "another controller uses '%s'", c->state_dir)
		       : -1;
}

/* The name in certificates: made up once, at the first start. */
static int open_engine(struct controller *c, struct error *err)
{
	cleanup(freep) char *path = path_join(c->state_dir, "sluice.db");
	cleanup(message_freep) Sluice__V1__SystemInfo *info = NULL;
	struct id id = id_new();
	struct engine_config config = {
		.effects = { sessions_perform, &c->api, sessions_performed },
		.cluster = id.text + 24, /* 48 random bits */
		.reserve_bytes = config_size(c->config, "reserve"),
	};

	c->store = store_open(path, err);
	if (!c->store)
		return -1;
	config.store = c->store;
	c->engine = engine_new(&config, err);
	if (!c->engine)
		return -1;
	engine_start(c->engine);
	if (engine_read(c->engine, system_info, NULL, &info, err) < 0)
		return -1;
	c->cluster = xstrdup(info->cluster);
	return 0;
}

static int open_authority(struct controller *c, bool make, struct error *err)
{
	cleanup(freep) char *dir = path_join(c->state_dir, "ca");
	const char *names[NAMES + 1] = { NULL };
	size_t n = config_count(c->config, "names");

	for (size_t i = 0; i < MIN(n, (size_t)NAMES); i++)
		names[i] = config_item(c->config, "names", i);
	c->authority = authority_open(dir, c->cluster, names, make, err);
	return c->authority ? 0 : -1;
}

static int open_state(struct controller *c, bool make, struct error *err)
{
	cleanup(freep) char *logs = path_join(c->state_dir, "logs");
	cleanup(freep) char *blobs = path_join(c->state_dir, "blobs");

	if (take_lock(c, err) < 0)
		return -1;
	/* Before the engine: what is due at once has effects, and they end logs. */
	c->api.sessions = sessions_new();
	c->api.logbook = c->logbook = logbook_open(logs, err);
	if (c->logbook)
		logbook_keep(c->logbook, config_size(c->config, "service_logs"));
	if (!c->logbook || open_engine(c, err) < 0 || open_authority(c, make, err) < 0)
		return -1;
	c->blobs = blob_store_open(blobs, err);
	return c->blobs ? 0 : -1;
}

static struct controller *controller_new(const struct config *config)
{
	struct controller *c = xcalloc(1, sizeof *c);

	c->config = config;
	c->state_dir = config_string(config, "state_dir");
	c->lock = -1;
	return c;
}

/* ---- init ---- */

/* The file is there before the token is, so that no crash leaves an admin whose secret nobody has.
 */
static int make_admin(struct controller *c, struct error *err)
{
	cleanup(freep) char *path = path_join(c->state_dir, "admin.token");
	cleanup(freep) char *aside = path_join(c->state_dir, "admin.token.new");
	cleanup(message_freep) Sluice__V1__Token *made = NULL;
	char secret[RANDOM_TOKEN_SIZE], hex[DIGEST_HEX_SIZE];
	struct token_init ask = { .name = "admin", .hash = hex };
	struct digest hash;

	random_token(secret);
	hash = token_hash(secret);
	digest_hex(&hash, hex);
	if (file_write_atomic(aside, secret, strlen(secret), 0600, err) < 0)
		return -1;
	if (engine_ask(c->engine, tokens_init, &ask, &made, err) < 0) {
		unlink(aside);
		if (err->code != ERR_EXISTS)
			return -1;
		error_clear(err);
		return 0;
	}
	return file_rename(aside, path, err);
}

int controller_init(const struct config *config, struct error *err)
{
	struct controller *c = controller_new(config);
	int r = -1;

	if (open_state(c, true, err) == 0)
		r = make_admin(c, err);
	if (r == 0)
		printf("state in '%s', CA SHA-256 %s, first admin's token in '%s/admin.token'\n",
		       c->state_dir, authority_ca_sha256(c->authority), c->state_dir);
	free_parts(c);
	return r;
}

/* ---- serving ---- */

static int make_server(struct controller *c, struct error *err)
{
	struct rpc_listener listeners[] = {
		{ .address = config_string(c->config, "listen_users"),
		  .kind = RPC_USERS,
		  .cert = authority_server_cert(c->authority),
		  .key = authority_server_key(c->authority) },
		{ .address = config_string(c->config, "listen_agents"),
		  .kind = RPC_AGENTS,
		  .cert = authority_server_cert(c->authority),
		  .key = authority_server_key(c->authority),
		  .client_ca = authority_ca_path(c->authority) },
	};
	unsigned calls = (unsigned)config_int(c->config, "max_calls");
	/* one token, however busy, leaves room for agents and others */
	struct rpc_limits limits = { .max_calls = calls, .max_token_calls = calls / 2 };

	c->server = rpc_server_new(listeners, ARRAY_SIZE(listeners), &limits, err);
	if (!c->server)
		return -1;
	api_serve(c->server, &c->api);
	if (rpc_server_start(c->server, err) < 0)
		return -1;
	c->api.agents_port = rpc_server_port(c->server, 1);
	return 0;
}

static char *address_of(const char *listen, int port)
{
	const char *colon = strrchr(listen, ':');

	return xprintf("%.*s:%d", (int)(colon ? colon - listen : 0), listen, port);
}

/* Where it listens, for whoever started it with port 0. */
static int write_address(struct controller *c, struct error *err)
{
	cleanup(freep) char *path = path_join(c->state_dir, "address");
	cleanup(freep) char *users =
		address_of(config_string(c->config, "listen_users"), rpc_server_port(c->server, 0));
	cleanup(freep) char *agents = address_of(config_string(c->config, "listen_agents"),
						 rpc_server_port(c->server, 1));
	cleanup(freep) char *text = xprintf("%s\n%s\n", users, agents);

	log_info("serving people on %s and agents on %s, CA SHA-256 %s", users, agents,
		 authority_ca_sha256(c->authority));
	return file_write_atomic(path, text, strlen(text), 0644, err);
}

struct controller *controller_start(const struct config *config, struct error *err)
{
	struct controller *c = controller_new(config);

	if (open_state(c, false, err) < 0) {
		free_parts(c);
		return NULL;
	}
	c->api.engine = c->engine;
	c->api.store = c->store;
	c->api.blobs = c->blobs;
	c->api.authority = c->authority;
	c->api.cluster = c->cluster;
	c->api.state_dir = c->state_dir;
	c->api.metrics = metrics_new(c->logbook);
	c->api.started_ms = clock_wall_ms();
	if (make_server(c, err) < 0 || write_address(c, err) < 0) {
		controller_stop(c);
		return NULL;
	}
	return c;
}

void controller_stop(struct controller *c)
{
	cleanup(freep) char *address = path_join(c->state_dir, "address");

	unlink(address);
	if (c->server)
		rpc_server_stop(c->server, STOP_GRACE_MS);
	free_parts(c);
}

void controller_look(struct controller *c)
{
	int64_t before = clock_wall_ms() - config_duration(c->config, "log_retention");
	struct blob_stats stats = { 0 };
	struct error err = { 0 };
	uint64_t removed = 0;

	if (authority_look(c->authority, &err) < 0)
		log_error("%s", err.text);
	error_clear(&err);
	if (logbook_expire(c->logbook, before, &removed, &err) < 0)
		log_error("removing old logs: %s", err.text);
	error_clear(&err);
	if (collect_requests(c->engine, c->store, &removed, &err) < 0)
		log_error("forgetting answered requests: %s", err.text);
	error_clear(&err);
	if (collect_artifacts(c->engine, c->store, c->blobs, &stats, &err) < 0)
		log_error("collecting artifacts: %s", err.text);
	else if (stats.removed)
		log_info("collected %llu blobs, %llu bytes", (unsigned long long)stats.removed,
			 (unsigned long long)stats.removed_bytes);
}
