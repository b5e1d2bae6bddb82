/*
 * Bytes that travel without a copy, and what else may come in their place.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "echo.h"
#include "rpc/internal.h"

static struct echo *e;
static struct rpc_channel *user;
static struct rpc_call *c;
static struct error err;
static atomic_int released;

static void setup(void)
{
	struct rpc_endpoint u;

	e = echo_new(NULL);
	u = echo_user(e);
	user = rpc_dial(&u, &err);
	c = rpc_open(user, &rpctest__v1__echo__descriptor, "Parts", &err);
	cr_assert(c);
	released = 0;
}

static void teardown(void)
{
	rpc_close(c);
	rpc_hangup(user);
	echo_free(e);
}

TestSuite(rpc_raw, .init = setup, .fini = teardown, .timeout = 60);

static void release(void *arg)
{
	released++;
	free(arg);
}

static uint8_t *pattern(size_t len)
{
	uint8_t *p = xmalloc(len + 1);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	return p;
}

Test(rpc_raw, tails_of_all_sizes_arrive_whole)
{
	static const size_t sizes[] = { 0, 1, 127, 128, 16383, 16384, 65536, 262144, 1000000 };
	Part head = RPCTEST__V1__PART__INIT;
	const Part *got;

	head.name = (char *)"chunk";
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t *data = pattern(sizes[i]), *expected = pattern(sizes[i]);
		struct rpc_tail tail = { 15, data, sizes[i], release, data };

		head.offset = i;
		cr_assert_eq(rpc_send_tail(c, &head, &tail, &err), 0, "%s", err.text);
		cr_assert_eq(rpc_recv(c, &got, &err), 1, "%s", err.text);
		cr_expect_str_eq(got->name, "chunk");
		cr_expect_eq(got->offset, i);
		cr_assert_eq(got->data.len, sizes[i]);
		if (sizes[i] > 0)
			cr_expect_eq(memcmp(got->data.data, expected, sizes[i]), 0);
		free(expected);
	}
	rpc_close(c);
	c = NULL;
	for (int i = 0; i < 500 && released < (int)ARRAY_SIZE(sizes); i++)
		usleep(10000);
	cr_expect_eq(released, ARRAY_SIZE(sizes));
}

/* What the handler, which receives by rpc_recv_tail(), makes of these bytes. */
static void roundtrip(const char *bytes, size_t len, const char *name, uint64_t offset,
		      const char *data)
{
	grpc_slice slice = grpc_slice_from_copied_buffer(bytes, len);
	const Part *got;

	cr_assert_eq(call_send(c, grpc_raw_byte_buffer_create(&slice, 1), false, &err), 0);
	grpc_slice_unref(slice);
	cr_assert_eq(rpc_recv(c, &got, &err), 1, "%s", err.text);
	cr_expect_str_eq(got->name, name);
	cr_expect_eq(got->offset, offset);
	cr_assert_eq(got->data.len, strlen(data));
	if (*data)
		cr_expect_eq(memcmp(got->data.data, data, strlen(data)), 0);
}

Test(rpc_raw, other_orders_of_fields_are_understood)
{
	roundtrip("\x0a\x01n\x10\x05\x7a\x02zz", 9, "n", 5, "zz");
	roundtrip("\x7a\x02zz\x0a\x01n\x10\x05", 9, "n", 5, "zz");
	roundtrip("\x7a\x01y\x7a\x02zz", 7, "", 0, "zz");
	roundtrip("\x0a\x01n", 3, "n", 0, "");
	roundtrip("", 0, "", 0, "");
	roundtrip("\x7a\x00", 2, "", 0, "");
	/* unknown fields of every kind before it, one holding what looks like ours */
	roundtrip("\xa0\x01\x07\xa9\x01"
		  "12345678\xad\x01"
		  "1234\xb2\x01\x03\x7a\x01x\x7a\x02zz",
		  29, "", 0, "zz");
}

Test(rpc_raw, a_tail_that_is_refused_is_released)
{
	uint8_t *data = pattern(100);
	struct rpc_tail tail = { 15, data, 100, release, data };
	Part head = RPCTEST__V1__PART__INIT;
	const Part *got;

	rpc_cancel(c);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	cr_expect_eq(rpc_send_tail(c, &head, &tail, &err), -1);
	cr_expect_eq(err.code, ERR_CANCELLED);
	cr_expect_eq(released, 1);
}
