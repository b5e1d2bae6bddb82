/*
 * What starts where: fitting, choosing, exclusive GPUs, order, and the sentences that say why not.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "controller/model/place.h"
#include "lab.h"

static uint32_t submit_gpus(struct lab *l, uint32_t gpus, uint64_t memory, const char *zone)
{
	Sluice__V1__Pipeline *p = pipeline("p");
	Sluice__V1__JobSpec *spec = add_job_to(p, "train", NULL);

	spec->resources->gpu = gpus;
	spec->resources->gpu_memory = memory;
	if (zone)
		need_label(spec, "zone", zone);
	return lab_submit(l, p);
}

Test(place, gpus_are_given_to_one_attempt_at_a_time)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_gpu_agent(l, "gpu", 4, GIB(80), "");
	uint64_t first, second, all = 0;

	submit_gpus(l, 2, 0, NULL);
	submit_gpus(l, 2, 0, NULL);
	submit_gpus(l, 1, 0, NULL);
	first = agent_start(a);
	second = agent_start(a);
	cr_expect_eq(agent_offered(a), 0, "all four are taken");
	for (int i = 0; i < 2; i++) {
		struct attempt *t = world_attempt(l->world, i ? second : first);

		cr_assert_eq(t->row->n_gpus, 2);
		for (size_t n = 0; n < 2; n++) {
			cr_expect_not(all >> t->row->gpus[n] & 1);
			all |= UINT64_C(1) << t->row->gpus[n];
		}
	}
	cr_expect_eq(all, 0xf);
	agent_succeed(a, first);
	cr_expect_gt(agent_offered(a), second);
}

Test(place, held_gpus_are_known_after_a_restart)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_gpu_agent(l, "gpu", 2, GIB(80), "");
	uint64_t fence;

	submit_gpus(l, 2, 0, NULL);
	submit_gpus(l, 1, 0, NULL);
	fence = agent_start(a);
	lab_restart(l);
	agent_register_holding(a, fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_offered(a), 0);
	cr_expect_eq(lab_agent_of(a)->used_gpus, 3);
	cr_expect_eq(lab_agent_of(a)->used_slots, 1);
}

Test(place, nothing_is_held_once_all_is_done)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_gpu_agent(l, "gpu", 2, GIB(80), "");
	struct agent *agent = lab_agent_of(a);

	submit_gpus(l, 2, 0, NULL);
	agent_finish(a, agent_start(a), EXIT(CODE), 1);
	submit_gpus(l, 1, 0, NULL);
	agent_decline(a, agent_offered(a), "no");
	cr_expect_eq(agent->used_slots + agent->used_cpu_milli, 0);
	cr_expect_eq(agent->used_memory + agent->used_gpus, 0);
}

Test(place, of_gpus_that_are_large_enough_the_smallest_are_taken)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_gpu_agent(l, "gpu", 4, GIB(80), "");
	struct agent *agent = lab_agent_of(a);
	struct attempt *t;

	agent->row->host->gpus[2]->memory = GIB(24);
	agent->row->host->gpus[3]->memory = GIB(16);
	submit_gpus(l, 1, GIB(20), NULL);
	t = world_attempt(l->world, agent_start(a));
	cr_assert_eq(t->row->n_gpus, 1);
	cr_expect_eq(t->row->gpus[0], 2);
}

Test(place, gpu_jobs_go_where_the_fewest_are_left_and_others_where_none_are)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *big = lab_gpu_agent(l, "big", 8, GIB(80), "");
	struct lab_agent *small = lab_gpu_agent(l, "small", 2, GIB(80), "");
	struct lab_agent *plain = lab_agent(l, "plain", 4, "");

	submit_gpus(l, 2, 0, NULL);
	cr_expect_gt(agent_offered(small), 0);
	lab_submit_one(l);
	cr_expect_gt(agent_offered(plain), 0);
	cr_expect_eq(agent_offered(big), 0);
}

Test(place, jobs_are_spread_by_free_room)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *agents[3] = { lab_agent(l, "a", 4, ""), lab_agent(l, "b", 4, ""),
					lab_agent(l, "c", 4, "") };

	for (int i = 0; i < 6; i++)
		lab_submit_one(l);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(lab_agent_of(agents[i])->used_slots, 2, "agent %d", i);
}

struct fit_case {
	const char *what;
	uint32_t cpu_milli;
	uint64_t memory, disk;
	uint32_t fit; /* of 8 slots */
};

