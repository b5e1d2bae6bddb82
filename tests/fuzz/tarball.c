/*
 * Foreign bytes as a tar stream, in steps of varied size. Whatever comes out lies beneath the
 * target: beside it a file waits that nothing may touch, every link resolves inside, and all is
 * file, directory or link with plain modes and within the bytes declared. On failure nothing is
 * left.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "blob/tarball.h"

enum { MAX_BYTES = 1 << 16 };

static char dir[64];
static char target[80];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct feed {
	const uint8_t *data;
	size_t left;
	size_t step;
};

static int pull(void *arg, const void **ret_data, size_t *ret_len, struct error *err)
{
	struct feed *f = arg;
	size_t n = MIN(f->left, f->step);

	*ret_data = f->data;
	*ret_len = n;
	f->data += n;
	f->left -= n;
	return n > 0;
}

static void clean_up(void)
{
	file_remove_tree(dir, NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	snprintf(dir, sizeof dir, "%s/sluice-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		abort();
	snprintf(target, sizeof target, "%s/out", dir);
	atexit(clean_up);
	return 0;
}

/* The bytes of all files below path. */
static uint64_t check_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	uint64_t bytes = 0;

	assert(d);
	while ((e = readdir(d))) {
		cleanup(freep) char *child = path_join(path, e->d_name);
		char resolved[PATH_MAX];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		assert(lstat(child, &st) == 0);
		assert(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
		assert(!(st.st_mode & 07000));
		if (S_ISDIR(st.st_mode))
			bytes += check_tree(child);
		else if (S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
		else if (realpath(child, resolved))
			assert(strncmp(resolved, target, strlen(target)) == 0);
	}
	closedir(d);
	return bytes;
}

static int count(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	assert(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* Makes the checksum of every block that looks like a header right, which mutation alone never
 * would. */
static void mend_checksums(uint8_t *data, size_t len)
{
	for (uint8_t *h = data; len >= 512; h += 512, len -= 512) {
		char text[8];
		unsigned int sum = 0;

		if (memcmp(h + 257, "ustar", 5) != 0)
			continue;
		memset(h + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += h[i];
		snprintf(text, sizeof text, "%06o", sum);
		memcpy(h + 148, text, 7);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tarball_target t = { .path = target, .max_bytes = MAX_BYTES };
	cleanup(freep) uint8_t *mended = xmemdup(data, len);
	struct feed f = { mended, len, len % 3 == 0 ? 1 << 20 : len % 3 == 1 ? 512 : 7 };
	struct error err = { 0 };

	if (len % 2)
		mend_checksums(mended, len);

	if (tarball_unpack(&t, pull, &f, &err) < 0) {
		assert(err.code && err.text[0]);
		assert(count(dir) == 0);
		return 0;
	}
	assert(count(dir) == 1);
	assert(check_tree(target) <= MAX_BYTES);
	if (file_remove_tree(target, &err) < 0)
		abort();
	return 0;
}
