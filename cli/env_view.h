/*
 * env_view.h - an environment as people see it: rendered into a buffer, or told line by line
 */
#ifndef CLI_ENV_VIEW_H
#define CLI_ENV_VIEW_H

#include "base/buf.h"
#include "cli/text.h"
#include "sluice/v1/environments.pb-c.h"

/* What is live, the promotion under way or the last, hosts, gates, waits, a hold. */
void env_view(const Sluice__V1__EnvironmentDetail *env, const struct look *look, struct buf *out);
/* What changed since `before` (NULL: nothing was known), a line an event. */
void env_changes(const Sluice__V1__EnvironmentDetail *before,
		 const Sluice__V1__EnvironmentDetail *now, const struct look *look,
		 struct buf *out);

/* "r57", or "nothing" for 0; ret has RELEASE_LABEL bytes and is returned. */
enum { RELEASE_LABEL = 16 };
char *release_label(uint32_t number, char *ret);
const char *promotion_word(Sluice__V1__Promotion__State state);
enum paint promotion_paint(Sluice__V1__Promotion__State state);
bool promotion_over(const Sluice__V1__Promotion *p);
/* A check's or batch's line: its ✔ and ✖ in colour. */
void check_view(const char *line, const struct look *look, struct buf *out);

#endif
