/*
 * From the engine's heap messages to a call's reply.
 */
#include "controller/api/private.h"

#include <assert.h>
#include <string.h>

int api_copy(struct arena *arena, const void *message, ProtobufCMessage *reply, struct error *err)
{
	const ProtobufCMessage *m = message;
	cleanup(buf_release) struct buf packed = { 0 };
	ProtobufCMessage *copy;

	assert(m->descriptor == reply->descriptor);
	message_pack_buf(m, &packed);
	copy = message_unpack(m->descriptor, arena, packed.data, packed.len, err);
	if (!copy)
		return -1;
	memcpy(reply, copy, m->descriptor->sizeof_message);
	return 0;
}

typedef int asking(struct engine *e, decide_fn *decide, const void *req, void *reply,
		   struct error *err);

static int answer(struct rpc_call *call, asking *ask, decide_fn *decide, const void *request,
		  ProtobufCMessage *reply, struct error *err)
{
	cleanup(message_freep) void *message = NULL;
	int r = ask(api_of(call)->engine, decide, request, &message, err);

	return r < 0 ? -1 : api_copy(rpc_arena(call), message, reply, err);
}

int api_answer(struct rpc_call *call, decide_fn *decide, const void *request,
	       ProtobufCMessage *reply, struct error *err)
{
	return answer(call, engine_ask, decide, request, reply, err);
}

int api_answer_urgent(struct rpc_call *call, decide_fn *decide, const void *request,
		      ProtobufCMessage *reply, struct error *err)
{
	return answer(call, engine_ask_urgent, decide, request, reply, err);
}

int api_look(struct rpc_call *call, decide_fn *decide, const void *request, ProtobufCMessage *reply,
	     struct error *err)
{
	return answer(call, engine_read, decide, request, reply, err);
}

int page_size(const Sluice__V1__PageRequest *page)
{
	if (!page || page->size <= 0)
		return 100;
	return MIN(page->size, 1000);
}

const char *page_token(const Sluice__V1__PageRequest *page)
{
	return page ? page->token : "";
}
