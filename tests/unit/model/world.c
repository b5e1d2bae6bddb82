/*
 * The world: ids, timers, rows that are seen before they are written, and what is left after a
 * restart.
 */
#include <stdio.h>
#include <string.h>

#include "controller/model/private.h"
#include "controller/model/requests.h"
#include "lab.h"

/* Without the macros of Criterion's loops: a timer that writes down that it fired. */
struct probe {
	struct timer timer;
	int64_t fired_ms;
	unsigned times;
};

static void probe_fire(struct world *w, struct timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);

	p->fired_ms = w->now.boot_ms;
	p->times++;
}

Test(world, ids_are_uuids_of_version_7_and_none_comes_twice)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct id before = { "" };

	for (int i = 0; i < 1000; i++) {
		struct id id = world_id(l->world);

		cr_assert(id_valid(id.text), "%s", id.text);
		cr_assert_eq(id.text[14], '7');
		cr_assert_str_neq(id.text, before.text);
		before = id;
	}
}

Test(world, the_same_seed_gives_the_same_ids_and_another_others)
{
	struct world *a = world_new(NULL, 7), *b = world_new(NULL, 7), *c = world_new(NULL, 8);
	struct id id = world_id(a);

	cr_expect_str_eq(id.text, world_id(b).text);
	cr_expect_str_neq(id.text, world_id(c).text);
	world_free(a);
	world_free(b);
	world_free(c);
}

Test(world, timers_fire_in_order_however_they_were_set_moved_and_cleared)
{
	enum { N = 300 };
	static struct probe probes[N];
	struct timers ts = { 0 };
	uint64_t x = 88172645463325252u;
	int64_t last = -1;
	struct timer *t;
	size_t set = 0, fired = 0;

	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < N; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			probes[i].timer.fire = probe_fire;
			if (x % 5 == 0)
				timer_clear(&ts, &probes[i].timer);
			else
				timer_set_boot(&ts, &probes[i].timer, (int64_t)(x >> 8) % 1000);
		}
	for (size_t i = 0; i < N; i++)
		set += probes[i].timer.place != 0;
	while ((t = timer_due(&ts, (struct now){ .boot_ms = 1000 }))) {
		cr_assert_geq(t->due_ms, last);
		last = t->due_ms;
		cr_assert_eq(t->place, 0);
		fired++;
	}
	cr_expect_eq(fired, set);
	cr_expect_eq(timers_next(&ts).boot_ms, INT64_MAX);
	timers_release(&ts);
}

Test(world, the_two_clocks_do_not_mix)
{
	struct timers ts = { 0 };
	struct probe boot = { .timer.fire = probe_fire }, wall = { .timer.fire = probe_fire };

	timer_set_boot(&ts, &boot.timer, 100);
	timer_set_wall(&ts, &wall.timer, 200);
	cr_expect_eq(timers_next(&ts).boot_ms, 100);
	cr_expect_eq(timers_next(&ts).wall_ms, 200);
	cr_expect_null(timer_due(&ts, (struct now){ .boot_ms = 99, .wall_ms = 199 }));
	cr_expect_eq(timer_due(&ts, (struct now){ .boot_ms = 0, .wall_ms = 200 }), &wall.timer);
	timer_set_wall(&ts, &boot.timer, 50); /* moved to the other clock */
	cr_expect_eq(timers_next(&ts).boot_ms, INT64_MAX);
	cr_expect_eq(timer_due(&ts, (struct now){ .wall_ms = 50 }), &boot.timer);
	timers_release(&ts);
}

static ProtobufCMessage *request_row(const char *id, const char *subject)
{
	Sluice__V1__RequestRow *row = message_new(&sluice__v1__request_row__descriptor);

	message_set_string(&row->id, id);
	message_set_string(&row->method, "m");
	message_set_string(&row->subject, subject);
	return &row->base;
}

Test(world, a_row_recorded_twice_is_seen_and_written_as_it_was_last)
{
	struct lab *l = lab_new();
	cleanup(message_freep) ProtobufCMessage *m = NULL;
	cleanup(message_freep) ProtobufCMessage *child = NULL;

	world_record(l->world, ROW_REQUEST, request_row("a", "first"));
	world_record(l->world, ROW_REQUEST, request_row("a", "second"));
	cr_assert_eq(world_fetch(l->world, ROW_REQUEST, "a", &m, NULL), 1);
	cr_expect_str_eq(((Sluice__V1__RequestRow *)m)->subject, "second");
	cr_assert_eq(world_fetch_child(l->world, ROW_REQUEST, "", "m", &child, NULL), 1);
	cr_expect_str_eq(((Sluice__V1__RequestRow *)child)->subject, "second");
	cr_expect(world_changed(l->world));
	lab_advance(l, 1); /* commits */
	cr_expect_eq(l->rows_written, 1);
	lab_advance(l, 1);
	cr_expect_eq(l->rows_written, 0, "what was committed is not written again");
	message_free(steal(m));
	cr_assert_eq(world_fetch(l->world, ROW_REQUEST, "a", &m, NULL), 1);
	cr_expect_str_eq(((Sluice__V1__RequestRow *)m)->subject, "second");
	lab_free(l);
}

