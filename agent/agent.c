/*
 * Putting an agent together, in the order of what needs what: identity, containment, journal,
 * shims, cache, channel, logs; then the two users of all that, work and deploy; then what an
 * earlier process left is handed to them; and at last the session.
 */
#include "agent/agent.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/away.h"
#include "agent/deploy.h"
#include "agent/identity.h"
#include "agent/owners.h"
#include "agent/spares.h"
#include "agent/work.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "proto/message.h"

enum { PATIENCE_MS = 10 * 60000, STOP_MS = 30000 };

struct agent {
	char *state_dir, *id_dir, *work_dir, *env_dir, *boot_id, *shim;
	const struct config *config;
	struct identity *identity;
	struct contain contain;
	struct journal *journal;
	struct supervise *supervise;
	struct blob_store *cache;
	struct rpc_channel *channel;
	struct ship *ship;
	struct work *work;
	struct owners *owners;
	struct spares *spares;
	struct deploy *deploy;
	struct session *session;
	Sluice__V1__HostFacts *host;
	char instance[ID_SIZE];
	uid_t uid;
	gid_t gid;
};

/* ---- the session's events ---- */

static const char *controller_address(const struct agent *a)
{
	const char *address = config_string(a->config, "controller");

	return address ? address : a->identity->controller;
}

static void describe(void *arg, Sluice__V1__Register *ret)
{
	struct agent *a = arg;

	message_set_string(&ret->boot_id, a->boot_id);
	message_set_string(&ret->instance, a->instance);
	message_set_string(&ret->version, SLUICE_VERSION);
	ret->host = message_copy(a->host);
	file_free_bytes(a->state_dir, &ret->host->disk_free, NULL); /* as it is now */
	work_describe(a->work, ret);
	deploy_describe(a->deploy, ret);
}

static void received(void *arg, const Sluice__V1__ControllerMessage *m, int64_t sent_boot_ms)
{
	struct agent *a = arg;

	switch (m->body_case) {
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED:
		work_registered(a->work, m->registered, sent_boot_ms);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER:
		work_offered(a->work, m->offer, m->ctl_epoch);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_ACCEPTED:
		work_accepted(a->work, m->accepted, sent_boot_ms);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK:
		work_renewed(a->work, m->renew_ack, sent_boot_ms);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_STOP:
		work_told_to_stop(a->work, m->stop);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_FINISH_ACK:
		work_acknowledged(a->work, m->finish_ack);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER:
		deploy_ordered(a->deploy, m->host_order);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ACK:
		deploy_acknowledged(a->deploy, m->host_ack);
		break;
	default: /* of a newer controller */
		break;
	}
}

static void connected(void *arg, int64_t away_ms)
{
	cleanup(buf_release) struct buf after = { 0 };
	struct agent *a = arg;

	if (away_ms) {
		buf_puts(&after, " again, after ");
		away_duration(away_ms, &after);
	}
	log_info("connected to %s as '%s'%s", controller_address(a), a->identity->name,
		 buf_str(&after));
	deploy_connected(a->deploy);
}

/* ---- what an earlier process left ---- */

static void visit(void *arg, struct found *found)
{
	struct agent *a = arg;
	struct error err = { 0 };

	if (work_found(a->work, found) || deploy_found(a->deploy, found)) {
		slot_close(found->slot); /* NULL when it was taken */
		return;
	}
	if (found->slot) { /* nobody remembers it: it must not go on */
		log_warn("stopping '%s', which nothing here knows", found->name);
		if (slot_signal(found->slot, slot_status(found->slot)->fence, SHIM_STOPPED, 1000,
				&err) < 0)
			log_warn("%s", err.text);
		slot_close(found->slot);
		return;
	}
	if (supervise_release(a->supervise, found->name, &err) < 0)
		log_warn("%s", err.text);
}

/* ---- putting it together ---- */

