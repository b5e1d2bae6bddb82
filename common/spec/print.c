/*
 * The expanded pipeline as YAML that a person can read, every default spelled out. It is
 * for looking at, and for tests: an expansion that changed shows as a line that changed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "spec/spec.h"

struct printer {
	struct buf *out;
	int indent;
};

static void line_start(struct printer *p)
{
	for (int i = 0; i < p->indent; i++)
		buf_puts(p->out, "  ");
}

static bool needs_quotes(const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789._/=%[]$()+<>@~^";

	if (!*s || strchr("[]%@>~=.", *s))
		return true;
	for (; *s; s++)
		if (!strchr(plain, *s) && !(*s == ' ' && s[1] && s[1] != '#') && *s != '-' &&
		    *s != ',')
			return true;
	return false;
}

static void print_scalar(struct printer *p, const char *s)
{
	if (!needs_quotes(s)) {
		buf_puts(p->out, s);
		return;
	}
	buf_putc(p->out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_printf(p->out, "\\%c", *s);
		else if (*s == '\n')
			buf_puts(p->out, "\\n");
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			buf_printf(p->out, "\\x%02x", (unsigned)*s);
		else
			buf_putc(p->out, *s);
	}
	buf_putc(p->out, '"');
}

/* As a literal block: only what YAML gives back as it was. */
static bool print_block(struct printer *p, const char *key, const char *value)
{
	size_t len = strlen(value);

	if (!strchr(value, '\n') || strchr(" \t\n", *value))
		return false;
	for (const char *s = value; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f)
			return false;
	line_start(p);
	buf_printf(p->out, "%s: |%s\n", key,
		   value[len - 1] != '\n'   ? "-"
		   : value[len - 2] == '\n' ? "+"
					    : "");
	p->indent++;
	for (const char *s = value; *s;) {
		size_t n = strcspn(s, "\n");

		if (n)
			line_start(p);
		buf_printf(p->out, "%.*s\n", (int)n, s);
		s += n + (s[n] == '\n');
	}
	p->indent--;
	return true;
}

static void print_text(struct printer *p, const char *key, const char *value)
{
	if (!*value || print_block(p, key, value))
		return;
	line_start(p);
	buf_printf(p->out, "%s: ", key);
	print_scalar(p, value);
	buf_putc(p->out, '\n');
}

static void print_number(struct printer *p, const char *key, int64_t n)
{
	line_start(p);
	buf_printf(p->out, "%s: %" PRId64 "\n", key, n);
}

