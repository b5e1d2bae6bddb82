#include "helpers.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"

Test(engine, an_answer_means_that_it_is_durable)
{
	struct fixture *f = setup();

	cr_assert_eq(engine_ask(f->engine, note, "first", NULL, &f->err), 0, "%s", f->err.text);
	cr_expect(noted(f, "first"));
	cr_expect_not(noted(f, "second"));
	reopen(f);
	cr_expect(noted(f, "first"));
	teardown(f);
}

Test(engine, a_refusal_says_why_and_changes_nothing)
{
	struct fixture *f = setup();
	uint64_t before = engine_last_event(f->engine);

	cr_assert_eq(engine_ask(f->engine, refuse, "the moon", NULL, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_CONFLICT);
	cr_expect(strstr(f->err.text, "the moon"));
	cr_expect_eq(engine_ask(f->engine, refuse, "the moon", NULL, NULL), -1);
	cr_expect_eq(engine_last_event(f->engine), before);
	teardown(f);
}

/* Of the log of commits, without the zeros behind it. */
static size_t log_size(struct fixture *f)
{
	cleanup(freep) char *path = xprintf("%s.redo0", f->path);
	cleanup(buf_release) struct buf log = { 0 };

	cr_assert_eq(file_read(path, SIZE_MAX, &log, &f->err), 0, "%s", f->err.text);
	while (log.len && !log.data[log.len - 1])
		log.len--;
	return log.len;
}

Test(engine, a_look_costs_no_commit)
{
	struct fixture *f = setup();
	size_t before = log_size(f);

	for (int i = 0; i < 50; i++)
		cr_expect_gt(epoch(f), 0);
	cr_expect_eq(log_size(f), before);
	cr_assert_eq(engine_ask(f->engine, note, "x", NULL, &f->err), 0);
	cr_expect_gt(log_size(f), before);
	teardown(f);
}

Test(engine, each_start_has_an_epoch_of_its_own)
{
	struct fixture *f = setup();
	uint64_t first = epoch(f);

	reopen(f);
	cr_expect_eq(epoch(f), first + 1);
	teardown(f);
}

static struct told *told_new(void)
{
	struct told *t = xcalloc(1, sizeof *t);

	lock_init(&t->lock);
	signal_init(&t->more);
	return t;
}

Test(engine, what_one_thread_tells_is_decided_in_order_and_said_after_the_commit)
{
	struct fixture *f = setup();
	struct told *told = told_new();
	struct telling telling[100];
	char ids[100][16];

	for (int i = 0; i < 100; i++) {
		telling[i] = (struct telling){ told, i };
		snprintf(ids[i], sizeof ids[i], "t%d", i);
		engine_tell(f->engine, note, ids[i], count_told, &telling[i]);
	}
	wait_told(told, 100);
	cr_expect_eq(told->failed, 0);
	for (int i = 0; i < 100; i++) {
		cr_expect_eq(told->order[i], i);
		cr_expect(noted(f, ids[i]));
	}
	cr_expect_not(pthread_equal(told->thread, pthread_self()));
	free(told);
	teardown(f);
}

Test(engine, stopping_decides_what_waits_and_refuses_what_comes)
{
	struct fixture *f = setup();
	struct told *told = told_new();
	struct telling telling = { told, 1 };
	struct gate gate;

	close_gate(f, &gate);
	engine_tell(f->engine, note, "waits", count_told, &telling);
	open_gate(&gate);
	engine_stop(f->engine);
	cr_expect(noted(f, "waits"));
	cr_expect_eq(told->count, 1);
	cr_expect_eq(engine_ask(f->engine, note, "late", NULL, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_UNAVAILABLE);
	engine_tell(f->engine, note, "late", count_told, &telling);
	cr_expect_eq(told->count, 2);
	cr_expect_eq(told->failed, 1);
	cr_expect_not(noted(f, "late"));
	free(told);
	teardown(f);
}

/* ---- effects ---- */

enum { SESSION = 77 };

static int connect_agent(struct world *w, struct now now, const void *req, void *reply,
			 struct error *err)
{
	Sluice__V1__Agent *row = message_new(&sluice__v1__agent__descriptor);
	struct agent *agent;

	message_set_string(&row->id, "0190a000-0000-7000-8000-000000000001");
	message_set_string(&row->name, "host-1");
	row->state = SLUICE__V1__AGENT__STATE__ENABLED;
	agent = world_add_agent(w, row);
	agent->session = SESSION;
	return 0;
}

static int post(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	struct agent *agent = world_agent(w, "host-1", err);

	if (!agent)
		return -1;
	world_post(w, agent, message_new(&sluice__v1__controller_message__descriptor));
	return 0;
}

Test(engine, effects_are_performed_with_and_without_a_commit)
{
	struct fixture *f = setup();
	size_t size;

	cr_assert_eq(engine_ask(f->engine, connect_agent, NULL, NULL, &f->err), 0, "%s",
		     f->err.text);
	size = log_size(f);
	cr_assert_eq(engine_ask(f->engine, post, NULL, NULL, &f->err), 0, "%s", f->err.text);
	epoch(f); /* the effects of a turn come after its answers */
	cr_expect_eq(f->posts, 1);
	cr_expect_eq(f->last_session, SESSION);
	cr_expect_eq(log_size(f), size, "a message alone is no reason for a commit");
	teardown(f);
}

/* ---- time ---- */

static struct timer timer;

static void say_that_it_is_time(struct world *w, struct timer *t)
{
	world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RUN_FINISHED, NULL, "it is time");
}

static int set_timer(struct world *w, struct now now, const void *req, void *reply,
		     struct error *err)
{
	timer.fire = say_that_it_is_time;
	if (*(const bool *)req)
		timer_set_wall(&w->timers, &timer, now.wall_ms + 40);
	else
		timer_set_boot(&w->timers, &timer, now.boot_ms + 40);
	return 0;
}

Test(engine, what_is_due_is_decided_without_being_asked)
{
	static const bool clocks[] = { false, true };
	struct fixture *f = setup();

	for (int i = 0; i < 2; i++) {
		struct feed_waiter *waiter = feed_waiter_new(f->engine);
		uint64_t before = engine_last_event(f->engine);
		int64_t start = clock_mono_us();

		cr_assert_eq(engine_ask(f->engine, set_timer, &clocks[i], NULL, &f->err), 0);
		cr_expect_eq(feed_wait(waiter, before, 10000), before + 1);
		cr_expect_geq(clock_mono_us() - start, 39000);
		feed_waiter_free(waiter);
	}
	teardown(f);
}

/* ---- when the disk is full ---- */

Test(engine, below_the_reserve_only_what_ends_work_is_decided)
{
	struct fixture *f = setup_with(UINT64_MAX);
	struct told *told = told_new();
	struct telling telling = { told, 1 };

	cr_expect_eq(engine_ask(f->engine, note, "new work", NULL, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_EXHAUSTED);
	cr_expect_str_eq(f->err.id, "E0601");
	cr_expect_eq(engine_ask_urgent(f->engine, note, "cancel", NULL, &f->err), 0);
	cr_expect_gt(epoch(f), 0);
	engine_tell(f->engine, note, "finish", count_told, &telling);
	wait_told(told, 1);
	cr_expect_eq(told->failed, 0);
	cr_expect(noted(f, "cancel") && noted(f, "finish") && !noted(f, "new work"));
	free(told);
	teardown(f);
}

#ifdef SLUICE_FAULTS
Test(engine, those_who_wait_share_one_commit_and_a_full_disk)
{
	struct fixture *f = setup();
	struct told *told = told_new();
	struct telling telling[100];
	struct gate gate;
	uint64_t before = epoch(f);
	char ids[100][16];

	cr_assert_eq(engine_ask(f->engine, connect_agent, NULL, NULL, &f->err), 0);
	close_gate(f, &gate);
	for (int i = 0; i < 100; i++) {
		telling[i] = (struct telling){ told, i };
		snprintf(ids[i], sizeof ids[i], "t%d", i);
		engine_tell(f->engine, i == 50 ? refuse : note, ids[i], count_told, &telling[i]);
	}
	fault_load("commit.full=error@1");
	open_gate(&gate);
	wait_told(told, 100);
	cr_expect_eq(told->failed, 100, "%d failed: the others were in another commit",
		     told->failed);
	cr_expect_str_eq(told->last, "E0601");
	cr_expect_not(noted(f, "t7"));
	/* the world is loaded again, as by a start; nobody is connected */
	cr_expect_eq(epoch(f), before + 1);
	cr_expect_eq(f->closes, 1);
	cr_expect_eq(f->last_session, SESSION);
	cr_assert_eq(engine_ask(f->engine, note, "t7", NULL, &f->err), 0, "%s", f->err.text);
	cr_expect(noted(f, "t7"));
	fault_load("");
	free(told);
	teardown(f);
}

Test(engine, a_disk_that_stays_full_refuses_until_there_is_room)
{
	struct fixture *f = setup();

	fault_load("commit.full=error");
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(engine_ask(f->engine, note, "x", NULL, &f->err), -1);
		cr_expect_str_eq(f->err.id, "E0601");
	}
	fault_load("");
	cr_expect_eq(engine_ask(f->engine, note, "x", NULL, &f->err), 0, "%s", f->err.text);
	teardown(f);
}

static void say_goodbye(void *arg, const struct error *err)
{
	if (write(*(int *)arg, err->text, strlen(err->text)) < 0)
		_exit(1);
}

Test(engine, any_other_failed_commit_ends_the_process)
{
	struct fixture *f = setup();
	char said[256] = "";
	int fds[2], status;
	pid_t pid;

	close_engine(f);
	cr_assert_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		f->config.fatal = say_goodbye;
		f->config.fatal_arg = &fds[1];
		open_engine(f);
		fault_load("commit.before=error@1");
		engine_ask(f->engine, note, "x", NULL, NULL);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 70, "status %x", status);
	close(fds[1]);
	cr_expect_gt(read(fds[0], said, sizeof said - 1), 0);
	cr_expect(strstr(said, "injected: the commit failed"), "%s", said);
	open_engine(f);
	cr_expect_not(noted(f, "x"));
	teardown(f);
}
#endif

