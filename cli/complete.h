/*
 * complete.h - is what a controller answered all there?
 *
 * proto3 makes every message optional; views take some for granted (a job has a spec). A controller
 * of another version, or a damaged one, must be an error here, not a crash.
 */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include <protobuf-c/protobuf-c.h>
#include "base/error.h"
#include "rpc/rpc.h"

/* -1 with ERR_INVALID naming the field that is missing, at any depth. */
int message_complete(const ProtobufCMessage *message, struct error *err);
/* rpc_ask(), and only what is complete. */
const void *ask_complete(struct rpc_channel *ch, const ProtobufCServiceDescriptor *service,
			 const char *method, struct arena *arena, const ProtobufCMessage *request,
			 struct error *err);

#endif
