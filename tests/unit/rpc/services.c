/*
 * Health and reflection, as any gRPC client would use them: without a token.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "echo.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"

typedef Grpc__Health__V1__HealthCheckRequest Check;
typedef Grpc__Health__V1__HealthCheckResponse Health;
typedef Grpc__Reflection__V1__ServerReflectionRequest Reflect;
typedef Grpc__Reflection__V1__ServerReflectionResponse Reflection;
typedef Grpc__Reflection__V1alpha__ServerReflectionRequest ReflectAlpha;
typedef Grpc__Reflection__V1alpha__ServerReflectionResponse ReflectionAlpha;

#define STATUS(x)   GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##x
#define ASKS(x)	    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##x
#define ANSWERED(x) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##x

RPC_STUB(health_check, grpc__health__v1__health, Check, Check, Health)

static struct echo *e;
static struct rpc_channel *nobody;
static struct error err;
static struct arena *arena;

static void setup(void)
{
	struct rpc_endpoint ep;

	e = echo_new(NULL);
	ep = echo_user(e);
	ep.bearer = NULL;
	nobody = rpc_dial(&ep, &err);
	cr_assert(nobody);
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(arena);
	rpc_hangup(nobody);
	echo_free(e);
}

TestSuite(rpc_services, .init = setup, .fini = teardown, .timeout = 60);

Test(rpc_services, health_is_checked)
{
	Check check = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	const Health *health = health_check(nobody, arena, &check, &err);

	cr_assert(health, "%s", err.text);
	cr_expect_eq(health->status, STATUS(SERVING));
	check.service = (char *)"rpctest.v1.Echo";
	health = health_check(nobody, arena, &check, &err);
	cr_assert(health, "%s", err.text);
	cr_expect_eq(health->status, STATUS(SERVING));
	rpc_server_health(e->server, "rpctest.v1.Echo", false);
	health = health_check(nobody, arena, &check, &err);
	cr_assert(health, "%s", err.text);
	cr_expect_eq(health->status, STATUS(NOT_SERVING));
	check.service = (char *)"nope";
	cr_expect_null(health_check(nobody, arena, &check, &err));
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_eq(e->identities, 0, "the guard was not asked");
}

Test(rpc_services, health_is_watched)
{
	cleanup(rpc_closep) struct rpc_call *c =
		rpc_open(nobody, &grpc__health__v1__health__descriptor, "Watch", &err);
	Check check = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	const Health *health;

	check.service = (char *)"soon";
	cr_assert_eq(rpc_send(c, &check, &err), 0);
	cr_assert_eq(rpc_recv(c, &health, &err), 1, "%s", err.text);
	cr_expect_eq(health->status, STATUS(SERVICE_UNKNOWN));
	rpc_server_health(e->server, "soon", true);
	rpc_server_health(e->server, "other", true);
	rpc_server_health(e->server, "soon", true);
	rpc_server_health(e->server, "soon", false);
	cr_assert_eq(rpc_recv(c, &health, &err), 1, "%s", err.text);
	cr_expect_eq(health->status, STATUS(SERVING));
	cr_assert_eq(rpc_recv(c, &health, &err), 1, "%s", err.text);
	cr_expect_eq(health->status, STATUS(NOT_SERVING));
}

/* A client of a server stream half-closes at once; the watch must go on. */
Test(rpc_services, a_watch_goes_on_after_the_half_close)
{
	cleanup(rpc_closep) struct rpc_call *c =
		rpc_open(nobody, &grpc__health__v1__health__descriptor, "Watch", &err);
	Check check = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
	const Health *health;

	cr_assert_eq(rpc_send(c, &check, &err), 0);
	cr_assert_eq(rpc_done_sending(c, &err), 0);
	cr_assert_eq(rpc_recv(c, &health, &err), 1, "%s", err.text);
	cr_expect_eq(health->status, STATUS(SERVING));
	cr_expect_eq(rpc_recv_within(c, &health, 200, &err), -1);
	cr_expect_eq(err.code, ERR_TIMEOUT, "%s", err.text);
	rpc_server_health(e->server, "", false);
	cr_assert_eq(rpc_recv(c, &health, &err), 1, "%s", err.text);
	cr_expect_eq(health->status, STATUS(NOT_SERVING));
}

