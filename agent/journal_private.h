/*
 * journal_private.h - what journal.c (what is live, and what callers say) and journal_file.c share
 */
#ifndef AGENT_JOURNAL_PRIVATE_H
#define AGENT_JOURNAL_PRIVATE_H

#include <uthash.h>
#include "agent/journal.h"
#include "base/buf.h"
#include "base/thread.h"

struct attempt_entry {
	Sluice__V1__JournalAttempt *row;
	uint64_t fence;
	UT_hash_handle hh;
};

struct host_entry {
	Sluice__V1__JournalHost *row;
	UT_hash_handle hh;
};

struct journal {
	struct lock lock; /* guards all below */
	struct signal synced;
	char *path, *boot_id;
	int fd;
	uint64_t size;		    /* bytes in the file */
	uint64_t rewrite_above;	    /* of them: look whether most is history */
	struct buf pending;	    /* records that are not written yet */
	uint64_t appended, durable; /* records */
	bool syncing, lost;
	bool broken; /* what the file holds is not known: it is written anew before it is used */
	uint64_t max_fence, max_epoch;
	struct attempt_entry *attempts;
	struct host_entry *hosts;
};

/* Takes a record into what is live. */
void journal_apply(struct journal *j, const Sluice__V1__JournalRecord *r);
/* Takes it in; the next flush writes it. Fails only for its size. */
int journal_gather_locked(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err);
/* Writes it, then takes it in: what failed did not happen. */
int journal_write_locked(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err);
/* Writes what is pending, or the file anew if need be. What fails stays pending. */
int journal_flush_locked(struct journal *j, struct error *err);
/* Reads what is there, and writes it anew. */
int journal_load(struct journal *j, struct error *err);

#endif