Test(place, cpu_memory_and_slots_are_never_given_out_twice)
{
	static const struct fit_case cases[] = {
		{ "slots", 0, 0, 0, 8 },	{ "cpu", 10000, 0, 0, 3 },
		{ "memory", 0, GIB(50), 0, 2 }, { "all of it", 32000, GIB(128), GIB(500), 1 },
		{ "disk", 0, 0, GIB(400), 8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab *l = lab_new();
		struct lab_agent *a = lab_agent(l, "a", 8, "");
		uint32_t n = 0;

		for (int jobs = 0; jobs < 10; jobs++) {
			Sluice__V1__Pipeline *p = pipeline("p");
			Sluice__V1__Resources *r = add_job_to(p, "job", NULL)->resources;

			r->cpu_milli = cases[i].cpu_milli;
			r->memory = cases[i].memory;
			r->disk = cases[i].disk;
			cr_assert(lab_submit(l, p));
		}
		while (agent_offered(a))
			n++;
		cr_expect_eq(n, cases[i].fit, "%s: %u", cases[i].what, n);
		lab_free(l);
	}
}

Test(place, priority_goes_first_then_age)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent_enrol(l, "a", 1, "");
	static const int priority[] = { 0, 5, 0, 5, -1 };
	static const uint32_t order[] = { 2, 4, 1, 3, 5 };

	for (size_t i = 0; i < ARRAY_SIZE(priority); i++) {
		Sluice__V1__Pipeline *p = pipeline("p");
		Sluice__V1__JobSpec *spec = add_job_to(p, "job", NULL);

		spec->priority = priority[i];
		spec->resources->memory = i % 2 ? GIB(1) : 0; /* in two queues */
		lab_submit(l, p);
	}
	agent_connect(a);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		uint64_t fence = agent_start(a);

		cr_expect_eq(world_attempt(l->world, fence)->row->run_number, order[i]);
		agent_succeed(a, fence);
	}
}

Test(place, a_job_that_comes_back_from_an_offer_keeps_its_place)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");

	lab_submit_one(l);
	lab_submit_one(l);
	lab_submit_one(l);
	agent_drop(a); /* the offer of run 1 with it */
	agent_connect(a);
	cr_expect_eq(world_attempt(l->world, agent_offered(a))->row->run_number, 1);
}

Test(place, who_drains_gets_no_new_work_and_keeps_what_runs)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 2, "");
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	cleanup(message_freep) Sluice__V1__Agent *resumed = NULL;
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct agent_action action = { &lab_admin, &r };
	uint32_t run = lab_submit_one(l), next;
	uint64_t fence = agent_start(a);
	char why[512];

	r.agent = "a";
	r.reason = "new kernel";
	cr_assert_eq(lab_ask(l, agents_drain, &action, &reply), 0);
	cr_expect_str_eq(reply->state_reason, "ada: new kernel");
	next = lab_submit_one(l);
	cr_expect_eq(agent_offered(a), 0);
	cr_expect_str_eq(lab_why(l, next, "job", why),
			 "a is draining (ada: new kernel), and no other agent can take it");
	agent_succeed(a, fence);
	expect_run(l, run, RUN(SUCCEEDED), "");
	cr_assert_eq(lab_ask(l, agents_resume, &action, &resumed), 0);
	cr_expect_gt(agent_offered(a), fence);
}

Test(place, a_label_that_is_set_lets_a_job_start)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	lab_agent_enrol(l, "b", 1, "zone=x"); /* so that it is possible */
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__LabelAgentRequest r = SLUICE__V1__LABEL_AGENT_REQUEST__INIT;
	Sluice__V1__Variable zone = SLUICE__V1__VARIABLE__INIT, *set[] = { &zone };
	Sluice__V1__Pipeline *p = pipeline("p");

	need_label(add_job_to(p, "job", NULL), "zone", "x");
	cr_assert(lab_submit(l, p));
	cr_expect_eq(agent_offered(a), 0);
	zone.name = "zone";
	zone.value = "x";
	r.agent = "a";
	r.n_set = 1;
	r.set = set;
	cr_assert_eq(lab_ask(l, agents_label, &(struct agent_label){ &lab_admin, &r }, &reply), 0);
	cr_expect_gt(agent_offered(a), 0);
}

Test(place, hosts_of_environments_take_no_other_jobs)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	uint32_t run;
	char why[512];

	lab_agent_enrol(l, "later", 1, "");
	lab_agent_of(a)->n_environments = 1;
	run = lab_submit_one(l);
	cr_assert(run);
	cr_expect_eq(agent_offered(a), 0);
	cr_expect_str_eq(lab_why(l, run, "job", why),
			 "later is not connected, and no other agent can take it");
	lab_agent_of(a)->n_environments = 0;
	l->world->place_wanted = true; /* as delivery says it */
	lab_advance(l, 1);
	cr_expect_gt(agent_offered(a), 0);
}

