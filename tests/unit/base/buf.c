#include "base/buf.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

Test(buf, an_empty_one_is_an_empty_string)
{
	cleanup(buf_release) struct buf b = { 0 };
	char *text;

	cr_expect_str_eq(buf_str(&b), "");
	text = buf_detach(&b);
	cr_expect_str_eq(text, "");
	free(text);
	buf_clear(&b);
	buf_consume(&b, 0);
	cr_expect_null(b.data);
}

Test(buf, what_is_added_is_always_followed_by_a_nul)
{
	cleanup(buf_release) struct buf b = { 0 };

	for (int i = 0; i < 1000; i++) {
		buf_putc(&b, (char)('a' + i % 26));
		cr_assert_eq(b.data[b.len], '\0');
		cr_assert_eq(b.len, (size_t)i + 1);
	}
	buf_add(&b, "x\0y", 3);
	cr_expect_eq(b.len, 1003);
	cr_expect_eq(memcmp(b.data + 1000, "x\0y", 4), 0);
}

Test(buf, printing_grows_as_far_as_the_text_needs)
{
	cleanup(buf_release) struct buf b = { 0 };
	char wide[5000];

	memset(wide, 'w', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	buf_puts(&b, "a:");
	buf_printf(&b, "%s:%d", wide, 42);
	cr_expect_eq(b.len, 2 + sizeof wide - 1 + 3);
	cr_expect_str_eq(b.data + b.len - 3, ":42");
	/* exactly as long as what is free: the NUL must not be forgotten */
	buf_clear(&b);
	buf_printf(&b, "%.*s", (int)(b.cap > sizeof wide ? sizeof wide - 1 : b.cap - 1), wide);
	cr_expect_eq(strlen(b.data), b.len);
}

Test(buf, consuming_drops_from_the_front)
{
	cleanup(buf_release) struct buf b = { 0 };

	buf_puts(&b, "headbody");
	buf_consume(&b, 4);
	cr_expect_str_eq(b.data, "body");
	buf_consume(&b, 4);
	cr_expect_eq(b.len, 0);
	cr_expect_str_eq(b.data, "");
}

Test(buf, a_cleared_one_keeps_its_memory)
{
	cleanup(buf_release) struct buf b = { 0 };
	char *data;

	buf_puts(&b, "something");
	data = b.data;
	buf_clear(&b);
	buf_puts(&b, "else");
	cr_expect_eq(b.data, data);
	cr_expect_str_eq(b.data, "else");
}
