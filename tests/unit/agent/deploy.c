#include "agent/deploy.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "deploy_fixture.h"
#include "proto/message.h"

TestSuite(deploy, .init = deploy_begin, .fini = deploy_end, .timeout = 90);

Test(deploy, a_release_is_prepared_activated_and_followed_by_another)
{
	cleanup(freep) char *current = env_path("current");
	char target[64] = "";

	must_obey(order_new(1, STEP(PREPARE), 1));
	must_obey(order_new(1, STEP(ACTIVATE), 1));
	wait_serving(1);
	must_obey(order_new(2, STEP(PREPARE), 2));
	wait_serving(1);
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	cr_assert_gt(readlink(current, target, sizeof target - 1), 0);
	cr_expect_str_eq(target, "slots/release-2");
	expect_never_twice();
}

Test(deploy, a_smaller_fence_is_refused)
{
	struct order *late;

	must_obey(order_new(5, STEP(ACTIVATE), 1));
	late = order_new(4, STEP(ACTIVATE), 2);
	give(late);
	free(late);
	must_obey(order_new(6, STEP(PREPARE), 3)); /* behind it */
	wait_serving(1);
}

Test(deploy, a_repeated_order_is_reported_again_and_done_once)
{
	cleanup(freep) char *log = env_path("tmp/hook");
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	for (int i = 0; i < 3; i++) {
		struct order *o = order_new(1, STEP(ACTIVATE), 1);

		o->deploy.activate = (char *)"echo x >>\"$TMPDIR/hook\"";
		must_obey(o);
	}
	cr_assert_eq(file_read(log, 100, &text, &err), 0);
	cr_expect_str_eq(buf_str(&text), "x\n");
}

Test(deploy, a_service_that_ends_at_once_fails_the_order)
{
	struct order *o = order_new(1, STEP(ACTIVATE), 1);
	const Sluice__V1__HostReport *r;

	o->deploy.service = (char *)"echo no such model; exit 7";
	o->check.healthy_for_ms = 60000;
	o->check.deadline_ms = 20000;
	r = obeyed(o);
	cr_expect_eq(r->state, REPORT(FAILED));
	cr_expect(strstr(r->text, "crash loop"), "%s", r->text);
}

Test(deploy, a_hook_that_fails_says_what_it_said)
{
	struct order *o = order_new(1, STEP(PREPARE), 1);
	cleanup(freep) char *slot = env_path("slots/release-1");
	const Sluice__V1__HostReport *r;

	o->deploy.prepare = (char *)"echo there is no room >&2; exit 2";
	r = obeyed(o);
	cr_expect_eq(r->state, REPORT(FAILED));
	cr_expect(strstr(r->text, "exit code 2") && strstr(r->text, "no room"), "%s", r->text);
	cr_expect_not(file_exists(slot), "half prepared");
}

Test(deploy, a_newer_order_interrupts_an_older_one)
{
	struct order *slow = order_new(1, STEP(ACTIVATE), 1);
	size_t at = 0;

	slow->check.healthy_for_ms = 60000;
	slow->check.deadline_ms = 70000;
	give(slow);
	free(slow);
	stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT);
	wait_serving(1);
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	expect_never_twice();
}

Test(deploy, a_hook_that_hangs_is_ended_by_a_newer_order)
{
	struct order *slow = order_new(1, STEP(PREPARE), 1);
	cleanup(freep) char *begun = env_path("tmp/begun");

	slow->deploy.prepare = (char *)"touch \"$TMPDIR/begun\"; sleep 300";
	give(slow);
	free(slow);
	host_wait_file(begun, true);
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
}

Test(deploy, an_order_that_a_restart_interrupted_is_carried_out)
{
	struct order *slow = order_new(1, STEP(PREPARE), 1);
	cleanup(freep) char *begun = env_path("tmp/begun"), *go = env_path("tmp/go");
	cleanup(freep) char *slot = env_path("slots/release-1/data/v");
	struct error err = { 0 };

	slow->deploy.prepare = (char *)"touch \"$TMPDIR/begun\"; while [ ! -e \"$TMPDIR/go\" ]; do "
				       "sleep 0.02; done";
	give(slow);
	free(slow);
	host_wait_file(begun, true);
	host_stop(&host);
	cr_assert_eq(file_write_atomic(go, "", 0, 0644, &err), 0);
	host_again(&host);
	cr_expect_eq(outcome(1)->state, REPORT(DONE));
	cr_expect(file_exists(slot));
}

