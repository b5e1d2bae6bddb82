#include "cli/json.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/events.pb-c.h"
#include "sluice/v1/runs.pb-c.h"
#include "sluice/v1/tokens.pb-c.h"

static char *text_of(const ProtobufCMessage *m)
{
	json_t *value = json_of(m);
	char *text = json_dumps(value, JSON_COMPACT);

	json_decref(value);
	return text;
}

Test(json, names_are_those_of_the_schema_and_numbers_are_numbers)
{
	Sluice__V1__Wait w = SLUICE__V1__WAIT__INIT;
	cleanup(freep) char *text = NULL;

	w.run_number = 318;
	w.subject = (char *)"train[seed=1]";
	w.sentence = (char *)"needs \"4\" GPUs";
	w.since_ms = 1795453491102;
	w.priority = -3;
	text = text_of(&w.base);
	cr_expect_str_eq(text, "{\"run_id\":\"\",\"run_number\":318,\"subject\":\"train[seed=1]\","
			       "\"sentence\":\"needs \\\"4\\\" GPUs\",\"since_ms\":1795453491102,"
			       "\"priority\":-3}");
}

Test(json, lists_are_always_there_and_absent_messages_are_null)
{
	Sluice__V1__RunDetail d = SLUICE__V1__RUN_DETAIL__INIT;
	char *lines[] = { (char *)"a: pass", (char *)"b: fail" };
	json_t *value;

	d.verdicts = lines;
	d.n_verdicts = 2;
	value = json_of(&d.base);
	cr_expect(json_is_null(json_object_get(value, "run")));
	cr_expect(json_is_array(json_object_get(value, "jobs")));
	cr_expect_eq(json_array_size(json_object_get(value, "jobs")), 0);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(value, "verdicts"), 1)),
			 "b: fail");
	json_decref(value);
}

Test(json, a_member_of_a_oneof_is_there_only_when_it_is_set)
{
	Sluice__V1__ExpectationResult r = SLUICE__V1__EXPECTATION_RESULT__INIT;
	json_t *value;

	r.left_value_case = SLUICE__V1__EXPECTATION_RESULT__LEFT_VALUE_LEFT;
	r.left = 0;
	value = json_of(&r.base);
	cr_expect(json_is_real(json_object_get(value, "left")));
	cr_expect_null(json_object_get(value, "right"));
	json_decref(value);
}

Test(json, what_has_no_word_in_json_is_null_and_what_is_too_large_is_text)
{
	Sluice__V1__Metric m = SLUICE__V1__METRIC__INIT;
	Sluice__V1__Exit e = SLUICE__V1__EXIT__INIT;
	json_t *metric, *exit_;

	m.value = NAN;
	e.max_rss = UINT64_MAX;
	metric = json_of(&m.base);
	exit_ = json_of(&e.base);
	cr_expect(json_is_null(json_object_get(metric, "value")));
	cr_expect_str_eq(json_string_value(json_object_get(exit_, "max_rss")),
			 "18446744073709551615");
	json_decref(metric);
	json_decref(exit_);
}

Test(json, bytes_are_hex)
{
	Sluice__V1__Event e = SLUICE__V1__EVENT__INIT;
	uint8_t bytes[] = { 0x00, 0xff, 0x1a };
	json_t *value;

	e.hash.data = bytes;
	e.hash.len = 3;
	value = json_of(&e.base);
	cr_expect_str_eq(json_string_value(json_object_get(value, "hash")), "00ff1a");
	json_decref(value);
}

Test(json, enums_are_words_without_the_prefix_of_their_type)
{
	static const struct {
		const ProtobufCEnumDescriptor *type;
		int value;
		const char *word;
	} table[] = {
		{ &sluice__v1__run_state__descriptor, 2, "succeeded" },
		{ &sluice__v1__run_state__descriptor, 0, "unspecified" },
		{ &sluice__v1__job_state__descriptor, 7, "skipped" },
		{ &sluice__v1__role__descriptor, 4, "admin" },
		{ &sluice__v1__exit_reason__descriptor, 5, "out_of_memory" },
		{ &sluice__v1__on_lost__descriptor, 1, "rerun" },
		{ &sluice__v1__verdict_state__descriptor, 1, "pass" },
		{ &sluice__v1__verdict_state__descriptor, 6, "skipped" },
		{ &sluice__v1__promotion__state__descriptor, 2, "rolling_out" },
		{ &sluice__v1__event_kind__descriptor, 1, "run.submitted" },
		{ &sluice__v1__event_kind__descriptor, 3, "run.cancel_requested" },
		{ &sluice__v1__artifact_kind__descriptor, 3, "model" },
		{ &sluice__v1__run_state__descriptor, 99, "99" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char word[ENUM_WORD];

		cr_expect_str_eq(enum_word(table[i].type, table[i].value, word), table[i].word);
	}
}

Test(json, numbers_are_written_in_the_fewest_digits_that_read_back)
{
	static const double numbers[] = { 0.1,	   0.825603, 1.0 / 3,	100,
					  -2.5e-7, 1e300,    0.1 + 0.2, 4.9406564584124654e-324 };
	cleanup(buf_release) struct buf text = { 0 };
	json_t *list = json_array(), *back;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_array_append_new(list, json_real(numbers[i]));
	json_array_append_new(list, json_integer(1795453491102));
	json_array_append_new(list, json_string("0.10000000000000001 \"1.50\" \\"));
	json_write(list, true, &text);
	cr_expect(strncmp(buf_str(&text), "[0.1,0.825603,", 14) == 0, "%s", buf_str(&text));
	cr_expect(strstr(buf_str(&text), ",100.0,"), "a real stays one: %s", buf_str(&text));
	cr_expect(strstr(buf_str(&text), ",\"0.10000000000000001 \\\"1.50\\\" \\\\\"]"),
		  "text is left alone: %s", buf_str(&text));
	back = json_loads(buf_str(&text), 0, NULL);
	cr_expect(json_equal(back, list), "%s", buf_str(&text));
	json_decref(back);
	json_decref(list);
}
