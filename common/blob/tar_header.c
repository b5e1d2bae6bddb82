/*
 * Header blocks of a deterministic tar: whatever could differ between two hosts (owner, times,
 * device numbers) is zero or empty. A name goes into ustar's 100 bytes, or is split at a slash into
 * 155 and 100, or a pax header carries it; names are bytes, and a pax header with other than ASCII
 * says hdrcharset=BINARY.
 */
#include "blob/tar_header.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"

struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char pad[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is a block");

#define USTAR_MAX_SIZE 077777777777ull /* bytes, 8 GiB less one */

static void put_octal(char *field, int width, uint64_t v)
{
	for (int i = width - 2; i >= 0; i--, v >>= 3)
		field[i] = (char)('0' + (v & 7));
}

static void put_checksum(struct ustar *u)
{
	const unsigned char *p = (const unsigned char *)u;
	unsigned int sum = 0;

	memset(u->checksum, ' ', sizeof u->checksum);
	for (size_t i = 0; i < sizeof *u; i++)
		sum += p[i];
	put_octal(u->checksum, 7, sum); /* six digits, a NUL, and the space stays */
	u->checksum[6] = '\0';
}

/* Where to split a name of len bytes: the prefix' length, 0 for none, -1 if ustar cannot hold it.
 */
static int split_name(const char *name, size_t len)
{
	if (len <= sizeof((struct ustar *)0)->name)
		return 0;
	if (len > 256)
		return -1;
	for (size_t i = len - 101; i <= 155 && i + 1 < len; i++)
		if (i > 0 && name[i] == '/')
			return (int)i;
	return -1;
}

static void put_name(struct ustar *u, const char *name, size_t len)
{
	int at = split_name(name, len);

	if (at > 0) {
		memcpy(u->prefix, name, (size_t)at);
		name += at + 1;
		len -= (size_t)at + 1;
	}
	memcpy(u->name, name, MIN(len, sizeof u->name));
}

static void add_block(struct buf *b, const struct tar_entry *e, const char *name, uint64_t size)
{
	struct ustar u = { .type = (char)e->type, .magic = "ustar", .version = "00" };

	put_name(&u, name, strlen(name));
	put_octal(u.mode, sizeof u.mode,
		  e->type == TAR_SYMLINK ? 0777
		  : e->executable	 ? 0755
					 : 0644);
	put_octal(u.uid, sizeof u.uid, 0);
	put_octal(u.gid, sizeof u.gid, 0);
	put_octal(u.size, sizeof u.size, MIN(size, USTAR_MAX_SIZE));
	put_octal(u.mtime, sizeof u.mtime, 0);
	put_octal(u.devmajor, sizeof u.devmajor, 0);
	put_octal(u.devminor, sizeof u.devminor, 0);
	if (e->link)
		memcpy(u.link, e->link, MIN(strlen(e->link), sizeof u.link));
	put_checksum(&u);
	buf_add(b, &u, sizeof u);
}

/* "LEN key=value\n", where LEN counts itself. */
static void add_record(struct buf *b, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;

	while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
		len++;
	buf_printf(b, "%zu %s=%s\n", len, key, value);
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

static void add_pax(struct buf *b, const struct tar_entry *e, const char *name)
{
	static const char zeros[TAR_BLOCK];
	const struct tar_entry pax = { .type = TAR_PAX };
	cleanup(buf_release) struct buf records = { 0 };
	char size[24];
	bool long_name = split_name(name, strlen(name)) < 0;
	bool long_link = e->link && strlen(e->link) > sizeof((struct ustar *)0)->link;

	if ((long_name && !is_ascii(name)) || (long_link && !is_ascii(e->link)))
		add_record(&records, "hdrcharset", "BINARY");
	if (long_link)
		add_record(&records, "linkpath", e->link);
	if (long_name)
		add_record(&records, "path", name);
	if (e->size > USTAR_MAX_SIZE) {
		snprintf(size, sizeof size, "%llu", (unsigned long long)e->size);
		add_record(&records, "size", size);
	}
	if (!records.len)
		return;
	add_block(b, &pax, "././@PaxHeader", records.len);
	buf_add(b, records.data, records.len);
	buf_add(b, zeros, -records.len % TAR_BLOCK);
}

void tar_header_add(struct buf *b, const struct tar_entry *e)
{
	cleanup(freep) char *with_slash = NULL;
	struct tar_entry entry = *e;
	const char *name = e->path;

	if (e->type == TAR_DIRECTORY) {
		name = with_slash = xprintf("%s/", e->path);
		entry.executable = true;
	}
	assert(e->type == TAR_FILE || e->size == 0);
	add_pax(b, &entry, name);
	add_block(b, &entry, name, e->size);
}

bool tar_link_inside(const char *path, const char *target)
{
	int depth = 0;
	bool leading = true;

	if (!*target || *target == '/')
		return false;
	for (const char *s = path; (s = strchr(s, '/')); s++)
		depth++;
	while (*target) {
		size_t n = strcspn(target, "/");

		if (n == 2 && memcmp(target, "..", 2) == 0) {
			if (!leading || --depth < 0)
				return false;
		} else if (n > 1 || (n == 1 && *target != '.')) {
			leading = false;
		}
		target += n;
		target += *target == '/';
	}
	return true;
}