/* ---- kill -9 ---- */

static _Noreturn void ask_for_ever(struct fixture *f, int out)
{
	open_engine(f);
	for (uint32_t n = 1;; n++) {
		char id[16];

		snprintf(id, sizeof id, "n%u", n);
		if (engine_ask(f->engine, note, id, NULL, &f->err) < 0 ||
		    write(out, &n, sizeof n) != sizeof n)
			_exit(1);
	}
}

Test(engine, what_was_answered_survives_kill_9, .timeout = 120)
{
	struct fixture *f = setup();

	for (unsigned int round = 0; round < 8; round++) {
		uint32_t last = 0, n;
		uint64_t count = 0;
		int fds[2];
		pid_t pid;
		struct store_reader *r;

		close_engine(f);
		cr_assert_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			ask_for_ever(f, fds[1]);
		close(fds[1]);
		usleep(30000 + 15000 * round);
		kill(pid, SIGKILL);
		while (read(fds[0], &n, sizeof n) == sizeof n)
			last = n;
		close(fds[0]);
		waitpid(pid, NULL, 0);
		open_engine(f);
		for (n = 1; n <= last; n++) {
			char id[16];

			snprintf(id, sizeof id, "n%u", n);
			cr_assert(noted(f, id), "%s of %u", id, last);
		}
		r = store_reader_take(f->store, &f->err);
		cr_assert_eq(reader_verify_events(r, &count, &f->err), 0, "%s", f->err.text);
		cr_expect_geq(count, last);
		store_reader_give(r);
	}
	teardown(f);
}
