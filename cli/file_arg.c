/*
 * Finding and reading the pipeline file.
 */
#include "cli/file_arg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "spec/spec.h"

static const char file_name[] = "sluice.yaml";

int pipeline_file_read(const char *argument, struct pipeline_file *ret, struct error *err)
{
	const char *named = *argument ? argument : ".";
	struct pipeline_file f = { 0 };
	struct stat st;

	if (stat(named, &st) < 0) {
		error_id(err, "E0205", "there is no '%s': %s", named, strerror(errno));
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		f.directory = xstrdup(named);
		f.path = path_join(named, file_name);
		f.shown = xstrdup(strcmp(named, ".") == 0 ? file_name : f.path);
	} else {
		f.path = xstrdup(named);
		f.shown = xstrdup(named);
	}
	if (!file_exists(f.path)) {
		error_id(err, "E0205", "there is no '%s'", f.shown);
		pipeline_file_release(&f);
		return -1;
	}
	if (file_read(f.path, SPEC_TEXT_MAX, &f.text, err) < 0) {
		if (err->code == ERR_EXHAUSTED)
			error_id(err, "E0102", "'%s' has more than %d KiB", f.shown,
				 SPEC_TEXT_MAX / 1024);
		pipeline_file_release(&f);
		return -1;
	}
	*ret = f;
	return 0;
}

void pipeline_file_release(struct pipeline_file *f)
{
	free(f->path);
	free(f->shown);
	free(f->directory);
	buf_release(&f->text);
	memset(f, 0, sizeof *f);
}

void say_diagnostics(struct diagnostics *d, bool json)
{
	cleanup(buf_release) struct buf text = { 0 };

	if (!json)
		diagnostics_text(d, out_error_look().colour, &text);
	else if (d->errors || d->warnings)
		diagnostics_json(d, &text);
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = 0;
	if (text.len)
		say("%s", text.data);
}
