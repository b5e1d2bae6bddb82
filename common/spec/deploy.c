/*
 * `deploy`: a service or a command, its check, and how fast it may go over the hosts. The
 * defaults are those of SEMANTICS.md, Environments and rollout.
 */
#include <string.h>

#include "spec/build.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

static void exclude(struct build *b, const struct tree *t, const char *one, const char *other)
{
	const struct tree *a = tree_get(t, one), *c = tree_get(t, other);
	struct diagnostic *item;

	if (!a || !c)
		return;
	item = diagnostics_error(b->d, "E0119", c->key->at, "`%s` and `%s` exclude each other", one,
				 other);
	diagnostic_related(item, a->key->at, "`%s` is here", one);
}

static void check_probe(struct build *b, const struct tree *deploy, const struct tree *t,
			const Sluice__V1__CheckSpec *check)
{
	const struct tree *http = tree_get(t, "http"), *every = tree_get(t, "every");
	const struct tree *deadline = tree_get(t, "deadline");
	struct diagnostic *item;

	exclude(b, t, "http", "run");
	if (http && *http->text != '/') {
		item = diagnostics_error(b->d, "E0108", http->at,
					 "`http` wants a path, not `%.60s`", http->text);
		diagnostic_label(item, "it begins with `/`; host and port are the service's");
	}
	if (http && strpbrk(http->text, " \t\r\n"))
		diagnostics_error(b->d, "E0108", http->at, "`http` holds a blank");
	if (http && !tree_get(deploy, "service") && !tree_get(deploy, "port")) {
		item = diagnostics_error(b->d, "E0119", http->at,
					 "`http` without `service` or `port`: which port?");
		diagnostic_help(item, "port: 8000");
	}
	if (check->healthy_for_ms >= check->deadline_ms)
		diagnostics_error(b->d, "E0108", deadline ? deadline->at : t->key->at,
				  "`healthy_for` cannot hold within `deadline`");
	if (every && check->every_ms > MAX(check->healthy_for_ms, (int64_t)SECOND))
		diagnostics_warn(b->d, "E0121", every->at,
				 "`every` is longer than `healthy_for`: one probe decides");
}

static Sluice__V1__CheckSpec *build_check(struct build *b, const struct tree *deploy)
{
	Sluice__V1__CheckSpec *check = build_message(b, &sluice__v1__check_spec__descriptor);
	const struct tree *t = tree_get(deploy, "check");

	check->http = read_text(b, t, "http");
	check->run = read_text(b, t, "run");
	check->every_ms = read_number(t, "every", SCALAR_DURATION, SECOND);
	check->healthy_for_ms = read_number(t, "healthy_for", SCALAR_DURATION, 10 * SECOND);
	check->deadline_ms = read_number(t, "deadline", SCALAR_DURATION, 5 * MINUTE);
	check->timeout_ms = read_number(t, "timeout", SCALAR_DURATION, 5 * SECOND);
	if (t)
		check_probe(b, deploy, t, check);
	return check;
}

static Sluice__V1__Share *build_share(struct build *b, const struct tree *t, const char *key)
{
	Sluice__V1__Share *share = build_message(b, &sluice__v1__share__descriptor);
	struct scalar value;

	if (!read_scalar(t, key, SCALAR_SHARE, &value))
		return NULL;
	share->count = (uint32_t)value.number;
	share->percent = value.percent;
	return share;
}

static Sluice__V1__Unreachable *build_unreachable(struct build *b, const struct tree *deploy)
{
	Sluice__V1__Unreachable *u = build_message(b, &sluice__v1__unreachable__descriptor);
	const struct tree *t = tree_get(deploy, "unreachable");

	if (!t) {
		u->wait_ms = 10 * MINUTE;
		return u;
	}
	if (t->kind == TREE_SCALAR) {
		u->fail = true;
		return u;
	}
	u->skip = (uint32_t)read_number(t, "skip", SCALAR_INT, 0);
	u->wait_ms = read_number(t, "wait", SCALAR_DURATION, 0);
	if (t->kind == TREE_MAP && !t->count)
		diagnostics_error(b->d, "E0105", t->at, "`unreachable` says neither skip nor wait");
	return u;
}

