/*
 * Goals of artifacts: a user uploads as the CLI does, over TLS. What is uploaded is new in each
 * round, but where being known is the point, and in the page cache for both.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "crypto/random.h"
#include "load/client.h"
#include "load/goals.h"
#include "load/house.h"
#include "load/measure.h"
#include "transfer/transfer.h"

enum { FILE_MIB = 1024, QUICK_MIB = 64, FILES = 10000, QUICK_FILES = 1000, FILE_BYTES = 10240 };

static unsigned mib(void)
{
	return quick ? QUICK_MIB : FILE_MIB;
}

static unsigned files(void)
{
	return quick ? QUICK_FILES : FILES;
}

/* xorshift64*: fast, and nothing compresses it. */
static void fill(void *data, size_t len)
{
	static uint64_t state;
	uint64_t *words = data;

	if (!state)
		state = random_u64() | 1;
	for (size_t i = 0; i < len / sizeof *words; i++) {
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		words[i] = state * 2685821657736338717u;
	}
}

static void make_file(const char *path)
{
	cleanup(freep) char *block = xmalloc(1 << 20);
	cleanup(closep) int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	struct error err = { 0 };

	for (unsigned i = 0; i < mib(); i++) {
		fill(block, 1 << 20);
		if (fd < 0 || file_write_all(fd, block, 1 << 20, &err) < 0)
			die(&err, "making '%s'", path);
	}
	fsync(fd);
}

static void make_tree(const char *path)
{
	unsigned char block[FILE_BYTES];
	struct error err = { 0 };

	if (file_remove_tree(path, &err) < 0 || mkdir(path, 0700) < 0)
		die(&err, "making '%s'", path);
	for (unsigned i = 0; i < files(); i++) {
		cleanup(freep) char *name = xprintf("%s/%05u", path, i);
		cleanup(closep) int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		fill(block, sizeof block);
		if (fd < 0 || file_write_all(fd, block, sizeof block, &err) < 0)
			die(&err, "making '%s'", name);
	}
	sync();
}

/* Seconds until it was committed. */
static double upload(struct house *h, const char *path, bool tree, struct upload_stats *ret)
{
	struct transfer t = { .channel = h->users };
	struct upload what = { .content = { .media = tree ? MANIFEST_TAR : MANIFEST_RAW,
					    .tree = { .path = path } },
			       .name = "bench",
			       .kind = SLUICE__V1__ARTIFACT_KIND__DATA };
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct error err = { 0 };
	double began = clock_s();

	if (!transfer_upload(&t, &what, arena, ret, &err))
		die(&err, "uploading '%s'", path);
	return clock_s() - began;
}

/* ---- 9 ---- */

void goal_upload(void)
{
	struct house *h = house_open(0);
	cleanup(freep) char *path = path_join(h->dir, "content");
	struct series rates = { 0 }, floors = { 0 }, cpu = { 0 };
	struct figure f = { "9", "upload_controller_cpu", "s/GiB", 0, 0, NO_BOUND, 0 };
	struct upload_stats stats;

	for (unsigned i = 0; i < (quick ? 1 : 3); i++) {
		double floor[2], used;

		make_file(path);
		floor_now(floor, "upload", h->dir, path, NULL);
		used = usage_of(h->controller.pid).cpu_s;
		series_add(&floors, floor[0]);
		series_add(&rates, mib() / upload(h, path, false, &stats));
		used = usage_of(h->controller.pid).cpu_s - used;
		series_add(&cpu, used * 1024 / mib());
	}
	figure_rounds((struct figure){ "9", "upload", "MiB/s", 0, 0, AT_LEAST, 0.4 }, &rates,
		      &floors);
	f.value = series_median(&cpu);
	figure_say(&f);
	series_release(&cpu);
	house_close(h);
}

/* ---- 10 ---- */

void goal_tree(void)
{
	struct house *h = house_open(0);
	cleanup(freep) char *path = path_join(h->dir, "tree");
	struct series rates = { 0 }, floors = { 0 };
	struct upload_stats stats;

	for (unsigned i = 0; i < rounds(); i++) {
		double floor[2];

		make_tree(path);
		floor_now(floor, "tree", h->dir, path, NULL);
		series_add(&floors, floor[0]);
		series_add(&rates, files() / upload(h, path, true, &stats));
	}
	figure_rounds((struct figure){ "10", "upload_small_files", "files/s", 0, 0, AT_LEAST, 0.3 },
		      &rates, &floors);
	house_close(h);
}

/* ---- 11 ---- */

/* One byte in the middle becomes another. */
static void touch(const char *path)
{
	cleanup(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t at = (off_t)mib() << 19;
	char byte;

	if (fd < 0 || pread(fd, &byte, 1, at) != 1)
		die(NULL, "changing '%s'", path);
	byte ^= 0x55;
	if (pwrite(fd, &byte, 1, at) != 1)
		die(NULL, "changing '%s'", path);
}

void goal_known(void)
{
	struct house *h = house_open(0);
	cleanup(freep) char *path = path_join(h->dir, "content");
	struct series rates = { 0 }, floors = { 0 };
	struct upload_stats stats;
	struct figure f = { "11", "sent_after_one_byte_per_GiB", "%", 0, 0, AT_MOST, 2 };

	make_file(path);
	upload(h, path, false, &stats);
	for (unsigned i = 0; i < rounds(); i++) {
		double floor[2];

		floor_now(floor, "hash", path, NULL);
		series_add(&floors, floor[0]);
		series_add(&rates, mib() / upload(h, path, false, &stats));
		if (stats.sent)
			die(NULL, "%llu bytes of a known artifact were sent",
			    (unsigned long long)stats.sent);
	}
	figure_rounds((struct figure){ "11", "upload_known", "MiB/s", 0, 0, AT_LEAST, 0.5 }, &rates,
		      &floors);
	touch(path);
	upload(h, path, false, &stats);
	f.value = 100.0 * (double)stats.sent / ((double)mib() * MIB) * mib() / FILE_MIB;
	figure_say(&f);
	house_close(h);
}
