/* expanded.h - a text through spec_expand(), for tests */
#ifndef TESTS_SPEC_EXPANDED_H
#define TESTS_SPEC_EXPANDED_H

#include <criterion/criterion.h>
#include <string.h>

#include "base/buf.h"
#include "spec/spec.h"

struct expanded {
	struct arena *arena;
	Sluice__V1__Pipeline *pipeline; /* NULL: refused */
	struct diagnostics d;
};

static inline struct expanded expand_with(const char *text, const struct spec_override *overrides,
					  size_t n, unsigned flags)
{
	struct expanded e = { .arena = arena_new(0) };
	struct spec_source src = { .file = "sluice.yaml",
				   .text = text,
				   .len = strlen(text),
				   .overrides = overrides,
				   .n_overrides = n,
				   .flags = flags };
	int r = spec_expand(&src, e.arena, &e.pipeline, &e.d);

	cr_assert_eq(r<0, e.d.errors> 0);
	cr_assert_eq(r < 0, e.pipeline == NULL);
	return e;
}

static inline struct expanded expand(const char *text)
{
	return expand_with(text, NULL, 0, 0);
}

static inline void expanded_release(struct expanded *e)
{
	diagnostics_release(&e->d);
	arena_free(e->arena);
}

/* All that is wrong, as text: for messages of asserts. Leaks into a static buffer. */
static inline const char *expanded_text(struct expanded *e)
{
	static struct buf out;

	buf_clear(&out);
	diagnostics_text(&e->d, false, &out);
	return buf_str(&out);
}

/* A line of a table: one mistake, its number, its place, a part of its sentence. */
struct mistake {
	const char *text;
	const char *id;
	int line, col;
	const char *says;
};

/* Exactly this one error. */
static inline void expect_mistake(const struct mistake *m)
{
	cleanup(expanded_release) struct expanded e = expand(m->text);
	const struct diagnostic *item = diagnostics_first(&e.d);

	cr_assert_eq(e.d.errors, 1, "%zu errors, not 1:\n%s\n%s", e.d.errors, m->text,
		     expanded_text(&e));
	cr_expect_str_eq(item->id, m->id, "\n%s", expanded_text(&e));
	cr_expect(item->place.line == m->line && item->place.col == m->col, "not at %d:%d\n%s",
		  m->line, m->col, expanded_text(&e));
	cr_expect(strstr(item->message, m->says) || strstr(item->label, m->says) ||
			  strstr(item->help, m->says),
		  "does not say \"%s\":\n%s", m->says, expanded_text(&e));
}

#define HEAD "version: 1\npipeline: p\n"
/* With one job `a`, from line 3 on; its keys from line 5 on. */
#define JOB  HEAD "jobs:\n  a:\n    run: x\n"

#endif
