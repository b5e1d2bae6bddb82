#include "host.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "proto/message.h"

static void must(bool ok, const struct error *err)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", err->text);
	abort();
}

/* ---- the session's events, as agent.c has them ---- */

static void describe(void *arg, Sluice__V1__Register *ret)
{
	struct host_under_test *h = arg;

	message_set_string(&ret->boot_id, "boot");
	work_describe(h->work, ret);
	deploy_describe(h->deploy, ret);
}

static void received(void *arg, const Sluice__V1__ControllerMessage *m, int64_t sent)
{
	struct host_under_test *h = arg;

	switch (m->body_case) {
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED:
		work_registered(h->work, m->registered, sent);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER:
		work_offered(h->work, m->offer, m->ctl_epoch);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_ACCEPTED:
		work_accepted(h->work, m->accepted, sent);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK:
		work_renewed(h->work, m->renew_ack, sent);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_STOP:
		work_told_to_stop(h->work, m->stop);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_FINISH_ACK:
		work_acknowledged(h->work, m->finish_ack);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER:
		deploy_ordered(h->deploy, m->host_order);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ACK:
		deploy_acknowledged(h->deploy, m->host_ack);
		break;
	default:
		abort();
	}
}

static void connected(void *arg, int64_t away_ms)
{
	struct host_under_test *h = arg;

	deploy_connected(h->deploy);
}

/* ---- starting and stopping ---- */

static void visit(void *arg, struct found *found)
{
	struct host_under_test *h = arg;
	struct error err = { 0 };

	if (!work_found(h->work, found) && !deploy_found(h->deploy, found) && !found->slot)
		supervise_release(h->supervise, found->name, &err);
	slot_close(found->slot);
}

char *host_path(const struct host_under_test *h, const char *name)
{
	return path_join(h->dir, name);
}

void host_again(struct host_under_test *h)
{
	struct session_events events = { describe, received, connected, h };
	cleanup(freep) char *journal = host_path(h, "journal"), *cache = host_path(h, "cache");
	struct transfer transfer = { .channel = h->stand->channel, .patience_ms = 10000 };
	struct work_config work = { .slots = h->slots, .boot_id = "boot" };
	struct deploy_config deploy = { .env_dir = h->env_dir,
					.transfer = transfer,
					.address = "127.0.0.1",
					.first_port = 18500,
					.last_port = 18599 };
	struct error err = { 0 };

	h->journal = work.journal = deploy.journal = journal_open(journal, "boot", &err);
	must(h->journal, &err);
	h->supervise = work.supervise = deploy.supervise =
		supervise_open(h->dir, SHIM_PROGRAM, &h->contain, &err);
	must(h->supervise, &err);
	h->cache = deploy.cache = blob_store_open(cache, &err);
	must(h->cache, &err);
	h->ship = work.ship = deploy.ship =
		ship_start(h->stand->channel, supervise_spool_dir(h->supervise));
	work.workspace = (struct workspace_from){ .work_dir = h->work_dir,
						  .cache = h->cache,
						  .transfer = transfer };
	h->work = work_new(&work);
	h->deploy = deploy_new(&deploy);
	must(supervise_attach(h->supervise, visit, h, &err) == 0, &err);
	work_sweep(h->work);
	h->session = session_start(h->stand->channel, "the stand", &events);
	work_start(h->work, h->session);
	deploy_start(h->deploy, h->session);
}

void host_start(struct host_under_test *h, unsigned slots)
{
	struct error err = { 0 };

	*h = (struct host_under_test){ .stand = stand_new(), .slots = slots };
	h->dir = stand_path(h->stand, "agent");
	h->work_dir = host_path(h, "work");
	h->env_dir = host_path(h, "env");
	must(file_make_dirs(h->work_dir, 0711, &err) == 0, &err);
	must(file_make_dirs(h->env_dir, 0711, &err) == 0, &err);
	must(contain_probe(SHIM_PROGRAM, "", CONTAIN_PIDNS, &h->contain, &err) == 0, &err);
	host_again(h);
}

