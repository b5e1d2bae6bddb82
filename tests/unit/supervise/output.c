/*
 * What a job prints is what the spool holds: fast, binary, masked, on a full disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "fixture.h"

static struct bench bench;

static void set_up(void)
{
	bench_open(&bench, geteuid() == 0 ? CONTAIN_PIDNS : CONTAIN_USERNS);
}

static void tear_down(void)
{
	bench_close(&bench);
}

TestSuite(output, .init = set_up, .fini = tear_down, .timeout = 120);

Test(output, a_million_lines_arrive_in_order)
{
	struct supervise_spec spec = a_job(1, "exec seq 1 1000000");
	struct shim_record r = run_to_end(&bench, &spec);
	size_t len;
	cleanup(freep) char *out = output_of(&bench, "1", &len);
	char *p = out;

	cr_assert_eq(r.exit_code, 0);
	cr_assert_eq(len, 6888896);
	for (long i = 1; i <= 1000000; i++) {
		char *end;

		cr_assert_eq(strtol(p, &end, 10), i);
		cr_assert_eq(*end, '\n');
		p = end + 1;
	}
}

Test(output, every_byte_value_survives)
{
	const char *argv[] = {
		"python3", "-c",
		"import sys\nfor i in range(2000): sys.stdout.buffer.write(bytes(range(256)))", NULL
	};
	struct supervise_spec spec = a_job(1, NULL);
	size_t len;
	cleanup(freep) char *out = NULL;

	spec.argv = argv;
	cr_assert_eq(run_to_end(&bench, &spec).exit_code, 0);
	out = output_of(&bench, "1", &len);
	cr_assert_eq(len, 512000);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq((unsigned char)out[i], i % 256);
}

Test(output, what_was_printed_last_is_there_though_the_job_was_killed)
{
	struct supervise_spec spec = a_job(1, "head -c 900000 /dev/zero; echo end; kill -KILL $$");
	struct shim_record r = run_to_end(&bench, &spec);

	cr_expect_eq(r.signal, 9);
	cr_expect_eq(r.length, 900004);
}

Test(output, a_watched_line_wakes_the_agent_at_once_and_once)
{
	struct supervise_spec spec =
		a_job(1, "sleep 0.2; echo 1; echo 2; sleep 0.3; echo 3; sleep 600");
	struct error err = { 0 };
	struct slot_event event;

	must_run(&bench, &spec);
	cr_assert_eq(slot_watch(bench.slot, 1, 0, &err), 0);
	cr_assert_eq(slot_wait(bench.slot, 10000, &event, &err), 1);
	cr_expect_eq(event.kind, SLOT_GROWN);
	cr_expect(event.length == 2 || event.length == 4);
	cr_expect_eq(slot_wait(bench.slot, 100, &event, &err), 0, "an event that nobody asked for");
	cr_assert_eq(slot_watch(bench.slot, 1, 4, &err), 0);
	cr_assert_eq(slot_wait(bench.slot, 10000, &event, &err), 1);
	cr_expect_eq(event.length, 6);
	cr_assert_eq(slot_watch(bench.slot, 1, 3, &err), 0);
	cr_assert_eq(slot_wait(bench.slot, 1000, &event, &err), 1, "it is longer already");
	cr_expect_eq(event.length, 6);
	slot_signal(bench.slot, 1, SHIM_STOPPED, 0, &err);
	await(bench.slot, SLOT_EXITED);
}

Test(output, secrets_are_blanked_also_where_reads_are_cut)
{
	struct supervise_mask masks[] = { { "hunter22", 8 }, { "two\nlines", 9 }, { "abc", 3 } };
	struct supervise_spec spec = a_job(1, "printf 'a hunter22 b hun'; sleep 0.05; printf "
					      "'ter'; sleep 0.05; printf '22 c two\\nlin'; "
					      "sleep 0.05; printf 'es abc hunter2'");
	struct error err = { 0 };
	cleanup(freep) char *out = NULL;

	spec.masks = masks;
	spec.n_masks = 3;
	cr_assert_eq(slot_run(bench.slot, &spec, &err), 0, "%s", err.text);
	cr_expect_eq(await(bench.slot, SLOT_EXITED).record.exit_code, 0);
	out = output_of_fence(&bench, 1);
	cr_expect_str_eq(out, "a ******** b ******** c ********* abc hunter2");
}

/* ---- a full disk ---- */

struct small_disk {
	char dir[64];
	char ballast[96];
	struct bench bench;
};

