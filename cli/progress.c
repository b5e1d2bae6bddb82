/*
 * A few active jobs (those that a view has room for) are asked for the end of their metrics stream
 * every other second, by short calls that do not follow: so nothing stays open, and a view that
 * nobody looks at costs nothing.
 */
#include "cli/progress.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/follow.h"
#include "sluice/v1/logs.pb-c.h"

enum { JOBS = 8, EVERY_MS = 2000, CALL_MS = 2000, LINE_MAX_BYTES = 64 << 10, SHOWN = 4 };

struct progress_reader {
	struct rpc_channel *channel;
	int64_t next_ms;
	struct entry {
		uint64_t fence;
		char *line, *text;
	} entries[JOBS];
	unsigned at; /* the next to be given away */
};

struct progress_reader *progress_new(struct rpc_channel *channel)
{
	struct progress_reader *p = xcalloc(1, sizeof *p);

	p->channel = channel;
	return p;
}

void progress_free(struct progress_reader *p)
{
	for (size_t i = 0; i < JOBS; i++) {
		free(p->entries[i].line);
		free(p->entries[i].text);
	}
	free(p);
}

static const char *arrow(double now, const json_t *before)
{
	if (!json_is_number(before))
		return "";
	return now < json_number_value(before) ? " ↓" : now > json_number_value(before) ? " ↑" : "";
}

char *progress_text(const char *line, const char *before)
{
	json_t *now = json_loads(line, 0, NULL),
	       *then = before ? json_loads(before, 0, NULL) : NULL;
	cleanup(buf_release) struct buf out = { 0 };
	const char *name;
	json_t *value;
	int shown = 0;

	json_object_foreach(now, name, value)
	{
		double number = json_number_value(value);
		bool counts = json_is_integer(value); /* epoch, step: of course they grow */

		if (!json_is_number(value) || shown == SHOWN)
			continue;
		buf_printf(&out, "%s%s %.4g%s", shown++ ? " " : "", name, number,
			   counts ? "" : arrow(number, json_object_get(then, name)));
	}
	json_decref(now);
	json_decref(then);
	return out.len ? buf_detach(&out) : NULL;
}

static struct entry *find(struct progress_reader *p, uint64_t fence)
{
	for (size_t i = 0; i < JOBS; i++)
		if (p->entries[i].fence == fence)
			return &p->entries[i];
	return NULL;
}

static struct entry *find_or_make(struct progress_reader *p, uint64_t fence)
{
	struct entry *e = find(p, fence);

	if (e)
		return e;
	e = &p->entries[p->at++ % JOBS];
	free(e->line);
	free(e->text);
	*e = (struct entry){ .fence = fence };
	return e;
}

/* The last whole line of what a call brings. */
static char *last_line(struct rpc_call *call)
{
	cleanup(buf_release) struct buf text = { 0 };
	const Sluice__V1__LogChunk *chunk;
	char *end, *begin;

	while (rpc_recv(call, &chunk, NULL) > 0 && text.len < LINE_MAX_BYTES)
		buf_add(&text, chunk->data.data, chunk->data.len);
	end = text.len ? memrchr(text.data, '\n', text.len) : NULL;
	if (!end)
		return NULL;
	begin = memrchr(text.data, '\n', (size_t)(end - text.data));
	begin = begin ? begin + 1 : text.data;
	return xstrndup(begin, (size_t)(end - begin));
}

static void read_job(struct progress_reader *p, const Sluice__V1__Job *job)
{
	Sluice__V1__ReadLogRequest request = SLUICE__V1__READ_LOG_REQUEST__INIT;
	struct entry *e = find_or_make(p, job->fence);
	cleanup(freep) char *line = NULL;
	cleanup(rpc_closep) struct rpc_call *call = NULL;

	request.run = job->run_id;
	request.job = job->spec->name;
	request.stream = LOG_METRICS;
	request.tail = 1;
	call = rpc_open_within(p->channel, CALL_MS, &sluice__v1__logs__descriptor, "Read", NULL);
	if (!call || rpc_send(call, &request, NULL) < 0 || rpc_done_sending(call, NULL) < 0)
		return;
	line = last_line(call);
	if (!line || (e->line && strcmp(e->line, line) == 0))
		return;
	free(e->text);
	e->text = progress_text(line, e->line);
	free(e->line);
	e->line = steal(line);
}

void progress_look(struct progress_reader *p, const Sluice__V1__RunDetail *run)
{
	int64_t now = clock_boot_ms();
	unsigned n = 0;

	if (!run || now < p->next_ms)
		return;
	for (size_t i = 0; i < run->n_jobs && n < JOBS; i++) {
		if (run->jobs[i]->state != SLUICE__V1__JOB_STATE__JOB_ACTIVE ||
		    !*run->jobs[i]->spec->metrics)
			continue;
		read_job(p, run->jobs[i]);
		n++;
	}
	p->next_ms = clock_boot_ms() + EVERY_MS;
}

const char *progress_of(void *arg, const Sluice__V1__Job *job)
{
	struct progress_reader *p = arg;
	const struct entry *e = find(p, job->fence);

	return e ? e->text : NULL;
}
