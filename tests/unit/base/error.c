#include "base/error.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/errors.h"
#include "base/file.h"
#include "base/mem.h"

Test(error, callers_add_where_it_mattered)
{
	struct error err = { 0 };

	errno = ENOSPC;
	cr_expect_eq(error_errno(&err, "writing chunk"), -1);
	cr_expect_eq(error_wrap(&err, "uploading '%s'", "model.tar"), -1);
	cr_expect_str_eq(err.text, "uploading 'model.tar': writing chunk: No space left on device");
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect_str_eq(err.id, "");
}

Test(error, nobody_needs_to_want_it)
{
	errno = EIO;
	cr_expect_eq(error_set(NULL, ERR_INVALID, "a"), -1);
	cr_expect_eq(error_id(NULL, "E0107", "a"), -1);
	cr_expect_eq(error_errno(NULL, "a"), -1);
	cr_expect_eq(error_wrap(NULL, "a"), -1);
	cr_expect_eq(error_hint(NULL, "a"), -1);
	error_clear(NULL);
}

Test(error, a_place_is_kept_by_who_adds_words_and_gone_with_the_next_error)
{
	struct error err = { 0 };
	char name[300];

	error_set(&err, ERR_INVALID, "no");
	cr_expect_eq(error_place(&err, "sluice.yaml", 22, 5), -1);
	error_wrap(&err, "submitting");
	cr_expect_str_eq(err.file, "sluice.yaml");
	cr_expect_eq(err.line, 22);
	cr_expect_eq(err.col, 5);
	error_set(&err, ERR_INVALID, "other");
	cr_expect_str_eq(err.file, "");
	cr_expect_eq(err.line, 0);
	cr_expect_eq(err.col, 0);
	/* of a long name the end says more; no character is cut */
	memset(name, 'x', sizeof name);
	memcpy(name + sizeof name - 130, "\xc3\xa4", 2);
	memcpy(name + sizeof name - 7, "z.yaml", 7);
	error_place(&err, name, 1, 1);
	cr_expect_eq(strlen(err.file), 127);
	cr_expect_eq(err.file[0], 'x');
	cr_expect_str_eq(err.file + 121, "z.yaml");
	cr_expect_eq(error_place(NULL, "f", 1, 1), -1);
}

Test(error, errno_becomes_a_code)
{
	static const struct {
		int number;
		enum error_code code;
	} rows[] = {
		{ ENOSPC, ERR_EXHAUSTED }, { EDQUOT, ERR_EXHAUSTED },	 { EMFILE, ERR_EXHAUSTED },
		{ ENOENT, ERR_NOT_FOUND }, { EACCES, ERR_DENIED },	 { EPERM, ERR_DENIED },
		{ EIO, ERR_INTERNAL },	   { ECONNRESET, ERR_INTERNAL },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err = { 0 };

		errno = rows[i].number;
		error_errno(&err, "x");
		cr_expect_eq(err.code, rows[i].code, "%s", err.text);
		cr_expect_eq(errno, rows[i].number);
	}
}

Test(error, a_number_brings_code_and_hint_of_the_catalogue)
{
	struct error err = { 0 };

	error_id(&err, "E0205", "no 'sluice.yaml' here");
	cr_expect_str_eq(err.id, "E0205");
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_str_eq(err.hint, error_lookup("E0205")->hint);
	error_hint(&err, "did you mean `%s`?", "retry");
	cr_expect_str_eq(err.hint, "did you mean `retry`?");
	error_set(&err, ERR_INVALID, "another");
	cr_expect_str_eq(err.id, "");
	cr_expect_str_eq(err.hint, "");
}

Test(error, a_number_that_is_not_in_the_catalogue_is_a_bug, .signal = SIGABRT)
{
	struct error err = { 0 };

	error_id(&err, "E0999", "x");
}

Test(error, a_text_may_quote_the_error_it_replaces)
{
	struct error err = { 0 };

	error_set(&err, ERR_INVALID, "inner");
	error_set(&err, ERR_CONFLICT, "outer, because %s", err.text);
	cr_expect_str_eq(err.text, "outer, because inner");
	error_hint(&err, "see %s", err.text);
	cr_expect_str_eq(err.hint, "see outer, because inner");
}

