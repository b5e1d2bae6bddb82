#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "deploy_fixture.h"
#include "proto/message.h"

TestSuite(deploy_disk, .init = deploy_begin, .fini = deploy_end, .timeout = 90);

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

Test(deploy_disk, a_link_that_a_crash_left_ahead_of_the_journal_is_put_right)
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
Test(deploy_disk, a_slot_that_is_being_removed_is_no_slot_any_more)
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

Test(deploy_disk, an_environment_that_is_being_removed_has_no_slots_any_more)
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

Test(deploy_disk, what_no_release_needs_is_swept_from_the_slots_at_the_start)
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

Test(deploy_disk, a_slot_made_anew_is_finished_whatever_was_left_beside_it)
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

Test(deploy_disk, a_port_that_another_address_of_the_host_uses_is_left_alone)
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

Test(deploy_disk, what_is_not_healthy_goes_even_if_it_cannot_drain)
{
	struct order *o = order_new(1, STEP(ACTIVATE), 1);

	o->deploy.drain = (char *)"echo cannot >&2; exit 1";
	o->deploy.check->run = (char *)"exit 1";
	o->deploy.check->deadline_ms = 300;
	cr_expect_eq(obeyed(o)->state, REPORT(FAILED));
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
}

Test(deploy_disk, a_healthy_release_that_cannot_drain_stays)
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

Test(deploy_disk, what_rots_in_the_cache_is_fetched_again)
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
Test(deploy_disk, a_full_disk_gives_up_its_cache_for_a_release)
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

Test(deploy_disk, a_full_disk_does_not_keep_the_last_good_release_from_coming_back)
{
	use_small_disk();
	must_obey(order_new(1, STEP(ACTIVATE), 1));
	must_obey(order_new(2, STEP(ACTIVATE), 2));
	wait_serving(2);
	fill_disk();
	must_obey(order_new(3, STEP(ACTIVATE), 1));
	cr_expect(current_is("slots/release-1"));
}
