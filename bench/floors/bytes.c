/*
 * Floors of bytes: a log from a pipe over TCP into a file, one file, and a tree of small files.
 * Two processes over loopback without TLS; what counts is hashed and synced at the end.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "floors/floor.h"

#define MIB (1024.0 * 1024.0)

enum { BLOCK = 256 << 10, LINE = 100, FLUSH = 8 << 20, PIPE = 1 << 20 };

static char block[BLOCK];

static EVP_MD_CTX *hash_new(void)
{
	EVP_MD_CTX *h = EVP_MD_CTX_new();

	EVP_DigestInit_ex(h, EVP_sha256(), NULL);
	return h;
}

static void hash_end(EVP_MD_CTX *h)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;

	EVP_DigestFinal_ex(h, digest, &len);
	EVP_MD_CTX_free(h);
}

void floor_hash(char **args)
{
	int fd = open(args[0], O_RDONLY | O_CLOEXEC);
	EVP_MD_CTX *h = hash_new();
	double began = floor_clock_s(), bytes = 0;
	ssize_t n;

	if (fd < 0)
		floor_die(args[0]);
	for (; (n = read(fd, block, BLOCK)) > 0; bytes += (double)n)
		EVP_DigestUpdate(h, block, (size_t)n);
	hash_end(h);
	printf("%.1f\n", bytes / MIB / (floor_clock_s() - began));
	close(fd);
}

static int out_file(const char *dir, char *path, size_t size)
{
	int fd;

	snprintf(path, size, "%s/floor.out", dir);
	unlink(path);
	sync();
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		floor_die(path);
	return fd;
}

/* ---- logs ---- */

static _Noreturn void print(int fd, long lines, int size)
{
	int per = size / LINE;
	static char bytes[BLOCK];

	for (int i = 0; i < per; i++) {
		memset(bytes + i * LINE, 'x', LINE - 1);
		bytes[i * LINE + LINE - 1] = '\n';
	}
	for (long i = 0; i < lines; i += per)
		floor_write(fd, bytes, (size_t)(lines - i < per ? lines - i : per) * LINE);
	_exit(0);
}

static _Noreturn void ship(int out, long lines, int size)
{
	int fds[2];
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		floor_die("pipe");
	fcntl(fds[1], F_SETPIPE_SZ, PIPE);
	if (fork() == 0) {
		close(fds[0]);
		print(fds[1], lines, size);
	}
	close(fds[1]);
	while ((n = read(fds[0], block, BLOCK)) > 0)
		floor_write(out, block, (size_t)n);
	wait(NULL);
	_exit(0);
}

void floor_log(char **args)
{
	long lines = atol(args[1]), n = 0;
	char path[4096];
	int fds[2], out = out_file(args[0], path, sizeof path);
	double began;
	ssize_t len;

	floor_pair(fds);
	began = floor_clock_s();
	if (fork() == 0) {
		close(fds[0]);
		ship(fds[1], lines, atoi(args[2]));
	}
	close(fds[1]);
	while ((len = read(fds[0], block, BLOCK)) > 0) {
		const char *end = block + len;

		for (char *p = block; (p = memchr(p, '\n', (size_t)(end - p))); p++)
			n++;
		floor_write(out, block, (size_t)len);
	}
	if (fdatasync(out) < 0 || n != lines)
		floor_die("lines are missing");
	printf("%.0f\n", (double)n / (floor_clock_s() - began));
	wait(NULL);
	unlink(path);
}

/* ---- files and trees ---- */

/* Takes all of it: hashed, written, written back early, synced. How many bytes. */
static double take(int in, int out)
{
	EVP_MD_CTX *h = hash_new();
	off_t all = 0, flushed = 0;
	ssize_t n;

	while ((n = read(in, block, BLOCK)) > 0) {
		EVP_DigestUpdate(h, block, (size_t)n);
		floor_write(out, block, (size_t)n);
		all += n;
		if (all - flushed >= FLUSH) {
			sync_file_range(out, flushed, all - flushed, SYNC_FILE_RANGE_WRITE);
			flushed = all;
		}
	}
	hash_end(h);
	if (fdatasync(out) < 0)
		floor_die("syncing");
	return (double)all;
}

static _Noreturn void send_file(const char *path, int to)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	EVP_MD_CTX *h = hash_new();
	ssize_t n;

	if (fd < 0)
		floor_die(path);
	while ((n = read(fd, block, BLOCK)) > 0) {
		EVP_DigestUpdate(h, block, (size_t)n);
		floor_write(to, block, (size_t)n);
	}
	hash_end(h);
	_exit(0);
}

struct sink {
	int fd;
	EVP_MD_CTX *hash;
};

static la_ssize_t sink_write(struct archive *a, void *arg, const void *data, size_t len)
{
	struct sink *s = arg;

	(void)a;
	EVP_DigestUpdate(s->hash, data, len);
	floor_write(s->fd, data, len);
	return (la_ssize_t)len;
}

static void send_entry(struct archive *a, struct archive_entry *entry, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		floor_die(name);
	archive_entry_clear(entry);
	archive_entry_copy_stat(entry, &st);
	archive_entry_set_pathname(entry, name);
	archive_write_header(a, entry);
	while ((n = read(fd, block, BLOCK)) > 0)
		archive_write_data(a, block, (size_t)n);
	close(fd);
}

static _Noreturn void send_tree(const char *path, int to)
{
	struct sink sink = { to, hash_new() };
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	DIR *d = opendir(path);
	struct dirent *e;

	archive_write_set_format_pax_restricted(a);
	archive_write_set_bytes_per_block(a, BLOCK);
	archive_write_set_bytes_in_last_block(a, 1);
	archive_write_open2(a, &sink, NULL, sink_write, NULL, NULL);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			send_entry(a, entry, dirfd(d), e->d_name);
	archive_write_close(a);
	archive_write_free(a);
	hash_end(sink.hash);
	_exit(0);
}

static double transfer(char **args, void (*send)(const char *, int), double *ret_bytes)
{
	char path[4096];
	int fds[2], out = out_file(args[0], path, sizeof path);
	double began, seconds;

	floor_pair(fds);
	began = floor_clock_s();
	if (fork() == 0) {
		close(fds[0]);
		send(args[1], fds[1]);
	}
	close(fds[1]);
	*ret_bytes = take(fds[0], out);
	seconds = floor_clock_s() - began;
	wait(NULL);
	close(out);
	unlink(path);
	return seconds;
}

void floor_upload(char **args)
{
	double bytes, seconds = transfer(args, send_file, &bytes);

	printf("%.1f\n", bytes / MIB / seconds);
}

void floor_tree(char **args)
{
	DIR *d = opendir(args[1]);
	struct dirent *e;
	double bytes, files = 0, seconds;

	while (d && (e = readdir(d)))
		files += e->d_name[0] != '.';
	seconds = transfer(args, send_tree, &bytes);
	printf("%.1f\n", files / seconds);
}
