#include "agent/deploy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "blob/source.h"
#include "host.h"
#include "proto/message.h"

#define STEP(name)   SLUICE__V1__HOST_STEP__HOST_##name
#define REPORT(name) SLUICE__V1__HOST_REPORT__STATE__##name

/* Counts its instances: two at a time would leave `twice` behind. */
#define SERVER                                                                                  \
	"mkdir \"$TMPDIR/one\" || touch \"$TMPDIR/twice\"; trap 'rmdir \"$TMPDIR/one\"; exit' " \
	"TERM; "                                                                                \
	"echo $$ >\"$TMPDIR/pid\"; cat \"$SLUICE_RELEASE_DIR/data/v\" >\"$TMPDIR/serving\"; "   \
	"while :; do sleep 0.05; done"

static struct host_under_test host;
static bool on_small_disk;

static void begin(void)
{
	host_start(&host, 1);
}

static void end(void)
{
	if (on_small_disk)
		umount2(host.dir, MNT_DETACH);
	host_end(&host);
}

TestSuite(deploy, .init = begin, .fini = end, .timeout = 90);

struct order {
	Sluice__V1__HostOrder order;
	Sluice__V1__Release release;
	Sluice__V1__ReleasePart part, *parts;
	Sluice__V1__DeploySpec deploy;
	Sluice__V1__CheckSpec check;
	char id[32], digest[DIGEST_TEXT_SIZE];
};

/* Release rN has one part, `data`, with a file v that says N. */
static struct order *order_new(uint64_t phi, Sluice__V1__HostStep step, unsigned n)
{
	struct order *o = xcalloc(1, sizeof *o);
	cleanup(freep) char *tree = xprintf("%s/tree%u", host.stand->dir, n);
	cleanup(freep) char *file = path_join(tree, "v"), *text = xprintf("%u", n);
	struct source_spec source = { .media = MANIFEST_TAR, .tree = { .path = tree } };
	struct error err = { 0 };
	struct digest d;

	sluice__v1__host_order__init(&o->order);
	sluice__v1__release__init(&o->release);
	sluice__v1__release_part__init(&o->part);
	sluice__v1__deploy_spec__init(&o->deploy);
	sluice__v1__check_spec__init(&o->check);
	cr_assert_eq(file_make_dirs(tree, 0755, &err), 0);
	cr_assert_eq(file_write_atomic(file, text, strlen(text), 0644, &err), 0);
	cr_assert_eq(source_store(&source, host.stand->store, &d, &err), 0, "%s", err.text);
	snprintf(o->id, sizeof o->id, "release-%u", n);
	o->part.slot = (char *)"data";
	o->part.digest = digest_format(&d, o->digest);
	o->parts = &o->part;
	o->release.id = o->id;
	o->release.number = n;
	o->release.parts = &o->parts;
	o->release.n_parts = 1;
	o->check.healthy_for_ms = 1;
	o->check.deadline_ms = 10000;
	o->deploy.service = (char *)SERVER;
	o->deploy.check = &o->check;
	o->deploy.grace_ms = 3000;
	o->order.environment = (char *)"prod";
	o->order.phi = phi;
	o->order.step = step;
	o->order.attempt = 1;
	o->order.release = &o->release;
	o->order.deploy = &o->deploy;
	return o;
}

static void give(struct order *o)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;

	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER;
	m.host_order = &o->order;
	stand_say(host.stand, &m);
}

/* The first report after now of that phi that is done or failed. */
static const Sluice__V1__HostReport *outcome(uint64_t phi)
{
	for (;;) {
		const Sluice__V1__HostReport *r =
			stand_hear(host.stand, &host.heard,
				   SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT)
				->host_report;

		if (r->phi == phi && r->state != REPORT(WORKING))
			return r;
	}
}

static const Sluice__V1__HostReport *obeyed(struct order *o)
{
	const Sluice__V1__HostReport *r;
	uint64_t phi = o->order.phi;

	give(o);
	r = outcome(phi);
	free(o);
	return r;
}

static void must_obey(struct order *o)
{
	const Sluice__V1__HostReport *r = obeyed(o);

	cr_assert_eq(r->state, REPORT(DONE), "%s", r->text);
}

static char *env_path(const char *name)
{
	return xprintf("%s/prod/%s", host.env_dir, name);
}

/* Until env/prod/tmp/serving says n. */
static void wait_serving(unsigned n)
{
	cleanup(freep) char *path = env_path("tmp/serving"), *want = xprintf("%u", n);
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	for (;;) {
		cleanup(buf_release) struct buf text = { 0 };

		if (file_read(path, 64, &text, NULL) == 0 && strcmp(buf_str(&text), want) == 0)
			return;
		cr_assert_lt(clock_boot_ms(), until, "release %u does not serve", n);
		usleep(5000);
	}
}