Test(place, what_can_never_be_is_refused_with_the_nearest_numbers)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	Sluice__V1__Pipeline *p = pipeline("p");

	lab_gpu_agent(l, "gpu-01", 1, GIB(80), "zone=a");
	lab_gpu_agent(l, "gpu-02", 2, GIB(80), "zone=a");
	lab_gpu_agent(l, "gpu-03", 8, GIB(80), "zone=b");
	cr_expect_eq(submit_gpus(l, 4, 0, "a"), 0);
	cr_expect_str_eq(l->error.id, "E0510");
	cr_expect_str_eq(l->error.text,
			 "job 'train' cannot be placed: needs 4 GPUs; no agent in zone=a has more "
			 "than 2 (gpu-02)");
	cr_expect_eq(submit_gpus(l, 1, GIB(141), NULL), 0);
	cr_expect(strstr(l->error.text, "needs 1 GPU of >= 141G; no agent has more than 0"), "%s",
		  l->error.text);
	cr_expect_eq(submit_gpus(l, 1, 0, "c"), 0);
	cr_expect(strstr(l->error.text, "no agent carries zone=c"), "%s", l->error.text);
	add_job_to(p, "wide", NULL)->resources->cpu_milli = 64500;
	cr_expect_eq(lab_submit(l, p), 0);
	cr_expect(strstr(l->error.text, "'wide' cannot be placed: needs 64.5 CPUs; no agent has "
					"more than 32"),
		  "%s", l->error.text);
	cr_expect_gt(submit_gpus(l, 8, 0, "b"), 0);
}

Test(place, a_wait_is_told_with_its_numbers)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *b = lab_gpu_agent(l, "gpu-02", 4, GIB(80), "zone=a");
	uint32_t first, second;
	char why[512];

	lab_gpu_agent(l, "gpu-03", 8, GIB(80), "zone=b");
	first = submit_gpus(l, 2, GIB(40), "a");
	second = submit_gpus(l, 4, GIB(40), "a");
	agent_start(b);
	cr_expect_eq(first, 1);
	cr_expect_str_eq(lab_why(l, second, "train", why),
			 "needs 4 GPUs of >= 40G in zone=a; gpu-02 has 2 free, 4 after #1");
}

Test(place, a_wait_for_slots_cpus_and_memory_is_told_too)
{
	static const struct {
		uint32_t cpu_milli;
		uint64_t memory;
		const char *why;
	} cases[] = {
		{ 0, 0, "needs a free slot; a has 0 free, 1 after #1" },
		{ 20000, 0, "needs 20 CPUs; a has 12 free, 32 after #1" },
		{ 0, GIB(100), "needs 100G of memory; a has 28G free, 128G after #1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab *l = lab_new();
		struct lab_agent *a = lab_agent(l, "a", i ? 4 : 1, "");
		uint32_t run = 0;
		char why[512];

		for (int n = 0; n < 2; n++) {
			Sluice__V1__Pipeline *p = pipeline("p");
			Sluice__V1__Resources *r = add_job_to(p, "job", NULL)->resources;

			r->cpu_milli = cases[i].cpu_milli;
			r->memory = cases[i].memory;
			run = lab_submit(l, p);
		}
		agent_start(a);
		cr_expect_str_eq(lab_why(l, run, "job", why), cases[i].why);
		lab_free(l);
	}
}

Test(place, the_queue_is_told_in_the_order_in_which_jobs_would_start)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__WaitList *list = NULL;

	for (int i = 0; i < 2500; i++) {
		Sluice__V1__Pipeline *p = pipeline("p");
		Sluice__V1__JobSpec *spec = add_job_to(p, "job", NULL);

		spec->priority = i % 7;
		spec->resources->cpu_milli = (uint32_t)(i % 3);
		lab_submit(l, p);
	}
	cr_assert_eq(lab_ask(l, waits_queue, NULL, &list), 0);
	cr_expect_eq(list->total, 2500);
	cr_assert_eq(list->n_waits, WAITS_MAX);
	for (size_t i = 1; i < list->n_waits; i++) {
		const Sluice__V1__Wait *x = list->waits[i - 1], *y = list->waits[i];

		cr_assert(x->priority > y->priority ||
			  (x->priority == y->priority && x->run_number < y->run_number));
	}
	cr_expect_eq(list->waits[0]->priority, 6);
}

