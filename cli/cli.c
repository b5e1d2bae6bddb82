/*
 * From the arguments to an exit status. Verbs return or fail; here alone failures become words and
 * numbers.
 */
#include "cli/cli.h"

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "cli/context.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/out.h"
#include "cli/verbs.h"

void say(const char *fmt, ...)
{
	cleanup(buf_release) struct buf line = { 0 };
	va_list args;

	va_start(args, fmt);
	buf_vprintf(&line, fmt, args);
	va_end(args);
	buf_putc(&line, '\n');
	file_write_all(2, line.data, line.len, NULL);
}

void say_error(const struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_error_look();

	text_paintf(&text, &look, RED, *err->id ? "error[%s]" : "error", err->id);
	buf_puts(&text, ": ");
	text_put(&text, err->text);
	if (*err->hint) {
		buf_puts(&text, "\n  ");
		text_put(&text, err->hint);
	}
	say("%s", buf_str(&text));
}

/* For a program that asked for JSON: the same, one object in a line. */
static void say_error_json(const struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:s}", "code", err->id, "status",
			  error_code_name(err->code), "message", err->text, "hint", err->hint);

	if (!object) { /* it holds what is no text */
		say_error(err);
		return;
	}
	if (*err->file) {
		json_object_set_new(object, "file", json_string(err->file));
		json_object_set_new(object, "line", json_integer(err->line));
		json_object_set_new(object, "col", json_integer(err->col));
	}
	object = json_pack("{s:o}", "error", object);
	json_write(object, true, &text);
	json_decref(object);
	file_write_all(2, text.data, text.len, NULL);
}

char *cli_request_id(struct cli *cli)
{
	struct id id = id_new();

	return arena_strdup(cli->arena, id.text);
}

struct rpc_channel *cli_channel(struct cli *cli, struct error *err)
{
	struct context context = { 0 };
	struct rpc_endpoint endpoint = { .wait_ready_ms = 3000 };

	if (cli->channel)
		return cli->channel;
	if (context_resolve(flag_text(&cli->args, "context"), &context, err) < 0)
		return NULL;
	endpoint.address = context.address;
	endpoint.ca_pem = context.ca_pem;
	endpoint.bearer = *context.token ? context.token : NULL;
	cli->channel = rpc_dial(&endpoint, err);
	if (!cli->channel)
		error_wrap(err, "the context '%s'", context.name);
	cli->address = arena_strdup(cli->arena, context.address);
	if (*context.dev)
		cli->dev = arena_strdup(cli->arena, context.dev);
	context_release(&context);
	return cli->channel;
}

static int refuse(const struct verb *verb, struct error *err)
{
	error_id(err, "E0900", "`sluice %s` is not supported yet", verb->name);
	return error_hint(err, "sluice help lists what is");
}

/* What is given before the verb (`sluice --context x runs ls`) goes behind it. */
static int leading_flags(int argc, char **argv)
{
	int n = 0;

	while (n < argc && strncmp(argv[n], "--context", 9) == 0)
		n += argv[n][9] == '=' ? 1 : 2;
	return MIN(n, argc);
}

static int run(struct cli *cli, int argc, char **argv, struct error *err)
{
	int leading = leading_flags(argc, argv), used = 0, n = 0;
	cleanup(freep) char **rest = xcalloc((size_t)argc + 1, sizeof *rest);
	const struct verb *verb;

	if (argc == leading) {
		help_overview(false);
		return STATUS_USAGE;
	}
	if (strcmp(argv[leading], "--help") == 0 || strcmp(argv[leading], "-h") == 0)
		argv[leading] = (char *)"help";
	if (strcmp(argv[leading], "--version") == 0)
		argv[leading] = (char *)"version";
	/* `sluice runs --help` */
	if (argc == leading + 2 &&
	    (strcmp(argv[leading + 1], "--help") == 0 || strcmp(argv[leading + 1], "-h") == 0))
		return help_about(1, argv + leading, err);
	verb = verb_find(verb_families, argc - leading, argv + leading, &used, err);
	if (!verb)
		return -1;
	for (int i = leading + used; i < argc; i++)
		rest[n++] = argv[i];
	for (int i = 0; i < leading; i++)
		rest[n++] = argv[i];
	if (!verb->run)
		return refuse(verb, err);
	if (args_parse(verb, n, rest, &cli->args, err) < 0)
		return -1;
	if (flag_given(&cli->args, "help")) {
		help_verb(verb);
		return STATUS_OK;
	}
	cli->json = verb->json && flag_given(&cli->args, "json");
	return verb->run(cli, err);
}

int cli_main(int argc, char **argv)
{
	struct cli cli = { .arena = arena_new(0) };
	struct error err = { 0 };
	int status;

	interrupt_start();
	log_set_level(LOG_LEVEL_WARN);
	status = run(&cli, argc - 1, argv + 1, &err);
	if (status < 0) {
		if (err.code == ERR_UNAVAILABLE && cli.dev)
			error_hint(&err, "start it with: sluice dev --dir %s", cli.dev);
		(cli.json ? say_error_json : say_error)(&err);
		status = status_of_error(&err);
	}
	rpc_hangup(cli.channel);
	arena_free(cli.arena);
	return status;
}