static void expect_never_twice(void)
{
	cleanup(freep) char *path = env_path("tmp/twice");

	cr_expect_not(file_exists(path), "two instances at a time");
}

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

/* ---- what a crash or a failure leaves on the disk ---- */

static void point_current_at(const char *target)
{
	cleanup(freep) char *current = env_path("current");

	cr_assert_eq(unlink(current), 0);
	cr_assert_eq(symlink(target, current), 0);
}

static bool current_is(const char *target)
{
	cleanup(freep) char *current = env_path("current");
	char now[64] = "";

	return readlink(current, now, sizeof now - 1) > 0 && strcmp(now, target) == 0;
}

static void wait_current(const char *target)
{
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	while (!current_is(target)) {
		cr_assert_lt(clock_boot_ms(), until, "current is not '%s'", target);
		usleep(5000);
	}
}

Test(deploy, a_link_that_a_crash_left_ahead_of_the_journal_is_put_right)
{
	must_obey(order_new(1, STEP(ACTIVATE), 1));
	must_obey(order_new(2, STEP(PREPARE), 2));
	host_stop(&host);
	point_current_at("slots/release-2");
	host_again(&host);
	wait_current("slots/release-1");
	point_current_at("slots/release-2"); /* a rename that could not be synced, say */
	must_obey(order_new(3, STEP(ACTIVATE), 1));
	cr_expect(current_is("slots/release-1"));
}

#ifdef SLUICE_FAULTS
Test(deploy, a_slot_that_is_being_removed_is_no_slot_any_more)
{
	cleanup(freep) char *first = env_path("slots/release-1"),
			    *aside = env_path("slots/release-1.new"),
			    *v = path_join(first, "data/v");
	struct order *o;

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	fault_load("install.before-remove=error@2");
	o = order_new(2, STEP(ACTIVATE), 2); /* passes the fault once, and once for the first */
	o->deploy.slots = 1;
	must_obey(o);
	fault_load("");
	cr_expect_not(file_exists(first), "half removed, and taken for whole");
	host_stop(&host);
	host_again(&host);
	must_obey(order_new(3, STEP(ACTIVATE), 1)); /* as a rollback does */
	wait_serving(1);
	cr_expect(file_exists(v));
	cr_expect_not(file_exists(aside));
}

Test(deploy, an_environment_that_is_being_removed_has_no_slots_any_more)
{
	cleanup(freep) char *first = env_path("slots/release-1"), *aside = env_path("slots.new");
	const Sluice__V1__HostReport *r;

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	fault_load("install.before-remove=error@1");
	r = obeyed(order_new(2, STEP(REMOVE), 1));
	fault_load("");
	cr_expect_eq(r->state, REPORT(FAILED));
	cr_expect_not(file_exists(first), "half removed, and taken for whole");
	must_obey(order_new(3, STEP(ACTIVATE), 1));
	wait_serving(1);
	host_stop(&host);
	host_again(&host);
	host_wait_file(aside, false);
}
#endif

Test(deploy, what_no_release_needs_is_swept_from_the_slots_at_the_start)
{
	cleanup(freep) char *stray = env_path("slots/release-9/data"),
			    *aside = env_path("slots/release-8.new"),
			    *mark = env_path("slots/release-9.unfinished"),
			    *live = env_path("slots/release-1");
	struct error err = { 0 };

	must_obey(order_new(1, STEP(ACTIVATE), 1));
	host_stop(&host);
	cr_assert_eq(file_make_dirs(stray, 0755, &err), 0);
	cr_assert_eq(file_make_dirs(aside, 0755, &err), 0);
	cr_assert_eq(file_write_atomic(mark, "", 0, 0600, &err), 0);
	host_again(&host);
	host_wait_file(stray, false);
	host_wait_file(aside, false);
	host_wait_file(mark, false);
	cr_expect(file_exists(live));
}

Test(deploy, a_slot_made_anew_is_finished_whatever_was_left_beside_it)
{
	cleanup(freep) char *mark = env_path("slots/release-1.unfinished");
	const Sluice__V1__HostReport *r;
	struct error err = { 0 };

	must_obey(order_new(1, STEP(PREPARE), 1));
	cr_assert_eq(file_write_atomic(mark, "", 0, 0600, &err), 0);
	r = obeyed(order_new(2, STEP(ACTIVATE), 1)); /* its policy has no prepare hook any more */
	cr_assert_eq(r->state, REPORT(DONE), "%s", r->text);
	cr_expect_not(file_exists(mark));
	cr_expect_eq(r->n_slots, 1, "the live slot is not among the slots");
}

