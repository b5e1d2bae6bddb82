/*
 * The core as a whole. Its log lines (a failed handshake is one each) go to
 * base/log, a few a second, the rest is counted. TLS 1.2 has no switch in the
 * core's API: with one RSA suite for 1.2 and our certificates' keys never being
 * RSA, only TLS 1.3 can agree.
 */
#include <grpc/support/log.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "rpc/internal.h"

enum { LINES_A_SECOND = 5 };

static struct lock lock = LOCK_INIT; /* guards the three */
static int64_t second;
static unsigned lines, dropped;

static void core_says(gpr_log_func_args *args)
{
	const char *file = strrchr(args->file, '/');
	int64_t now = clock_mono_us() / 1000000;
	unsigned hidden = 0;
	bool show;

	if (strstr(args->message, "assertion failed")) { /* the core aborts next */
		log_error("grpc: %s:%d: %s", args->file, args->line, args->message);
		return;
	}
	lock_take(&lock);
	if (now != second) {
		hidden = dropped;
		second = now;
		lines = dropped = 0;
	}
	show = lines++ < LINES_A_SECOND;
	dropped += !show;
	lock_drop(&lock);
	if (hidden)
		log_debug("grpc: %u more lines", hidden);
	if (show)
		log_debug("grpc: %s:%d: %s", file ? file + 1 : args->file, args->line,
			  args->message);
}

static void init(void)
{
	setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384", 1);
	gpr_set_log_function(core_says);
	gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
}

void rpc_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
}