char *agent_shim_path(const struct config *config, struct error *err)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (config_has(config, "shim"))
		return xstrdup(config_string(config, "shim"));
	if (n < 0)
		return error_errno(err, "finding this program"), NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	return xprintf("%.*s/sluice-shim", (int)(slash - self), self);
}

static int find_user(struct agent *a, struct error *err)
{
	const char *name = config_string(a->config, "user");
	struct passwd *user = geteuid() == 0 ? getpwnam(name ? name : "sluice-job") : NULL;

	if (name && geteuid() != 0)
		return error_set(err, ERR_DENIED, "only root can run jobs as '%s'", name);
	if (name && !user)
		return error_set(err, ERR_NOT_FOUND, "there is no user '%s'", name);
	if (user) {
		a->uid = user->pw_uid;
		a->gid = user->pw_gid;
	}
	return 0;
}

/* Who runs jobs, decided and said: in the log and with what contains them. */
static int find_owners(struct agent *a, struct error *err)
{
	const char *range = config_string(a->config, "job_uids");
	cleanup(freep) char *reserved = range || !a->uid ? NULL : owners_reserved();
	cleanup(freep) char *who = NULL, *containment = NULL;
	struct owners_spec spec = { .work_dir = a->work_dir,
				    .range = range ? range : reserved,
				    .uid = a->uid,
				    .gid = a->gid,
				    .slots = a->host->slots };

	if (range && geteuid() == 0 && !a->uid)
		return error_set(
			err, ERR_NOT_FOUND,
			"job_uids needs a `user` whose group jobs have and as whom services "
			"run: there is no 'sluice-job'");
	a->owners = owners_new(&spec, err);
	if (!a->owners)
		return -1;
	if (spec.range)
		who = xprintf("each job as a user of its own (%s)", spec.range);
	else
		who = xprintf("all jobs as one user (%s)",
			      a->uid ? "no job_uids" : "the agent's own: for development only");
	log_info("%s", who);
	containment = xprintf("%s; %s", a->host->containment, who);
	message_set_string(&a->host->containment, containment);
	return 0;
}

static int read_boot_id(struct agent *a, struct error *err)
{
	struct buf text = { 0 };

	if (file_read("/proc/sys/kernel/random/boot_id", 128, &text, err) < 0)
		return -1;
	buf_str(&text);
	text.data[strcspn(text.data, "\n")] = '\0';
	a->boot_id = buf_detach(&text);
	return 0;
}

static int open_parts(struct agent *a, struct error *err)
{
	cleanup(freep) char *journal = path_join(a->state_dir, "journal");
	cleanup(freep) char *cache = path_join(a->state_dir, "cache");
	const char *cgroup = config_string(a->config, "cgroup");

	a->shim = agent_shim_path(a->config, err);
	a->identity = a->shim ? identity_load(a->id_dir, err) : NULL;
	if (!a->identity || find_user(a, err) < 0 || read_boot_id(a, err) < 0)
		return -1;
	if (cgroup && strcmp(cgroup, "none") == 0)
		cgroup = "";
	if (contain_probe(a->shim, cgroup, CONTAIN_PIDNS, &a->contain, err) < 0)
		return -1;
	a->host = facts_measure(a->config, a->state_dir, &a->contain, err);
	if (!a->host || find_owners(a, err) < 0)
		return -1;
	a->journal = journal_open(journal, a->boot_id, err);
	if (!a->journal)
		return -1;
	if (journal_lost(a->journal))
		log_error("the journal was damaged and begins anew; the old one is '%s.damaged'",
			  journal);
	a->supervise = supervise_open(a->state_dir, a->shim, &a->contain, err);
	a->cache = a->supervise ? blob_store_open(cache, err) : NULL;
	return a->cache ? 0 : -1;
}

static int dial(struct agent *a, struct error *err)
{
	struct rpc_endpoint endpoint = {
		.address = controller_address(a),
		.ca_pem = a->identity->ca_pem,
		.cert_pem = a->identity->pem,
		.key_pem = a->identity->pem,
	};

	a->channel = rpc_dial(&endpoint, err);
	return a->channel ? 0 : -1;
}

