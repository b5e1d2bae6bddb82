#include "deploy_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "blob/source.h"

/* Counts its instances: two at a time would leave `twice` behind. */
#define SERVER                                                                                  \
	"mkdir \"$TMPDIR/one\" || touch \"$TMPDIR/twice\"; trap 'rmdir \"$TMPDIR/one\"; exit' " \
	"TERM; "                                                                                \
	"echo $$ >\"$TMPDIR/pid\"; cat \"$SLUICE_RELEASE_DIR/data/v\" >\"$TMPDIR/serving\"; "   \
	"while :; do sleep 0.05; done"

struct host_under_test host;
bool on_small_disk;

void deploy_begin(void)
{
	host_start(&host, 1);
}

void deploy_end(void)
{
	if (on_small_disk)
		umount2(host.dir, MNT_DETACH);
	host_end(&host);
}

/* Release rN has one part, `data`, with a file v that says N. */
struct order *order_new(uint64_t phi, Sluice__V1__HostStep step, unsigned n)
{
	struct order *o = xcalloc(1, sizeof *o);
	cleanup(freep) char *tree = xprintf("%s/tree%u", host.stand->dir, n);
	cleanup(freep) char *file = path_join(tree, "v"), *text = xprintf("%u", n);
	struct source_spec source = { .media = MANIFEST_TAR, .tree = { .path = tree } };
	struct error err = { 0 };
	struct digest d;

	sluice__v1__host_order__init(&o->order);
	sluice__v1__release__init(&o->release);
	sluice__v1__release_part__init(&o->part);
	sluice__v1__deploy_spec__init(&o->deploy);
	sluice__v1__check_spec__init(&o->check);
	cr_assert_eq(file_make_dirs(tree, 0755, &err), 0);
	cr_assert_eq(file_write_atomic(file, text, strlen(text), 0644, &err), 0);
	cr_assert_eq(source_store(&source, host.stand->store, &d, &err), 0, "%s", err.text);
	snprintf(o->id, sizeof o->id, "release-%u", n);
	o->part.slot = (char *)"data";
	o->part.digest = digest_format(&d, o->digest);
	o->parts = &o->part;
	o->release.id = o->id;
	o->release.number = n;
	o->release.parts = &o->parts;
	o->release.n_parts = 1;
	o->check.healthy_for_ms = 1;
	o->check.deadline_ms = 10000;
	o->deploy.service = (char *)SERVER;
	o->deploy.check = &o->check;
	o->deploy.grace_ms = 3000;
	o->order.environment = (char *)"prod";
	o->order.phi = phi;
	o->order.step = step;
	o->order.attempt = 1;
	o->order.release = &o->release;
	o->order.deploy = &o->deploy;
	return o;
}

void give(struct order *o)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;

	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER;
	m.host_order = &o->order;
	stand_say(host.stand, &m);
}

/* The first report after now of that phi that is done or failed. */
const Sluice__V1__HostReport *outcome(uint64_t phi)
{
	for (;;) {
		const Sluice__V1__HostReport *r =
			stand_hear(host.stand, &host.heard,
				   SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT)
				->host_report;

		if (r->phi == phi && r->state != REPORT(WORKING))
			return r;
	}
}

const Sluice__V1__HostReport *obeyed(struct order *o)
{
	const Sluice__V1__HostReport *r;
	uint64_t phi = o->order.phi;

	give(o);
	r = outcome(phi);
	free(o);
	return r;
}

void must_obey(struct order *o)
{
	const Sluice__V1__HostReport *r = obeyed(o);

	cr_assert_eq(r->state, REPORT(DONE), "%s", r->text);
}

char *env_path(const char *name)
{
	return xprintf("%s/prod/%s", host.env_dir, name);
}

/* Until env/prod/tmp/serving says n. */
void wait_serving(unsigned n)
{
	cleanup(freep) char *path = env_path("tmp/serving"), *want = xprintf("%u", n);
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	for (;;) {
		cleanup(buf_release) struct buf text = { 0 };

		if (file_read(path, 64, &text, NULL) == 0 && strcmp(buf_str(&text), want) == 0)
			return;
		cr_assert_lt(clock_boot_ms(), until, "release %u does not serve", n);
		usleep(5000);
	}
}

void expect_never_twice(void)
{
	cleanup(freep) char *path = env_path("tmp/twice");

	cr_expect_not(file_exists(path), "two instances at a time");
}
