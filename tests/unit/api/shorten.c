/*
 * Runs that are too large for a message.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/private.h"

enum { JOBS = 500 };

static char *text_of(struct arena *a, size_t len)
{
	char *text = arena_alloc(a, len + 1);

	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

static void add_inputs(struct arena *a, Sluice__V1__Job *job, size_t n)
{
	Sluice__V1__ResolvedInput *in = arena_alloc(a, sizeof *in);

	sluice__v1__resolved_input__init(in);
	in->artifacts = arena_alloc(a, n * sizeof *in->artifacts);
	for (; in->n_artifacts < n; in->n_artifacts++) {
		Sluice__V1__ResolvedArtifact *r = arena_alloc(a, sizeof *r);

		sluice__v1__resolved_artifact__init(r);
		r->digest = text_of(a, 71);
		in->artifacts[in->n_artifacts] = r;
	}
	job->inputs = arena_alloc(a, sizeof *job->inputs);
	job->inputs[job->n_inputs++] = in;
}

static void add_metrics(struct arena *a, Sluice__V1__Job *job, size_t n)
{
	job->metrics = arena_alloc(a, n * sizeof *job->metrics);
	for (; job->n_metrics < n; job->n_metrics++) {
		Sluice__V1__Metric *m = arena_alloc(a, sizeof *m);

		sluice__v1__metric__init(m);
		m->name = text_of(a, 30);
		m->value = 1;
		job->metrics[job->n_metrics] = m;
	}
}

/* Each job runs a text of so many bytes. */
static Sluice__V1__RunDetail *detail_new(struct arena *a, size_t text)
{
	Sluice__V1__RunDetail *d = arena_alloc(a, sizeof *d);

	sluice__v1__run_detail__init(d);
	d->jobs = arena_alloc(a, JOBS * sizeof *d->jobs);
	for (; d->n_jobs < JOBS; d->n_jobs++) {
		Sluice__V1__Job *job = arena_alloc(a, sizeof *job);

		sluice__v1__job__init(job);
		job->spec = arena_alloc(a, sizeof *job->spec);
		sluice__v1__job_spec__init(job->spec);
		job->spec->name = arena_printf(a, "train[seed=%zu]", d->n_jobs);
		job->spec->run = text_of(a, text);
		job->reason = arena_printf(a, "it waits for %zu", d->n_jobs);
		d->jobs[d->n_jobs] = job;
	}
	return d;
}

static size_t size_of(const Sluice__V1__RunDetail *d)
{
	return protobuf_c_message_get_packed_size(&d->base);
}

Test(shorten, what_fits_is_left_as_it_is)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	Sluice__V1__RunDetail *d = detail_new(a, 100);
	size_t before = size_of(d);

	detail_shorten(d, REPLY_BYTES);
	cr_expect_eq(size_of(d), before);
	cr_expect_not(d->shortened);
}

Test(shorten, long_texts_go_first)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	Sluice__V1__RunDetail *d = detail_new(a, 6000);

	add_metrics(a, d->jobs[0], 3);
	add_inputs(a, d->jobs[0], 3);
	detail_shorten(d, REPLY_BYTES);
	cr_expect_leq(size_of(d), (size_t)REPLY_BYTES);
	cr_expect(d->shortened);
	cr_expect_str_eq(d->jobs[7]->spec->run, "");
	cr_expect_str_eq(d->jobs[7]->spec->name, "train[seed=7]");
	cr_expect_eq(d->jobs[0]->n_metrics, 3);
	cr_expect_eq(d->jobs[0]->n_inputs, 1, "what was not in the way is still there");
}

Test(shorten, the_largest_run_fits_and_keeps_what_a_view_needs)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	Sluice__V1__RunDetail *d = detail_new(a, 6000);

	for (size_t i = 0; i < JOBS; i++) {
		add_metrics(a, d->jobs[i], 1000);
		if (i >= 250)
			add_inputs(a, d->jobs[i], 250);
		d->jobs[i]->state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
	}
	d->jobs[0]->exit = arena_alloc(a, sizeof *d->jobs[0]->exit);
	sluice__v1__exit__init(d->jobs[0]->exit);
	d->jobs[0]->exit->text = text_of(a, 200 * 1000);
	detail_shorten(d, REPLY_BYTES);
	cr_expect_leq(size_of(d), (size_t)REPLY_BYTES);
	cr_expect_eq(d->n_jobs, JOBS);
	cr_expect_eq(d->jobs[3]->n_metrics, 16);
	cr_expect_eq(d->jobs[499]->state, SLUICE__V1__JOB_STATE__JOB_SUCCEEDED);
	cr_expect_str_eq(d->jobs[499]->reason, "it waits for 499");
}

Test(shorten, sentences_are_cut_between_characters)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	Sluice__V1__RunDetail *d = detail_new(a, 0);

	d->jobs[0]->reason = text_of(a, 1000);
	memcpy(d->jobs[0]->reason + 199, "\xc3\xa4", 2);
	detail_shorten(d, 0);
	cr_expect_eq(strlen(d->jobs[0]->reason), 199);
	cr_expect_str_eq(d->jobs[1]->reason, "it waits for 1");
}
