#include "proto/message.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/v1/blob.pb-c.h"
#include "sluice/v1/model.pb-c.h"

static Sluice__V1__JobSpec *train(void)
{
	Sluice__V1__JobSpec *job = message_new(&sluice__v1__job_spec__descriptor);
	Sluice__V1__Variable *seed = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&job->name, "train[seed=1]");
	message_set_string(&job->run, "python3 train.py");
	message_set_string(&seed->name, "seed");
	message_set_string(&seed->value, "1");
	message_append(job, matrix, seed);
	message_append(job, needs, xstrdup("data"));
	message_append(job, needs, xstrdup(""));
	job->timeout_ms = 1800000;
	return job;
}

Test(message, a_string_is_owned_and_may_be_emptied)
{
	cleanup(message_freep) Sluice__V1__JobSpec *job = train();

	message_set_string(&job->name, job->name + 5);
	cr_expect_str_eq(job->name, "[seed=1]");
	message_set_string(&job->name, "");
	cr_expect_eq(job->name, protobuf_c_empty_string);
	message_set_string(&job->name, NULL);
	cr_expect_eq(job->name, protobuf_c_empty_string);
	message_set_string(&job->name, "again");
	cr_expect_str_eq(job->name, "again");
}

Test(message, bytes_are_owned_and_may_be_emptied)
{
	cleanup(message_freep) Sluice__V1__ChunkRef *chunk =
		message_new(&sluice__v1__chunk_ref__descriptor);

	message_set_bytes(&chunk->digest, "a\0b", 3);
	cr_expect(chunk->digest.len == 3 && memcmp(chunk->digest.data, "a\0b", 3) == 0);
	message_set_bytes(&chunk->digest, chunk->digest.data + 1, 2);
	cr_expect(chunk->digest.len == 2 && memcmp(chunk->digest.data, "\0b", 2) == 0);
	message_set_bytes(&chunk->digest, NULL, 0);
	cr_expect(chunk->digest.len == 0 && !chunk->digest.data);
}

Test(message, a_copy_shares_nothing_with_its_original)
{
	Sluice__V1__JobSpec *job = train();
	cleanup(message_freep) Sluice__V1__JobSpec *copy = message_copy(job);

	message_free(job);
	cr_expect_str_eq(copy->name, "train[seed=1]");
	cr_expect_eq(copy->n_matrix, 1);
	cr_expect_str_eq(copy->matrix[0]->name, "seed");
	cr_expect_eq(copy->n_needs, 2);
	cr_expect_str_eq(copy->needs[0], "data");
	cr_expect_str_eq(copy->needs[1], "");
	cr_expect_eq(copy->timeout_ms, 1800000);
	message_append(copy, needs, xstrdup("more")); /* after an array of an exact size */
	cr_expect_str_eq(copy->needs[2], "more");
	message_free(NULL);
}

Test(message, an_empty_message_can_be_copied)
{
	cleanup(message_freep) Sluice__V1__JobSpec *empty =
		message_new(&sluice__v1__job_spec__descriptor);
	cleanup(message_freep) Sluice__V1__JobSpec *copy = message_copy(empty);

	cr_expect_str_eq(copy->name, "");
	cr_expect_eq(copy->n_needs, 0);
}

Test(message, a_packed_message_comes_back_from_an_arena)
{
	cleanup(message_freep) Sluice__V1__JobSpec *job = train();
	cleanup(arena_freep) struct arena *arena = arena_new(64 * 1024);
	cleanup(buf_release) struct buf packed = { 0 };
	struct error err = { 0 };
	Sluice__V1__JobSpec *back;

	buf_puts(&packed, "head");
	message_pack_buf(job, &packed);
	back = message_unpack(&sluice__v1__job_spec__descriptor, arena, packed.data + 4,
			      packed.len - 4, &err);
	cr_assert(back, "%s", err.text);
	cr_expect_str_eq(back->matrix[0]->value, "1");
	cr_expect_eq(strncmp(packed.data, "head", 4), 0);
	cr_expect_gt(arena_used(arena), 0);
}

Test(message, no_bytes_are_an_empty_message)
{
	cleanup(arena_freep) struct arena *arena = arena_new(64 * 1024);
	Sluice__V1__Variable *v =
		message_unpack(&sluice__v1__variable__descriptor, arena, NULL, 0, NULL);

	cr_assert(v);
	cr_expect_str_eq(v->name, "");
}

