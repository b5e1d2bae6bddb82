/*
 * Watching an environment, or one promotion in it to its end.
 */
#include <stdio.h>
#include <string.h>

#include "cli/env_view.h"
#include "cli/live.h"
#include "cli/out.h"
#include "cli/stream.h"
#include "cli/stubs.h"
#include "cli/watch.h"
#include "proto/message.h"

#define STATE(name) SLUICE__V1__PROMOTION__STATE__##name

struct watching {
	struct cli *cli;
	const char *promotion;
	struct live live;
	struct stream *stream;
	Sluice__V1__EnvironmentDetail *now; /* owned; as last seen */
	bool screen;
	int64_t until_ms; /* boot clock; 0: for ever */
};

static bool is_over(const struct watching *w)
{
	return *w->promotion && w->now->promotion && promotion_over(w->now->promotion);
}

static void draw(struct watching *w)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	env_view(w->now, &look, &text);
	if (!is_over(w) && stream_lost(w->stream))
		text_paint(&text, &look, YELLOW, stream_lost_text);
	else if (!is_over(w))
		text_paint(&text, &look, DIM,
			   *w->promotion ? "Ctrl-C detaches; the promotion goes on"
					 : "Ctrl-C ends watching");
	if (!is_over(w))
		buf_putc(&text, '\n');
	live_draw(&w->live, &text);
}

static void show(struct watching *w, const Sluice__V1__EnvironmentDetail *seen)
{
	cleanup(message_freep) Sluice__V1__EnvironmentDetail *before = w->now;
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	w->now = message_copy(seen);
	if (w->cli->json) {
		out_json_line(&seen->base);
	} else if (w->screen) {
		draw(w);
	} else {
		env_changes(before, w->now, &look, &text);
		out_buf(&text);
	}
}

static int outcome(const Sluice__V1__Promotion *p)
{
	return p->state == STATE(SUCCEEDED)   ? STATUS_OK
	       : p->state == STATE(CANCELLED) ? STATUS_REJECTED
					      : STATUS_FAILED;
}

static int out_of_patience(const struct watching *w, const char *environment, struct error *err)
{
	if (!*w->promotion) /* looked on for as long as was asked */
		return STATUS_OK;
	error_set(err, ERR_TIMEOUT, "the promotion in '%s' has not ended yet; it goes on",
		  environment);
	return error_hint(err,
			  "watch it: sluice env show %s --watch. Take it back: sluice rollback %s",
			  environment, environment);
}

static int follow(struct watching *w, struct stream *stream, const char *environment,
		  struct error *err)
{
	const Sluice__V1__EnvironmentDetail *seen = NULL;

	for (;;) {
		int ms = watch_tick(w->until_ms, w->screen);

		if (!ms)
			return out_of_patience(w, environment, err);
		switch (stream_next(stream, (const void **)&seen, sizeof *seen, ms, err)) {
		case STREAM_MESSAGE:
			show(w, seen);
			if (is_over(w))
				return outcome(w->now->promotion);
			break;
		case STREAM_TICK:
			if (w->screen && w->now)
				draw(w);
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

int watch_environment(struct cli *cli, const char *environment, const char *promotion,
		      struct error *err)
{
	Sluice__V1__WatchEnvironmentRequest request = SLUICE__V1__WATCH_ENVIRONMENT_REQUEST__INIT;
	cleanup(stream_close) struct stream stream = {
		.channel = cli_channel(cli, err),
		.service = &sluice__v1__environments__descriptor,
		.method = "Watch",
		.request = &request.base,
	};
	struct watching w = { .cli = cli,
			      .promotion = promotion,
			      .screen = out_live() && !cli->json };
	int status;

	if (!stream.channel || watch_until(&cli->args, &w.until_ms, err) < 0)
		return -1;
	request.environment = (char *)environment;
	request.promotion = (char *)promotion;
	stream.quiet = w.screen;
	w.stream = &stream;
	status = follow(&w, &stream, environment, err);
	live_end(&w.live);
	if (status == STATUS_INTERRUPTED && *promotion)
		say("Detached: the promotion goes on. Watch it: sluice env show %s --watch. Take "
		    "it back: sluice rollback %s",
		    environment, environment);
	message_free(w.now);
	return status;
}
