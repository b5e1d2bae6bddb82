/*
 * The two decisions that people ask for: promote this, roll that back.
 */
#include <string.h>

#include "controller/model/checks.h"
#include "controller/model/environments.h"
#include "controller/model/promotion_private.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "controller/model/runs.h"
#include "proto/message.h"

struct promoting {
	struct world *w;
	const struct caller *caller;
	const Sluice__V1__PromoteRequest *request;
	struct environment *env;
	struct release *r;
	Sluice__V1__PromoteReply *reply; /* owned */
};

static void add_line(void *arg, char *line)
{
	Sluice__V1__PromoteReply *reply = arg;

	message_append(reply, lines, line);
}

/* The promotion that a repeated request made, as it is now. */
static int answer_again(struct world *w, const char *id, Sluice__V1__PromoteReply **ret,
			struct error *err)
{
	ProtobufCMessage *message = NULL;
	int found = world_fetch(w, ROW_PROMOTION, id, &message, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_id(err, "E0204", "there is no promotion '%s'", id);
	*ret = message_new(&sluice__v1__promote_reply__descriptor);
	(*ret)->promotion = (Sluice__V1__Promotion *)message;
	return 0;
}

/* `held`: there was a hold before, so that it is not of this. */
static void answer_with(Sluice__V1__PromoteReply *reply, const struct promotion *p, bool held)
{
	const Sluice__V1__Hold *hold = p->environment->row->hold;

	reply->promotion = message_copy(p->row);
	if (hold && !held)
		reply->hold = message_copy(hold);
}

/* ---- promote ---- */

static struct promotion *in_line(const struct environment *env, const struct release *r)
{
	struct promotion *p;

	list_each(p, &env->waiting, queued)
		if (p->release == r)
			return p;
	return env->promotion && env->promotion->release == r ? env->promotion : NULL;
}

static int refuse_twice(const struct promoting *a, const struct promotion *p, struct error *err)
{
	char name[RELEASE_NAME];

	error_id(err, "E0406", "%s -> %s is under way already: it is %s", release_name(a->r, name),
		 a->env->row->name, promotion_state_name(p->row->state));
	return error_hint(err, "sluice env show %s --watch shows it", a->env->row->name);
}

/* A person decides about a promotion whose verdict was neither pass nor fail. */
static void resolve_paused(struct promoting *a, struct promotion *p)
{
	const char *reason = a->request->override_reason;
	char name[RELEASE_NAME];

	if (!reason[0]) {
		add_line(a->reply, xprintf("◷ verified again"));
		promotion_verify(a->w, p);
		return;
	}
	p->row->override = true;
	message_set_string(&p->row->reason, reason);
	add_line(a->reply, xprintf("✔ accepted by %s: %s", a->caller->actor->name, reason));
	world_event(a->w, SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_REQUESTED, a->caller->actor,
		    "%s -> %s accepted though %s: %s", release_name(a->r, name), a->env->row->name,
		    p->row->outcome, reason);
	promotion_succeeded(a->w, p);
}

/* By hand, something else than the newest: `auto` would undo it. */
static void hold_if_older(struct promoting *a)
{
	cleanup(freep) char *reason = NULL;
	struct environment *env = a->env;
	char name[RELEASE_NAME];

	if (a->r->row->number >= env->row->newest_number) {
		env->row->newest_number = a->r->row->number;
		message_set_string(&env->row->waiting, "");
		return;
	}
	if (!env->row->spec->auto_newest)
		return;
	reason = xprintf("%s was promoted by hand, the newest is r%u", release_name(a->r, name),
			 env->row->newest_number);
	environment_set_hold(a->w, env, a->caller->actor, reason);
}

static struct promotion *request_new(struct promoting *a)
{
	struct promotion *p =
		promotion_create(a->w, a->env, a->r, PROMOTION_CAUSE(PERSON), a->caller->actor);
	const char *expect = a->request->expect_live;
	struct release *live = expect[0] ? world_release(a->w, expect, NULL) : NULL;

