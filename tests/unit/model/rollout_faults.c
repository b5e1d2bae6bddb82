/*
 * Whatever happens between two messages - a new controller, a lost connection, a message that comes
 * twice - a rollout ends as it would have ended without.
 */
#include <stdio.h>
#include <string.h>

#include "rollout_fixture.h"

enum failure { NOTHING, PREPARE, ACTIVATE, VERIFY, ROLLBACK, FAILURES };

struct scenario {
	size_t hosts;
	bool recreate;
	uint32_t batch, max_unavailable, max_failed;
	enum failure failure;
	size_t where; /* host */
};

static const char *const failures[] = { "nothing fails", "preparing fails", "activating fails",
					"verifying fails", "rolling back fails" };

/* What must be the same. */
struct end {
	char text[1024];
};

static struct end end_of(struct sim *s)
{
	const struct environment *env = sim_env(s, "production");
	struct end end;
	char name[RELEASE_NAME];
	size_t n;

	n = (size_t)snprintf(end.text, sizeof end.text,
			     "live %s phi %llu hold %d degraded %d quarantined %zu promotion %d;",
			     sim_live(s, "production", name), (unsigned long long)env->row->phi,
			     env->row->hold != NULL, env->row->degraded, env->row->n_quarantined,
			     env->promotion != NULL);
	for (size_t i = 0; i < s->n_hosts; i++) {
		const struct sim_host *h = &s->hosts[i];
		const Sluice__V1__EnvironmentHost *row = environment_host(env, h->id);

		n += (size_t)snprintf(
			end.text + n, sizeof end.text - n, " %s %s live %s serves %d;", h->name,
			host_state_name(row->state),
			h->live[0] ? release_name(world_release(s->world, h->live, NULL), name)
				   : "nothing",
			h->serving);
	}
	return end;
}

static struct sim *begin(const struct scenario *c, uint64_t seed)
{
	static const char *const names[] = { "host-a", "host-b", "host-c", "host-d", "host-e" };
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("production", "");
	Sluice__V1__JobSpec *step = message_new(&sluice__v1__job_spec__descriptor);
	struct sim *s = sim_new(seed);

	if (c->recreate)
		spec->deploy->strategy = SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;
	spec->deploy->batch->count = c->batch;
	spec->deploy->max_unavailable->count = c->max_unavailable;
	spec->deploy->max_failed = c->max_failed;
	message_set_string(&step->name, "smoke");
	message_set_string(&step->basename, "smoke");
	message_set_string(&step->run, "true");
	message_append(spec, verify, step);
	for (size_t i = 0; i < c->hosts; i++)
		sim_host_add(s, names[i], "production");
	sim_apply_one(s, spec);
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_expect_everywhere(s, "production", 1);
	s->max_unavailable = c->recreate ? 0 : c->max_unavailable;
	if (c->failure == PREPARE)
		s->hosts[c->where].fail_prepare = 2;
	if (c->failure == ACTIVATE)
		s->hosts[c->where].fail_activate = 2;
	if (c->failure == ROLLBACK)
		s->hosts[c->where].fail_any = 100000;
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	return s;
}

/* One thing that happens next; false: all is quiet. */
static bool step(struct sim *s, const struct scenario *c)
{
	const struct promotion *p;

	if (sim_deliver(s))
		return true;
	p = sim_env(s, "production")->promotion;
	if (!p || p->row->state != PROMOTION_STATE(VERIFYING))
		return false;
	sim_verify(s, "production",
		   c->failure == VERIFY ? SLUICE__V1__EXIT_REASON__EXIT_CODE
					: SLUICE__V1__EXIT_REASON__EXIT_OK);
	return true;
}

static struct end undisturbed(const struct scenario *c, unsigned *ret_steps)
{
	cleanup(sim_freep) struct sim *s = begin(c, 1);

	for (*ret_steps = 0; step(s, c); ++*ret_steps)
		cr_assert_lt(*ret_steps, 1000u);
	return end_of(s);
}

static void expect_right_end(const struct scenario *c, const struct end *end)
{
	const char *live = c->failure == NOTHING ? "live r2 " : "live r1 ";
	bool degraded = c->failure == ROLLBACK;

	cr_expect(strstr(end->text, live), "%s: %s", failures[c->failure], end->text);
	cr_expect(strstr(end->text, degraded ? "degraded 1" : "degraded 0"), "%s: %s",
		  failures[c->failure], end->text);
	cr_expect(strstr(end->text, "promotion 0"), "%s", end->text);
	cr_expect(degraded || !strstr(end->text, "serves 0"), "%s", end->text);
}