static const Reflection *reflect(struct rpc_call *c, const Reflect *req)
{
	const Reflection *got;

	cr_assert_eq(rpc_send(c, req, &err), 0, "%s", err.text);
	cr_assert_eq(rpc_recv(c, &got, &err), 1, "%s", err.text);
	return got;
}

static bool lists(const Grpc__Reflection__V1__ListServiceResponse *list, const char *name)
{
	for (size_t i = 0; i < list->n_service; i++)
		if (strcmp(list->service[i]->name, name) == 0)
			return true;
	return false;
}

static void expect_file(const Reflection *got, const char *name)
{
	Google__Protobuf__FileDescriptorProto *file;

	cr_assert_eq(got->message_response_case, ANSWERED(FILE_DESCRIPTOR_RESPONSE));
	cr_assert_eq(got->file_descriptor_response->n_file_descriptor_proto, 1);
	file = google__protobuf__file_descriptor_proto__unpack(
		NULL, got->file_descriptor_response->file_descriptor_proto[0].len,
		got->file_descriptor_response->file_descriptor_proto[0].data);
	cr_assert(file);
	cr_expect_str_eq(file->name, name);
	google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
}

Test(rpc_services, reflection_lists_and_describes)
{
	cleanup(rpc_closep) struct rpc_call *c =
		rpc_open(nobody, &grpc__reflection__v1__server_reflection__descriptor,
			 "ServerReflectionInfo", &err);
	Reflect req = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
	const Reflection *got;

	req.message_request_case = ASKS(LIST_SERVICES);
	req.list_services = (char *)"";
	got = reflect(c, &req);
	cr_assert_eq(got->message_response_case, ANSWERED(LIST_SERVICES_RESPONSE));
	cr_expect(lists(got->list_services_response, "rpctest.v1.Echo"));
	cr_expect(lists(got->list_services_response, "grpc.health.v1.Health"));
	cr_expect_eq(got->list_services_response->n_service, 4, "each once");

	req.message_request_case = ASKS(FILE_CONTAINING_SYMBOL);
	req.file_containing_symbol = (char *)"sluice.v1.Agents.Session";
	expect_file(reflect(c, &req), "sluice/v1/agents.proto");
	req.file_containing_symbol = (char *)"sluice.v1.ErrorDetail";
	expect_file(reflect(c, &req), "sluice/v1/common.proto");
	req.message_request_case = ASKS(FILE_BY_FILENAME);
	req.file_by_filename = (char *)"grpc/health/v1/health.proto";
	expect_file(reflect(c, &req), "grpc/health/v1/health.proto");

	req.file_by_filename = (char *)"../../etc/passwd";
	got = reflect(c, &req);
	cr_assert_eq(got->message_response_case, ANSWERED(ERROR_RESPONSE));
	cr_expect_eq(got->error_response->error_code, 5);
	cr_expect_str_eq(got->original_request->file_by_filename, "../../etc/passwd");
	req.message_request_case = ASKS(FILE_CONTAINING_SYMBOL);
	req.file_containing_symbol = (char *)"sluice.v1";
	cr_expect_eq(reflect(c, &req)->message_response_case, ANSWERED(ERROR_RESPONSE));
}

Test(rpc_services, the_older_reflection_is_served_too)
{
	cleanup(rpc_closep) struct rpc_call *c =
		rpc_open(nobody, &grpc__reflection__v1alpha__server_reflection__descriptor,
			 "ServerReflectionInfo", &err);
	ReflectAlpha req = GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__INIT;
	const ReflectionAlpha *got;

	req.message_request_case =
		GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
	req.file_by_filename = (char *)"sluice/v1/runs.proto";
	cr_assert_eq(rpc_send(c, &req, &err), 0);
	cr_assert_eq(rpc_recv(c, &got, &err), 1, "%s", err.text);
	cr_assert_eq(
		got->message_response_case,
		GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
	cr_expect_str_eq(got->original_request->file_by_filename, "sluice/v1/runs.proto");
}
