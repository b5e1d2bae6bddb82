/*
 * One walk over a message; what must be there is a table.
 */
#include "cli/complete.h"

#include <string.h>

#include "base/mem.h"

static const struct {
	const char *message, *field;
} needed[] = {
	{ "AgentDetail", "agent" },
	{ "CreateTokenReply", "token" },
	{ "EnvironmentDetail", "environment" },
	{ "Job", "spec" },
	{ "LineageNode", "artifact" },
	{ "ReleaseDetail", "release" },
	{ "RunDetail", "run" },
	{ "SubmitReply", "run" },
};

static bool is_needed(const ProtobufCMessageDescriptor *type, const char *field)
{
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (strcmp(needed[i].message, type->short_name) == 0 &&
		    strcmp(needed[i].field, field) == 0)
			return true;
	return false;
}

static int check_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		       struct error *err)
{
	const void *at = (const char *)m + f->offset;
	const void *quantifier = (const char *)m + f->quantifier_offset;
	ProtobufCMessage *const *items = at;
	size_t n = 1;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		n = *(const size_t *)quantifier;
		items = *(ProtobufCMessage * *const *)at;
	} else if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		n = *(const uint32_t *)quantifier == f->id;
	}
	for (size_t i = 0; i < n; i++) {
		if (items[i] && message_complete(items[i], err) < 0)
			return -1;
		if (!items[i] && is_needed(m->descriptor, f->name))
			return error_set(err, ERR_INVALID,
					 "the controller's answer has a %s without `%s`; is it of "
					 "another version?",
					 m->descriptor->short_name, f->name);
	}
	return 0;
}

int message_complete(const ProtobufCMessage *message, struct error *err)
{
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];

		if (f->type == PROTOBUF_C_TYPE_MESSAGE && check_field(message, f, err) < 0)
			return -1;
	}
	return 0;
}

const void *ask_complete(struct rpc_channel *ch, const ProtobufCServiceDescriptor *service,
			 const char *method, struct arena *arena, const ProtobufCMessage *request,
			 struct error *err)
{
	const void *reply = rpc_ask(ch, service, method, arena, request, err);

	return reply && message_complete(reply, err) == 0 ? reply : NULL;
}
