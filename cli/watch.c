/*
 * Watching a run: a live view on a terminal, a line an event in a pipe, a document a change with
 * --json.
 */
#include "cli/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/live.h"
#include "cli/next.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/run_view.h"
#include "cli/stream.h"
#include "cli/stubs.h"
#include "proto/message.h"

struct watching {
	struct cli *cli;
	struct live live;
	struct stream *stream;
	struct progress_reader *progress;
	Sluice__V1__RunDetail *now; /* owned; as last seen */
	bool screen;
	int64_t until_ms; /* boot clock; 0: for ever */
};

int watch_until(const struct args *args, int64_t *ret, struct error *err)
{
	int64_t ms = 0;

	if (flag_duration(args, "timeout", &ms, err) < 0)
		return -1;
	*ret = ms ? clock_boot_ms() + ms : 0;
	return 0;
}

int watch_tick(int64_t until_ms, bool screen)
{
	int64_t left = until_ms ? MAX(until_ms - clock_boot_ms(), INT64_C(0)) : TICK_MS;

	return until_ms || screen ? (int)MIN(left, (int64_t)TICK_MS) : -1;
}

static void draw(struct watching *w, bool over)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	run_view(w->now, &look, progress_of, w->progress, &text);
	if (!over && stream_lost(w->stream))
		text_paint(&text, &look, YELLOW, stream_lost_text);
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

static int out_of_patience(const struct watching *w, struct error *err)
{
	if (!w->now)
		return error_set(err, ERR_TIMEOUT, "the run was not seen in time");
	error_set(err, ERR_TIMEOUT, "run %u has not ended yet; it goes on", w->now->run->number);
	return error_hint(err, "watch it: sluice watch %u. Cancel it: sluice runs cancel %u",
			  w->now->run->number, w->now->run->number);
}

static int follow(struct watching *w, struct stream *stream, struct error *err)
{
	const Sluice__V1__RunDetail *seen = NULL;

	for (;;) {
		int ms = watch_tick(w->until_ms, w->screen);

		if (!ms)
			return out_of_patience(w, err);
		switch (stream_next(stream, (const void **)&seen, sizeof *seen, ms, err)) {
		case STREAM_MESSAGE:
			show(w, seen);
			if (seen->run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING)
				return outcome(seen->run);
			break;
		case STREAM_TICK:
			if (w->screen && !stream_lost(stream))
				progress_look(w->progress, w->now);
			if (w->screen && w->now)
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

	if (!stream.channel || watch_until(&cli->args, &w.until_ms, err) < 0)
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
	} else if (status >= 0 && w.now && !cli->json) {
		if (*w.now->run->release)
			tell_release(cli, w.now->run);
		if (status == STATUS_FAILED)
			say("Read why: sluice runs why %u. What was written: sluice logs %u "
			    "--failed",
			    w.now->run->number, w.now->run->number);
	}
	progress_free(w.progress);
	message_free(w.now);
	return status;
}