Test(deploy, a_port_that_another_address_of_the_host_uses_is_left_alone)
{
	struct sockaddr_in other = { .sin_family = AF_INET };
	cleanup(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const Sluice__V1__HostReport *r = obeyed(order_new(1, STEP(ACTIVATE), 1));
	unsigned port;

	cr_assert_eq(sscanf(r->endpoint, "127.0.0.1:%u", &port), 1, "%s", r->endpoint);
	inet_pton(AF_INET, "127.0.0.2", &other.sin_addr);
	other.sin_port = htons((uint16_t)port);
	cr_assert_eq(bind(fd, (struct sockaddr *)&other, sizeof other), 0);
	cr_assert_eq(listen(fd, 1), 0);
	must_obey(order_new(2, STEP(DOWN), 1));
	r = obeyed(order_new(3, STEP(ACTIVATE), 1));
	cr_assert_eq(r->state, REPORT(DONE), "%s", r->text);
	cr_expect_neq(strtoul(strchr(r->endpoint, ':') + 1, NULL, 10), port);
}

Test(deploy, what_is_not_healthy_goes_even_if_it_cannot_drain)
{
	struct order *o = order_new(1, STEP(ACTIVATE), 1);

	o->deploy.drain = (char *)"echo cannot >&2; exit 1";
	o->deploy.check->run = (char *)"exit 1";
	o->deploy.check->deadline_ms = 300;
	cr_expect_eq(obeyed(o)->state, REPORT(FAILED));
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
}

Test(deploy, a_healthy_release_that_cannot_drain_stays)
{
	struct order *o = order_new(1, STEP(ACTIVATE), 1);
	const Sluice__V1__HostReport *r;

	o->deploy.drain = (char *)"echo cannot >&2; exit 1";
	must_obey(o);
	r = obeyed(order_new(2, STEP(ACTIVATE), 2));
	cr_expect_eq(r->state, REPORT(FAILED));
	cr_expect(strstr(r->text, "drain"), "%s", r->text);
	wait_serving(1);
}

/* ---- the cache ---- */

static int flip_last_byte(const char *path, const struct stat *st, int type, struct FTW *at)
{
	cleanup(closep) int fd = type == FTW_F ? open(path, O_RDWR | O_CLOEXEC) : -1;
	unsigned char byte;

	if (fd >= 0 && pread(fd, &byte, 1, st->st_size - 1) == 1) {
		byte ^= 1;
		cr_assert_eq(pwrite(fd, &byte, 1, st->st_size - 1), 1);
	}
	return 0;
}

Test(deploy, what_rots_in_the_cache_is_fetched_again)
{
	cleanup(freep) char *cache = host_path(&host, "cache"), *v = env_path("slots/again/data/v");
	struct order *o = order_new(2, STEP(PREPARE), 1);

	must_obey(order_new(1, STEP(PREPARE), 1));
	cr_assert_eq(nftw(cache, flip_last_byte, 8, FTW_PHYS), 0);
	o->release.id = (char *)"again";
	must_obey(o);
	cr_expect(file_exists(v));
}

#ifdef SLUICE_FAULTS
Test(deploy, a_full_disk_gives_up_its_cache_for_a_release)
{
	cleanup(freep) char *v = env_path("slots/release-1/data/v");
	struct order *o = order_new(1, STEP(PREPARE), 1);

	fault_load("blob.write=short@1");
	must_obey(o);
	fault_load("");
	cr_expect(file_exists(v));
}
#endif

/* ---- a full disk ---- */

/* The host's state lies on a disk of 8 MiB from now on. */
static void use_small_disk(void)
{
	struct error err = { 0 };

	if (geteuid() != 0)
		cr_skip_test("only root can mount a small disk");
	host_stop(&host);
	cr_assert_eq(file_remove_tree(host.dir, &err), 0, "%s", err.text);
	cr_assert_eq(mkdir(host.dir, 0755), 0);
	if (mount("tmpfs", host.dir, "tmpfs", 0, "size=8m") < 0)
		cr_skip_test("mounting a tmpfs needs more rights");
	on_small_disk = true;
	cr_assert_eq(mkdir(host.work_dir, 0711), 0);
	cr_assert_eq(mkdir(host.env_dir, 0711), 0);
	host_again(&host);
}

static void fill_disk(void)
{
	cleanup(freep) char *path = host_path(&host, "ballast"), *bytes = xcalloc(1, 1 << 16);
	cleanup(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	while (write(fd, bytes, 1 << 16) > 0)
		;
	while (write(fd, bytes, 1) > 0)
		;
}

Test(deploy, a_full_disk_does_not_keep_the_last_good_release_from_coming_back)
{
	use_small_disk();
	must_obey(order_new(1, STEP(ACTIVATE), 1));
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	fill_disk();
	must_obey(order_new(3, STEP(ACTIVATE), 1));
	cr_expect(current_is("slots/release-1"));
}