static void fill(char *text, size_t size, const char *pattern)
{
	size_t len = strlen(pattern);

	for (size_t i = 0; i < size - 1; i++)
		text[i] = pattern[i % len];
	text[size - 1] = '\0';
}

static int whole_utf8(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p >= 0xc2 && (p[1] & 0xc0) != 0x80)
			return 0;
	return 1;
}

Test(error, what_is_too_long_is_cut_at_a_whole_character)
{
	char text[2000];
	struct error err = { 0 };

	for (size_t shift = 0; shift < 3; shift++) {
		fill(text, sizeof text, "\xc3\xbc");
		error_set(&err, ERR_INVALID, "%.*s%s", (int)shift, "ab", text);
		cr_expect_lt(strlen(err.text), sizeof err.text);
		cr_expect_str_eq(err.text + strlen(err.text) - 3, "...");
		cr_expect(whole_utf8(err.text), "%s", err.text);
	}
}

Test(error, the_systems_reason_survives_a_long_name)
{
	char name[2000];
	struct error err = { 0 };

	fill(name, sizeof name, "directory/");
	errno = ENOENT;
	error_errno(&err, "opening '%s'", name);
	cr_expect(strstr(err.text, "...: No such file or directory"), "%s", err.text);
	for (int i = 0; i < 10; i++)
		error_wrap(&err, "in '%s'", name);
	cr_expect_lt(strlen(err.text), sizeof err.text);
}

Test(errors, every_code_has_a_name_of_its_own)
{
	for (int a = 0; a < ERR_CODES; a++)
		for (int b = a + 1; b < ERR_CODES; b++)
			cr_expect_str_neq(error_code_name(a), error_code_name(b));
	cr_expect_str_eq(error_code_name(ERR_NOT_FOUND), "not found");
	cr_expect_str_eq(error_code_name(ERR_CODES), "unknown error");
}

Test(errors, the_catalogue_is_in_order_and_whole)
{
	for (size_t i = 0; i < error_catalogue_count; i++) {
		const struct error_entry *e = &error_catalogue[i];
		struct error err = { 0 };

		cr_expect(e->id && strlen(e->id) == 5 && e->id[0] == 'E' && e->id[1] == '0');
		cr_expect_eq(strspn(e->id + 1, "0123456789"), 4, "%s", e->id);
		cr_expect(i == 0 || strcmp(error_catalogue[i - 1].id, e->id) < 0,
			  "%s is not in its place", e->id);
		cr_expect(e->code > ERR_NONE && e->code < ERR_CODES, "%s", e->id);
		cr_expect(e->title && *e->title &&
				  !ispunct((unsigned char)e->title[strlen(e->title) - 1]),
			  "%s: a title is no sentence", e->id);
		cr_expect(e->explain && strlen(e->explain) > 20 &&
				  e->explain[strlen(e->explain) - 1] == '.',
			  "%s: an explanation is a sentence", e->id);
		cr_expect(e->hint && strlen(e->hint) < sizeof err.hint, "%s", e->id);
		cr_expect_eq(error_lookup(e->id), e, "%s", e->id);
	}
}

Test(errors, a_number_nobody_gave_is_not_found)
{
	cr_expect_null(error_lookup("E0999"));
	cr_expect_null(error_lookup(""));
	cr_expect_null(error_lookup("nonsense"));
}

Test(errors, the_page_is_what_the_catalogue_says)
{
	cleanup(buf_release) struct buf made = { 0 }, there = { 0 };
	struct error err = { 0 };

	error_reference_markdown(&made);
	cr_assert_eq(file_read(SLUICE_SOURCE_DIR "/docs/errors.md", 1 << 20, &there, &err), 0, "%s",
		     err.text);
	cr_expect_str_eq(buf_str(&there), buf_str(&made),
			 "docs/errors.md is not what `sluice explain --markdown` says");
}
