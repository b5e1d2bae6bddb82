/*
 * collect.h - garbage collection of artifacts (CONVENTIONS.md, Retention)
 */
#ifndef CONTROLLER_COLLECT_H
#define CONTROLLER_COLLECT_H

#include "base/error.h"
#include "blob/store.h"
#include "controller/engine/engine.h"
#include "controller/store/store.h"

/* Removes the chunks that no kept artifact consists of and nobody touched for 24 hours. Kept is
 * what the world names (open runs, live, last good and slotted releases, latest versions) and what
 * the store adds: releases of the last 30 days that are not quarantined, what their verdicts judged
 * and with which evaluation set, the newest 5 versions of each published name. When anything about
 * that cannot be read, nothing is removed. */
int collect_artifacts(struct engine *engine, struct store *store, struct blob_store *blobs,
		      struct blob_stats *ret, struct error *err);

/* Forgets the requests that were answered more than a day ago, some hundred in a transaction. */
int collect_requests(struct engine *engine, struct store *store, uint64_t *ret_removed,
		     struct error *err);

#endif
