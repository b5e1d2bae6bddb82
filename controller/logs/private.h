/*
 * private.h - what the files of the logbook share; nobody else includes it
 *
 * One lock guards the table and every log's numbers. What takes long (writing, sealing) is done
 * without it by whoever holds the log, one at a time: log_hold() .. log_let_go().
 */
#ifndef LOGS_PRIVATE_H
#define LOGS_PRIVATE_H

#include <uthash.h>
#include "base/list.h"
#include "base/thread.h"
#include "controller/logs/journal.h"
#include "controller/logs/logbook.h"

enum {
	LOG_NAME_SIZE = 320, /* "<run>/<fence>.<stream>", "env/<environment>/<agent>[@<start>]" */
	OPEN_FILES = 256,    /* of logs that are written */
	DIRECT_SIZE = 16 << 10,	 /* a piece of this size goes to its own file only */
	DIRECT_TOTAL = 64 << 10, /* and so do further ones after so many bytes since a sync */
	PENDING_MAX = 1 << 20,	 /* bytes that may wait for a sync; then the writer syncs */
	JOURNAL_SIZE = 8 << 20,
	INDEX_STEP = 256 << 10, /* bytes between two entries of a line index */
	COPY_SIZE = 64 << 10,
	SEGMENTS = 16,		  /* a service's log is cut into so many */
	SEGMENTS_MAX = 64,	  /* of one service, where gaps made more */
	SEGMENT_LEAST = 16 << 10, /* bytes */
};

#define LOG_OPEN     UINT64_MAX			     /* log.finished of one that goes on */
#define ABANDONED_MS ((int64_t)8 * 24 * 3600 * 1000) /* a lost attempt may write for 7 days */

struct log {
	UT_hash_handle hh; /* by name */
	char *name;
	int holds;	  /* threads that hold it or wait to; a batch that syncs it */
	int refs;	  /* readers */
	bool busy;	  /* held: the holder alone changes what is marked (h) */
	int fd;		  /* (h) -1: closed. Closed by others only while not busy */
	struct list used; /* in logbook.files while fd is open, least used first */
	bool known;	  /* (h) the numbers below were read from the disk */
	bool sealed;	  /* (h) its file is read-only */
	bool fresh;	  /* its directory's entry may not be durable */
	bool counted;	  /* (h) lines and indexed are right */
	uint64_t lines;	  /* (h) newlines before end */
	uint64_t indexed; /* (h) end of the last index entry */
	uint64_t end;	  /* as written; (h) to change */
	uint64_t durable;
	uint64_t finished;  /* where it is over, or LOG_OPEN */
	uint64_t journaled; /* bytes of it in the batch that gathers */
	bool direct;	    /* it has bytes that are in its own file only, not synced */
	bool in_journal;    /* a journal that is in use knows it */
	int64_t used_ms;    /* wall: last written */
	struct list dirty;  /* in logbook.dirty while end > durable and no batch syncs it */
	struct list readers;
};

/* A part of a service's log: a log of its own, whose bytes are the service's from `start` on. */
struct segment {
	uint64_t start;
	uint64_t kept; /* bytes in it; 0 of the one that is written */
};

/* All of one service's, oldest first: at least one, and the last is written. They follow one
 * another, but where output never came. Kept in memory from its first use on. */
struct service {
	UT_hash_handle hh; /* by name */
	char *name;	   /* "env/<environment>/<agent>" */
	struct segment *segments;
	size_t n;
};

struct log_reader {
	struct logbook *book;
	struct log *log;
	struct service *service; /* NULL: an attempt's */
	uint64_t base;		 /* where `log` begins in it */
	struct list link;	 /* in log.readers */
	struct signal signal;
	int fd; /* -1 until there was something to read */
	bool live, woken;
};

struct logbook {
	char *dir;
	int dir_fd;
	struct lock lock; /* guards all that follows, but what is the leader's or holder's */
	struct log *logs;
	struct service *services;
	uint64_t service_bytes; /* kept of each */
	struct list files;	/* logs with an open fd */
	int n_files;
	struct signal let_go; /* a log was let go that others wait for */
	struct buf pending;   /* records of the batch that gathers */
	struct list dirty;
	bool leading;	      /* a thread syncs; the journals are its alone */
	struct signal synced; /* leading ended, or a journal was retired */
	struct error broken;  /* why nothing can be synced any more; code 0: all is well */