static void make_users(struct agent *a)
{
	struct transfer transfer = { .channel = a->channel, .patience_ms = PATIENCE_MS };
	struct spares *spares = a->spares = spares_new(a->work_dir, a->owners);
	struct work_config work = {
		.journal = a->journal,
		.supervise = a->supervise,
		.ship = a->ship,
		.workspace = { .work_dir = a->work_dir,
			       .cache = a->cache,
			       .transfer = transfer,
			       .spares = spares,
			       .owners = a->owners },
		.slots = a->host->slots,
		.boot_id = a->boot_id,
	};
	struct deploy_config deploy = {
		.env_dir = a->env_dir,
		.journal = a->journal,
		.supervise = a->supervise,
		.ship = a->ship,
		.transfer = transfer,
		.cache = a->cache,
		.address = a->host->address,
		.uid = a->uid,
		.gid = a->gid,
	};
	uint16_t first = 18000, last = 18099;

	config_ports(a->config, "service_ports", &first, &last);
	deploy.first_port = first;
	deploy.last_port = last;
	a->work = work_new(&work);
	a->deploy = deploy_new(&deploy);
}

static void agent_free(struct agent *a)
{
	work_free(a->work);
	spares_free(a->spares);
	owners_free(a->owners);
	deploy_free(a->deploy);
	ship_stop(a->ship);
	rpc_hangup(a->channel);
	blob_store_close(a->cache);
	supervise_close(a->supervise);
	journal_close(a->journal);
	contain_release(&a->contain);
	identity_free(a->identity);
	message_free(a->host);
	free(a->state_dir);
	free(a->id_dir);
	free(a->work_dir);
	free(a->env_dir);
	free(a->boot_id);
	free(a->shim);
	free(a);
}

struct agent *agent_start(const struct config *config, struct error *err)
{
	struct agent *a = xcalloc(1, sizeof *a);
	struct session_events events = { describe, received, connected, a };
	struct id instance = id_new();

	a->config = config;
	a->state_dir = xstrdup(config_string(config, "state_dir"));
	a->id_dir = path_join(a->state_dir, "id");
	a->work_dir = path_join(a->state_dir, "work");
	a->env_dir = path_join(a->state_dir, "env");
	memcpy(a->instance, instance.text, sizeof a->instance);
	if (open_parts(a, err) < 0 || dial(a, err) < 0) {
		agent_free(a);
		return NULL;
	}
	a->ship = ship_start(a->channel, supervise_spool_dir(a->supervise));
	make_users(a);
	if (supervise_attach(a->supervise, visit, a, err) < 0) {
		agent_free(a);
		return NULL;
	}
	work_sweep(a->work);
	a->session = session_start(a->channel, controller_address(a), &events);
	work_start(a->work, a->session);
	deploy_start(a->deploy, a->session);
	return a;
}

void agent_stop(struct agent *a, bool stop_work)
{
	if (stop_work)
		work_stop(a->work, true, STOP_MS);
	session_goodbye(a->session, "the agent was stopped");
	work_stop(a->work, false, 0);
	deploy_stop(a->deploy, stop_work);
	session_stop(a->session);
	agent_free(a);
}

void agent_services(struct agent *a)
{
	deploy_look(a->deploy);
}

int agent_look(struct agent *a, struct error *err)
{
	struct error trimming = { 0 };
	struct blob_stats stats;

	/* No reason to let the certificate run out. */
	if (blob_trim(a->cache, config_size(a->config, "cache_size"), &stats, &trimming) < 0)
		log_warn("trimming the cache: %s", trimming.text);
	if (!identity_renewal_due(a->identity, clock_wall_ms()))
		return 0;
	if (identity_renew(a->id_dir, a->channel, err) < 0)
		return error_wrap(err, "renewing the certificate");
	return 1;
}
