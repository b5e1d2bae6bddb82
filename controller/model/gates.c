/*
 * Gates. A job's metrics are one side, the values of other releases the other; both
 * come through one lookup by which the expression asks for names. What cannot be
 * compared (another evaluation set, another evaluator) is found out before anything
 * is evaluated, so that the reason names the digests and not a missing number.
 */
#include "controller/model/gates.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "controller/model/delivery.h"
#include "controller/model/environments.h"
#include "controller/model/releases.h"
#include "controller/model/yardstick.h"
#include "expr/expr.h"
#include "proto/message.h"

#define VERDICT(name) SLUICE__V1__VERDICT_STATE__##name

const char *verdict_state_name(Sluice__V1__VerdictState state)
{
	static const char *const names[] = {
		[VERDICT(VERDICT_STATE_UNSPECIFIED)] = "undecided",
		[VERDICT(PASS)] = "pass",
		[VERDICT(INCONCLUSIVE)] = "inconclusive",
		[VERDICT(ERROR)] = "error",
		[VERDICT(FAIL)] = "fail",
		[VERDICT(ABORTED)] = "aborted",
		[VERDICT(VERDICT_SKIPPED)] = "skipped",
	};

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "undecided";
}

bool verdict_is_stale(const Sluice__V1__Verdict *v, const struct environment *env, bool guarded)
{
	bool compared = v->champion[0] != 0;

	if (strcmp(v->environment, env->row->name) && !(guarded && env->row->live[0]))
		return false;
	for (size_t i = 0; i < v->n_expectations; i++)
		compared |= v->expectations[i]->state == VERDICT(VERDICT_SKIPPED);
	return compared && strcmp(v->champion, env->row->live);
}

struct environment *gates_guarded(struct world *w, const char *pipeline)
{
	struct environment **all, *last = NULL;
	size_t n = environments_in_order(w, &all);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i]->row->spec->pipeline, pipeline))
			last = all[i];
	free(all);
	return last;
}

static bool metric_of(Sluice__V1__Metric *const *metrics, size_t n, const char *name, double *ret)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(metrics[i]->name, name)) {
			*ret = metrics[i]->value;
			return true;
		}
	return false;
}

static bool lookup(void *arg, const char *scope, const char *name, double *ret)
{
	struct gate *g = arg;
	const struct rival *rival;

	if (!scope[0])
		return metric_of(g->job->row->metrics, g->job->row->n_metrics, name, ret);
	rival = gate_rival(g, scope);
	if (!rival || !rival->evaluation)
		return false;
	return metric_of(rival->evaluation->metrics, rival->evaluation->n_metrics, name, ret);
}

/* ---- one expectation ---- */

static void set_note(Sluice__V1__ExpectationResult *r, Sluice__V1__VerdictState state,
		     const char *note)
{
	r->state = state;
	message_set_string(&r->note, note);
}

/* What cannot be compared, whatever the numbers. True: it is decided. */
static bool decide_by_rivals(struct gate *g, const struct expr *e, Sluice__V1__ExpectationResult *r)
{
	const struct expr_ref *refs;
	size_t n = expr_refs(e, &refs);

	for (size_t i = 0; i < n; i++) {
		const struct rival *rival = refs[i].scope[0] ? gate_rival(g, refs[i].scope) : NULL;
		cleanup(freep) char *note = NULL;

		if (!refs[i].scope[0] || (rival && rival->state == RIVAL_KNOWN))
			continue;
		if (!rival) {
			set_note(r, VERDICT(ERROR), "it names too many environments");
		} else if (rival->state == RIVAL_UNKNOWN) {
			note = xprintf("there is no environment '%s'", rival->scope);
			set_note(r, VERDICT(ERROR), note);
		} else if (rival->state == RIVAL_DIFFERENT) {
			set_note(r, VERDICT(INCONCLUSIVE), rival->note);
		} else {
			note = xprintf("no %s%s yet",
				       strcmp(rival->scope, "champion") ? "release in " : "",
				       rival->scope);
			set_note(r, VERDICT(VERDICT_SKIPPED), note);
		}
		return true;
	}
	return false;
}

static void set_numbers(Sluice__V1__ExpectationResult *r, const struct expr_result *numbers)
{
	if (!isnan(numbers->left)) {
		r->left_value_case = SLUICE__V1__EXPECTATION_RESULT__LEFT_VALUE_LEFT;
		r->left = numbers->left;
	}
	if (!isnan(numbers->right)) {
		r->right_value_case = SLUICE__V1__EXPECTATION_RESULT__RIGHT_VALUE_RIGHT;
		r->right = numbers->right;
	}
}

