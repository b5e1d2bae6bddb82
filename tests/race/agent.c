/*
 * An agent of parts under TSan: attempts come, end, are stopped and acknowledged while sessions and
 * log streams break all the time, some with metrics; then an environment is activated again and
 * again. What is promised is checked: each attempt is finished, its log is whole.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

enum { ATTEMPTS = 32, SLOTS = 4 };

static struct host_under_test host;
static _Atomic bool over;

static void *disturb(void *arg)
{
	while (!over) {
		usleep(400000);
		stand_break_session(host.stand);
	}
	return NULL;
}

/* One whose metrics are followed while it runs. */
static void offer_measured(uint64_t fence)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;

	spec.name = (char *)"job";
	spec.run =
		(char *)"for i in 1 2 3 4; do echo \"{\\\"i\\\": $i}\" >>m; seq 500; sleep 0.03; "
			"done";
	spec.metrics = (char *)"m";
	a.fence = fence;
	a.lease_ms = 60000;
	a.run_id = (char *)"run";
	a.spec = &spec;
	host_assign(&host, &a);
}

/* Until it is finished: what was offered in a session that broke is offered again, with a new
 * fence, as the controller does. */
static uint64_t run_one(uint64_t fence, const char *command)
{
	size_t at = 0;

	lock_take(&host.stand->lock);
	at = host.stand->n_heard;
	lock_drop(&host.stand->lock);
	for (;;) {
		host_offer(&host, fence, command);
		for (int i = 0; i < 1000; i++) {
			usleep(5000);
			lock_take(&host.stand->lock);
			for (; at < host.stand->n_heard; at++) {
				const Sluice__V1__AgentMessage *m = host.stand->heard[at];

				if (m->body_case != SLUICE__V1__AGENT_MESSAGE__BODY_FINISH)
					continue;
				for (size_t k = 0; k < m->finish->n_attempts; k++)
					if (m->finish->attempts[k]->fence == fence) {
						lock_drop(&host.stand->lock);
						return fence;
					}
			}
			lock_drop(&host.stand->lock);
		}
		fence += 1000;
	}
}

static void attempts(void)
{
	pthread_t disturber = thread_start("disturb", 0, disturb, NULL);

	lock_take(&host.stand->lock);
	host.stand->cut_logs = 7;
	lock_drop(&host.stand->lock);
	for (uint64_t i = 0; i < ATTEMPTS / SLOTS; i++) {
		uint64_t fence = (i + 1) * 100000;

		for (int k = 1; k < SLOTS; k++)
			offer_measured(fence + (uint64_t)k - SLOTS);
		if (i % 3 == 0)
			host_tell_stop(&host, fence - 1);
		fence = run_one(fence, "seq 3000");
		host_acknowledge(&host, fence);
	}
	over = true;
	thread_join(disturber);
}

int main(void)
{
	rpc_init();
	host_start(&host, SLOTS);
	attempts();
	host_stop(&host);
	host_again(&host);
	host_offer(&host, 1ull << 40, "echo end");
	host_finished(&host, 1ull << 40);
	stand_wait_log(host.stand, 1ull << 40, 0, "end\n", 4);
	host_end(&host);
	printf("%d attempts, %d slots\n", ATTEMPTS, SLOTS);
	return 0;
}
