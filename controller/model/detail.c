/*
 * What environments and releases tell people: copies, never the rows themselves.
 */
#include <string.h>

#include "controller/model/environments.h"
#include "controller/model/delivery_waits.h"
#include "controller/model/hosts.h"
#include "controller/model/releases.h"
#include "proto/message.h"

static void add_wait(void *arg, Sluice__V1__Wait *wait)
{
	Sluice__V1__EnvironmentDetail *detail = arg;

	message_append(detail, waits, wait);
}

/* A step that cannot go on because nobody answers is shown as what it is. */
static Sluice__V1__Environment *copy_row(struct world *w, const struct environment *env)
{
	Sluice__V1__Environment *row = message_copy(env->row);

	for (size_t i = 0; i < row->n_hosts; i++)
		if (!host_reachable(w, row->hosts[i]) &&
		    row->hosts[i]->state != HOST_STATE(FAILED) &&
		    row->hosts[i]->state != HOST_STATE(DIVERGED))
			row->hosts[i]->state = HOST_STATE(UNREACHABLE);
	return row;
}

static Sluice__V1__Promotion *copy_promotion(struct world *w, const struct environment *env)
{
	ProtobufCMessage *message = NULL;

	if (env->promotion)
		return message_copy(env->promotion->row);
	if (!env->row->last_promotion[0] ||
	    world_fetch(w, ROW_PROMOTION, env->row->last_promotion, &message, NULL) != 1)
		return NULL;
	return (Sluice__V1__Promotion *)message;
}

static void add_verdicts(struct world *w, Sluice__V1__EnvironmentDetail *detail)
{
	const Sluice__V1__Promotion *p = detail->promotion;

	for (size_t i = 0; p && i < p->n_verdicts; i++) {
		cleanup(message_freep) ProtobufCMessage *message = NULL;
		const Sluice__V1__Verdict *v;

		if (world_fetch(w, ROW_VERDICT, p->verdicts[i], &message, NULL) != 1)
			continue;
		v = (const Sluice__V1__Verdict *)message;
		for (size_t j = 0; j < v->n_expectations; j++)
			message_append(detail, verdicts,
				       xprintf("%s: %s", v->job_name, v->expectations[j]->line));
	}
}

/* Number, run and parts: what a table of hosts shows. */
static Sluice__V1__Release *without_details(const struct release *r)
{
	Sluice__V1__Release *copy = message_new(&sluice__v1__release__descriptor);

	message_set_string(&copy->id, r->row->id);
	copy->number = r->row->number;
	message_set_string(&copy->digest, r->row->digest);
	message_set_string(&copy->pipeline, r->row->pipeline);
	message_set_string(&copy->run_id, r->row->run_id);
	copy->run_number = r->row->run_number;
	message_set_string(&copy->source_label, r->row->source_label);
	copy->created_ms = r->row->created_ms;
	return copy;
}

static void add_release(struct world *w, Sluice__V1__EnvironmentDetail *detail, const char *id)
{
	const struct release *r;

	for (size_t i = 0; i < detail->n_releases; i++)
		if (!strcmp(detail->releases[i]->id, id))
			return;
	r = id[0] ? world_release(w, id, NULL) : NULL;
	if (r)
		message_append(detail, releases, without_details(r));
}

static void add_releases(struct world *w, const struct environment *env,
			 Sluice__V1__EnvironmentDetail *detail)
{
	const Sluice__V1__Environment *row = env->row;

	add_release(w, detail, row->live);
	add_release(w, detail, row->last_good);
	add_release(w, detail, row->previous_good);
	add_release(w, detail, row->waiting);
	for (size_t i = 0; i < row->n_hosts; i++) {
		add_release(w, detail, row->hosts[i]->release);
		for (size_t j = 0; j < row->hosts[i]->n_slots; j++)
			add_release(w, detail, row->hosts[i]->slots[j]);
	}
}

static Sluice__V1__EnvironmentDetail *detail_of(struct world *w, const struct environment *env)
{
	Sluice__V1__EnvironmentDetail *detail =
		message_new(&sluice__v1__environment_detail__descriptor);
	const struct release *live =
		env->row->live[0] ? world_release(w, env->row->live, NULL) : NULL;

	detail->environment = copy_row(w, env);
	if (live)
		detail->live = message_copy(live->row);
	detail->promotion = copy_promotion(w, env);
	environment_tell_waits(w, env, add_wait, detail);
	add_verdicts(w, detail);
	add_releases(w, env, detail);
	return detail;
}

int environments_get(struct world *w, struct now now, const void *req, void *reply,
		     struct error *err)
{
	struct environment *env;

	w->now = now;
	env = world_environment(w, req, err);
	if (!env)
		return -1;
	*(Sluice__V1__EnvironmentDetail **)reply = detail_of(w, env);
	return 0;
}

/* Where the next page begins. */
static int page_begin(struct environment *const *all, size_t n, const char *after, size_t *ret,
		      struct error *err)
{
	*ret = 0;
	if (!*after)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i]->row->name, after) == 0) {
			*ret = i + 1;
			return 0;
		}
	error_set(err, ERR_INVALID, "the page token '%.64s' is of no list of environments", after);
	return error_hint(err, "a list begins with an empty token");
}

int environments_list(struct world *w, struct now now, const void *req, void *reply,
		      struct error *err)
{
	const struct environments_page *page = req;
	cleanup(freep) struct environment **all = NULL;
	Sluice__V1__ListEnvironmentsReply *ret;
	size_t n, at, bytes = 0;

	w->now = now;
	n = environments_in_order(w, &all);
	if (page_begin(all, n, page->after, &at, err) < 0)
		return -1;
	ret = message_new(&sluice__v1__list_environments_reply__descriptor);
	for (; at < n && ret->n_environments < page->limit && bytes < LIST_BYTES; at++) {
		Sluice__V1__EnvironmentDetail *d = detail_of(w, all[at]);

		bytes += protobuf_c_message_get_packed_size(&d->base);
		message_append(ret, environments, d);
	}
	if (at < n)
		message_set_string(&ret->next, all[at - 1]->row->name);
	*(Sluice__V1__ListEnvironmentsReply **)reply = ret;
	return 0;
}

int releases_where(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct release *r;
	Sluice__V1__ReleaseDetail *ret;
	struct environment **all;
	size_t n;

	w->now = now;
	r = world_release(w, req, err);
	if (!r)
		return -1;
	ret = message_new(&sluice__v1__release_detail__descriptor);
	ret->release = message_copy(r->row);
	n = environments_in_order(w, &all);
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(all[i]->row->live, r->row->id))
			message_append(ret, live_in, xstrdup(all[i]->row->name));
		if (environment_is_verified(all[i], r->row->id))
			message_append(ret, verified_in, xstrdup(all[i]->row->name));
	}
	free(all);
	*(Sluice__V1__ReleaseDetail **)reply = ret;
	return 0;
}
