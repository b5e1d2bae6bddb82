/*
 * A release goes through the environments of its pipeline in their order. Those with `auto` take it
 * by themselves; the first of the others that does not have it yet wants a person.
 */
#include "cli/next.h"

#include <string.h>

#include "cli/list.h"
#include "cli/out.h"
#include "cli/stubs.h"

static const struct paged environments_paged = { &sluice__v1__environments__descriptor, "List",
						 "environments" };

static bool holds(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool had_it(const Sluice__V1__ReleaseDetail *r, const char *environment)
{
	return holds(r->live_in, r->n_live_in, environment) ||
	       holds(r->verified_in, r->n_verified_in, environment);
}

void next_step(const Sluice__V1__ReleaseDetail *release,
	       const Sluice__V1__EnvironmentDetail *const *environments, size_t n, struct buf *out)
{
	const Sluice__V1__Release *r = release->release;
	cleanup(buf_release) struct buf automatic = { 0 };
	const char *wanted = NULL;
	bool any = false;

	for (size_t i = 0; i < n && !wanted; i++) {
		const Sluice__V1__Environment *e = environments[i]->environment;

		if (!e->spec || strcmp(e->spec->pipeline, r->pipeline) != 0)
			continue;
		any = true;
		if (had_it(release, e->name))
			continue;
		if (holds(r->quarantined, r->n_quarantined, e->name)) {
			buf_printf(out, "Made release r%u as before: it is quarantined in %s\n",
				   r->number, e->name);
			return;
		}
		if (e->spec->auto_newest && !e->hold)
			buf_printf(&automatic, "%s%s", automatic.len ? ", " : "", e->name);
		else
			wanted = e->name;
	}
	buf_printf(out, "Made release r%u", r->number);
	if (automatic.len)
		buf_printf(out, ": %s takes it by itself", buf_str(&automatic));
	if (wanted)
		buf_printf(out, ". %s: sluice promote r%u --to %s",
			   automatic.len ? "Then promote it" : "Promote it", r->number, wanted);
	else if (!any)
		buf_printf(out,
			   ". `%s` has no environment yet: `environments:` in its file says where "
			   "releases go",
			   r->pipeline);
	buf_putc(out, '\n');
}

void tell_release(struct cli *cli, const Sluice__V1__Run *run)
{
	Sluice__V1__GetReleaseRequest request = SLUICE__V1__GET_RELEASE_REQUEST__INIT;
	Sluice__V1__ListEnvironmentsRequest all = SLUICE__V1__LIST_ENVIRONMENTS_REQUEST__INIT;
	const Sluice__V1__ReleaseDetail *release;
	cleanup(buf_release) struct buf text = { 0 };
	struct list list;

	request.release = run->release;
	release = releases_get(cli->channel, cli->arena, &request, NULL);
	if (!release || list_ask(cli, &environments_paged, &all.base, &list, NULL) < 0)
		return;
	next_step(release, (const Sluice__V1__EnvironmentDetail *const *)list.items, list.count,
		  &text);
	out_buf(&text);
}