static void build_pace(struct build *b, const struct tree *t, Sluice__V1__DeploySpec *d)
{
	static const char *const of_rolling[] = { "batch", "pause", "max_unavailable" };
	const struct tree *strategy = tree_get(t, "strategy");
	const struct tree *most = tree_get(t, "max_unavailable");
	bool recreate = strategy && !strcmp(strategy->text, "recreate");

	d->strategy = recreate ? SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE
			       : SLUICE__V1__DEPLOY_SPEC__STRATEGY__ROLLING;
	d->batch = build_share(b, t, "batch");
	d->max_unavailable = build_share(b, t, "max_unavailable");
	d->pause_ms = read_number(t, "pause", SCALAR_DURATION, 0);
	for (size_t i = 0; recreate && i < ARRAY_SIZE(of_rolling); i++)
		if (tree_get(t, of_rolling[i]))
			diagnostics_error(b->d, "E0119", tree_get(t, of_rolling[i])->key->at,
					  "`%s` means nothing with `strategy: recreate`",
					  of_rolling[i]);
	if (!d->batch) {
		d->batch = build_message(b, &sluice__v1__share__descriptor);
		*(recreate ? &d->batch->percent : &d->batch->count) = recreate ? 100 : 1;
	}
	if (!d->max_unavailable) {
		d->max_unavailable = build_message(b, &sluice__v1__share__descriptor);
		d->max_unavailable->count = d->batch->count;
		d->max_unavailable->percent = d->batch->percent;
	} else if (d->batch->count > d->max_unavailable->count && d->max_unavailable->count) {
		diagnostics_warn(b->d, "E0121", most->at,
				 "a batch of %u is cut to `max_unavailable`", d->batch->count);
	}
	d->max_failed = (uint32_t)read_number(t, "max_failed", SCALAR_INT, 0);
	d->slots = (uint32_t)read_number(t, "slots", SCALAR_INT, 3);
	d->progress_ms = read_number(t, "progress", SCALAR_DURATION, 10 * MINUTE);
	d->unreachable = build_unreachable(b, t);
}

static void check_what(struct build *b, const struct tree *t)
{
	struct diagnostic *item;

	exclude(b, t, "service", "run");
	exclude(b, t, "run", "grace");
	if (t->kind != TREE_MAP || tree_has(t, "service") || tree_has(t, "run"))
		return;
	item = diagnostics_error(b->d, "E0105", t->key->at,
				 "`deploy` has no `service` and no `run`");
	diagnostic_help(item, "service: ./serve --port \"$SLUICE_PORT\"");
}

void build_deploy(struct build *b, const struct tree *t, Sluice__V1__EnvironmentSpec *env)
{
	Sluice__V1__DeploySpec *d = build_message(b, &sluice__v1__deploy_spec__descriptor);

	env->deploy = d;
	if (!t)
		return;
	check_what(b, t);
	d->service = read_text(b, t, "service");
	d->run = read_text(b, t, "run");
	d->port = (uint32_t)read_number(t, "port", SCALAR_INT, 0);
	d->check = build_check(b, t);
	build_pace(b, t, d);
	d->resources = read_resources(b, tree_get(t, "resources"));
	if (d->resources->n_agents)
		diagnostics_error(b->d, "E0119",
				  tree_get(tree_get(t, "resources"), "agents")->key->at,
				  "the environment's `agents` are the hosts");
	d->env = read_env(b, NULL, tree_get(t, "env"), &d->n_env);
	d->timeout_ms = read_number(t, "timeout", SCALAR_DURATION, 10 * MINUTE);
	d->grace_ms = read_number(t, "grace", SCALAR_DURATION, 10 * SECOND);
	d->prepare = read_text(b, t, "prepare");
	d->activate = read_text(b, t, "activate");
	d->drain = read_text(b, t, "drain");
}