static void small_disk_open(struct small_disk *d, size_t ballast)
{
	cleanup(freep) char *bytes = xcalloc(1, ballast);
	struct error err = { 0 };

	if (geteuid() != 0)
		cr_skip_test("only root can mount a small disk");
	snprintf(d->dir, sizeof d->dir, "/tmp/shim-disk-XXXXXX");
	cr_assert(mkdtemp(d->dir));
	if (mount("tmpfs", d->dir, "tmpfs", 0, "size=1m") < 0) {
		rmdir(d->dir);
		cr_skip_test("mounting a tmpfs: %s", strerror(errno));
	}
	snprintf(d->ballast, sizeof d->ballast, "%s/ballast", d->dir);
	cr_assert_eq(file_write_atomic(d->ballast, bytes, ballast, 0600, &err), 0, "%s", err.text);
	bench_open_in(&d->bench, CONTAIN_PIDNS, d->dir, "");
}

static void small_disk_close(struct small_disk *d)
{
	bench_close(&d->bench);
	cr_expect_eq(umount(d->dir), 0, "'%s': %s", d->dir, strerror(errno));
	rmdir(d->dir);
}

Test(output, a_full_disk_slows_the_job_until_there_is_room)
{
	struct small_disk d;
	struct supervise_spec spec = a_job(1, "head -c 800000 /dev/zero | tr '\\0' x; echo end");
	struct slot_event event;
	struct error err = { 0 };
	size_t len;

	small_disk_open(&d, 600000);
	must_run(&d.bench, &spec);
	cr_assert_eq(slot_wait(d.bench.slot, 1000, &event, &err), 0, "it ended on a full disk");
	unlink(d.ballast);
	event = await(d.bench.slot, SLOT_EXITED);
	cr_expect_eq(event.record.reason, SHIM_EXITED);
	cr_expect_eq(event.record.exit_code, 0);
	{
		cleanup(freep) char *out = output_of(&d.bench, "1", &len);

		cr_expect_eq(len, 800004);
		cr_expect_eq(strspn(out, "x"), 800000);
	}
	small_disk_close(&d);
}

Test(output, a_disk_that_stays_full_fails_the_job_and_the_record_waits_for_room)
{
	struct small_disk d;
	struct supervise_spec spec = a_job(1, "exec yes");
	struct slot_event event;
	struct found f;

	small_disk_open(&d, 600000);
	spec.disk_full_ms = 400;
	must_run(&d.bench, &spec);
	event = await(d.bench.slot, SLOT_EXITED);
	cr_expect(event.unwritten);
	cr_expect_eq(event.record.reason, SHIM_DISK_FULL);
	cr_expect_eq(event.record.errno_value, ENOSPC);
	cr_expect_gt(event.record.length, 200000);
	unlink(d.ballast);
	event = await(d.bench.slot, SLOT_EXITED);
	cr_expect(!event.unwritten);
	bench_restart(&d.bench);
	f = what_became(&d.bench, "1");
	cr_expect_eq(f.state, FOUND_DONE);
	cr_expect_eq(f.record.reason, SHIM_DISK_FULL);
	small_disk_close(&d);
}

Test(output, a_record_that_finds_no_room_survives_the_agents_restart)
{
	struct small_disk d;
	struct supervise_spec spec = a_job(1, "exec yes");
	struct error err = { 0 };

	small_disk_open(&d, 600000);
	spec.disk_full_ms = 200;
	must_run(&d.bench, &spec);
	cr_assert(await(d.bench.slot, SLOT_EXITED).unwritten);
	bench_restart(&d.bench);
	d.bench.slot = slot_open(d.bench.supervise, "0", &err);
	cr_assert(d.bench.slot, "%s", err.text);
	cr_expect(await(d.bench.slot, SLOT_EXITED).unwritten, "the new agent is not told");
	cr_assert_eq(supervise_release(d.bench.supervise, "1", &err), 0);
	cr_expect(!await(d.bench.slot, SLOT_EXITED).unwritten, "released, and still held");
	small_disk_close(&d);
}

Test(output, a_service_ends_when_it_is_told_to_on_a_full_disk_too)
{
	struct small_disk d;
	struct supervise_spec spec = a_job(1, "exec yes");
	struct slot_event event = { 0 };
	struct error err = { 0 };

	spec.name = "service";
	spec.service = true;
	small_disk_open(&d, 600000);
	must_run(&d.bench, &spec);
	do {
		usleep(20000);
		cr_assert_eq(slot_ask_status(d.bench.slot, &err), 0, "%s", err.text);
		event = await(d.bench.slot, SLOT_STATUS);
	} while (!event.status.dropped);
	cr_assert_eq(slot_signal(d.bench.slot, 1, SHIM_STOPPED, 1000, &err), 0, "%s", err.text);
	event = await(d.bench.slot, SLOT_EXITED);
	cr_expect(!event.unwritten, "it is held by its record");
	small_disk_close(&d);
}
