/*
 * events: everything that happened, from any point on, live.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/out.h"
#include "cli/stream.h"
#include "cli/verbs.h"
#include "sluice/v1/events.pb-c.h"

static void put_event(const Sluice__V1__Event *e, const struct look *look, struct buf *out)
{
	char kind[ENUM_WORD], time[CLOCK_TEXT];

	text_paint(out, look, DIM, clock_format(e->time_ms, time));
	buf_printf(out, "  %-26s ",
		   enum_word(&sluice__v1__event_kind__descriptor, (int)e->kind, kind));
	text_put(out, e->text);
	if (e->actor && e->actor->kind == SLUICE__V1__ACTOR__KIND__USER)
		text_paintf(out, look, DIM, "  (%s)", e->actor->name);
	buf_putc(out, '\n');
}

static void put_batch(const struct cli *cli, const Sluice__V1__EventBatch *batch)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	for (size_t i = 0; i < batch->n_events; i++) {
		if (cli->json)
			out_json_line(&batch->events[i]->base);
		else
			put_event(batch->events[i], &look, &text);
	}
	out_buf(&text);
}

static int events(struct cli *cli, struct error *err)
{
	Sluice__V1__WatchEventsRequest request = SLUICE__V1__WATCH_EVENTS_REQUEST__INIT;
	const struct args *args = &cli->args;
	cleanup(stream_close) struct stream stream = {
		.channel = cli_channel(cli, err),
		.service = &sluice__v1__events__descriptor,
		.method = "Watch",
		.request = &request.base,
	};
	const Sluice__V1__EventBatch *batch = NULL;
	int64_t after = 0;

	if (!stream.channel || flag_number(args, "after", 0, INT64_MAX, &after, err) < 0)
		return -1;
	request.after_seq = (uint64_t)after;
	request.follow = flag_given(args, "follow");
	request.from_now = request.follow && !flag_given(args, "after") &&
			   !flag_given(args, "run") && !flag_given(args, "env");
	if (flag_given(args, "run"))
		request.run = (char *)flag_text(args, "run");
	if (flag_given(args, "env"))
		request.environment = (char *)flag_text(args, "env");
	for (;;) {
		switch (stream_next(&stream, (const void **)&batch, sizeof *batch, -1, err)) {
		case STREAM_MESSAGE:
			put_batch(cli, batch);
			/* after a loss it goes on behind what was shown */
			if (batch->n_events) {
				request.after_seq = batch->events[batch->n_events - 1]->seq;
				request.from_now = false;
			}
			break;
		case STREAM_INTERRUPTED:
			return STATUS_INTERRUPTED;
		case STREAM_ERROR:
			return -1;
		default:
			return STATUS_OK;
		}
	}
}

static const struct flag events_flags[] = {
	{ 'f', "follow", NULL, "go on as things happen (from now on, unless more is asked for)" },
	{ 0, "run", "RUN", "only of this run" },
	{ 0, "env", "ENVIRONMENT", "only of this environment" },
	{ 0, "after", "SEQ", "only those behind this one" },
	{ 0 },
};

const struct verb event_verbs[] = {
	{ "events", "", "Everything that happened: the audit log", NULL, events_flags, 0, 0, true,
	  events },
	{ 0 },
};
