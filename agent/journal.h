/*
 * journal.h - what this host has promised, durable: attempts it took, releases it runs
 *
 * One append-only file of packed JournalRecords, each with its length and crc32c; later records
 * replace earlier ones about the same attempt or environment. A torn last record is cut off at
 * open; damage before it is not guessed around: what came before the damage is kept, the file is
 * put aside as PATH.damaged, no attempt in it is ever started, and the controller is told at
 * Register (journal_lost). When most of the file is history, or after a failed write or sync, it is
 * written anew from memory, beside, and renamed.
 *
 * STARTED and what is known of environments is written at once: it survives this process when the
 * call is back. ACCEPTED, EXITED and what is forgotten is gathered, because much of it comes at a
 * time: it survives this process after journal_flush(), or after anything else that was written.
 * All of it is durable after journal_sync(), which serves everyone who waits with one fdatasync.
 * All functions are thread-safe. Messages handed out are copies, the caller's.
 */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/mem.h"
#include "sluice/v1/journal.pb-c.h"

struct journal;

/* boot_id: of this boot; it is written into the attempts. */
struct journal *journal_open(const char *path, const char *boot_id, struct error *err);
void journal_close(struct journal *j);
DEFINE_CLEANUP(struct journal *, journal_close)
/* Was the file damaged, so that attempts may be missing from it? */
bool journal_lost(const struct journal *j);

uint64_t journal_max_fence(struct journal *j);
uint64_t journal_max_epoch(struct journal *j);
/* Remembers the controller's epoch. ERR_CONFLICT when it is smaller than one seen before. */
int journal_epoch(struct journal *j, uint64_t epoch, struct error *err);

/* ACCEPTED. ERR_CONFLICT: the fence is not above all seen before. */
int journal_accept(struct journal *j, const Sluice__V1__Assignment *a, struct error *err);
int journal_started(struct journal *j, uint64_t fence, const char *slot, struct error *err);
int journal_exited(struct journal *j, const Sluice__V1__FinishedAttempt *finished,
		   struct error *err);
int journal_forget(struct journal *j, uint64_t fence, struct error *err);

/* Replaces what is known of an environment. */
int journal_host(struct journal *j, const Sluice__V1__JournalHost *host, struct error *err);
int journal_forget_host(struct journal *j, const char *environment, struct error *err);

/* Back when everything said before the call is written. What fails is written by the next. */
int journal_flush(struct journal *j, struct error *err);
/* Back when everything said before the call is durable. */
int journal_sync(struct journal *j, struct error *err);

/* A copy of each, in no order; the visitor takes it. */
void journal_attempts(struct journal *j,
		      void (*visit)(void *arg, Sluice__V1__JournalAttempt *attempt), void *arg);
void journal_hosts(struct journal *j, void (*visit)(void *arg, Sluice__V1__JournalHost *host),
		   void *arg);

#endif
