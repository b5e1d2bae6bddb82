/*
 * Answered requests are forgotten after a day.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "controller/collect.h"
#include "controller/model/requests.h"
#include "house.h"
#include "sluice/v1/store.pb-c.h"

enum { OLD = 1700, HOUR_MS = 3600 * 1000 };

static void put_request(struct house *h, const char *id, int64_t at_ms)
{
	Sluice__V1__RequestRow row = SLUICE__V1__REQUEST_ROW__INIT;

	row.id = (char *)id;
	row.method = (char *)"runs.submit";
	row.subject = (char *)"run";
	row.at_ms = at_ms;
	house_put(h, ROW_REQUEST, &row);
}

static bool is_there(struct house *h, const char *id)
{
	cleanup(store_reader_givep) struct store_reader *r = store_reader_take(h->store, &h->err);
	ProtobufCMessage *m;

	return reader_get(r, ROW_REQUEST, id, h->arena, &m, &h->err) == 1;
}

Test(requests, after_a_day_they_are_forgotten_and_what_is_kept_for_ever_stays, .timeout = 60)
{
	struct house *h = house_new();
	int64_t now = clock_wall_ms();
	uint64_t removed = 99;
	char id[32];

	put_request(h, "version:model:1", REQUEST_KEPT_MS);
	put_request(h, "young", now - 23 * HOUR_MS);
	put_request(h, "just-now", now);
	for (int i = 0; i < OLD; i++) {
		snprintf(id, sizeof id, "old-%d", i);
		put_request(h, id, now - 25 * HOUR_MS - i);
	}
	put_request(h, "artifact:77:model:sha256:00", now - 25 * HOUR_MS);
	house_start(h);
	cr_assert_eq(collect_requests(h->engine, h->store, &removed, &h->err), 0, "%s",
		     h->err.text);
	cr_expect_eq(removed, OLD + 1);
	cr_expect(is_there(h, "version:model:1"));
	cr_expect(is_there(h, "young"));
	cr_expect(is_there(h, "just-now"));
	cr_expect_not(is_there(h, "old-0"));
	cr_expect_not(is_there(h, "old-1699"));
	cr_expect_not(is_there(h, "artifact:77:model:sha256:00"));
	cr_assert_eq(collect_requests(h->engine, h->store, &removed, &h->err), 0);
	cr_expect_eq(removed, 0);
	house_free(h);
}