Test(world, a_request_is_answered_once_and_its_id_belongs_to_one_method)
{
	struct lab *l = lab_new();
	struct error err = { 0 };
	char subject[ID_SIZE];

	cr_expect_eq(world_asked(l->world, "q1", "runs.submit", subject, &err), 0);
	world_answered(l->world, "q1", "runs.submit", "run-id");
	cr_assert_eq(world_asked(l->world, "q1", "runs.submit", subject, &err), 1);
	cr_expect_str_eq(subject, "run-id");
	cr_expect_eq(world_asked(l->world, "q1", "runs.cancel", subject, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_eq(world_asked(l->world, "artifact:1:a:b", "x", subject, &err), -1,
		     "ids of our own cannot be asked for");
	lab_free(l);
}

static size_t expire(struct lab *l, const char *id, int64_t at_ms)
{
	cleanup(message_freep) ProtobufCMessage *m = request_row(id, "it");
	Sluice__V1__RequestRow *rows[] = { (Sluice__V1__RequestRow *)m };
	struct request_expiry ask = { .rows = rows, .n = 1 };
	size_t removed = 99;

	rows[0]->at_ms = at_ms;
	cr_assert_eq(lab_ask(l, requests_expire, &ask, &removed), 0);
	return removed;
}

Test(world, a_request_is_forgotten_after_a_day_but_not_what_an_open_attempt_has_committed)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 1, "");
	ProtobufCMessage *m = NULL;
	int64_t old;
	char key[64];

	lab_submit_one(l);
	snprintf(key, sizeof key, "artifact:%llu:model:x", (unsigned long long)agent_start(a));
	world_answered(l->world, "q1", "m", "it");
	world_answered(l->world, key, "m", "it");
	lab_advance(l, 1);
	old = l->now.wall_ms - REQUEST_AGE_MS;
	cr_expect_eq(expire(l, "q1", old), 0, "not older than a day");
	cr_expect_eq(expire(l, key, old - 1), 0, "its attempt runs");
	cr_expect_eq(expire(l, "q1", old - 1), 1);
	cr_expect_eq(world_fetch(l->world, ROW_REQUEST, "q1", &m, NULL), 0);
	cr_assert_eq(world_fetch(l->world, ROW_REQUEST, key, &m, NULL), 1);
	message_free(m);
	world_answered(l->world, "q1", "m", "it"); /* it is a new one now */
	cr_assert_eq(world_fetch(l->world, ROW_REQUEST, "q1", &m, NULL), 1);
	message_free(m);
}

Test(world, a_start_counts_the_epoch_and_begins_with_nobody_connected)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 2, "");

	cr_expect_eq(l->world->counters->ctl_epoch, 1);
	cr_expect_str_eq(l->world->counters->cluster, "lab");
	cr_expect(lab_agent_of(a)->row->connected);
	lab_restart(l);
	cr_expect_eq(l->world->counters->ctl_epoch, 2);
	cr_expect_not(lab_agent_of(a)->row->connected);
	cr_expect_eq(lab_agent_of(a)->session, 0);
}

Test(world, fences_run_numbers_and_events_never_go_back_over_a_restart)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 1, "");
	uint32_t first = lab_submit_one(l), second;
	uint64_t fence = agent_start(a), events;

	agent_succeed(a, fence);
	events = l->world->counters->next_event;
	lab_restart(l);
	agent_connect(a);
	second = lab_submit_one(l);
	cr_expect_eq(second, first + 1);
	cr_expect_gt(agent_start(a), fence);
	cr_expect_gt(l->world->counters->next_event, events);
}

Test(world, a_row_without_its_owner_is_damage_and_is_named)
{
	struct world *w = world_new(NULL, 1);
	Sluice__V1__Job *row = message_new(&sluice__v1__job__descriptor);
	struct error err = { 0 };

	message_set_string(&row->id, "j");
	message_set_string(&row->run_id, "gone");
	cr_assert_eq(world_load(w, ROW_JOB, &row->base, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect(strstr(err.text, "'gone'"), "%s", err.text);
	world_free(w);
}

Test(world, an_open_run_without_all_its_jobs_is_damage)
{
	struct world *w = world_new(NULL, 1);
	Sluice__V1__Run *row = message_new(&sluice__v1__run__descriptor);
	struct error err = { 0 };

	message_set_string(&row->id, "r");
	row->number = 4;
	row->state = RUN(RUNNING);
	row->jobs = 2;
	cr_assert_eq(world_load(w, ROW_RUN, &row->base, &err), 0);
	cr_assert_eq(world_start(w, (struct now){ 1, 1 }, NULL, NULL, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect(strstr(err.text, "run 4 has 2 jobs, of which 0"), "%s", err.text);
	world_free(w);
}

Test(world, closed_things_leave_memory)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 1, "");
	uint32_t run = lab_submit_one(l);

	agent_succeed(a, agent_start(a));
	expect_run(l, run, RUN(SUCCEEDED), "");
	cr_expect_null(l->world->runs_by_id);
	cr_expect_null(l->world->jobs);
	cr_expect_null(l->world->attempts);
	cr_expect_null(l->world->enrol_tokens, "a spent token, too");
	cr_expect_eq(l->world->jobs_active + l->world->jobs_queued, 0);
}

Test(world, agents_are_matched_by_labels_pool_and_name)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct agent *a = lab_agent_of(lab_agent_enrol(l, "gpu-1", 1, "zone=a,env=prod"));
	static const struct {
		const char *name, *value;
		bool matches;
	} cases[] = {
		{ "zone", "a", true },	    { "zone", "b", false },   { "env", "prod", true },
		{ "agent", "gpu-1", true }, { "agent", "x", false },  { "rack", "1", false },
		{ "pool", "fast", false },  { "pool", "slow", true },
	};

	message_set_string(&a->row->pool, "slow");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(agent_label_is(a, cases[i].name, cases[i].value), cases[i].matches,
			     "%s=%s", cases[i].name, cases[i].value);
}
