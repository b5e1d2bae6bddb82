/*
 * The world itself: made, freed, asked. Randomness is xoshiro256** (Blackman and
 * Vigna) from a seed that the engine draws, so that a simulation can be repeated.
 */
#include "controller/model/world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "controller/model/place.h"
#include "controller/model/private.h"

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

static uint64_t random_next(struct world *w)
{
	uint64_t *s = w->random;
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

struct id world_id(struct world *w)
{
	uint64_t time = (uint64_t)w->now.wall_ms, a = random_next(w), b = random_next(w);
	struct id id;

	snprintf(id.text, sizeof(id.text), "%08" PRIx32 "-%04x-7%03x-%04x-%012" PRIx64,
		 (uint32_t)(time >> 16), (unsigned int)(time & 0xffff), (unsigned int)(a & 0xfff),
		 (unsigned int)(0x8000 | ((a >> 12) & 0x3fff)), b & 0xffffffffffffu);
	return id;
}

struct world *world_new(const struct world_source *source, uint64_t seed)
{
	struct world *w = xcalloc(1, sizeof(*w));

	if (source)
		w->source = *source;
	for (size_t i = 0; i < ARRAY_SIZE(w->random); i++)
		w->random[i] = splitmix64(&seed);
	w->controller.kind = ROW_CONTROLLER;
	w->counters = message_new(&sluice__v1__controller_row__descriptor);
	w->controller.message = &w->counters->base;
	list_init(&w->controller.touched);
	list_init(&w->touched);
	list_init(&w->pending);
	list_init(&w->events);
	list_init(&w->effects);
	list_init(&w->idle);
	list_init(&w->changed);
	return w;
}

#define FREE_ALL(handle, head)                       \
	do {                                         \
		__typeof__(head) e_, next_;          \
		HASH_ITER(handle, head, e_, next_)   \
			entity_free(w, &e_->entity); \
	} while (0)

void world_free(struct world *w)
{
	Sluice__V1__Event *event;
	struct effect *effect;

	if (!w)
		return;
	while ((event = world_take_event(w)))
		message_free(event);
	while ((effect = world_take_effect(w)))
		effect_free(effect);
	records_release(w);
	FREE_ALL(by_fence, w->attempts);
	FREE_ALL(by_id, w->promotions);
	FREE_ALL(by_id, w->runs_by_id);
	FREE_ALL(by_name, w->environments);
	FREE_ALL(by_id, w->releases_by_id);
	FREE_ALL(by_id, w->agents_by_id);
	FREE_ALL(by_hash, w->enrol_tokens);
	FREE_ALL(by_hash, w->tokens_by_hash);
	FREE_ALL(by_name, w->published);
	queues_release(w);
	timers_release(&w->timers);
	buf_release(&w->packed);
	message_free(w->counters);
	free(w);
}

int world_tick(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	struct timer *t;

	world_at(w, now);
	while ((t = timer_due(&w->timers, now)))
		t->fire(w, t);
	return 0;
}

struct now world_due(const struct world *w)
{
	return timers_next(&w->timers);
}

/* 1 and the number that the text is, all of it and within 32 bits; 0 when it is something else. */
static int number_parse(const char *text, uint32_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits] || digits > 9)
		return 0;
	*ret = (uint32_t)strtoul(text, NULL, 10);
	return 1;
}

struct run *world_run(struct world *w, const char *text, struct error *err)
{
	struct run *run = NULL;
	uint32_t number;

	if (number_parse(text + (*text == '#'), &number))
		HASH_FIND(by_number, w->runs_by_number, &number, sizeof(number), run);
	else
		HASH_FIND(by_id, w->runs_by_id, text, strlen(text), run);
	if (!run)
		error_id(err, "E0204", "there is no open run '%s'", text);
	return run;
}

struct job *world_job(struct world *w, const char *id)
{
	struct job *job;

	HASH_FIND(by_id, w->jobs, id, strlen(id), job);
	return job;
}

struct attempt *world_attempt(struct world *w, uint64_t fence)
{
	struct attempt *a;

	HASH_FIND(by_fence, w->attempts, &fence, sizeof(fence), a);
	return a;
}

struct agent *world_agent_by_id(struct world *w, const char *id)
{
	struct agent *agent;

	HASH_FIND(by_id, w->agents_by_id, id, strlen(id), agent);
	return agent;
}

static void no_agent(const struct world *w, const char *name, struct error *err)
{
	struct suggest near = suggest_new(name);
	struct agent *agent, *next;

	HASH_ITER(by_name, w->agents_by_name, agent, next)
		suggest_offer(&near, agent->row->name);
	error_id(err, "E0204", "there is no agent '%s'", name);
	if (near.best)
		error_hint(err, "did you mean `%s`? sluice agents ls shows what there is",
			   near.best);
	else
		error_hint(err, "sluice agents ls shows what there is");
}

