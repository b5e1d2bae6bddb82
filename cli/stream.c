/*
 * While the stream is read it is the one that Ctrl-C cancels.
 */
#include "cli/stream.h"

#include "base/clock.h"
#include "cli/complete.h"
#include "cli/interrupt.h"

enum { FIRST_WAIT_MS = 250, LONGEST_WAIT_MS = 5000 };

const char stream_lost_text[] =
	"The controller is not reachable; trying again. Nothing is lost: what runs goes on.";

static void wake(void *call)
{
	rpc_cancel(call);
}

static void hang_up(struct stream *s)
{
	if (!s->call)
		return;
	interrupt_end();
	rpc_close(s->call);
	s->call = NULL;
}

void stream_close(struct stream *s)
{
	hang_up(s);
}

bool stream_lost(const struct stream *s)
{
	return s->lost_ms != 0;
}

static int open_call(struct stream *s, struct error *err)
{
	struct error ignored = { 0 };

	s->call = rpc_open(s->channel, s->service, s->method, err);
	if (!s->call)
		return -1;
	interrupt_begin(wake, s->call);
	/* if sending fails, the status that is received says why */
	if (rpc_send_(s->call, s->request, false, &ignored) == 0)
		rpc_done_sending(s->call, &ignored);
	return 0;
}

/* May it be tried again? Waits before it. */
static bool again(struct stream *s, const struct error *err)
{
	int64_t now = clock_boot_ms();

	if (err->code != ERR_UNAVAILABLE)
		return false;
	if (!s->lost_ms) {
		s->lost_ms = now;
		s->wait_ms = FIRST_WAIT_MS;
		if (!s->quiet)
			say("%s", stream_lost_text);
	}
	if (now - s->lost_ms > STREAM_PATIENCE_MS)
		return false;
	interrupt_begin(NULL, NULL);
	interrupt_sleep(s->wait_ms);
	interrupt_end();
	s->wait_ms = MIN(2 * s->wait_ms, LONGEST_WAIT_MS);
	return true;
}

enum stream_news stream_next(struct stream *s, const void **ret, size_t size, int ms,
			     struct error *err)
{
	for (;;) {
		bool first = !s->call && !s->lost_ms;
		int r;

		if (interrupted())
			return STREAM_INTERRUPTED;
		if (!s->call && open_call(s, err) < 0)
			return STREAM_ERROR;
		r = rpc_recv_(s->call, ret, size, ms, err);
		if (r > 0) {
			if (message_complete(*ret, err) < 0)
				return STREAM_ERROR;
			if (s->lost_ms && !s->quiet)
				say("The controller is back.");
			s->lost_ms = 0;
			return STREAM_MESSAGE;
		}
		if (r < 0 && err->code == ERR_TIMEOUT && ms >= 0) {
			error_clear(err);
			return STREAM_TICK;
		}
		hang_up(s);
		if (interrupted())
			return error_clear(err), STREAM_INTERRUPTED;
		if (r == 0)
			return STREAM_END;
		/* never connected: that is an answer, too, and at once */
		if (first || !again(s, err))
			return STREAM_ERROR;
		error_clear(err);
		if (ms >= 0)
			return STREAM_TICK;
	}
}
