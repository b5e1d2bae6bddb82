/*
 * lineage.h - what something was made from, as a tree
 */
#ifndef CLI_LINEAGE_H
#define CLI_LINEAGE_H

#include "cli/cli.h"
#include "cli/text.h"
#include "sluice/v1/artifacts.pb-c.h"

const Sluice__V1__LineageReply *lineage_ask(struct cli *cli, const char *artifact, bool down,
					    struct error *err);
/* The first node goes on the line that is begun; the others beneath it, each line behind `indent`.
 * What was shown once is only named again. */
void lineage_view(const Sluice__V1__LineageReply *reply, const char *indent,
		  const struct look *look, struct buf *out);

/* "m:4c1e": a letter for the kind and the digest's first digits. */
enum { LINEAGE_SHORT = 8 };
char *lineage_short(Sluice__V1__ArtifactKind kind, const char *digest, char ret[LINEAGE_SHORT]);
const char *kind_word(Sluice__V1__ArtifactKind kind);

#endif