Test(message, bytes_that_are_none_are_refused)
{
	static const char *const rows[] = { "\x0a", "\x0a\x7f", "\xff\xff\xff\xff", "\x0b" };
	cleanup(arena_freep) struct arena *arena = arena_new(64 * 1024);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err = { 0 };

		cr_expect_null(message_unpack(&sluice__v1__variable__descriptor, arena, rows[i],
					      strlen(rows[i]), &err));
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect(strstr(err.text, "sluice.v1.Variable"), "%s", err.text);
		cr_expect_null(message_unpack(&sluice__v1__variable__descriptor, NULL, rows[i],
					      strlen(rows[i]), NULL));
	}
}

/* Two bytes on the wire, a hundred on the heap: 1 MiB of empty submessages. */
Test(message, hostile_bytes_stop_at_the_cap)
{
	enum { WIRE = 1 << 20, CAP = 4 << 20 };
	cleanup(arena_freep) struct arena *arena = arena_new(CAP);
	cleanup(freep) char *bytes = xmalloc(WIRE);
	struct error err = { 0 };

	for (size_t i = 0; i < WIRE; i += 2)
		memcpy(bytes + i, "\x1a\x00", 2); /* JobSpec.matrix */
	cr_expect_null(message_unpack(&sluice__v1__job_spec__descriptor, arena, bytes, WIRE, &err));
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect_leq(arena_used(arena), CAP);
	arena_reset(arena);
	cr_expect(message_unpack(&sluice__v1__job_spec__descriptor, arena, bytes, 2000, &err));
}

/* Field 1 of Variable, field 3 (matrix) and 8 (needs) of JobSpec. */
Test(message, text_that_is_not_utf8_is_found_wherever_it_is)
{
	static const struct {
		const char *bytes, *field;
	} rows[] = {
		{ "\x0a\x02\xc3\x28", "name" },
		{ "\x1a\x05\x12\x03\xed\xa0\x80", "value" },
		{ "\x42\x01\x41\x42\x01\xff", "needs" },
		{ "\x32\x05\x1a\x03\x1a\x01\x80", "key" },
	};
	cleanup(arena_freep) struct arena *arena = arena_new(64 * 1024);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const ProtobufCMessageDescriptor *type = &sluice__v1__job_spec__descriptor;
		struct error err = { 0 };
		ProtobufCMessage *m;

		m = protobuf_c_message_unpack(type, NULL, strlen(rows[i].bytes),
					      (const uint8_t *)rows[i].bytes);
		cr_assert(m);
		cr_expect(!message_valid_utf8(m));
		cr_expect_str_eq(message_invalid_field(m), rows[i].field);
		message_free(m);
		cr_expect_null(
			message_unpack(type, arena, rows[i].bytes, strlen(rows[i].bytes), &err));
		cr_expect_str_eq(err.id, "E0207");
	}
}

Test(message, utf8_is_judged_as_unicode_does)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{ "plain", true },
		{ "gr\xc3\xbc\xc3\x9f", true },
		{ "\xe2\x82\xac", true },
		{ "\xf0\x9f\x9a\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\xef\xbf\xbd", true },
		{ "\x80", false },
		{ "\xc3", false },
		{ "\xc0\xaf", false },
		{ "\xe0\x80\xaf", false },
		{ "\xed\xa0\x80", false },
		{ "\xf4\x90\x80\x80", false },
		{ "\xf8\x88\x80\x80\x80", false },
		{ "\xe2\x82", false },
		{ "\xf0\x8f\xbf\xbf", false },
	};
	cleanup(message_freep) Sluice__V1__Variable *v =
		message_new(&sluice__v1__variable__descriptor);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		message_set_string(&v->value, rows[i].text);
		cr_expect_eq(message_valid_utf8(v), rows[i].valid, "row %zu", i);
	}
}

/* Found by tests/fuzz/message: packed again it could not have been unpacked. */
Test(message, a_field_without_a_number_is_refused_at_any_depth)
{
	static const char *const rows[] = {
		"\x81\x80\x80\x80\x00"
		"12345678",
		"\x1a\x0a\x81\x00"
		"12345678",
	};
	static const size_t sizes[] = { 13, 12 };
	cleanup(arena_freep) struct arena *arena = arena_new(64 * 1024);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err = { 0 };

		cr_expect_null(message_unpack(&sluice__v1__job_spec__descriptor, arena, rows[i],
					      sizes[i], &err));
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect(strstr(err.text, "number"), "%s", err.text);
	}
}