Test(deploy, a_service_goes_on_without_an_agent_and_is_taken_up_again)
{
	cleanup(freep) char *path = env_path("tmp/pid");
	cleanup(buf_release) struct buf before = { 0 }, after = { 0 };
	struct error err = { 0 };
	const Sluice__V1__Register *r = NULL;
	size_t at = 0;

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	wait_serving(1);
	cr_assert_eq(file_read(path, 64, &before, &err), 0);
	host_stop(&host);
	host_again(&host);
	for (int i = 0; i < 2; i++)
		r = stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER)
			    ->register_;
	cr_assert(r && r->n_hosts == 1);
	cr_expect_str_eq(r->hosts[0]->live, "release-1");
	cr_expect(r->hosts[0]->healthy);
	must_obey(order_new(1, STEP(ACTIVATE), 1));
	cr_assert_eq(file_read(path, 64, &after, &err), 0);
	cr_expect_str_eq(buf_str(&before), buf_str(&after));
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	expect_never_twice();
}

Test(deploy, a_dead_shim_is_followed_by_one_new_instance)
{
	cleanup(freep) char *one = env_path("tmp/one"), *serving = env_path("tmp/serving");

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	wait_serving(1);
	unlink(serving);
	rmdir(one); /* nothing that was killed cleans up */
	host_kill_shim(&host, "service-");
	wait_serving(1);
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	expect_never_twice();
}

Test(deploy, a_service_is_started_again_after_all_died)
{
	cleanup(freep) char *one = env_path("tmp/one"), *serving = env_path("tmp/serving");

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	wait_serving(1);
	host_stop(&host);
	host_kill_shim(&host, "service-");
	usleep(100000);
	unlink(serving);
	rmdir(one);
	host_again(&host);
	wait_serving(1);
	expect_never_twice();
}

Test(deploy, stopped_by_hand_stays_down_until_an_order)
{
	cleanup(freep) char *stopped = env_path("stopped"), *one = env_path("tmp/one");
	struct error err = { 0 };

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	wait_serving(1);
	cr_assert_eq(file_write_atomic(stopped, "stop\n", 5, 0644, &err), 0);
	deploy_look(host.deploy);
	host_wait_file(one, false);
	host_stop(&host);
	host_again(&host);
	usleep(500000);
	cr_expect_not(file_exists(one), "a restart of the agent started it");
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	cr_expect_not(file_exists(stopped));
}

Test(deploy, down_and_remove_leave_nothing_but_the_fence)
{
	cleanup(freep) char *dir = xprintf("%s/prod", host.env_dir);
	struct order *o;

	must_obey(order_new(3, STEP(ACTIVATE), 1));
	must_obey(order_new(4, STEP(DOWN), 1));
	must_obey(order_new(5, STEP(REMOVE), 1));
	cr_expect_not(file_exists(dir));
	host_stop(&host);
	host_again(&host);
	o = order_new(4, STEP(ACTIVATE), 1);
	give(o);
	free(o);
	must_obey(order_new(6, STEP(ACTIVATE), 2));
	wait_serving(2);
}

Test(deploy, old_slots_go_and_kept_ones_stay)
{
	cleanup(freep) char *first = env_path("slots/release-1"),
			    *second = env_path("slots/release-2");
	char *keep[] = { (char *)"release-1" };

	for (unsigned n = 1; n <= 4; n++) {
		struct order *o = order_new(n, STEP(ACTIVATE), n);

		o->deploy.slots = 2;
		o->order.keep = keep;
		o->order.n_keep = 1;
		must_obey(o);
	}
	cr_expect(file_exists(first));
	cr_expect_not(file_exists(second));
}
