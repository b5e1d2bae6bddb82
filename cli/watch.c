/*
 * Watching a run: a live view on a terminal, a line an event in a pipe, a document a change with
 * --json.
 */
#include "cli/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/live.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/run_view.h"
#include "cli/stream.h"
#include "cli/stubs.h"
#include "proto/message.h"

enum { TICK_MS = 1000 };

struct watching {
	struct cli *cli;
	struct live live;
	struct stream *stream;
	struct progress_reader *progress;
	Sluice__V1__RunDetail *now; /* owned; as last seen */
	bool screen;
};

static void draw(struct watching *w, bool over)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	run_view(w->now, &look, progress_of, w->progress, &text);
	if (!over && stream_lost(w->stream))
		text_paint(&text, &look, YELLOW, "The connection is lost; trying again");
	else if (!over)
		text_paintf(&text, &look, DIM,
			    "Ctrl-C detaches; cancel with: sluice runs cancel %u",
			    w->now->run->number);
	if (!over)
		buf_putc(&text, '\n');
	live_draw(&w->live, &text);
}

static void show(struct watching *w, const Sluice__V1__RunDetail *seen)
{
	cleanup(message_freep) Sluice__V1__RunDetail *before = w->now;
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	w->now = message_copy(seen);
	if (w->cli->json) {
		out_json_line(&seen->base);
	} else if (w->screen) {
		draw(w, seen->run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING);
	} else {
		run_changes(before, w->now, &look, &text);
		out_buf(&text);
	}
}

/* What the run came to: a release has a number, which only its own row knows. */
static void tell_release(struct watching *w)
{
	Sluice__V1__GetReleaseRequest request = SLUICE__V1__GET_RELEASE_REQUEST__INIT;
	const Sluice__V1__ReleaseDetail *r;

	if (!w->now || !*w->now->run->release || w->cli->json)
		return;
	request.release = w->now->run->release;
	r = releases_get(w->cli->channel, w->cli->arena, &request, NULL);
	if (r)
		out_printf("Made release r%u. Promote it: sluice promote r%u --to ENVIRONMENT\n",
			   r->release->number, r->release->number);
}

static int outcome(const Sluice__V1__Run *run)
{
	switch (run->state) {
	case SLUICE__V1__RUN_STATE__RUN_SUCCEEDED:
		return STATUS_OK;
	case SLUICE__V1__RUN_STATE__RUN_CANCELLED:
		return STATUS_REJECTED;
	default:
		return STATUS_FAILED;
	}
}

static int follow(struct watching *w, struct stream *stream, struct error *err)
{
	const Sluice__V1__RunDetail *seen = NULL;

	for (;;) {
		switch (stream_next(stream, (const void **)&seen, sizeof *seen,
				    w->screen ? TICK_MS : -1, err)) {
		case STREAM_MESSAGE:
			show(w, seen);
			if (seen->run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING)
				return outcome(seen->run);
			break;
		case STREAM_TICK:
			if (!stream_lost(stream))
				progress_look(w->progress, w->now);
			if (w->now)
				draw(w, false);
			break;
		case STREAM_INTERRUPTED:
			return STATUS_INTERRUPTED;
		case STREAM_END:
			return error_set(err, ERR_ABORTED, "the controller stopped telling");
		case STREAM_ERROR:
			return -1;
		}
	}
}

int watch_run(struct cli *cli, const char *run, struct error *err)
{
	Sluice__V1__GetRunRequest request = SLUICE__V1__GET_RUN_REQUEST__INIT;
	cleanup(stream_close) struct stream stream = {
		.channel = cli_channel(cli, err),
		.service = &sluice__v1__runs__descriptor,
		.method = "Watch",
		.request = &request.base,
	};
	struct watching w = { .cli = cli, .screen = out_live() && !cli->json };
	int status;

	if (!stream.channel)
		return -1;
	request.run = (char *)run;
	stream.quiet = w.screen;
	w.stream = &stream;
	w.progress = progress_new(stream.channel);
	status = follow(&w, &stream, err);
	live_end(&w.live);
	if (status == STATUS_INTERRUPTED && w.now) {
		say("Detached: run %u goes on. Watch it: sluice watch %u. Cancel it: sluice runs "
		    "cancel %u",
		    w.now->run->number, w.now->run->number, w.now->run->number);
	} else if (status >= 0) {
		tell_release(&w);
		if (status == STATUS_FAILED && w.now && !cli->json)
			say("Read why: sluice logs %u --failed", w.now->run->number);
	}
	progress_free(w.progress);
	message_free(w.now);
	return status;
}