static void each_scenario(void (*check)(const struct scenario *c, const struct end *end,
					unsigned steps))
{
	for (size_t hosts = 1; hosts <= 5; hosts += hosts > 2 ? 2 : 1)
		for (unsigned way = 0; way < 3; way++)
			for (int failure = NOTHING; failure < FAILURES; failure++) {
				struct scenario c = { .hosts = hosts,
						      .recreate = way == 2,
						      .batch = way == 1 ? 2 : 1,
						      .max_unavailable = way == 1 ? 2 : 1,
						      .failure = (enum failure)failure,
						      .where = hosts / 2 };
				unsigned steps;
				struct end end = undisturbed(&c, &steps);

				expect_right_end(&c, &end);
				check(&c, &end, steps);
			}
}

static void restart_everywhere(const struct scenario *c, const struct end *end, unsigned steps)
{
	for (unsigned at = 0; at <= steps; at++) {
		cleanup(sim_freep) struct sim *s = begin(c, 1);
		struct end now;

		for (unsigned i = 0; i < at; i++)
			step(s, c);
		sim_restart(s);
		for (unsigned i = 0; step(s, c); i++)
			cr_assert_lt(i, 1000u);
		now = end_of(s);
		cr_assert_str_eq(
			now.text, end->text,
			"%zu hosts, %s, a new controller after %u of %u steps:\n%s, not\n%s",
			c->hosts, failures[c->failure], at, steps, now.text, end->text);
	}
}

Test(rollout_faults, a_new_controller_after_any_message_goes_on_to_the_same_end, .timeout = 120)
{
	each_scenario(restart_everywhere);
}

/* Messages in any order between hosts, twice, lost with their connection. */
static void disturb(struct sim *s, const struct scenario *c)
{
	struct sim_host *h = &s->hosts[sim_random(s, (uint32_t)s->n_hosts)];

	switch (sim_random(s, 16)) {
	case 0:
		sim_restart(s);
		break;
	case 1:
		if (h->connected)
			sim_disconnect(s, h);
		break;
	case 2:
	case 3:
		if (!h->connected)
			sim_connect(s, h);
		break;
	case 4:
		h->unsent = h->report != NULL;
		break;
	case 5:
		sim_tick(s, 100);
		break;
	case 6:
		step(s, c);
		break;
	default:
		sim_deliver_to(s, h);
	}
}

static void run_disturbed(const struct scenario *c, const struct end *end, unsigned seed)
{
	cleanup(sim_freep) struct sim *s = begin(c, seed);
	struct end now;

	for (unsigned i = 0; i < 150; i++)
		disturb(s, c);
	for (size_t i = 0; i < s->n_hosts; i++)
		if (!s->hosts[i].connected)
			sim_connect(s, &s->hosts[i]);
	for (unsigned i = 0; step(s, c); i++)
		cr_assert_lt(i, 1000u, "seed %u", seed);
	now = end_of(s);
	cr_assert_str_eq(now.text, end->text, "%zu hosts, %s, %s, seed %u:\n%s, not\n%s", c->hosts,
			 failures[c->failure], c->recreate ? "recreate" : "rolling", seed, now.text,
			 end->text);
}

static void disturb_often(const struct scenario *c, const struct end *end, unsigned steps)
{
	for (unsigned seed = 1; seed <= 25; seed++)
		run_disturbed(c, end, seed);
}

Test(rollout_faults, lost_and_repeated_messages_change_nothing_of_the_end, .timeout = 120)
{
	each_scenario(disturb_often);
}

Test(rollout_faults, as_many_failed_hosts_as_are_tolerated_do_not_stop_it)
{
	struct scenario c = { .hosts = 4,
			      .batch = 1,
			      .max_unavailable = 2,
			      .max_failed = 1,
			      .failure = ACTIVATE,
			      .where = 1 };
	cleanup(sim_freep) struct sim *s = begin(&c, 1);

	while (step(s, &c))
		;
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(environment_host(sim_env(s, "production"), s->hosts[1].id)->state,
		     HOST_STATE(FAILED));
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(s->hosts[i].serving, i != 1);
}

Test(rollout_faults, an_order_of_a_promotion_that_was_rolled_back_has_no_effect)
{
	struct scenario c = { .hosts = 2, .batch = 1, .max_unavailable = 1 };
	cleanup(sim_freep) struct sim *s = begin(&c, 1);
	struct sim_host *h = &s->hosts[0];
	Sluice__V1__HostOrder *late;

	while (!h->n_inbox || h->inbox[0]->step != SLUICE__V1__HOST_STEP__HOST_ACTIVATE)
		cr_assert(sim_deliver(s));
	late = message_copy(h->inbox[0]);
	cr_assert_eq(sim_rollback(s, "production", ""), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	h->inbox[h->n_inbox++] = late;
	sim_settle(s);
	cr_expect_eq(h->refused, 1);
	sim_expect_everywhere(s, "production", 1);
}
