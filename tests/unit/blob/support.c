#include "support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "crypto/digest.h"

struct error err;
char dir[64];

void setup_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/sluice-blob-XXXXXX");
	cr_assert(mkdtemp(dir));
	err = (struct error){ 0 };
}

void teardown_dir(void)
{
	struct error e = { 0 };

	cr_expect_eq(file_remove_tree(dir, &e), 0, "%s", e.text);
}

const char *in_dir(const char *name)
{
	static char paths[8][4096];
	static int at;
	char *path = paths[at++ % 8];

	snprintf(path, sizeof paths[0], "%s/%s", dir, name);
	return path;
}

void make_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(file_write_all(fd, data, len, &err), 0, "%s", err.text);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

void make_text(const char *path, const char *text)
{
	make_file(path, text, strlen(text), 0644);
}

void make_dir(const char *path)
{
	cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

void fill_noise(void *data, size_t len, uint64_t seed)
{
	unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p[i] = (unsigned char)(seed >> 32);
	}
}

char *read_text(const char *path)
{
	struct buf b = { 0 };

	cr_assert_eq(file_read(path, 64 << 20, &b, &err), 0, "%s", err.text);
	return buf_detach(&b);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void describe(const char *root, const char *path, struct buf *lines, size_t *n)
{
	cleanup(freep) char *full = *path ? path_join(root, path) : xstrdup(root);
	cleanup(buf_release) struct buf content = { 0 };
	char target[4096] = "", hex[DIGEST_HEX_SIZE] = "";
	struct stat st;
	struct digest d;

	cr_assert_eq(lstat(full, &st), 0, "%s", full);
	if (S_ISLNK(st.st_mode)) {
		cr_assert_geq(readlink(full, target, sizeof target - 1), 0);
	} else if (S_ISREG(st.st_mode)) {
		cr_assert_eq(file_read(full, 64 << 20, &content, &err), 0, "%s", err.text);
		d = digest_of(content.data, content.len);
		digest_hex(&d, hex);
	}
	if (*path) {
		char *line = xprintf("%s %o %s%s\n", path, (unsigned int)st.st_mode, target, hex);

		buf_add(lines, &line, sizeof line);
		++*n;
	}
	if (S_ISDIR(st.st_mode)) {
		DIR *d2 = opendir(full);
		struct dirent *e;

		while ((e = readdir(d2))) {
			cleanup(freep) char *below = NULL;

			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			below = *path ? path_join(path, e->d_name) : xstrdup(e->d_name);
			describe(root, below, lines, n);
		}
		closedir(d2);
	}
}

void describe_tree(const char *root, struct buf *ret)
{
	cleanup(buf_release) struct buf lines = { 0 };
	size_t n = 0;

	describe(root, "", &lines, &n);
	if (n)
		qsort(lines.data, n, sizeof(char *), compare_lines);
	for (size_t i = 0; i < n; i++) {
		buf_puts(ret, ((char **)lines.data)[i]);
		free(((char **)lines.data)[i]);
	}
}

size_t count_files(const char *root)
{
	DIR *d = opendir(root);
	struct dirent *e;
	size_t n = 0;

	cr_assert(d, "%s", root);
	while ((e = readdir(d))) {
		cleanup(freep) char *path = path_join(root, e->d_name);

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n += e->d_type == DT_DIR ? count_files(path) : 1;
	}
	closedir(d);
	return n;
}

bool pack_all(const struct tarball_source *source, struct buf *ret)
{
	struct tarball_packer *p = tarball_pack_open(source, &err);
	ssize_t n = -1;

	while (p) {
		buf_reserve(ret, 100000);
		n = tarball_pack_read(p, ret->data + ret->len, 99991, &err);
		if (n <= 0)
			break;
		ret->len += (size_t)n;
	}
	tarball_pack_close(p);
	return n == 0;
}

int feed_pull(void *arg, const void **ret_data, size_t *ret_len, struct error *e)
{
	static _Thread_local char copy[1 << 20];
	struct feed *f = arg;
	size_t n = MIN(MIN(f->left, f->step), sizeof copy);

	if (!n && f->break_at_end)
		return error_set(e, ERR_UNAVAILABLE, "the line went dead");
	/* what was given before is gone, as the contract says */
	memset(copy, 0xee, f->step < sizeof copy ? f->step : sizeof copy);
	memcpy(copy, f->data, n);
	f->data += n;
	f->left -= n;
	*ret_data = copy;
	*ret_len = n;
	return n > 0;
}

int unpack_bytes(const void *data, size_t len, size_t step, uint64_t max_bytes)
{
	struct feed f = { .data = data, .left = len, .step = step };
	struct tarball_target target = { .path = in_dir("out"), .max_bytes = max_bytes };

	err = (struct error){ 0 };
	return tarball_unpack(&target, feed_pull, &f, &err);
}

void tar_part(struct buf *tar, struct tar_part part)
{
	char h[512] = { 0 };
	size_t len = part.data ? strlen(part.data) : 0;
	unsigned long long size = part.size < 0 ? len : (unsigned long long)part.size;
	unsigned int sum = 0;

	memcpy(h, part.name, MIN(strlen(part.name), (size_t)100));
	snprintf(h + 100, 8, "%07o", part.mode);
	snprintf(h + 108, 8, "%07o", 0);
	snprintf(h + 116, 8, "%07o", 0);
	snprintf(h + 124, 12, "%011llo", size & 077777777777);
	snprintf(h + 136, 12, "%011o", 0);
	h[156] = part.type;
	if (part.link)
		memcpy(h + 157, part.link, MIN(strlen(part.link), (size_t)100));
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof h; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	buf_add(tar, h, sizeof h);
	if (len) {
		static const char zeros[512];

		buf_add(tar, part.data, len);
		buf_add(tar, zeros, -len % 512);
	}
}

void tar_end(struct buf *tar)
{
	static const char zeros[1024];

	buf_add(tar, zeros, sizeof zeros);
}