	p->row->override = a->request->override_reason[0] != 0;
	message_set_string(&p->row->reason,
			   p->row->override ? a->request->override_reason : a->request->reason);
	if (live)
		message_set_string(&p->row->expect_live, live->row->id);
	hold_if_older(a);
	list_append(&a->env->waiting, &p->queued);
	promotion_requested(a->w, p);
	return p;
}

static int check_caller(const struct promoting *a, struct error *err)
{
	if (caller_text("reason", a->request->reason, err) < 0 ||
	    caller_text("reason", a->request->override_reason, err) < 0)
		return -1;
	if (a->request->override_reason[0] && a->caller->role < SLUICE__V1__ROLE__APPROVER)
		return error_id(err, "E0302",
				"an override takes the role approver or admin, '%s' has neither",
				a->caller->actor->name);
	return 0;
}

static int decide(struct promoting *a, struct error *err)
{
	const struct checks checks = { a->request->expect_live, a->request->override_reason,
				       add_line, a->reply };
	struct promotion *p = in_line(a->env, a->r);
	bool held = a->env->row->hold != NULL;
	enum check_answer answer;

	if (p && p->row->state == PROMOTION_STATE(PAUSED) && !a->request->dry_run) {
		resolve_paused(a, p);
		world_answered(a->w, a->request->request_id, "Environments.Promote", p->row->id);
		rollout_step(a->w, a->env);
		answer_with(a->reply, p, true);
		return 0;
	}
	if (p)
		return refuse_twice(a, p, err);
	answer = checks_run(a->w, a->env, a->r, &checks, NULL, err);
	if (a->request->dry_run) {
		error_clear(err);
		return 0;
	}
	if (answer == CHECK_NO)
		return -1;
	if (HASH_CNT(by_id, a->w->promotions) >= PROMOTIONS_OPEN)
		return error_set(err, ERR_EXHAUSTED, "%d promotions are under way or wait",
				 PROMOTIONS_OPEN);
	p = request_new(a);
	world_answered(a->w, a->request->request_id, "Environments.Promote", p->row->id);
	rollout_step(a->w, a->env);
	answer_with(a->reply, p, held);
	return 0;
}

int promotions_promote(struct world *w, struct now now, const void *req, void *reply,
		       struct error *err)
{
	const struct promote *promote = req;
	const Sluice__V1__PromoteRequest *request = promote->request;
	cleanup(message_freep) Sluice__V1__PromoteReply *ret = NULL;
	struct promoting a = { w, promote->caller, request, NULL, NULL, NULL };
	struct error why = { 0 };
	char subject[ID_SIZE];
	int asked = 0;

