/*
 * retry.h - trying again what broke on the way, as long as there is progress
 */
#ifndef TRANSFER_RETRY_H
#define TRANSFER_RETRY_H

#include "proto/message.h"
#include "transfer/transfer.h"

/* *ret_progress: bytes that arrived in this try. */
typedef int transfer_try(void *arg, uint64_t *ret_progress, struct error *err);

int transfer_retry(const struct transfer *t, transfer_try *once, void *arg, struct error *err);

#endif
