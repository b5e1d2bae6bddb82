/*
 * Bytes from somebody who means harm, sent past the codec.
 */
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "echo.h"
#include "rpc/internal.h"

static struct echo *e;
static struct rpc_channel *user;
static struct error err;
static struct arena *arena;

static void setup(void)
{
	struct rpc_limits limits = { .max_message = 4 << 20 };
	struct rpc_endpoint u;

	e = echo_new(&limits);
	u = echo_user(e);
	user = rpc_dial(&u, &err);
	cr_assert(user);
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(arena);
	rpc_hangup(user);
	echo_free(e);
}

TestSuite(rpc_hostile, .init = setup, .fini = teardown, .timeout = 60);

static void refused(const char *method, const void *bytes, size_t len, enum error_code code)
{
	cleanup(rpc_closep) struct rpc_call *c =
		rpc_open(user, &rpctest__v1__echo__descriptor, method, &err);
	grpc_slice slice = grpc_slice_from_copied_buffer(bytes, len);
	const Pong *got;

	/* The refusal may overtake the news that the message was taken: only the status counts. */
	if (call_send(c, grpc_raw_byte_buffer_create(&slice, 1), false, &err) == 0)
		rpc_done_sending(c, &err);
	error_clear(&err);
	grpc_slice_unref(slice);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	cr_expect_eq(err.code, code, "%s: %s", method, err.text);
}

static void still_serving(void)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)"world";
	cr_expect(echo_unary(user, arena, &ping, &err), "%s", err.text);
}

Test(rpc_hostile, amplification_is_refused)
{
	size_t len = 4000000;
	uint8_t *bytes = xmalloc(len);

	for (size_t i = 0; i < len; i += 2) { /* empty messages: 96 MiB unpacked */
		bytes[i] = 4 << 3 | 2;
		bytes[i + 1] = 0;
	}
	refused("Unary", bytes, len, ERR_EXHAUSTED);
	refused("Up", bytes, len, ERR_EXHAUSTED);
	for (size_t i = 0; i < len; i += 2) { /* unknown fields */
		bytes[i] = 10 << 3;
		bytes[i + 1] = 1;
	}
	refused("Unary", bytes, len, ERR_EXHAUSTED);
	free(bytes);
	still_serving();
}

Test(rpc_hostile, what_is_no_message_is_refused)
{
	refused("Unary", "\x0a\xff\xff\xff\xff\x0f", 6, ERR_INVALID);
	refused("Unary",
		"\x0a\x05"
		"ab",
		4, ERR_INVALID);
	refused("Down", "\xff", 1, ERR_INVALID);
	refused("Bidi", "\x0b\x0b\x0b", 3, ERR_INVALID);
	refused("Parts",
		"\x7a\x05"
		"ab",
		4, ERR_INVALID);
	still_serving();
}

Test(rpc_hostile, text_that_is_not_utf8_is_refused)
{
	refused("Unary", "\x0a\x02\xc3\x28", 4, ERR_INVALID);
	cr_expect_str_eq(err.id, "E0207", "%s", err.text);
	refused("Up", "\x0a\x03\xed\xa0\x80", 5, ERR_INVALID);
	still_serving();
}

/* A channel as others make it: the core's own settings, which include compression. */
static grpc_channel *plain_channel(void)
{
	grpc_channel_credentials *creds =
		grpc_ssl_credentials_create_ex(e->ca.cert, NULL, NULL, NULL);
	grpc_channel *channel = grpc_channel_create(e->users, creds, NULL);

	grpc_channel_credentials_release(creds);
	return channel;
}

static grpc_status_code send_compressed(grpc_channel *channel, grpc_byte_buffer *buf)
{
	grpc_completion_queue *cq = grpc_completion_queue_create_for_pluck(NULL);
	grpc_call *call =
		grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
					 grpc_slice_from_static_string("/rpctest.v1.Echo/Unary"),
					 NULL, rpc_in_ms(20000), NULL);
	grpc_metadata md[] = { { .key = grpc_slice_from_static_string("authorization"),
				 .value = grpc_slice_from_static_string("Bearer good") },
			       { .key = grpc_slice_from_static_string(
					 GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY),
				 .value = grpc_slice_from_static_string("gzip") } };
	grpc_op ops[4] = { { .op = GRPC_OP_SEND_INITIAL_METADATA },
			   { .op = GRPC_OP_SEND_MESSAGE },
			   { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
			   { .op = GRPC_OP_RECV_STATUS_ON_CLIENT } };
	grpc_slice details = grpc_empty_slice();
	grpc_status_code status = GRPC_STATUS_UNKNOWN;
	grpc_metadata_array trailing;

	grpc_metadata_array_init(&trailing);
	ops[0].data.send_initial_metadata.count = 2;
	ops[0].data.send_initial_metadata.metadata = md;
	ops[1].data.send_message.send_message = buf;
	ops[3].data.recv_status_on_client.status = &status;
	ops[3].data.recv_status_on_client.status_details = &details;
	ops[3].data.recv_status_on_client.trailing_metadata = &trailing;
	cr_assert_eq(grpc_call_start_batch(call, ops, 4, call, NULL), GRPC_CALL_OK);
	grpc_completion_queue_pluck(cq, call, rpc_in_ms(30000), NULL);
	grpc_metadata_array_destroy(&trailing);
	grpc_slice_unref(details);
	grpc_byte_buffer_destroy(buf);
	grpc_call_unref(call);
	grpc_completion_queue_shutdown(cq);
	grpc_completion_queue_destroy(cq);
	return status;
}

/* 64 MiB of zeros are 64 KiB on the wire: a limit on what arrives would not stop them. */
Test(rpc_hostile, compressed_messages_are_not_taken)
{
	Ping ping = RPCTEST__V1__PING__INIT;
	grpc_channel *channel = plain_channel();
	grpc_status_code status;

	ping.data.len = 64 << 20;
	ping.data.data = xcalloc(1, ping.data.len);
	status = send_compressed(channel, codec_pack(&ping.base));
	cr_expect_eq(status, GRPC_STATUS_UNIMPLEMENTED, "%d", status);
	free(ping.data.data);
	grpc_channel_destroy(channel);
	still_serving();
}

Test(rpc_hostile, too_many_headers_are_refused)
{
	struct rpc_endpoint ep = echo_user(e);
	cleanup(freep) char *bearer = xmalloc(20001);
	cleanup(rpc_hangupp) struct rpc_channel *ch = NULL;
	Ping ping = RPCTEST__V1__PING__INIT;

	memset(bearer, 'a', 20000);
	bearer[20000] = '\0';
	ep.bearer = bearer;
	ch = rpc_dial(&ep, &err);
	cr_assert_null(echo_unary(ch, arena, &ping, &err));
	cr_expect_eq(err.code, ERR_EXHAUSTED, "%s", err.text);
	cr_expect_eq(e->identities, 0);
	still_serving();
}