/* Exactly, in the largest unit that divides it. */
static void print_duration(struct printer *p, const char *key, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = {
		{ 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" }
	};
	size_t i = 0;

	while (ms % units[i].ms)
		i++;
	if (!ms)
		i = 3;
	line_start(p);
	buf_printf(p->out, "%s: %" PRId64 "%s\n", key, ms / units[i].ms, units[i].unit);
}

static void print_bytes(struct printer *p, const char *key, uint64_t bytes)
{
	static const char units[] = " KMGT";
	int unit = 0;

	if (!bytes)
		return;
	for (; bytes % 1024 == 0 && units[unit + 1]; unit++)
		bytes /= 1024;
	line_start(p);
	buf_printf(p->out, "%s: %" PRIu64 "%.*s\n", key, bytes, unit > 0, units + unit);
}

static void open_map(struct printer *p, const char *key)
{
	line_start(p);
	buf_printf(p->out, "%s:\n", key);
	p->indent++;
}

static void print_variables(struct printer *p, const char *key, Sluice__V1__Variable **v, size_t n)
{
	if (!n)
		return;
	open_map(p, key);
	for (size_t i = 0; i < n; i++) {
		line_start(p);
		buf_printf(p->out, "%s: ", v[i]->name);
		print_scalar(p, v[i]->value);
		buf_putc(p->out, '\n');
	}
	p->indent--;
}

static void print_labels(struct printer *p, Sluice__V1__Variable **v, size_t n)
{
	if (!n)
		return;
	line_start(p);
	buf_puts(p->out, "agents: [");
	for (size_t i = 0; i < n; i++)
		buf_printf(p->out, "%s%s=%s", i ? ", " : "", v[i]->name, v[i]->value);
	buf_puts(p->out, "]\n");
}

static void print_resources(struct printer *p, const Sluice__V1__Resources *r)
{
	if (!r->cpu_milli && !r->memory && !r->gpu && !r->gpu_memory && !r->disk && !r->n_agents)
		return;
	open_map(p, "resources");
	if (r->cpu_milli) {
		line_start(p);
		buf_printf(p->out, "cpu: %g\n", r->cpu_milli / 1000.0);
	}
	print_bytes(p, "memory", r->memory);
	if (r->gpu)
		print_number(p, "gpu", r->gpu);
	print_bytes(p, "gpu_memory", r->gpu_memory);
	print_bytes(p, "disk", r->disk);
	print_labels(p, r->agents, r->n_agents);
	p->indent--;
}

static const char *kind_name(Sluice__V1__ArtifactKind kind)
{
	static const char *const names[] = {
		"", "any", "data", "model", "code", "report", "source"
	};

	return (size_t)kind < ARRAY_SIZE(names) ? names[kind] : "";
}

static const char *cause_name(Sluice__V1__ExitReason reason)
{
	switch (reason) {
	case SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED:
		return "preempted";
	case SLUICE__V1__EXIT_REASON__EXIT_OUT_OF_MEMORY:
		return "out_of_memory";
	case SLUICE__V1__EXIT_REASON__EXIT_TIMEOUT:
		return "timeout";
	case SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST:
		return "agent_lost";
	default:
		return "infra";
	}
}

static void print_retry(struct printer *p, const Sluice__V1__Retry *r)
{
	open_map(p, "retry");
	print_number(p, "max", r->max);
	line_start(p);
	buf_puts(p->out, "causes: [");
	for (size_t i = 0; i < r->n_causes; i++)
		buf_printf(p->out, "%s%s", i ? ", " : "", cause_name(r->causes[i]));
	for (size_t i = 0; i < r->n_exit_codes; i++)
		buf_printf(p->out, "%sexit:%d", i || r->n_causes ? ", " : "", r->exit_codes[i]);
	buf_puts(p->out, "]\n");
	print_duration(p, "wait", r->wait_ms);
	p->indent--;
}

static void print_input(struct printer *p, const Sluice__V1__InputSpec *in)
{
	if (*in->artifact) {
		open_map(p, in->name);
		print_text(p, "artifact", in->artifact);
		line_start(p);
		if (in->version)
			buf_printf(p->out, "version: %" PRIu32 "\n", in->version);
		else
			buf_puts(p->out, "version: latest\n");
		p->indent--;
		return;
	}
	if (in->fan_in)
		open_map(p, in->name);
	for (size_t i = 0; i < in->n_sources; i++) {
		const Sluice__V1__InputSource *s = in->sources[i];

		line_start(p);
		buf_printf(p->out, "%s: %s.%s\n", in->fan_in ? s->key : in->name, s->job,
			   s->output);
	}
	if (in->fan_in)
		p->indent--;
}

static void print_outputs(struct printer *p, const Sluice__V1__JobSpec *j)
{
	if (!j->n_outputs)
		return;
	open_map(p, "outputs");
	for (size_t i = 0; i < j->n_outputs; i++) {
		open_map(p, j->outputs[i]->name);
		print_text(p, "path", j->outputs[i]->path);
		print_text(p, "kind", kind_name(j->outputs[i]->kind));
		print_text(p, "publish", j->outputs[i]->publish);
		print_text(p, "meta", j->outputs[i]->meta);
		p->indent--;
	}
	p->indent--;
}

static void print_list(struct printer *p, const char *key, char **items, size_t n)
{
	if (!n)
		return;
	open_map(p, key);
	for (size_t i = 0; i < n; i++) {
		line_start(p);
		buf_puts(p->out, "- ");
		print_scalar(p, items[i]);
		buf_putc(p->out, '\n');
	}
	p->indent--;
}

static void print_release(struct printer *p, const Sluice__V1__ReleaseSpec *r)
{
	open_map(p, "release");
	open_map(p, "parts");
	for (size_t i = 0; i < r->n_parts; i++)
		print_text(p, r->parts[i]->slot, r->parts[i]->input);
	p->indent--;
	print_text(p, "notes", r->notes);
	p->indent--;
}

static void print_job(struct printer *p, const Sluice__V1__JobSpec *j, bool step)
{
	open_map(p, j->name);
	print_text(p, "run", j->run);
	print_variables(p, "matrix", j->matrix, j->n_matrix);
	print_variables(p, "env", j->env, j->n_env);
	if (j->n_inputs) {
		open_map(p, "inputs");
		for (size_t i = 0; i < j->n_inputs; i++)
			print_input(p, j->inputs[i]);
		p->indent--;
	}
	print_outputs(p, j);
	print_list(p, "needs", j->needs, j->n_needs);
	print_resources(p, j->resources);
	print_duration(p, "timeout", j->timeout_ms);
	if (!step) {
		print_duration(p, "grace", j->grace_ms);
		print_retry(p, j->retry);
		print_text(p, "on_lost",
			   j->on_lost == SLUICE__V1__ON_LOST__ON_LOST_FAIL ? "fail" : "rerun");
		print_duration(p, "lease", j->lease_ms);
		print_number(p, "priority", j->priority);
	}
	print_text(p, "metrics", j->metrics);
	print_text(p, "report", j->report);
	if (j->evaluates) {
		open_map(p, "evaluates");
		print_text(p, "candidate", j->evaluates->candidate);
		print_text(p, "set", j->evaluates->set);
		p->indent--;
	}
	print_list(p, step ? "expect" : "gates", j->gates, j->n_gates);
	if (j->release)
		print_release(p, j->release);
	p->indent--;
}

static void print_share(struct printer *p, const char *key, const Sluice__V1__Share *s)
{
	line_start(p);
	if (s->count)
		buf_printf(p->out, "%s: %" PRIu32 "\n", key, s->count);
	else
		buf_printf(p->out, "%s: %" PRIu32 "%%\n", key, s->percent);
}

static void print_check(struct printer *p, const Sluice__V1__CheckSpec *c)
{
	open_map(p, "check");
	print_text(p, "http", c->http);
	print_text(p, "run", c->run);
	print_duration(p, "every", c->every_ms);
	print_duration(p, "healthy_for", c->healthy_for_ms);
	print_duration(p, "deadline", c->deadline_ms);
	print_duration(p, "timeout", c->timeout_ms);
	p->indent--;
}

static void print_unreachable(struct printer *p, const Sluice__V1__Unreachable *u)
{
	if (u->fail) {
		print_text(p, "unreachable", "fail");
		return;
	}
	open_map(p, "unreachable");
	if (u->skip)
		print_number(p, "skip", u->skip);
	if (u->wait_ms)
		print_duration(p, "wait", u->wait_ms);
	p->indent--;
}

static void print_deploy(struct printer *p, const Sluice__V1__DeploySpec *d)
{
	bool recreate = d->strategy == SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;

	open_map(p, "deploy");
	print_text(p, "service", d->service);
	print_text(p, "run", d->run);
	if (d->port)
		print_number(p, "port", d->port);
	print_check(p, d->check);
	print_text(p, "strategy", recreate ? "recreate" : "rolling");
	if (!recreate) {
		print_share(p, "batch", d->batch);
		print_duration(p, "pause", d->pause_ms);
		print_share(p, "max_unavailable", d->max_unavailable);
	}
	print_number(p, "max_failed", d->max_failed);
	print_number(p, "slots", d->slots);
	print_resources(p, d->resources);
	print_variables(p, "env", d->env, d->n_env);
	print_duration(p, "timeout", d->timeout_ms);
	if (*d->service)
		print_duration(p, "grace", d->grace_ms);
	print_text(p, "prepare", d->prepare);
	print_text(p, "activate", d->activate);
	print_text(p, "drain", d->drain);
	print_duration(p, "progress", d->progress_ms);
	print_unreachable(p, d->unreachable);
	p->indent--;
}

static void print_environment(struct printer *p, const Sluice__V1__EnvironmentSpec *e)
{
	open_map(p, e->name);
	print_text(p, "after", e->after);
	print_labels(p, e->agents, e->n_agents);
	print_text(p, "auto", e->auto_newest ? "newest" : "off");
	print_text(p, "shared", e->shared ? "true" : "false");
	print_deploy(p, e->deploy);
	if (e->n_verify) {
		open_map(p, "verify");
		for (size_t i = 0; i < e->n_verify; i++)
			print_job(p, e->verify[i], true);
		p->indent--;
	}
	p->indent--;
}

static void print_param(struct printer *p, const Sluice__V1__Param *param)
{
	static const char *const types[] = { "", "string", "int", "float", "bool", "choice" };

	line_start(p);
	buf_printf(p->out, "%s: {type: %s, value: ", param->name, types[param->type]);
	print_scalar(p, param->value);
	buf_printf(p->out, "}%s\n", param->is_default ? "" : "  # given");
}

void spec_print(const Sluice__V1__Pipeline *pipeline, struct buf *out)
{
	struct printer p = { out, 0 };

	buf_puts(out, "version: 1\n");
	print_text(&p, "pipeline", pipeline->name);
	if (pipeline->n_params) {
		open_map(&p, "params");
		for (size_t i = 0; i < pipeline->n_params; i++)
			print_param(&p, pipeline->params[i]);
		p.indent--;
	}
	if (pipeline->n_jobs) {
		open_map(&p, "jobs");
		for (size_t i = 0; i < pipeline->n_jobs; i++)
			print_job(&p, pipeline->jobs[i], false);
		p.indent--;
	}
	if (pipeline->n_environments) {
		open_map(&p, "environments");
		for (size_t i = 0; i < pipeline->n_environments; i++)
			print_environment(&p, pipeline->environments[i]);
		p.indent--;
	}
}
