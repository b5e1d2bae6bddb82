#include "cli/help.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "cli/text.h"
#include "cli/verbs.h"

static void each_verb(void (*check)(const struct verb *v))
{
	for (const struct family *f = verb_families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++)
			check(v);
}

static void has_all_it_needs(const struct verb *v)
{
	const struct flag *f;

	if (!v->run)
		return;
	cr_expect(v->summary && *v->summary, "%s", v->name);
	cr_expect_null(strpbrk(v->summary, "'\\"), "%s: a shell could not complete it", v->name);
	cr_expect(v->summary[strlen(v->summary) - 1] != '.', "%s", v->name);
	cr_expect(v->arguments && v->min <= v->max, "%s", v->name);
	for (unsigned i = 0; (f = verb_flag(v, i)); i++) {
		cr_expect(f->doc && *f->doc, "%s --%s", v->name, f->name);
		for (unsigned k = 0; k < i; k++) {
			const struct flag *other = verb_flag(v, k);

			cr_expect_str_neq(f->name, other->name, "%s", v->name);
			cr_expect(!f->letter || f->letter != other->letter, "%s -%c", v->name,
				  f->letter);
		}
	}
}

Test(help, every_verb_is_described_and_no_flag_is_given_twice)
{
	each_verb(has_all_it_needs);
}

static void is_found(const struct verb *v)
{
	char *copy = xstrdup(v->name), *space = strchr(copy, ' ');
	char *argv[] = { copy, space ? space + 1 : NULL, NULL };
	struct error err = { 0 };
	int used;

	if (space)
		*space = 0;
	cr_expect_eq(verb_find(verb_families, space ? 2 : 1, argv, &used, &err), v, "%s", v->name);
	free(copy);
}

Test(help, every_verb_is_found_by_its_name)
{
	each_verb(is_found);
}

Test(help, lines_fit_a_terminal)
{
	cleanup(buf_release) struct buf text = { 0 };

	help_text(verb_families, &text);
	for (const char *p = buf_str(&text); *p;) {
		size_t len = strcspn(p, "\n");

		cr_expect_leq(len, 100, "%.*s", (int)len, p);
		p += len + (p[len] == '\n');
	}
}

Test(help, the_reference_page_is_the_table)
{
	cleanup(buf_release) struct buf made = { 0 }, there = { 0 };
	struct error err = { 0 };

	help_markdown(verb_families, &made);
	cr_assert_eq(file_read(SLUICE_SOURCE_DIR "/docs/cli.md", 1 << 20, &there, &err), 0, "%s",
		     err.text);
	cr_expect(strcmp(buf_str(&made), buf_str(&there)) == 0,
		  "docs/cli.md is not what `sluice help --markdown` says");
}

static void parses(const char *shell, const char *text)
{
	char path[] = "/tmp/sluice-completion-XXXXXX";
	const char *argv[] = { shell, "-n", path, NULL };
	struct spawn s = { .argv = argv, .in = -1 };
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	int fd = mkstemp(path);

	cr_assert(fd >= 0 && file_write_all(fd, text, strlen(text), &err) == 0);
	cr_expect_eq(spawn_run(&s, 20000, 4096, &out, &err), 0, "%s: %s", shell, err.text);
	close(fd);
	unlink(path);
}

Test(help, completion_is_a_script_that_knows_every_verb)
{
	static const char *const shells[] = { "bash", "zsh", "fish" };

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		cleanup(buf_release) struct buf text = { 0 };

		cr_assert(help_completion(verb_families, shells[i], &text));
		cr_expect(strstr(buf_str(&text), "promote"), "%s", shells[i]);
		cr_expect(strstr(buf_str(&text), "--expect-live") ||
				  strstr(buf_str(&text), "-l expect-live"),
			  "%s", shells[i]);
		if (i == 0)
			parses("bash", buf_str(&text));
	}
	cr_expect_not(help_completion(verb_families, "csh", &(struct buf){ 0 }));
}

Test(help, bash_completes_verbs_and_flags)
{
	static const char script[] =
		"source \"$1\"\n"
		"t() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _sluice; "
		"echo \"${COMPREPLY[@]}\"; }\n"
		"t sluice prom; t sluice runs ca; t sluice submit --wat; t sluice runs ls --pip\n";
	char path[] = "/tmp/sluice-completion-XXXXXX";
	const char *argv[] = { "bash", "-c", script, "t", path, NULL };
	struct spawn s = { .argv = argv, .in = -1 };
	cleanup(buf_release) struct buf text = { 0 }, out = { 0 };
	struct error err = { 0 };
	int fd = mkstemp(path);

	cr_assert(help_completion(verb_families, "bash", &text));
	cr_assert(fd >= 0 && file_write_all(fd, text.data, text.len, &err) == 0);
	cr_expect_eq(spawn_run(&s, 20000, 4096, &out, &err), 0, "%s", err.text);
	cr_expect_str_eq(buf_str(&out), "promote\ncancel\n--watch\n--pipeline\n");
	close(fd);
	unlink(path);
}

Test(help, completion_asks_for_the_names_that_a_usage_wants)
{
	cleanup(buf_release) struct buf text = { 0 };
	const char *promote, *rollback;

	cr_assert(help_completion(verb_families, "bash", &text));
	promote = strstr(buf_str(&text), "\"promote \"*)\n\t\t\tcase");
	rollback = strstr(buf_str(&text), "\"rollback \"*)\n\t\t\tcase");
	cr_assert(promote && rollback);
	cr_expect_eq(strncmp(strstr(promote, "--to) "), "--to) kind=ENVIRONMENT ;;", 25), 0);
	cr_expect_eq(strncmp(strstr(rollback, "--to) "), "--to) kind=RELEASE ;;", 21), 0);
	cr_expect(strstr(promote, "*) [ \"$COMP_CWORD\" -ne 2 ] || kind=RELEASE ;;"));
}
