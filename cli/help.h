/*
 * help.h - the help, the reference page and the shells' completion: all from the table of verbs
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdbool.h>
#include "base/buf.h"
#include "cli/args.h"

/* Everything at a glance; to stderr when it is the answer to nothing. */
void help_overview(bool to_stdout);
void help_verb(const struct verb *verb);
/* `sluice help runs`, `sluice help runs cancel`. */
int help_about(int argc, char **argv, struct error *err);

void help_text(const struct family *families, struct buf *out);
void help_verb_text(const struct verb *verb, struct buf *out);
void help_markdown(const struct family *families, struct buf *out); /* docs/cli.md */
/* "bash", "zsh" or "fish"; false: another. */
bool help_completion(const struct family *families, const char *shell, struct buf *out);

#endif
