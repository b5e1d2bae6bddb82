#include "cli/env_view.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

#define HOST(name) SLUICE__V1__ENVIRONMENT_HOST__STATE__##name

enum { T0 = 1000000 };

static const struct look plain = { .now_ms = T0 + 3600000 };

struct example {
	Sluice__V1__EnvironmentDetail detail;
	Sluice__V1__Environment env;
	Sluice__V1__EnvironmentHost hosts[2], *host_list[2];
	Sluice__V1__Release r52, r57, *releases[2];
	Sluice__V1__Promotion promotion;
	Sluice__V1__Hold hold;
	char *verdicts[1];
};

static void make(struct example *e)
{
	memset(e, 0, sizeof *e);
	sluice__v1__environment_detail__init(&e->detail);
	sluice__v1__environment__init(&e->env);
	sluice__v1__release__init(&e->r52);
	sluice__v1__release__init(&e->r57);
	sluice__v1__promotion__init(&e->promotion);
	sluice__v1__hold__init(&e->hold);
	e->r52.id = (char *)"id-52";
	e->r52.number = 52;
	e->r57.id = (char *)"id-57";
	e->r57.number = 57;
	for (int i = 0; i < 2; i++) {
		sluice__v1__environment_host__init(&e->hosts[i]);
		e->hosts[i].agent_id = e->hosts[i].agent_name = (char *)(i ? "web-b" : "web-a");
		e->hosts[i].endpoint = (char *)"10.0.0.1:18000";
		e->hosts[i].release = (char *)(i ? "id-52" : "id-57");
		e->hosts[i].state = i ? HOST(OLD) : HOST(NEW);
		e->host_list[i] = &e->hosts[i];
	}
	e->releases[0] = &e->r52;
	e->releases[1] = &e->r57;
	e->env.name = (char *)"production";
	e->env.live = (char *)"id-52";
	e->env.live_since_ms = T0;
	e->env.hosts = e->host_list;
	e->env.n_hosts = 2;
	e->promotion.id = (char *)"p";
	e->promotion.state = SLUICE__V1__PROMOTION__STATE__ROLLING_OUT;
	e->promotion.from_number = 52;
	e->promotion.release_number = 57;
	e->promotion.created_ms = T0 + 3590000;
	e->verdicts[0] = (char *)"failures 0 <= 0: pass";
	e->detail.environment = &e->env;
	e->detail.live = &e->r52;
	e->detail.promotion = &e->promotion;
	e->detail.releases = e->releases;
	e->detail.n_releases = 2;
	e->detail.verdicts = e->verdicts;
	e->detail.n_verdicts = 1;
}

Test(env_view, shows_what_is_live_what_happens_and_each_host)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct example e;

	make(&e);
	e.env.hold = &e.hold;
	e.hold.actor = (char *)"ada";
	e.hold.reason = (char *)"chargebacks up";
	env_view(&e.detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), "production  r52 live for 1h\n"
					"  r52 -> r57  rolling out 10s\n"
					"  ✔ web-a     r57      serving      10.0.0.1:18000\n"
					"  · web-b     r52      old          10.0.0.1:18000\n"
					"  ✔ failures 0 <= 0: pass\n"
					"  on hold by ada: chargebacks up\n"
					"  lift it: sluice env unhold production\n");
}

Test(env_view, an_empty_environment_says_what_it_waits_for)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct example e;

	make(&e);
	e.detail.live = NULL;
	e.detail.promotion = NULL;
	e.detail.n_verdicts = e.env.n_hosts = 0;
	env_view(&e.detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), "production  nothing is live yet\n"
					"  no hosts yet: agents whose labels match become hosts\n");
}

Test(env_view, a_pipe_is_told_what_changed)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct example before, now;

	make(&before);
	make(&now);
	env_changes(&before.detail, &now.detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), "");
	now.hosts[1].state = HOST(FAILED);
	now.hosts[1].text = (char *)"the check found nobody";
	now.promotion.state = SLUICE__V1__PROMOTION__STATE__ROLLED_BACK;
	now.promotion.finished_ms = T0 + 3600000;
	now.promotion.outcome = (char *)"1 of 2 hosts failed";
	env_changes(&before.detail, &now.detail, &plain, &out);
	cr_expect_str_eq(
		buf_str(&out),
		"01:16:40  ✖ web-b failed r52: the check found nobody\n"
		"01:16:40  production: r52 -> r57 rolled back after 10s: 1 of 2 hosts failed\n");
}

Test(env_view, the_marks_of_checks_are_coloured)
{
	cleanup(buf_release) struct buf out = { 0 };
	const struct look coloured = { .colour = true };

	check_view("✔ soaked 2h11m of 2h", &coloured, &out);
	check_view("✖ quarantined", &coloured, &out);
	check_view("1 host", &coloured, &out);
	cr_expect_str_eq(buf_str(&out), "\033[32m✔\033[0m soaked 2h11m of 2h"
					"\033[31m✖\033[0m quarantined1 host");
}

Test(env_view, what_a_promotion_waits_for_is_told_once_and_a_pause_asks_for_a_decision)
{
	struct example e, then;
	Sluice__V1__Wait wait = SLUICE__V1__WAIT__INIT, *waits[] = { &wait };
	cleanup(buf_release) struct buf out = { 0 };

	make(&e);
	make(&then);
	e.promotion.state = SLUICE__V1__PROMOTION__STATE__WAITING;
	then.promotion.state = SLUICE__V1__PROMOTION__STATE__WAITING;
	wait.since_ms = plain.now_ms - 1000;
	wait.subject = (char *)"r57 -> production";
	wait.sentence = (char *)"waits for 2 hosts";
	e.detail.waits = waits;
	e.detail.n_waits = 1;
	env_changes(&then.detail, &e.detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), "01:16:40  ◷ r57 -> production: waits for 2 hosts\n");
	buf_clear(&out);
	env_changes(&e.detail, &e.detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), "");
	e.promotion.state = then.promotion.state = SLUICE__V1__PROMOTION__STATE__ROLLING_OUT;
	env_changes(&then.detail, &e.detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), "", "the hosts tell how far it is");
	e.promotion.state = SLUICE__V1__PROMOTION__STATE__PAUSED;
	e.promotion.environment = (char *)"production";
	e.promotion.outcome = (char *)"no data";
	env_changes(&then.detail, &e.detail, &plain, &out);
	cr_expect(strstr(buf_str(&out),
			 "r52 -> r57 paused: no data; you decide: sluice promote r57 "
			 "--to production verifies again"),
		  "%s", buf_str(&out));
}