static void note_missing(const struct expr_ref *missing, Sluice__V1__ExpectationResult *r)
{
	cleanup(freep) char *note = NULL;

	if (missing && missing->scope[0])
		note = xprintf("%s has no value '%s'", missing->scope, missing->name);
	else if (missing)
		note = xprintf("the job reported no '%s'", missing->name);
	else
		note = xstrdup("a side is not a number");
	set_note(r, VERDICT(INCONCLUSIVE), note);
}

/* "champion.accuracy 0.9603" is "champion r1 accuracy 0.9603" to people. */
static void print_line(struct gate *g, const struct expr *e, Sluice__V1__ExpectationResult *r)
{
	cleanup(buf_release) struct buf raw = { 0 }, line = { 0 };
	const char *at, *found;

	expr_print(e, lookup, g, &raw);
	for (at = buf_str(&raw); (found = strstr(at, "champion.")); at = found + 9) {
		const struct rival *rival = gate_rival(g, "champion");

		buf_add(&line, at, (size_t)(found - at));
		if (rival && rival->release)
			buf_printf(&line, "champion r%u ", rival->release->row->number);
		else
			buf_puts(&line, "champion.");
	}
	buf_puts(&line, at);
	if (r->state == VERDICT(ERROR) || r->state == VERDICT(VERDICT_SKIPPED) ||
	    (r->state == VERDICT(INCONCLUSIVE) && r->note[0])) {
		buf_clear(&raw);
		buf_printf(&raw, "%s: %s (%s)", r->text, verdict_state_name(r->state), r->note);
		message_set_string(&r->line, buf_str(&raw));
	} else {
		message_set_string(&r->line, buf_str(&line));
	}
}

static Sluice__V1__ExpectationResult *expect(struct gate *g, const char *text)
{
	Sluice__V1__ExpectationResult *r = message_new(&sluice__v1__expectation_result__descriptor);
	struct error err = { 0 };
	cleanup(expr_freep) struct expr *e = expr_parse_expectation(text, NULL, &err);
	struct expr_result numbers;

	message_set_string(&r->text, text);
	if (!e) {
		cleanup(freep) char *line = xprintf("%s: error (%s)", text, err.text);

		set_note(r, VERDICT(ERROR), err.text);
		message_set_string(&r->line, line);
		return r;
	}
	numbers = expr_eval(e, lookup, g);
	set_numbers(r, &numbers);
	if (!decide_by_rivals(g, e, r)) {
		if (numbers.verdict == EXPR_NODATA)
			note_missing(numbers.missing, r);
		else
			r->state = numbers.verdict == EXPR_PASS ? VERDICT(PASS) : VERDICT(FAIL);
	}
	print_line(g, e, r);
	return r;
}

/* ---- the gate ---- */

/* FAIL, ERROR, INCONCLUSIVE, PASS: the first that any expectation is. Skipped ones do not count,
 * but something must be left. */
static Sluice__V1__VerdictState worst_of(const Sluice__V1__Verdict *v)
{
	static const Sluice__V1__VerdictState order[] = { VERDICT(FAIL), VERDICT(ERROR),
							  VERDICT(INCONCLUSIVE), VERDICT(PASS) };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		for (size_t j = 0; j < v->n_expectations; j++)
			if (v->expectations[j]->state == order[i])
				return order[i];
	return VERDICT(INCONCLUSIVE);
}

static void set_champion(struct gate *g, Sluice__V1__Verdict *v)
{
	for (size_t i = 0; i < g->n_rivals; i++) {
		const struct rival *rival = &g->rivals[i];

		if (!rival->release || strcmp(rival->scope, "champion"))
			continue;
		message_set_string(&v->champion, rival->release->row->id);
		v->champion_number = rival->release->row->number;
		if (rival->evaluation)
			message_set_string(&v->champion_artifact, rival->evaluation->artifact);
	}
}

