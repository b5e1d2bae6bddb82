/*
 * sluice-controller: decides, stores, serves. `init` once, then `run` (the default).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "controller/controller.h"
#include "rpc/rpc.h"

enum { LOOK_EVERY_S = 3600, EXIT_USAGE = 2, EXIT_FILE = 3 };

static int usage(FILE *to, int code)
{
	cleanup(buf_release) struct buf text = { 0 };

	config_usage(controller_keys, &text);
	fprintf(to,
		"usage: sluice-controller [run] [OPTION...]\n"
		"       sluice-controller init [OPTION...]\n"
		"       sluice-controller version\n\n"
		"  --config FILE   (default /etc/sluice/controller.yaml)\n%s",
		buf_str(&text));
	return code;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "sluice-controller: %s%s%s%s\n", err->text, *err->id ? " [" : "", err->id,
		*err->id ? "]" : "");
	if (*err->hint)
		fprintf(stderr, "  %s\n", err->hint);
	return 1;
}

static const char *take_config(int *argc, char **argv)
{
	for (int i = 1; i + 1 < *argc; i++)
		if (strcmp(argv[i], "--config") == 0) {
			const char *path = argv[i + 1];

			memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);
			*argc -= 2;
			return path;
		}
	return NULL;
}

static int serve(const struct config *config, struct error *err)
{
	struct controller *c = controller_start(config, err);
	struct timespec hour = { LOOK_EVERY_S, 0 };
	sigset_t set;
	int number;

	if (!c)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	do {
		number = sigtimedwait(&set, NULL, &hour);
		if (number < 0 && errno == EAGAIN)
			controller_look(c);
	} while (number < 0);
	log_info("stopping");
	controller_stop(c);
	return 0;
}

int main(int argc, char **argv)
{
	const char *path = take_config(&argc, argv), *verb;
	cleanup(config_freep) struct config *config = config_new(controller_keys);
	struct diagnostics d = { 0 };
	struct error err = { 0 };

	thread_block_signals();
	if (config_load(config, path ? path : "/etc/sluice/controller.yaml", path != NULL, &d) <
	    0) {
		cleanup(buf_release) struct buf text = { 0 };

		diagnostics_text(&d, isatty(2), &text);
		fputs(buf_str(&text), stderr);
		diagnostics_release(&d);
		return EXIT_FILE;
	}
	diagnostics_release(&d);
	if (config_flags(config, &argc, argv, &err) < 0)
		return fail(&err), EXIT_USAGE;
	verb = argc > 1 ? argv[1] : "run";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0)
		return usage(stdout, 0);
	if (strcmp(verb, "version") == 0 || strcmp(verb, "--version") == 0)
		return printf("sluice-controller %s\n", SLUICE_VERSION), 0;
	if (argc > 2 || (strcmp(verb, "run") != 0 && strcmp(verb, "init") != 0))
		return usage(stderr, EXIT_USAGE);
	if (config_bool(config, "verbose"))
		log_set_level(LOG_LEVEL_DEBUG);
	rpc_init();
	if (strcmp(verb, "init") == 0)
		return controller_init(config, &err) < 0 ? fail(&err) : 0;
	return serve(config, &err) < 0 ? fail(&err) : 0;
}