	w->now = now;
	if (!request->dry_run)
		asked = world_asked(w, request->request_id, "Environments.Promote", subject, err);
	if (asked)
		return asked < 0 ? -1 : answer_again(w, subject, reply, err);
	a.env = world_environment(w, request->environment, err);
	a.r = a.env ? world_release(w, request->release, err) : NULL;
	if (!a.r || check_caller(&a, err) < 0)
		return -1;
	a.reply = ret = message_new(&sluice__v1__promote_reply__descriptor);
	if (decide(&a, &why) < 0) {
		if (err)
			*err = why;
		return -1;
	}
	*(Sluice__V1__PromoteReply **)reply = steal(ret);
	return 0;
}

/* ---- roll back ---- */

struct rolling_back {
	struct world *w;
	const struct caller *caller;
	const Sluice__V1__RollbackRequest *request;
	struct environment *env;
	struct promotion *under_way;
	struct release *bad, *target;
};

static int refuse_quarantined(const struct rolling_back *a, struct error *err)
{
	cleanup(freep) char *why = release_quarantine_text(a->w, a->target, a->env->row->name);

	error_id(err, "E0403", "%s", why);
	return error_hint(err, "name another release with --to, or none: sluice env history %s",
			  a->env->row->name);
}

static int check_named(struct rolling_back *a, struct error *err)
{
	const struct environment *env = a->env;
	char name[RELEASE_NAME];

	a->target = world_release(a->w, a->request->to, err);
	if (!a->target)
		return -1;
	release_name(a->target, name);
	if (a->target == a->bad)
		return error_id(err, "E0409", "%s is what '%s' would be rolled back from", name,
				env->row->name);
	if (!environment_is_verified(env, a->target->row->id))
		return error_id(err, "E0409", "%s was never live and good in '%s'", name,
				env->row->name);
	if (environment_is_quarantined(env, a->target->row->id))
		return refuse_quarantined(a, err);
	return release_present(a->w, a->target, err);
}

static int find_target(struct rolling_back *a, struct error *err)
{
	struct environment *env = a->env;

	a->under_way = env->promotion;
	if (a->under_way && promotion_is_rollback(a->under_way) && !a->request->to[0])
		return error_id(
			err, "E0406",
			"'%s' is being rolled back already; name a release to go to another",
			env->row->name);
	if (a->under_way)
		a->bad = a->under_way->release;
	else if (env->row->live[0])
		a->bad = world_release(a->w, env->row->live, err);
	if (!a->bad)
		return error_id(err, "E0409", "nothing is live in '%s'", env->row->name);
	if (a->request->to[0])
		return check_named(a, err);
	a->target = rollback_target(a->w, env, a->bad);
	if (!a->target && !a->under_way)
		return error_id(err, "E0409", "'%s' has no earlier release that was live and good",
				env->row->name);
	return 0;
}

/* Without a target the first release of the environment is stopped. */
static struct promotion *roll_back(struct rolling_back *a)
{
	const Sluice__V1__Actor *actor = a->caller->actor;
	const char *why = a->request->reason;
	cleanup(freep) char *reason =
		xprintf("rolled back by %s%s%s", actor->name, why[0] ? ": " : "", why);
	struct run *verify = a->under_way ? a->under_way->verify : NULL;

	if (a->target) {
		cleanup(freep) char *text = rolled_back_text(why);
		struct promotion *q;

		if (!a->under_way || !promotion_is_rollback(a->under_way))
			release_quarantine(a->w, a->env, a->bad, actor, text);
		q = rollback_begin(a->w, a->env, a->target, a->under_way, actor, why);
		promotion_set_from(a->w, q, a->bad);
		return q;
	}
	promotion_failed(a->w, a->under_way, true, "%s", reason);
	if (verify)
		run_cancel(a->w, verify, NULL, reason);
	return a->under_way;
}

int promotions_rollback(struct world *w, struct now now, const void *req, void *reply,
			struct error *err)
{
	const struct rollback *rollback = req;
	const Sluice__V1__RollbackRequest *request = rollback->request;
	struct rolling_back a = { .w = w, .caller = rollback->caller, .request = request };
	Sluice__V1__PromoteReply *ret;
	char subject[ID_SIZE], name[RELEASE_NAME], from[RELEASE_NAME];
	struct promotion *p;
	bool held;
	int asked;

	w->now = now;
	asked = world_asked(w, request->request_id, "Environments.Rollback", subject, err);
	if (asked)
		return asked < 0 ? -1 : answer_again(w, subject, reply, err);
	if (caller_text("reason", request->reason, err) < 0)
		return -1;
	a.env = world_environment(w, request->environment, err);
	if (!a.env || find_target(&a, err) < 0)
		return -1;
	held = a.env->row->hold != NULL;
	p = roll_back(&a);
	ret = message_new(&sluice__v1__promote_reply__descriptor);
	add_line(ret, xprintf("%s: %s -> %s", a.env->row->name, release_name(a.bad, from),
			      release_name(a.target, name)));
	world_answered(w, request->request_id, "Environments.Rollback", p->row->id);
	rollout_step(w, a.env);
	answer_with(ret, p, held);
	*(Sluice__V1__PromoteReply **)reply = ret;
	return 0;
}
