#include "agent/shim/text.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void text_add(char *to, size_t size, const char *more)
{
	size_t at = strlen(to), n = strlen(more);

	if (n > size - 1 - at)
		n = size - 1 - at;
	memcpy(to + at, more, n);
	to[at + n] = '\0';
}

void text_number(char *to, size_t size, uint64_t n)
{
	char digits[24];
	char *p = digits + sizeof digits - 1;

	*p = '\0';
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	text_add(to, size, p);
}

uint64_t text_parse(const char *s)
{
	uint64_t n = 0;

	while (*s >= '0' && *s <= '9')
		n = n * 10 + (uint64_t)(*s++ - '0');
	return n;
}

/* "PID (NAME) STATE PARENT ..."; the name may hold anything but ends at the last ')'. */
pid_t text_parent_of(pid_t pid)
{
	char path[48] = "/proc/", stat[512];
	const char *p;
	ssize_t n;
	int fd;

	text_number(path, sizeof path, (uint64_t)pid);
	text_add(path, sizeof path, "/stat");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, stat, sizeof stat - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	p = strrchr(stat, ')');
	return p && strlen(p) > 4 ? (pid_t)text_parse(p + 4) : 0;
}
