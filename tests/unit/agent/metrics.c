#include "agent/metrics.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/message.h"

static struct metrics *metrics;
static struct buf lines, notes;

static void begin(void)
{
	metrics = metrics_new("m.json");
}

static void end(void)
{
	metrics_free(metrics);
	buf_release(&lines);
	buf_release(&notes);
}

TestSuite(metrics, .init = begin, .fini = end, .timeout = 20);

static int feed(const char *text, struct error *err)
{
	return metrics_feed(metrics, text, strlen(text), &lines, &notes, err);
}

static int all_of(const char *text, struct error *err)
{
	return feed(text, err) < 0 ? -1 : metrics_end(metrics, err);
}

/* How many there are; *ret is the one of that name, NaN if it is not among them. */
static size_t values(const char *name, double *ret)
{
	cleanup(message_freep) Sluice__V1__FinishedAttempt *done =
		message_new(&sluice__v1__finished_attempt__descriptor);

	metrics_values(metrics, done);
	*ret = NAN;
	for (size_t i = 0; i < done->n_metrics; i++)
		if (strcmp(done->metrics[i]->name, name) == 0)
			*ret = done->metrics[i]->value;
	return done->n_metrics;
}

static double value_of(const char *name)
{
	double value;

	values(name, &value);
	return value;
}

Test(metrics, the_last_value_of_each_counts)
{
	struct error err = { 0 };
	double loss;

	cr_assert_eq(all_of("{\"loss\": 3, \"step\": 1}\n{\"loss\": 2.5}\n\n{\"step\": 2}", &err),
		     0, "%s", err.text);
	cr_expect_eq(values("loss", &loss), 2);
	cr_expect_eq(loss, 2.5);
	cr_expect_eq(value_of("step"), 2);
	cr_expect_str_eq(buf_str(&lines),
			 "{\"loss\":3,\"step\":1}\n{\"loss\":2.5}\n{\"step\":2}\n");
	cr_expect_str_eq(buf_str(&notes), "");
}

Test(metrics, one_object_over_several_lines_is_well)
{
	struct error err = { 0 };

	cr_assert_eq(all_of("{\n \"a\": 1,\n \"note\": \"a } in \\\" a {\",\n \"b\": [1, {\"c\": "
			    "2}]\n}\n",
			    &err),
		     0, "%s", err.text);
	cr_expect_eq(value_of("a"), 1);
	cr_expect(isnan(value_of("b")) && isnan(value_of("c")));
}

Test(metrics, pieces_of_any_size_say_the_same)
{
	const char text[] =
		"{\"a\": 1, \"t\": \"x\\\\\"}\n{\"a\": NaN}\n {\"a\": -Infinity, \"b\": 7}\n"
		"{\"t\": \"NaN\"}";
	cleanup(buf_release) struct buf whole = { 0 };
	struct error err = { 0 };

	cr_assert_eq(all_of(text, &err), 0, "%s", err.text);
	buf_puts(&whole, buf_str(&lines));
	for (size_t size = 1; size < sizeof text; size++) {
		metrics_again(metrics);
		buf_clear(&lines);
		for (size_t at = 0; at < strlen(text); at += size)
			cr_assert_eq(metrics_feed(metrics, text + at, MIN(size, strlen(text) - at),
						  &lines, &notes, &err),
				     0, "%s", err.text);
		cr_assert_eq(metrics_end(metrics, &err), 0, "%s", err.text);
		cr_assert_str_eq(buf_str(&lines), buf_str(&whole), "in pieces of %zu", size);
		cr_assert_eq(value_of("b"), 7);
	}
}

Test(metrics, what_is_no_number_is_left_out_and_noted_once)
{
	struct error err = { 0 };

	cr_assert_eq(all_of("{\"loss\": 2, \"auc\": 0.5}\n{\"loss\": NaN, \"auc\": 0.75}\n"
			    "{\"loss\": Infinity}\n{\"lr\": -Infinity, \"h\": [1, NaN]}\n",
			    &err),
		     0, "%s", err.text);
	cr_expect_str_eq(buf_str(&lines), "{\"auc\":0.5,\"loss\":2}\n{\"auc\":0.75,\"loss\":null}\n"
					  "{\"loss\":null}\n{\"h\":[1,null],\"lr\":null}\n");
	cr_expect_str_eq(buf_str(&notes),
			 "metrics: line 2 of 'm.json': 'loss' is NaN; left out\n"
			 "metrics: line 4 of 'm.json': 'lr' is -Infinity; left out\n");
	cr_expect_eq(value_of("auc"), 0.75);
	/* An older number would let a gate pass that has no data. */
	cr_expect(isnan(value_of("loss")) && isnan(value_of("lr")));
	cr_assert_eq(feed("{\"loss\": 1.5}", &err), 0);
	cr_expect_eq(value_of("loss"), 1.5);
}

