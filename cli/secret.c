/*
 * A shell's redirection makes files that all may read, and login and join refuse those.
 */
#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/out.h"

int secret_begin(struct cli *cli, struct secret *ret, struct error *err)
{
	const char *path = flag_text(&cli->args, "output");

	*ret = (struct secret){ .path = path, .fd = -1 };
	if (!path)
		return 0;
	ret->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (ret->fd >= 0)
		return 0;
	if (errno != EEXIST)
		return error_errno(err, "making '%s'", path);
	error_set(err, ERR_EXISTS, "'%s' is there already", path);
	return error_hint(err, "a secret is never written over another file: name a new one");
}

/* stdout is a file, and login and join would refuse it. */
static void warn_if_open(void)
{
	struct stat st;

	if (fstat(1, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077))
		say("Others can read the file that this was written to (mode %04o): --output FILE "
		    "makes one that they cannot.",
		    (unsigned int)st.st_mode & 07777);
}

int secret_put(struct secret *s, const char *text, struct error *err)
{
	cleanup(buf_release) struct buf line = { 0 };

	if (!s->path) {
		out_printf("%s\n", text);
		warn_if_open();
		return 0;
	}
	buf_printf(&line, "%s\n", text);
	if (file_write_all(s->fd, line.data, line.len, err) < 0)
		return error_wrap(err, "writing '%s'", s->path);
	if (fsync(s->fd) < 0)
		return error_errno(err, "writing '%s'", s->path);
	close(s->fd);
	s->fd = -1;
	out_printf("%s\n", s->path);
	return 0;
}

void secret_end(struct secret *s)
{
	if (s->fd < 0)
		return;
	close(s->fd);
	unlink(s->path);
	s->fd = -1;
}
