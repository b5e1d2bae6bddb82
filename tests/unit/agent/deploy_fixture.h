/*
 * deploy_fixture.h - orders for a host under test, and what it serves
 *
 * Release rN has one part, `data`, with a file `v` that says N. Its service writes that to
 * prod/tmp/serving, and prod/tmp/twice if two instances ever run at a time.
 */
#ifndef DEPLOY_FIXTURE_H
#define DEPLOY_FIXTURE_H

#include <criterion/criterion.h>
#include "agent/deploy.h"
#include "crypto/digest.h"
#include "host.h"

#define STEP(name)   SLUICE__V1__HOST_STEP__HOST_##name
#define REPORT(name) SLUICE__V1__HOST_REPORT__STATE__##name

extern struct host_under_test host;
extern bool on_small_disk; /* the host's state lies on a mount of its own */

struct order {
	Sluice__V1__HostOrder order;
	Sluice__V1__Release release;
	Sluice__V1__ReleasePart part, *parts;
	Sluice__V1__DeploySpec deploy;
	Sluice__V1__CheckSpec check;
	char id[32], digest[DIGEST_TEXT_SIZE];
};

void deploy_begin(void);
void deploy_end(void);

struct order *order_new(uint64_t phi, Sluice__V1__HostStep step, unsigned n);
void give(struct order *o);
/* The first report after now of that phi that is done or failed. */
const Sluice__V1__HostReport *outcome(uint64_t phi);
const Sluice__V1__HostReport *obeyed(struct order *o); /* frees it */
void must_obey(struct order *o);		       /* and so does this */
char *env_path(const char *name);		       /* below env/prod */
void wait_serving(unsigned n);
void expect_never_twice(void);

#endif