Test(metrics, notes_have_an_end)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };
	int n = 0;

	for (int i = 0; i < 100; i++)
		buf_printf(&text, "{\"m%d\": NaN}\n", i);
	cr_assert_eq(all_of(buf_str(&text), &err), 0);
	for (const char *at = buf_str(&notes); (at = strchr(at, '\n')); at++)
		n++;
	cr_expect_eq(n, METRICS_NOTES_MAX + 1);
}

Test(metrics, what_is_no_object_is_named_with_its_line)
{
	static const struct {
		const char *text, *says;
	} table[] = {
		{ "{\"a\": 1}\n[1, 2]\n", "line 2 " },
		{ "{\"a\": 1}\n{\"a\": Nan}\n", "line 2 " },
		{ "{\"a\": 1}\n{\n\"a\": 1e999}\n", "line 3 " },
		{ "{\"a\": NaN0}", "line 1 " },
		{ "\n\n{\"a\"", "line 3 " },
		{ "{\"a\": 1}\n{\"a: 2}\n{\"a\": 3}", "line 2 " },
		{ "hello", "line 1 " },
		{ "{\"a\": 1]", "line 1 " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };

		metrics_again(metrics);
		cr_expect_lt(all_of(table[i].text, &err), 0, "%s", table[i].text);
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect(strstr(err.text, table[i].says), "%s: %s", table[i].text, err.text);
		error_clear(&err);
		cr_expect_lt(feed("{\"b\": 1}", &err), 0, "it goes on after %s", table[i].text);
	}
}

Test(metrics, a_nul_is_not_the_end)
{
	static const char text[] = "{\"a\": 1}\n\0{\"a\": 2}\n", inside[] = "{\"a\": \0 1}";
	struct error err = { 0 };

	cr_expect_lt(metrics_feed(metrics, text, sizeof text - 1, &lines, &notes, &err), 0);
	cr_expect_eq(err.code, ERR_INVALID);
	metrics_again(metrics);
	cr_expect_lt(metrics_feed(metrics, inside, sizeof inside - 1, &lines, &notes, &err), 0);
	cr_expect_eq(err.code, ERR_INVALID);
}

Test(metrics, a_thousand_names_and_no_more)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	for (int i = 0; i < METRICS_MAX; i++)
		buf_printf(&text, "{\"m%d\": %d}\n", i, i);
	cr_assert_eq(feed(buf_str(&text), &err), 0, "%s", err.text);
	cr_expect_eq(value_of("m777"), 777);
	cr_expect_lt(feed("{\"one-more\": 1}\n", &err), 0);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
}

Test(metrics, long_lines_count_but_are_not_shipped_and_longer_ones_are_refused)
{
	cleanup(freep) char *long_text = xmalloc(METRICS_OBJECT_MAX + 1);
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	memset(long_text, 'x', METRICS_OBJECT_MAX);
	long_text[METRICS_LINE_MAX] = '\0';
	buf_printf(&text, "{\"a\": 5, \"t\": \"%s\"}\n", long_text);
	cr_assert_eq(feed(buf_str(&text), &err), 0, "%s", err.text);
	cr_expect_eq(value_of("a"), 5);
	cr_expect_eq(lines.len, 0);
	cr_expect(strstr(buf_str(&notes), "left out of the stream"), "%s", buf_str(&notes));
	buf_clear(&text);
	long_text[METRICS_LINE_MAX] = 'x';
	long_text[METRICS_OBJECT_MAX] = '\0';
	buf_printf(&text, "{\"t\": \"%s\"}\n", long_text);
	cr_expect_lt(feed(buf_str(&text), &err), 0);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
}