static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One job after another, with this many waiting behind: microseconds for 200. */
static int64_t work_behind(size_t queued)
{
	struct lab *l = lab_new();
	struct lab_agent *a;
	int64_t begin, us;

	for (size_t i = 0; i < queued / 500; i++) {
		Sluice__V1__Pipeline *p = pipeline("p");

		for (int n = 0; n < 500; n++) {
			char name[16];

			snprintf(name, sizeof(name), "j%d", n);
			add_job_to(p, name, NULL);
		}
		cr_assert(lab_submit(l, p));
	}
	a = lab_agent(l, "a", 1, "");
	agent_succeed(a, agent_start(a));
	begin = cpu_us();
	for (int i = 0; i < 200; i++)
		agent_succeed(a, agent_start(a));
	us = cpu_us() - begin;
	lab_free(l);
	return us;
}

Test(place, a_step_costs_no_more_with_a_long_queue, .timeout = 120)
{
	int64_t few = work_behind(1000), many = work_behind(30000);

	cr_expect_lt(many, few * 4, "%lld us against %lld us", (long long)many, (long long)few);
}

/* Bytes of the offers in its inbox, whose fences go to `fences`. */
static size_t take_offers(struct lab_agent *a, uint64_t *fences, size_t *n)
{
	Sluice__V1__ControllerMessage *m;
	size_t bytes = 0;

	while ((m = agent_take(a, SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER))) {
		bytes += protobuf_c_message_get_packed_size(&m->base);
		for (size_t i = 0; i < m->offer->n_assignments; i++)
			fences[(*n)++] = m->offer->assignments[i]->fence;
		message_free(m);
	}
	return bytes;
}

enum { LARGE_JOBS = 100, LARGE_TEXT = 20000 };

static void submit_large(struct lab *l)
{
	Sluice__V1__Pipeline *p = pipeline("p");

	for (int i = 0; i < LARGE_JOBS; i++) {
		char name[16];
		Sluice__V1__JobSpec *spec;

		snprintf(name, sizeof name, "job-%d", i);
		spec = add_job_to(p, name, NULL);
		spec->resources->cpu_milli = 10;
		spec->resources->memory = 1 << 20;
		free(spec->run);
		spec->run = xcalloc(1, LARGE_TEXT + 1);
		memset(spec->run, 'x', LARGE_TEXT);
	}
	cr_assert(lab_submit(l, p), "%s", l->error.text);
}

Test(place, offers_wait_for_an_agent_that_has_not_answered_those_before)
{
	enum { JOBS = 3 * LARGE_JOBS };
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent_enrol(l, "w", 512, "");
	uint64_t fences[JOBS + 1];
	size_t n = 0, answered = 0;
	int rounds = 0;

	for (int i = 0; i < 3; i++)
		submit_large(l);
	agent_connect(a);
	for (; n < JOBS && rounds < 20; rounds++) {
		size_t before = n, bytes = take_offers(a, fences, &n);

		cr_expect_leq(bytes, OFFERED_BYTES_MAX + LARGE_TEXT + 1000);
		cr_assert_gt(n, before, "it answered all and gets no more");
		while (answered < n)
			agent_accept(a, fences[answered++]);
	}
	cr_expect_eq(n, JOBS);
	cr_expect_geq(rounds, 6, "6 MB in portions of 1 MiB");
	cr_expect_eq(lab_agent_of(a)->unanswered, 0);
}

Test(place, who_does_not_answer_offers_is_the_reason_of_a_wait)
{
	enum { TEXT = 1 << 20 };
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 8, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(buf_release) struct buf why = { 0 };
	Sluice__V1__JobSpec *spec = add_job_to(p, "large", NULL);
	uint64_t fence;
	uint32_t run;

	free(spec->run);
	spec->run = xcalloc(1, TEXT + 1);
	memset(spec->run, 'x', TEXT);
	cr_assert(lab_submit(l, p), "%s", l->error.text);
	fence = agent_offered(a);
	run = lab_submit_one(l);
	cr_expect_eq(agent_offered(a), 0);
	place_explain(l->world, lab_run(l, run)->jobs[0], &why);
	cr_expect_str_eq(buf_str(&why), "w has not answered its last offers yet");
	agent_accept(a, fence);
	fence = agent_offered(a);
	cr_assert_neq(fence, 0);
	cr_expect_eq(lab_agent_of(a)->unanswered, world_attempt(l->world, fence)->offer_bytes);
	lab_advance(l, OFFER_TIMEOUT_MS + 1);
	agent_forget(a);
	agent_drop(a);
	cr_expect_eq(lab_agent_of(a)->unanswered, 0);
}