static void stop(struct host_under_test *h, bool all)
{
	if (all)
		work_stop(h->work, true, 3000);
	work_stop(h->work, false, 0);
	deploy_stop(h->deploy, all);
	session_stop(h->session);
	work_free(h->work);
	deploy_free(h->deploy);
	ship_stop(h->ship);
	blob_store_close(h->cache);
	supervise_close(h->supervise);
	journal_close(h->journal);
}

void host_stop(struct host_under_test *h)
{
	stop(h, false);
}

void host_end(struct host_under_test *h)
{
	stop(h, true);
	stand_free(h->stand);
	contain_release(&h->contain);
	free(h->dir);
	free(h->work_dir);
	free(h->env_dir);
}

void host_wait_file(const char *path, bool there)
{
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	while (file_exists(path) != there) {
		if (clock_boot_ms() > until) {
			fprintf(stderr, "waited in vain for '%s' %s\n", path,
				there ? "to come" : "to go");
			abort();
		}
		usleep(2000);
	}
}

static bool kill_one(const char *path)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };
	long pid;

	if (!file_locked(path))
		return false;
	must(file_read(path, 256, &text, &err) == 0, &err);
	pid = strtol(buf_str(&text), NULL, 10);
	assert(pid > 1);
	return kill((pid_t)pid, SIGKILL) == 0;
}

void host_kill_shim(struct host_under_test *h, const char *prefix)
{
	cleanup(freep) char *dir = host_path(h, "shims");
	DIR *d = opendir(dir);
	struct dirent *e;
	int killed = 0;

	while (d && (e = readdir(d))) {
		cleanup(freep) char *path = path_join(dir, e->d_name);

		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strstr(e->d_name, ".lock"))
			killed += kill_one(path);
	}
	closedir(d);
	assert(killed > 0);
}

/* ---- what the controller says ---- */

void host_assign(struct host_under_test *h, Sluice__V1__Assignment *a)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__Offer offer = SLUICE__V1__OFFER__INIT;

	offer.assignments = &a;
	offer.n_assignments = 1;
	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER;
	m.offer = &offer;
	stand_say(h->stand, &m);
}

void host_offer(struct host_under_test *h, uint64_t fence, const char *command)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;

	spec.name = (char *)"job";
	spec.run = (char *)command;
	a.fence = fence;
	a.lease_ms = 60000;
	a.run_id = (char *)"run";
	a.spec = command ? &spec : NULL;
	host_assign(h, &a);
}

void host_tell_stop(struct host_under_test *h, uint64_t fence)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__Stop body = SLUICE__V1__STOP__INIT;

	body.fences = &fence;
	body.n_fences = 1;
	body.reason = (char *)"somebody said so";
	body.as = SLUICE__V1__EXIT_REASON__EXIT_CANCELLED;
	body.grace_ms = 200;
	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_STOP;
	m.stop = &body;
	stand_say(h->stand, &m);
}

const Sluice__V1__Register *host_register(struct host_under_test *h, size_t *at)
{
	return stand_hear(h->stand, at, SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER)->register_;
}

const Sluice__V1__FinishedAttempt *host_finished(struct host_under_test *h, uint64_t fence)
{
	for (;;) {
		const Sluice__V1__AgentMessage *m =
			stand_hear(h->stand, &h->heard, SLUICE__V1__AGENT_MESSAGE__BODY_FINISH);

		for (size_t i = 0; i < m->finish->n_attempts; i++)
			if (m->finish->attempts[i]->fence == fence)
				return m->finish->attempts[i];
	}
}

void host_acknowledge(struct host_under_test *h, uint64_t fence)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__FinishAck body = SLUICE__V1__FINISH_ACK__INIT;

	body.fences = &fence;
	body.n_fences = 1;
	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_FINISH_ACK;
	m.finish_ack = &body;
	stand_say(h->stand, &m);
}

void host_wait_forgotten(struct host_under_test *h, uint64_t fence)
{
	cleanup(freep) char *spool = xprintf("%s/spool/%" PRIu64, h->dir, fence);
	cleanup(freep) char *done = xprintf("%s.done", spool);
	cleanup(freep) char *workspace = xprintf("%s/%" PRIu64, h->work_dir, fence);

	host_wait_file(done, false);
	host_wait_file(spool, false);
	host_wait_file(workspace, false);
}