static Sluice__V1__Verdict *describe_verdict(struct gate *g)
{
	Sluice__V1__Verdict *v = message_new(&sluice__v1__verdict__descriptor);
	const struct job *job = g->job;
	cleanup(buf_release) struct buf lines = { 0 };

	for (size_t i = 0; i < job->row->spec->n_gates; i++)
		buf_printf(&lines, "%s\n", job->row->spec->gates[i]);
	gate_set_digest(&v->gate, &lines);
	message_set_string(&v->candidate, g->candidate->artifact);
	message_set_string(&v->set, g->candidate->set);
	message_set_string(&v->evaluator, g->candidate->evaluator);
	message_set_string(&v->environment, g->guarded ? g->guarded->row->name : "");
	message_set_string(&v->job_id, job->row->id);
	message_set_string(&v->job_name, job->row->spec->name);
	message_set_string(&v->run_id, job->run->row->id);
	v->run_number = job->run->row->number;
	v->at_ms = g->w->now.wall_ms;
	return v;
}

/* Evaluating asks for the champion if any expectation names it. */
static void evaluate(struct gate *g, Sluice__V1__Verdict *v)
{
	const Sluice__V1__JobSpec *spec = g->job->row->spec;

	for (size_t i = 0; i < spec->n_gates; i++)
		message_append(v, expectations, expect(g, spec->gates[i]));
	v->state = worst_of(v);
	set_champion(g, v);
}

/* What the verdict goes by; the environment tells apart what has no champion yet, the source what
 * the same command did when its code was another. */
static void set_key(const struct gate *g, const Sluice__V1__Verdict *v, char **field)
{
	cleanup(buf_release) struct buf key = { 0 };

	buf_printf(&key, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n", v->gate, v->candidate, v->champion, v->set,
		   v->evaluator, v->environment, g->job->run->row->source);
	gate_set_digest(field, &key);
}

/* What other environments run is not part of the key. */
static bool is_kept(const struct gate *g, const Sluice__V1__Verdict *v)
{
	for (size_t i = 0; i < g->n_rivals; i++)
		if (strcmp(g->rivals[i].scope, "champion"))
			return false;
	return !gate_is_verify(g->job) && v->candidate[0] &&
	       (v->state == VERDICT(PASS) || v->state == VERDICT(FAIL));
}

static void tell(struct gate *g, const Sluice__V1__Verdict *v, bool reused)
{
	cleanup(buf_release) struct buf lines = { 0 };
	Sluice__V1__Event *e;

	for (size_t i = 0; i < v->n_expectations; i++)
		buf_printf(&lines, "%s%s", i ? "; " : "", v->expectations[i]->line);
	e = world_event(g->w, SLUICE__V1__EVENT_KIND__EVENT_GATE_DECIDED, NULL,
			"gate of '%s' in run %u: %s%s (%.2000s)", v->job_name,
			g->job->run->row->number, verdict_state_name(v->state),
			reused ? ", as it was decided before" : "", buf_str(&lines));
	event_of_job(e, g->job);
	message_set_string(&e->environment, v->environment);
}

Sluice__V1__VerdictState gates_decide(struct world *w, struct job *job, Sluice__V1__Verdict **ret)
{
	cleanup(gate_release) struct gate g = { 0 };
	Sluice__V1__Verdict *v;
	ProtobufCMessage *before = NULL;
	Sluice__V1__VerdictState state;
	bool reused = false;

	gate_init(&g, w, job);
	v = describe_verdict(&g);
	evaluate(&g, v);
	if (!is_kept(&g, v))
		message_set_string(&v->id, world_id(w).text);
	else
		set_key(&g, v, &v->id);
	if (is_kept(&g, v) && world_fetch(w, ROW_VERDICT, v->id, &before, NULL) == 1) {
		message_free(v);
		v = (Sluice__V1__Verdict *)before;
		reused = true;
	}
	message_set_string(&job->row->verdict, v->id);
	world_touch(w, &job->entity);
	tell(&g, v, reused);
	if (!reused)
		world_record(w, ROW_VERDICT, message_copy(v));
	state = v->state;
	if (ret)
		*ret = v;
	else
		message_free(v);
	return state;
}

char *gates_reason(const Sluice__V1__Verdict *v)
{
	size_t bad = 0;
	const char *line = "only expectations that name the champion, and there is none yet";

	for (size_t i = v->n_expectations; i > 0; i--)
		if (v->expectations[i - 1]->state == v->state) {
			line = v->expectations[i - 1]->line;
			bad++;
		}
	return xprintf("gate %s: %s (%zu of %zu expectations)",
		       v->state == VERDICT(FAIL) ? "failed" : verdict_state_name(v->state), line,
		       bad, v->n_expectations);
}
