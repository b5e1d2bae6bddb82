/*
 * Completion: words and flags from the table; for ENVIRONMENT, RELEASE and the like of its usage
 * the shell asks `sluice completion --names`. bash's script serves zsh, too, by its bashcompinit.
 */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/names.h"

/* The first words, each once. */
static void first_words(const struct family *families, struct buf *out)
{
	char last[32] = "";

	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++) {
			char name[32];

			snprintf(name, sizeof name, "%.*s", (int)strcspn(v->name, " "), v->name);
			if (!v->run || strcmp(name, last) == 0)
				continue;
			snprintf(last, sizeof last, "%s", name);
			buf_printf(out, "%s%s", out->len ? " " : "", name);
		}
}

static void flags_of(const struct verb *v, struct buf *out)
{
	const struct flag *f;

	for (unsigned i = 0; (f = verb_flag(v, i)); i++)
		buf_printf(out, "%s--%s", i ? " " : "", f->name);
}

/* The second words of a group, in the shell's case of its first word. */
static void bash_group(const struct family *families, const char *group, size_t len,
		       struct buf *out)
{
	buf_printf(out, "\t%.*s) words=\"", (int)len, group);
	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++)
			if (v->run && strncmp(v->name, group, len) == 0 && v->name[len] == ' ')
				buf_printf(out, "%s ", v->name + len + 1);
	buf_puts(out, "\" ;;\n");
}

/* What stands at the verb's first place, and behind each of its flags. */
static void bash_kinds(const struct verb *v, struct buf *out)
{
	const char *argument = v->arguments + strspn(v->arguments, "[");
	size_t len = strcspn(argument, " ].|");
	bool two = strchr(v->name, ' ') != NULL;
	const struct flag *f;

	buf_printf(out, "\t\t\"%s%s)\n\t\t\tcase \"$before\" in\n", v->name, two ? "\"" : " \"*");
	for (unsigned i = 0; (f = verb_flag(v, i)); i++)
		if (f->value)
			buf_printf(out, "\t\t\t--%s) kind=%s ;;\n", f->name,
				   names_known(f->value, strlen(f->value)) ? f->value
				   : strcmp(f->name, "context") == 0	   ? "CONTEXT"
									   : "");
	if (len && names_known(argument, len))
		buf_printf(out, "\t\t\t*) [ \"$COMP_CWORD\" -ne %d ] || kind=%.*s ;;\n",
			   two ? 3 : 2, (int)len, argument);
	buf_puts(out, "\t\t\tesac ;;\n");
}

static void bash(const struct family *families, struct buf *out)
{
	cleanup(buf_release) struct buf words = { 0 };
	const char *group = "";
	size_t group_len = 0;

	first_words(families, &words);
	buf_printf(out,
		   "_sluice() {\n"
		   "\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\" kind=\"\"\n"
		   "\tlocal before=\"${COMP_WORDS[COMP_CWORD - 1]}\"\n"
		   "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
		   "\t\twords=\"%s\"\n"
		   "\telif [[ \"$word\" == -* ]]; then\n"
		   "\t\tcase \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n",
		   buf_str(&words));
	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++) {
			if (!v->run)
				continue;
			buf_printf(out, "\t\t\"%s%s) words=\"", v->name,
				   strchr(v->name, ' ') ? "\"" : " \"*");
			flags_of(v, out);
			buf_puts(out, "\" ;;\n");
		}
	buf_puts(out, "\t\tesac\n\telif [ \"$COMP_CWORD\" -eq 2 ]; then\n"
		      "\t\tcase \"${COMP_WORDS[1]}\" in\n");
	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++) {
			size_t len = strcspn(v->name, " ");

			if (!v->run || !v->name[len] ||
			    (len == group_len && strncmp(group, v->name, len) == 0))
				continue;
			group = v->name;
			group_len = len;
			bash_group(families, group, len, out);
		}
	buf_puts(out, "\t\tesac\n\tfi\n"
		      "\tif [ -z \"$words\" ] && [ \"$COMP_CWORD\" -gt 1 ]; then\n"
		      "\t\tcase \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++)
			if (v->run)
				bash_kinds(v, out);
	buf_puts(out, "\t\tesac\n"
		      "\t\t[ -z \"$kind\" ] || words=\"$(sluice completion --names \"$kind\" "
		      "2>/dev/null)\"\n"
		      "\tfi\n"
		      "\tif [ -n \"$words\" ]; then\n"
		      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
		      "\telse\n"
		      "\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n"
		      "\tfi\n}\ncomplete -F _sluice sluice\n");
}

static void fish_verb(const struct verb *v, struct buf *out)
{
	const char *space = strchr(v->name, ' ');
	const struct flag *f;
	char seen[128];

	if (space) {
		snprintf(seen, sizeof seen,
			 "__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s",
			 (int)(space - v->name), v->name, space + 1);
		buf_printf(out,
			   "complete -c sluice -n '__fish_seen_subcommand_from %.*s' -a '%s' -d "
			   "'%s'\n",
			   (int)(space - v->name), v->name, space + 1, v->summary);
	} else {
		snprintf(seen, sizeof seen, "__fish_seen_subcommand_from %s", v->name);
		buf_printf(out, "complete -c sluice -n __fish_use_subcommand -a '%s' -d '%s'\n",
			   v->name, v->summary);
	}
	for (unsigned i = 0; (f = verb_flag(v, i)); i++)
		buf_printf(out, "complete -c sluice -n '%s' -l %s%s\n", seen, f->name,
			   f->value ? " -r" : "");
}

static void fish(const struct family *families, struct buf *out)
{
	cleanup(buf_release) struct buf words = { 0 };

	first_words(families, &words);
	buf_printf(out, "complete -c sluice -n __fish_use_subcommand -a '%s'\n", buf_str(&words));
	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++)
			if (v->run)
				fish_verb(v, out);
}

bool help_completion(const struct family *families, const char *shell, struct buf *out)
{
	if (strcmp(shell, "zsh") == 0)
		buf_puts(out, "autoload -U +X bashcompinit && bashcompinit\n");
	if (strcmp(shell, "bash") == 0 || strcmp(shell, "zsh") == 0)
		bash(families, out);
	else if (strcmp(shell, "fish") == 0)
		fish(families, out);
	else
		return false;
	return true;
}