static void no_environment(const struct world *w, const char *name, struct error *err)
{
	struct suggest near = suggest_new(name);
	struct environment *env, *next;

	HASH_ITER(by_name, w->environments, env, next)
		suggest_offer(&near, env->row->name);
	error_id(err, "E0204", "there is no environment '%s'", name);
	if (near.best)
		error_hint(err, "did you mean `%s`? sluice env ls shows what there is", near.best);
	else if (w->environments)
		error_hint(err, "sluice env ls shows what there is");
	else
		error_hint(err, "there is none yet: sluice env apply FILE records those of a file");
}

struct agent *world_agent(struct world *w, const char *name_or_id, struct error *err)
{
	struct agent *agent;

	HASH_FIND(by_name, w->agents_by_name, name_or_id, strlen(name_or_id), agent);
	if (!agent)
		agent = world_agent_by_id(w, name_or_id);
	if (!agent)
		no_agent(w, name_or_id, err);
	return agent;
}

struct environment *world_environment(struct world *w, const char *name, struct error *err)
{
	struct environment *env;

	HASH_FIND(by_name, w->environments, name, strlen(name), env);
	if (!env)
		no_environment(w, name, err);
	return env;
}

struct promotion *world_promotion(struct world *w, const char *id)
{
	struct promotion *p;

	HASH_FIND(by_id, w->promotions, id, strlen(id), p);
	return p;
}

static struct release *release_open(struct world *w, const char *text, const uint32_t *number)
{
	struct release *r, *next;

	if (number) {
		HASH_FIND(by_number, w->releases_by_number, number, sizeof(*number), r);
		return r;
	}
	HASH_FIND(by_id, w->releases_by_id, text, strlen(text), r);
	if (r || strncmp(text, "sha256:", 7) != 0)
		return r;
	HASH_ITER(by_id, w->releases_by_id, r, next)
		if (strcmp(r->row->digest, text) == 0)
			return r;
	return NULL;
}

/* Of the source, closed releases only: what is open or pending was looked at before. */
static int release_read(struct world *w, const char *text, const uint32_t *number,
			ProtobufCMessage **ret, struct error *err)
{
	const struct world_source *s = &w->source;

	if (number)
		return s->by_number ? s->by_number(s->arg, ROW_RELEASE, *number, ret, err) : 0;
	if (strncmp(text, "sha256:", 7) == 0)
		return s->find ? s->find(s->arg, ROW_RELEASE, NULL, text, ret, err) : 0;
	return s->get ? s->get(s->arg, ROW_RELEASE, text, ret, err) : 0;
}

struct release *world_release(struct world *w, const char *text, struct error *err)
{
	ProtobufCMessage *message = NULL;
	struct release *r;
	uint32_t number;
	bool numbered = number_parse(text + (*text == 'r'), &number);
	int found;

	r = release_open(w, text, numbered ? &number : NULL);
	if (r)
		return r;
	found = release_read(w, text, numbered ? &number : NULL, &message, err);
	if (found < 0)
		return NULL;
	if (!found)
		return error_id(err, "E0204", "there is no release '%s'", text),
		       error_hint(err, "sluice releases ls shows what there is"), NULL;
	return entity_release_new(w, (Sluice__V1__Release *)message);
}

bool agent_label_is(const struct agent *agent, const char *name, const char *value)
{
	if (strcmp(name, "agent") == 0)
		return strcmp(agent->row->name, value) == 0;
	if (strcmp(name, "pool") == 0 && strcmp(agent->row->pool, value) == 0)
		return true;
	for (size_t i = 0; i < agent->row->n_labels; i++)
		if (strcmp(agent->row->labels[i]->name, name) == 0)
			return strcmp(agent->row->labels[i]->value, value) == 0;
	return false;
}

bool agent_matches(const struct agent *agent, Sluice__V1__Variable *const *labels, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!agent_label_is(agent, labels[i]->name, labels[i]->value))
			return false;
	return true;
}

Sluice__V1__Variable *variable_copy(const Sluice__V1__Variable *v)
{
	Sluice__V1__Variable *copy = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&copy->name, v->name);
	message_set_string(&copy->value, v->value);
	return copy;
}

char *fence_format(uint64_t fence, char ret[24])
{
	snprintf(ret, 24, "%" PRIu64, fence);
	return ret;
}

void labels_format(Sluice__V1__Variable *const *labels, size_t n, struct buf *ret)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(ret, "%s%s=%s", i ? " " : "", labels[i]->name, labels[i]->value);
}
