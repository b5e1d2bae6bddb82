/*
 * next.h - what a run came to, and the next step
 */
#ifndef CLI_NEXT_H
#define CLI_NEXT_H

#include "base/buf.h"
#include "cli/cli.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/runs.pb-c.h"

/* On stdout: the release that this run made, and where it goes from here. */
void tell_release(struct cli *cli, const Sluice__V1__Run *run);
/* "Made release r2: staging takes it by itself. Then: sluice promote r2 --to production". The
 * environments are in the order of promotion. */
void next_step(const Sluice__V1__ReleaseDetail *release,
	       const Sluice__V1__EnvironmentDetail *const *environments, size_t n, struct buf *out);

#endif
