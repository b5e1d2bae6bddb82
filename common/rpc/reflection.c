/*
 * Server reflection, v1 and v1alpha, so that grpcurl and its like can list and
 * call what is here (github.com/grpc/grpc/blob/master/doc/server-reflection.md).
 * The linker brings in the descriptor set; it is cut into its files when
 * somebody asks first. The two versions differ by name only: their messages
 * have the same fields, so one code serves both, in v1's types.
 */
#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "rpc/internal.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Reply;
typedef Grpc__Reflection__V1alpha__ServerReflectionRequest AlphaRequest;
typedef Grpc__Reflection__V1alpha__ServerReflectionResponse AlphaReply;
typedef Google__Protobuf__FileDescriptorProto File;

#define ASKS(what)    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define ANSWERS(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

#define SAME(field)                                                                 \
	_Static_assert(offsetof(Request, field) == offsetof(AlphaRequest, field) && \
			       sizeof(Request) == sizeof(AlphaRequest),             \
		       "v1 and v1alpha differ in " #field)
SAME(host);
SAME(message_request_case);
SAME(file_by_filename);
SAME(file_containing_symbol);

__asm__(".section .rodata\n"
	"rpc_schema:\n"
	".incbin \"" SLUICE_FDS "\"\n"
	"rpc_schema_end:\n"
	".previous\n");
extern const uint8_t rpc_schema[], rpc_schema_end[];

struct file {
	ProtobufCBinaryData raw; /* within rpc_schema */
	File *parsed;
};

static struct file *files;
static size_t n_files;

static size_t read_varint(const uint8_t *p, uint64_t *ret)
{
	size_t n = 0;

	*ret = 0;
	do
		*ret |= (uint64_t)(p[n] & 0x7f) << (7 * n);
	while (p[n++] & 0x80);
	return n;
}

/* FileDescriptorSet { repeated FileDescriptorProto file = 1; } of our own making */
static void load(void)
{
	const uint8_t *p = rpc_schema;
	uint64_t len;

	while (p < rpc_schema_end && *p == 0x0a) {
		p += 1 + read_varint(p + 1, &len);
		files = xreallocarray(files, n_files + 1, sizeof *files);
		files[n_files].raw = (ProtobufCBinaryData){ len, (uint8_t *)p };
		files[n_files++].parsed =
			google__protobuf__file_descriptor_proto__unpack(NULL, len, p);
		p += len;
	}
}

static bool is_name(const char *name, const char *rest, size_t len)
{
	return name && strlen(name) == len && strncmp(name, rest, len) == 0;
}

/* Does the file declare symbol, or the thing that it is a member of? */
static bool declares(const File *f, const char *symbol)
{
	size_t n = strlen(f->package), head;
	const char *rest = symbol + n + 1;

	if (strncmp(symbol, f->package, n) != 0 || symbol[n] != '.')
		return false;
	head = strcspn(rest, ".");
	for (size_t i = 0; i < f->n_service; i++)
		if (is_name(f->service[i]->name, rest, head))
			return true;
	for (size_t i = 0; i < f->n_message_type; i++)
		if (is_name(f->message_type[i]->name, rest, head))
			return true;
	for (size_t i = 0; i < f->n_enum_type; i++)
		if (is_name(f->enum_type[i]->name, rest, head))
			return true;
	return false;
}

static const struct file *find_file(const char *name)
{
	for (size_t i = 0; i < n_files; i++)
		if (files[i].parsed && strcmp(files[i].parsed->name, name) == 0)
			return &files[i];
	return NULL;
}

static const struct file *find_symbol(const char *symbol)
{
	for (size_t i = 0; i < n_files; i++)
		if (files[i].parsed && declares(files[i].parsed, symbol))
			return &files[i];
	return NULL;
}

/* The answer's parts; it points into them while it is packed. */
struct answer {
	Reply reply;
	Grpc__Reflection__V1__FileDescriptorResponse file;
	Grpc__Reflection__V1__ErrorResponse error;
	Grpc__Reflection__V1__ListServiceResponse list;
	ProtobufCBinaryData raw;
};

static void answer_file(struct answer *a, const struct file *file)
{
	if (!file) {
		a->error.error_code = GRPC_STATUS_NOT_FOUND;
		a->error.error_message = (char *)"not found";
		a->reply.message_response_case = ANSWERS(ERROR_RESPONSE);
		a->reply.error_response = &a->error;
		return;
	}
	a->raw = file->raw;
	a->file.n_file_descriptor_proto = 1;
	a->file.file_descriptor_proto = &a->raw;
	a->reply.message_response_case = ANSWERS(FILE_DESCRIPTOR_RESPONSE);
	a->reply.file_descriptor_response = &a->file;
}

static bool is_listed(const struct answer *a, const char *name)
{
	for (size_t i = 0; i < a->list.n_service; i++)
		if (strcmp(a->list.service[i]->name, name) == 0)
			return true;
	return false;
}

static void answer_list(struct answer *a, const struct rpc_server *s, struct arena *arena)
{
	Grpc__Reflection__V1__ServiceResponse *service;
	struct rpc_route *route, *tmp;

	a->list.service = arena_alloc(arena, HASH_COUNT(s->routes) * sizeof *a->list.service);
	HASH_ITER(hh, s->routes, route, tmp) {
		if (is_listed(a, route->service->name))
			continue;
		service = arena_alloc(arena, sizeof *service);
		grpc__reflection__v1__service_response__init(service);
		service->name = (char *)route->service->name;
		a->list.service[a->list.n_service++] = service;
	}
	a->reply.message_response_case = ANSWERS(LIST_SERVICES_RESPONSE);
	a->reply.list_services_response = &a->list;
}

static int received(struct rpc_call *call, const Request *req, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct answer a = {
		.reply = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT,
		.file = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT,
		.error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT,
		.list = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT,
	};

	pthread_once(&once, load);
	a.reply.valid_host = req->host;
	a.reply.original_request = (Request *)req;
	switch (req->message_request_case) {
	case ASKS(LIST_SERVICES):
		answer_list(&a, rpc_self(call), rpc_arena(call));
		break;
	case ASKS(FILE_BY_FILENAME):
		answer_file(&a, find_file(req->file_by_filename));
		break;
	case ASKS(FILE_CONTAINING_SYMBOL):
		answer_file(&a, find_symbol(req->file_containing_symbol));
		break;
	default: /* extensions: proto3 has none */
		answer_file(&a, NULL);
		break;
	}
	return call_post(call, codec_pack(&a.reply.base), err);
}

static int received_alpha(struct rpc_call *call, const AlphaRequest *req, struct error *err)
{
	return received(call, (const Request *)req, err);
}

static int opened(struct rpc_call *call, void *self, struct error *err)
{
	return 0;
}

static void closed(struct rpc_call *call, const struct error *why)
{
}

static const struct rpc_method v1_api[] = {
	RPC_SESSION(PUBLIC, ServerReflectionInfo, opened, received, closed, Request, Reply),
	RPC_END,
};

static const struct rpc_method v1alpha_api[] = {
	RPC_SESSION(PUBLIC, ServerReflectionInfo, opened, received_alpha, closed, AlphaRequest,
		    AlphaReply),
	RPC_END,
};

void reflection_init(struct rpc_server *s)
{
	rpc_server_add(s, &grpc__reflection__v1__server_reflection__descriptor, v1_api, s);
	rpc_server_add(s, &grpc__reflection__v1alpha__server_reflection__descriptor, v1alpha_api,
		       s);
}
