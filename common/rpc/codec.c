/*
 * Messages to byte buffers and back, errors to status and trailers and back.
 * An error travels twice: as the status's text, which every gRPC client shows,
 * and whole as ErrorDetail under `sluice-error-bin`.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/message.h"
#include "rpc/internal.h"
#include "sluice/v1/common.pb-c.h"

#define DETAIL_KEY "sluice-error-bin"

grpc_byte_buffer *codec_pack(const ProtobufCMessage *msg)
{
	grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(msg));
	grpc_byte_buffer *buf;

	protobuf_c_message_pack(msg, GRPC_SLICE_START_PTR(slice));
	buf = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return buf;
}

/* A message in one piece is read where it lies. */
static bool contiguous(const grpc_byte_buffer *buf, grpc_slice *ret)
{
	const grpc_slice_buffer *slices = &buf->data.raw.slice_buffer;

	if (slices->count == 0)
		*ret = grpc_empty_slice();
	else if (slices->count == 1)
		*ret = grpc_slice_ref(slices->slices[0]);
	else
		return false;
	return true;
}

ProtobufCMessage *codec_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buf,
			       struct arena *arena, struct error *err)
{
	grpc_byte_buffer_reader reader;
	ProtobufCMessage *msg;
	grpc_slice slice;

	/* No compression is offered; a peer that compresses could hide gigabytes in a message. */
	if (buf->type != GRPC_BB_RAW || buf->data.raw.compression != GRPC_COMPRESS_NONE) {
		error_set(err, ERR_UNIMPLEMENTED, "compressed messages are not taken");
		return NULL;
	}
	if (!contiguous(buf, &slice)) {
		if (!grpc_byte_buffer_reader_init(&reader, buf)) {
			error_set(err, ERR_INVALID, "a message could not be read");
			return NULL;
		}
		slice = grpc_byte_buffer_reader_readall(&reader);
		grpc_byte_buffer_reader_destroy(&reader);
	}
	msg = message_unpack(type, arena, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice),
			     err);
	grpc_slice_unref(slice);
	return msg;
}

static const grpc_status_code statuses[ERR_CODES] = {
	[ERR_NONE] = GRPC_STATUS_OK,
	[ERR_CANCELLED] = GRPC_STATUS_CANCELLED,
	[ERR_INVALID] = GRPC_STATUS_INVALID_ARGUMENT,
	[ERR_TIMEOUT] = GRPC_STATUS_DEADLINE_EXCEEDED,
	[ERR_NOT_FOUND] = GRPC_STATUS_NOT_FOUND,
	[ERR_EXISTS] = GRPC_STATUS_ALREADY_EXISTS,
	[ERR_DENIED] = GRPC_STATUS_PERMISSION_DENIED,
	[ERR_UNAUTHENTICATED] = GRPC_STATUS_UNAUTHENTICATED,
	[ERR_EXHAUSTED] = GRPC_STATUS_RESOURCE_EXHAUSTED,
	[ERR_CONFLICT] = GRPC_STATUS_FAILED_PRECONDITION,
	[ERR_ABORTED] = GRPC_STATUS_ABORTED,
	[ERR_UNAVAILABLE] = GRPC_STATUS_UNAVAILABLE,
	[ERR_UNIMPLEMENTED] = GRPC_STATUS_UNIMPLEMENTED,
	[ERR_CORRUPT] = GRPC_STATUS_DATA_LOSS,
	[ERR_INTERNAL] = GRPC_STATUS_INTERNAL,
};

grpc_status_code codec_status(enum error_code code)
{
	assert(code < ERR_CODES);
	return statuses[code];
}

enum error_code codec_code(grpc_status_code status)
{
	for (unsigned i = 0; i < ERR_CODES; i++)
		if (statuses[i] == status)
			return (enum error_code)i;
	return status == GRPC_STATUS_OUT_OF_RANGE ? ERR_INVALID : ERR_INTERNAL;
}

grpc_metadata codec_trailer(const struct error *err)
{
	Sluice__V1__ErrorDetail detail = SLUICE__V1__ERROR_DETAIL__INIT;
	grpc_metadata md = { .key = grpc_slice_from_static_string(DETAIL_KEY) };

	detail.code = (char *)err->id;
	detail.message = (char *)err->text;
	detail.hint = (char *)err->hint;
	detail.file = (char *)err->file;
	detail.line = err->line;
	detail.col = err->col;
	md.value = grpc_slice_malloc(sluice__v1__error_detail__get_packed_size(&detail));
	sluice__v1__error_detail__pack(&detail, GRPC_SLICE_START_PTR(md.value));
	return md;
}

static bool read_detail(grpc_slice value, enum error_code code, struct error *err)
{
	cleanup(arena_freep) struct arena *arena = arena_new(RPC_MAX_METADATA * 4);
	Sluice__V1__ErrorDetail *d;

	d = message_unpack(&sluice__v1__error_detail__descriptor, arena,
			   GRPC_SLICE_START_PTR(value), GRPC_SLICE_LENGTH(value), NULL);
	if (!d)
		return false;
	error_set(err, code, "%s", d->message);
	if (err)
		snprintf(err->id, sizeof err->id, "%s", d->code);
	error_hint(err, "%s", d->hint);
	if (*d->file)
		error_place(err, d->file, d->line, d->col);
	return true;
}

bool codec_error(grpc_status_code status, grpc_slice details, const grpc_metadata_array *trailers,
		 struct error *err)
{
	enum error_code code = codec_code(status);

	for (size_t i = 0; i < trailers->count; i++)
		if (grpc_slice_str_cmp(trailers->metadata[i].key, DETAIL_KEY) == 0 &&
		    read_detail(trailers->metadata[i].value, code, err))
			return true;
	error_set(err, code, "%.*s", (int)MIN(GRPC_SLICE_LENGTH(details), (size_t)500),
		  (const char *)GRPC_SLICE_START_PTR(details));
	return false;
}
