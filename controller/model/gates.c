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
#include "crypto/digest.h"
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

bool verdict_is_stale(const Sluice__V1__Verdict *v, const struct environment *env)
{
	bool compared = v->champion[0] != 0;

	if (strcmp(v->environment, env->row->name))
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

/* ---- what a job measured ---- */

static void set_digest(char **field, const struct buf *text)
{
	struct digest digest = digest_of(buf_str(text), text->len);
	char hex[DIGEST_TEXT_SIZE];

	message_set_string(field, digest_format(&digest, hex));
}

/* One artifact is its digest; several are the digest of their list. */
static void set_artifacts(char **field, const Sluice__V1__ResolvedInput *input)
{
	cleanup(buf_release) struct buf list = { 0 };

	if (input->n_artifacts == 1) {
		message_set_string(field, input->artifacts[0]->digest);
		return;
	}
	for (size_t i = 0; i < input->n_artifacts; i++)
		buf_printf(&list, "%s %s\n", input->artifacts[i]->key, input->artifacts[i]->digest);
	set_digest(field, &list);
}

static void set_subject(char **field, const struct job *job, const char *name)
{
	for (size_t i = 0; i < job->row->n_inputs; i++)
		if (!strcmp(job->row->inputs[i]->name, name)) {
			set_artifacts(field, job->row->inputs[i]);
			return;
		}
	for (size_t i = 0; i < job->row->n_outputs; i++)
		if (!strcmp(job->row->outputs[i]->name, name))
			message_set_string(field, job->row->outputs[i]->digest);
}

static bool is_verify(const struct job *job)
{
	return job->run->row->kind == SLUICE__V1__RUN__KIND__VERIFY;
}

/* A step is known by its environment, too: the same command elsewhere measures other hosts. */
static char *yardstick_name(const struct job *job)
{
	if (is_verify(job))
		return xprintf("%s/%s", job->run->row->environment, job->row->spec->basename);
	return xstrdup(job->row->spec->name);
}

/* Without metrics: candidate, set and evaluator alone. */
static Sluice__V1__Evaluation *describe(const struct job *job)
{
	Sluice__V1__Evaluation *e = message_new(&sluice__v1__evaluation__descriptor);
	const Sluice__V1__JobSpec *spec = job->row->spec;
	cleanup(buf_release) struct buf command = { 0 };
	cleanup(freep) char *name = yardstick_name(job);

	message_set_string(&e->job, name);
	if (is_verify(job))
		buf_printf(&command, "%s\n", name);
	buf_puts(&command, spec->run);
	set_digest(&e->evaluator, &command);
	if (spec->evaluates) {
		set_subject(&e->artifact, job, spec->evaluates->candidate);
		if (spec->evaluates->set[0])
			set_subject(&e->set, job, spec->evaluates->set);
		message_set_string(&e->set_name, spec->evaluates->set);
	}
	if (is_verify(job) && job->run->promotion)
		message_set_string(&e->artifact, job->run->promotion->release->row->digest);
	return e;
}

Sluice__V1__Evaluation *gates_evaluation(struct world *w, const struct job *job)
{
	Sluice__V1__Evaluation *e;

	if (!job->row->n_metrics)
		return NULL;
	e = describe(job);
	for (size_t i = 0; i < job->row->n_metrics; i++)
		message_append(e, metrics, message_copy(job->row->metrics[i]));
	return e;
}

/* ---- the other side ---- */

enum rival_state {
	RIVAL_KNOWN,
	RIVAL_ABSENT,	 /* no such release yet */
	RIVAL_UNKNOWN,	 /* no such environment */
	RIVAL_DIFFERENT, /* never measured, or with another yardstick: note says which */
};

/* A scope of an expectation: `champion`, or an environment. */
struct rival {
	char *scope; /* as the text has it */
	enum rival_state state;
	const struct release *release;
	const Sluice__V1__Evaluation *evaluation;
	char *note;
};

enum { RIVALS = 16 };

struct gate {
	struct world *w;
	const struct job *job;
	Sluice__V1__Evaluation *candidate; /* owned */
	struct environment *guarded;	   /* or NULL */
	struct rival rivals[RIVALS];
	size_t n_rivals;
};

static void gate_release(struct gate *g)
{
	message_free(g->candidate);
	for (size_t i = 0; i < g->n_rivals; i++) {
		free(g->rivals[i].scope);
		free(g->rivals[i].note);
	}
}

static bool same_yardstick(const struct gate *g, const Sluice__V1__Evaluation *e)
{
	return !strcmp(e->set, g->candidate->set) && !strcmp(e->evaluator, g->candidate->evaluator);
}

static void compare_yardsticks(const struct gate *g, struct rival *rival)
{
	const Sluice__V1__Release *row = rival->release->row;
	const Sluice__V1__Evaluation *other = NULL;

	for (size_t i = row->n_evaluations; i > 0; i--) {
		const Sluice__V1__Evaluation *e = row->evaluations[i - 1];

		if (same_yardstick(g, e)) {
			rival->evaluation = e;
			rival->state = RIVAL_KNOWN;
			return;
		}
		if (!other && !strcmp(e->job, g->candidate->job))
			other = e;
	}
	rival->state = RIVAL_DIFFERENT;
	if (!other)
		rival->note = xprintf("r%u carries no value of '%s' for the set %.19s", row->number,
				      g->candidate->job,
				      g->candidate->set[0] ? g->candidate->set : "(none)");
	else if (strcmp(other->set, g->candidate->set))
		rival->note = xprintf("r%u was measured on the set %.19s, the candidate on %.19s",
				      row->number, other->set[0] ? other->set : "(none)",
				      g->candidate->set[0] ? g->candidate->set : "(none)");
	else
		rival->note =
			xprintf("r%u was measured by the evaluator %.19s, the candidate by %.19s",
				row->number, other->evaluator, g->candidate->evaluator);
}

static struct environment *environment_of_scope(struct world *w, const char *scope)
{
	struct environment *env, *tmp;

	HASH_ITER(by_name, w->environments, env, tmp)
		if (expr_scope_is(scope, env->row->name))
			return env;
	return NULL;
}

/* A verify step's champion is what was last good: what is live already is the candidate. */
static const char *champion_of(const struct gate *g)
{
	if (!g->guarded)
		return "";
	return is_verify(g->job) ? g->guarded->row->last_good : g->guarded->row->live;
}

static const struct rival *rival_of(struct gate *g, const char *scope)
{
	struct environment *env = g->guarded;
	struct rival *rival;
	const char *id;

	for (size_t i = 0; i < g->n_rivals; i++)
		if (!strcmp(g->rivals[i].scope, scope))
			return &g->rivals[i];
	if (g->n_rivals == RIVALS)
		return NULL;
	rival = &g->rivals[g->n_rivals++];
	*rival = (struct rival){ .scope = xstrdup(scope), .state = RIVAL_ABSENT };
	id = champion_of(g);
	if (strcmp(scope, "champion")) {
		env = environment_of_scope(g->w, scope);
		id = env ? env->row->live : "";
		if (!env)
			rival->state = RIVAL_UNKNOWN;
	}
	rival->release = id[0] ? world_release(g->w, id, NULL) : NULL;
	if (rival->release)
		compare_yardsticks(g, rival);
	return rival;
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
	rival = rival_of(g, scope);
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
		const struct rival *rival = refs[i].scope[0] ? rival_of(g, refs[i].scope) : NULL;
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
		const struct rival *rival = rival_of(g, "champion");

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
	set_digest(&v->gate, &lines);
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

/* What the verdict goes by; the environment tells apart what has no champion yet. */
static void set_key(const Sluice__V1__Verdict *v, char **field)
{
	cleanup(buf_release) struct buf key = { 0 };

	buf_printf(&key, "%s\n%s\n%s\n%s\n%s\n%s\n", v->gate, v->candidate, v->champion, v->set,
		   v->evaluator, v->environment);
	set_digest(field, &key);
}

/* What other environments run is not part of the key. */
static bool is_kept(const struct gate *g, const Sluice__V1__Verdict *v)
{
	for (size_t i = 0; i < g->n_rivals; i++)
		if (strcmp(g->rivals[i].scope, "champion"))
			return false;
	return !is_verify(g->job) && v->candidate[0] &&
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
	cleanup(gate_release) struct gate g = { .w = w, .job = job };
	Sluice__V1__Verdict *v;
	ProtobufCMessage *before = NULL;
	Sluice__V1__VerdictState state;
	bool reused = false;

	g.candidate = describe(job);
	g.guarded = is_verify(job) ? world_environment(w, job->run->row->environment, NULL)
				   : gates_guarded(w, job->run->row->pipeline);
	v = describe_verdict(&g);
	evaluate(&g, v);
	if (!is_kept(&g, v))
		message_set_string(&v->id, world_id(w).text);
	else
		set_key(v, &v->id);
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