	struct journal_file journals[2];
	int current;	      /* index of the one in use */
	bool retired;	      /* the other one is empty */
	struct log **sealing; /* logs that are over, held for the retiring thread */
	size_t n_sealing;
	struct signal retire; /* there is work for it */
	bool stopping;
	pthread_t thread;
};

/* ---- table.c: names, and who holds what ---- */

int log_name(const struct log_key *key, char ret[LOG_NAME_SIZE], struct error *err);
char *log_path(struct logbook *b, const char *name, const char *suffix);
struct log *log_find_locked(struct logbook *b, const char *name);
struct log *log_add_locked(struct logbook *b, const char *name);
/* For this thread alone, with its numbers known. NULL on error. */
struct log *log_hold(struct logbook *b, const char *name, struct error *err);
void log_let_go(struct logbook *b, struct log *log);
void log_let_go_locked(struct logbook *b, struct log *log);
void log_drop_unused_locked(struct logbook *b,
			    struct log *log); /* when nobody needs it in memory */
bool log_over_locked(const struct log *log);
/* It ends at `end`; in the journal, too. */
void log_finish_locked(struct logbook *b, struct log *log, uint64_t end);
void log_wake_readers_locked(struct log *log);
/* The file for writing, made if absent. By the holder. */
int log_file(struct logbook *b, struct log *log, struct error *err);
void log_close_file_locked(struct logbook *b, struct log *log);

/* ---- logbook.c ---- */

/* What one append brings. */
struct piece {
	uint64_t offset;
	const char *data;
	size_t len;
	uint64_t limit; /* of its log */
};
/* What of it is new goes behind the end. By the holder. A gap: ERR_CONFLICT. */
int log_append(struct logbook *b, struct log *log, const struct piece *p, struct error *err);
/* After it. *ret_end becomes the end in `log`: as written, or, where r is an error, as durable. */
void log_appended(struct logbook *b, struct log *log, int r, uint64_t *ret_end);

/* ---- service.c: logs that never end ---- */

/* NULL on error. Its segments are looked for when it is asked for first. */
struct service *service_of(struct logbook *b, const char *name, struct error *err);
void service_free(struct service *s);
/* "<service>@<start>", or "<service>" for the one that begins at 0. */
void segment_name(const struct service *s, uint64_t start, char ret[LOG_NAME_SIZE]);
int service_append(struct logbook *b, struct service *s, const struct piece *p, uint64_t *ret_end,
		   struct error *err);
/* Where *offset can be read, or where it goes on when what is there is not kept: the segment's
 * start. */
uint64_t segment_for_locked(const struct service *s, uint64_t *offset);
bool segment_is_last_locked(const struct service *s, uint64_t start);
/* Removes segments that were last written before this, and counts them. */
int services_expire(struct logbook *b, int64_t before_wall_ms, uint64_t *removed,
		    struct error *err);

/* ---- expire.c ---- */

/* No journal knows any more of what is over now. */
int logbook_forget(struct logbook *b, struct error *err);
bool log_is_known(struct logbook *b, const char *name); /* it is in memory */

/* ---- sync.c ---- */

/* Until target is durable. */
int log_sync_locked(struct logbook *b, struct log *log, uint64_t target, struct error *err);
int logbook_flush_locked(struct logbook *b, struct error *err); /* all that is pending */
/* Begins the other journal: every log that goes on is marked in it, those that are over are set
 * aside for logbook_retire(). By the leader, without the lock. */
int logbook_switch(struct logbook *b, struct error *err);
/* Makes what was set aside read-only, and the journal that was left empty. in_place: all that the
 * journal holds was synced in its files already. */
int logbook_retire(struct logbook *b, bool in_place, struct error *err);
void *logbook_retire_for_ever(void *book);

/* ---- lines.c ---- */

uint64_t lines_in(const void *data, size_t len);
/* Counts what is on the disk, when that was not done since the log was loaded. By the holder. */
int lines_know(struct logbook *b, struct log *log, struct error *err);
/* After an append: an index entry, when one is due. Losing one costs time, so errors are not. */
void lines_note(struct logbook *b, struct log *log);

#endif
