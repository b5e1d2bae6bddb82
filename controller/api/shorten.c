/*
 * What is left out of a run that says more than fits in a message. 500 jobs may each have a text of
 * many kilobytes, read the outputs of 250 others, and report a thousand metrics: each is legal, and
 * none may keep anybody from watching the run.
 */
#include <string.h>

#include "controller/api/private.h"

enum { FEW_METRICS = 16, SENTENCE = 200 };

static void drop_texts(Sluice__V1__Job *job)
{
	job->spec->run = (char *)protobuf_c_empty_string;
	job->spec->n_env = 0;
}

static void drop_edges(Sluice__V1__Job *job)
{
	job->n_inputs = 0;
	job->spec->n_inputs = 0;
	job->spec->n_needs = 0;
}

static void keep_few_metrics(Sluice__V1__Job *job)
{
	job->n_metrics = MIN(job->n_metrics, (size_t)FEW_METRICS);
}

static void keep_names(Sluice__V1__Job *job)
{
	Sluice__V1__JobSpec *spec = job->spec;

	spec->n_outputs = spec->n_gates = 0;
	spec->resources = NULL;
	spec->retry = NULL;
	spec->evaluates = NULL;
	spec->release = NULL;
}

static void clip(char *text)
{
	size_t at = SENTENCE;

	if (strlen(text) <= SENTENCE)
		return;
	while (at && ((unsigned char)text[at] & 0xc0) == 0x80) /* not within a character */
		at--;
	text[at] = '\0';
}

static void clip_sentences(Sluice__V1__Job *job)
{
	job->n_metrics = 0;
	clip(job->reason);
	if (job->exit)
		clip(job->exit->text);
}

static void clip_lines(Sluice__V1__RunDetail *detail)
{
	for (size_t i = 0; i < detail->n_waits; i++)
		clip(detail->waits[i]->sentence);
	for (size_t i = 0; i < detail->n_verdicts; i++)
		clip(detail->verdicts[i]);
}

void detail_shorten(Sluice__V1__RunDetail *detail, size_t most)
{
	static void (*const steps[])(Sluice__V1__Job *) = { drop_texts, drop_edges,
							    keep_few_metrics, keep_names,
							    clip_sentences };

	for (size_t step = 0; step < ARRAY_SIZE(steps); step++) {
		if (protobuf_c_message_get_packed_size(&detail->base) <= most)
			return;
		detail->shortened = true;
		for (size_t i = 0; i < detail->n_jobs; i++)
			if (detail->jobs[i]->spec)
				steps[step](detail->jobs[i]);
	}
	if (protobuf_c_message_get_packed_size(&detail->base) > most)
		clip_lines(detail);
}
