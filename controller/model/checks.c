/*
 * The conditions of a promotion, asked one after another, all of them, so that
 * `--plan` can show each. The first that says no is the error; what an override may
 * pass says that it was passed.
 */
#include "controller/model/checks.h"

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "controller/model/environments.h"
#include "controller/model/gates.h"
#include "controller/model/hosts.h"
#include "controller/model/promotion.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "proto/message.h"

struct asking {
	struct world *w;
	const struct environment *env;
	const struct release *r;
	const struct checks *checks;
	char name[RELEASE_NAME];
	enum check_answer worst;
	char **ret_wait;
	struct error *err;
};

__attribute__((format(printf, 4, 5))) static void answer(struct asking *a, enum check_answer answer,
							 const char *error_id_or_code,
							 const char *fmt, ...)
{
	static const char *const marks[] = { "✔", "◷", "✘" };
	cleanup(freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	if (a->checks->line)
		a->checks->line(a->checks->arg, xprintf("%s %s", marks[answer], text));
	if (answer == CHECK_NO && a->worst != CHECK_NO) {
		if (*error_id_or_code)
			error_id(a->err, error_id_or_code, "%s", text);
		else
			error_set(a->err, ERR_ABORTED, "%s", text);
	}
	if (answer == CHECK_WAITS && a->worst < CHECK_WAITS && a->ret_wait)
		*a->ret_wait = xstrdup(text);
	a->worst = MAX(a->worst, answer);
}

/* No, unless a person with the right to it gave a reason. */
__attribute__((format(printf, 3, 4))) static void refuse(struct asking *a, const char *id,
							 const char *fmt, ...)
{
	cleanup(freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	if (a->checks->override[0])
		answer(a, CHECK_YES, "", "%s: overridden (%s)", text, a->checks->override);
	else
		answer(a, CHECK_NO, id, "%s", text);
}

static void check_pipeline(struct asking *a)
{
	const char *wanted = a->env->row->spec->pipeline;

	if (strcmp(wanted, a->r->row->pipeline))
		answer(a, CHECK_NO, "E0408",
		       "%s is of pipeline '%s'; environment '%s' takes the releases of '%s'",
		       a->name, a->r->row->pipeline, a->env->row->name, wanted);
}

static void check_present(struct asking *a)
{
	struct error err = { 0 };

	if (release_present(a->w, a->r, &err) < 0)
		answer(a, CHECK_NO, "E0409", "%s", err.text);
}

static void check_quarantine(struct asking *a)
{
	if (environment_is_quarantined(a->env, a->r->row->id) ||
	    release_is_quarantined(a->r, a->env->row->name)) {
		cleanup(freep) char *why = release_quarantine_text(a->w, a->r, a->env->row->name);

		refuse(a, "E0403", "%s", why);
	} else
		answer(a, CHECK_YES, "", "not quarantined");
}

static const Sluice__V1__VerifiedRelease *verification(const struct environment *env,
						       const char *release)
{
	for (size_t i = env->row->n_verified; i > 0; i--)
		if (!strcmp(env->row->verified[i - 1]->release, release))
			return env->row->verified[i - 1];
	return NULL;
}

static bool has_promotion(const struct environment *env, const struct release *r)
{
	const struct promotion *p;

	if (env->promotion && env->promotion->release == r)
		return true;
	list_each(p, &env->waiting, queued)
		if (p->release == r)
			return true;
	return false;
}

static void check_after(struct asking *a)
{
	const char *after = a->env->row->spec->after;
	const struct environment *before = after[0] ? world_environment(a->w, after, NULL) : NULL;
	const Sluice__V1__VerifiedRelease *v;
	char took[CLOCK_TEXT];

	if (!after[0])
		return;
	if (!before) {
		refuse(a, "E0404", "there is no environment '%s' that could have verified it",
		       after);
		return;
	}
	v = verification(before, a->r->row->id);
	if (environment_is_quarantined(before, a->r->row->id)) {
		cleanup(freep) char *why = release_quarantine_text(a->w, a->r, after);

		refuse(a, "E0404", "%s", why);
	} else if (v)
		answer(a, CHECK_YES, "", "verified in %s %s ago", after,
		       duration_format(MAX(a->w->now.wall_ms - v->at_ms, 0), took));
	else if (has_promotion(before, a->r) && !a->checks->override[0])
		answer(a, CHECK_WAITS, "", "waits for verification in %s", after);
	else
		refuse(a, "E0404", "%s was not verified in '%s'", a->name, after);
}

/* Its gates must have measured it against what is live now. A verdict that cannot be read counts as
 * stale: nothing passes because the store failed. */
static void check_verdicts(struct asking *a)
{
	const struct release *live =
		a->env->row->live[0] ? world_release(a->w, a->env->row->live, NULL) : NULL;
	bool guarded = gates_guarded(a->w, a->r->row->pipeline) == a->env;
	char now[RELEASE_NAME];

	if (live == a->r)
		return;
	for (size_t i = 0; i < a->r->row->n_verdicts; i++) {
		cleanup(message_freep) ProtobufCMessage *message = NULL;
		const Sluice__V1__Verdict *v;

		if (world_fetch(a->w, ROW_VERDICT, a->r->row->verdicts[i], &message, NULL) != 1) {
			refuse(a, "", "the verdict '%s' of %s is not there", a->r->row->verdicts[i],
			       a->name);
			continue;
		}
		v = (const Sluice__V1__Verdict *)message;
		if (!verdict_is_stale(v, a->env, guarded))
			continue;
		if (v->champion[0])
			refuse(a, "",
			       "stale: job '%s' of run %u measured %s against r%u, but live in "
			       "'%s' is "
			       "%s now; run the pipeline again",
			       v->job_name, v->run_number, a->name, v->champion_number,
			       a->env->row->name, release_name(live, now));
		else
			refuse(a, "",
			       "stale: job '%s' of run %u measured %s when nothing was live in "
			       "'%s', "
			       "now it is %s; run the pipeline again",
			       v->job_name, v->run_number, a->name, a->env->row->name,
			       release_name(live, now));
	}
}

static void check_live(struct asking *a)
{
	const struct release *live =
		a->env->row->live[0] ? world_release(a->w, a->env->row->live, NULL) : NULL;
	const struct release *wanted;
	char now[RELEASE_NAME], expected[RELEASE_NAME];

	if (!a->checks->expect_live[0])
		return;
	wanted = world_release(a->w, a->checks->expect_live, NULL);
	if (wanted && wanted == live)
		answer(a, CHECK_YES, "", "live is %s, as expected", release_name(live, now));
	else
		answer(a, CHECK_NO, "", "live in '%s' is %s, not %s", a->env->row->name,
		       release_name(live, now),
		       wanted ? release_name(wanted, expected) : a->checks->expect_live);
}

static void check_hosts(struct asking *a)
{
	const Sluice__V1__EnvironmentSpec *spec = a->env->row->spec;
	size_t n = environment_present_hosts(a->w, a->env);
	cleanup(buf_release) struct buf labels = { 0 };

	for (size_t i = 0; i < spec->n_agents; i++)
		buf_printf(&labels, "%s%s=%s", i ? " " : "", spec->agents[i]->name,
			   spec->agents[i]->value);
	if (n)
		answer(a, CHECK_YES, "", "%zu %s", n, n == 1 ? "host" : "hosts");
	else
		answer(a, CHECK_WAITS, "", "waits for a host: no enabled agent matches '%s'",
		       buf_str(&labels));
}

static uint32_t gpus_of(const Sluice__V1__HostFacts *host, uint64_t memory)
{
	uint32_t n = 0;

	for (size_t i = 0; i < host->n_gpus; i++)
		n += host->gpus[i]->memory >= memory;
	return n;
}

/* What the service needs that the host does not have at all; "" when it fits. */
static void misfit(const Sluice__V1__Resources *r, const Sluice__V1__HostFacts *host,
		   struct buf *out)
{
	char need[CLOCK_TEXT], have[CLOCK_TEXT];

	if (r->cpu_milli > host->cpu_milli)
		buf_printf(out, "%g CPUs, it has %g", r->cpu_milli / 1000.0,
			   host->cpu_milli / 1000.0);
	else if (r->memory > host->memory)
		buf_printf(out, "%s of memory, it has %s", size_format(r->memory, need),
			   size_format(host->memory, have));
	else if (r->gpu > gpus_of(host, r->gpu_memory))
		buf_printf(out, "%u GPUs of at least %s, it has %u", r->gpu,
			   size_format(r->gpu_memory, need), gpus_of(host, r->gpu_memory));
	else if (r->disk > host->disk_free)
		buf_printf(out, "%s of free disk, it has %s", size_format(r->disk, need),
			   size_format(host->disk_free, have));
}

static void check_resources(struct asking *a)
{
	const Sluice__V1__DeploySpec *deploy = a->env->row->spec->deploy;

	if (!deploy || !deploy->resources)
		return;
	for (size_t i = 0; i < a->env->row->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *host = a->env->row->hosts[i];
		const struct agent *agent = host_agent(a->w, host);
		cleanup(buf_release) struct buf why = { 0 };

		if (environment_host_leaves(a->w, a->env, host) || !agent->row->host)
			continue;
		misfit(deploy->resources, agent->row->host, &why);
		if (why.len)
			answer(a, CHECK_NO, "E0410",
			       "the service does not fit host '%s': it needs %s", host->agent_name,
			       buf_str(&why));
	}
}

static void check_turn(struct asking *a)
{
	const struct promotion *p = a->env->promotion;
	char name[RELEASE_NAME];

	if (p)
		answer(a, CHECK_WAITS, "", "waits for its turn: %s is %s",
		       release_name(p->release, name), promotion_state_name(p->row->state));
}

enum check_answer checks_run(struct world *w, const struct environment *env,
			     const struct release *r, const struct checks *checks, char **ret_wait,
			     struct error *err)
{
	struct asking a = { w, env, r, checks, "", CHECK_YES, ret_wait, err };

	if (ret_wait)
		*ret_wait = NULL;
	release_name(r, a.name);
	check_pipeline(&a);
	check_present(&a);
	check_quarantine(&a);
	check_after(&a);
	check_verdicts(&a);
	check_live(&a);
	check_hosts(&a);
	check_resources(&a);
	check_turn(&a);
	return a.worst;
}
