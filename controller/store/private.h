/*
 * private.h - what the files of the store share; nobody else includes it
 */
#ifndef STORE_PRIVATE_H
#define STORE_PRIVATE_H

#include "base/thread.h"
#include "controller/store/db.h"
#include "controller/store/pending.h"
#include "controller/store/redo.h"
#include "controller/store/store.h"
#include "crypto/digest.h"

enum {
	ROW_ID_MAX = 256,	/* bytes of id, parent or key */
	ROW_BODY_MAX = 4 << 20, /* bytes of a packed message */
};

/* ---- schema.c ---- */

struct migration {
	int (*up)(struct db *db, struct error *err); /* from the version before; in a transaction */
};

/* Brings a database from its version to `count`, after a copy of it beside it when it held one. */
int schema_migrate(struct db *db, const char *path, const struct migration *steps, int count,
		   struct error *err);
/* The same with the program's own steps. */
int schema_open(struct db *db, const char *path, struct error *err);
int schema_version(void); /* the program's */
/* The number of the last commit that the tables hold, and whether there may be later ones in the
 * log; 0 and false in a database that knows none. */
int schema_redo(struct db *db, uint64_t *ret_number, bool *ret_in_use, struct error *err);
const char *schema_table(enum row_kind kind);

/* ---- a connection with the statements it has used so far ---- */

enum query {
	QUERY_PUT,  /* insert, or change what changes often */
	QUERY_MOVE, /* change all columns */
	QUERY_DELETE,
	QUERY_GET,
	QUERY_FIND,
	QUERY_FIND_KEY, /* whatever the parent */
	QUERY_BY_NUMBER,
	QUERY_LOAD,
	QUERY_LIST, /* the first of 64: see queries.c */
	QUERIES = QUERY_LIST + 64
};

struct connection {
	struct db *db;
	struct db_statement *rows[ROW_KINDS][QUERIES];
	struct db_statement *event_append, *event_list, *redo_number;
};

int connection_open(struct connection *c, const char *path, enum db_mode mode, struct error *err);
void connection_close(struct connection *c); /* harmless on what was never opened */

struct store {
	char *path;

	/* the engine's thread alone */
	struct connection own; /* reads what has reached the tables */
	struct redo *redo;
	struct buf record;	 /* of the transaction in progress */
	struct digest last_hash; /* of the last committed event; zero: none yet */
	uint64_t last_event;
	struct digest pending_hash; /* of the last appended one */
	uint64_t pending_event;

	/* whoever is `busy` alone */
	struct connection writer;
	uint32_t checkpointed_at; /* pages that were left when a checkpoint was last tried */

	pthread_t thread; /* write_behind() */
	bool started;

	struct lock lock;      /* guards what follows */
	struct signal work;    /* for the thread: `stirred` or `closing` */
	struct signal settled; /* nobody is busy any more */
	bool busy;	       /* somebody writes the tables, and may look at `writing` */
	bool stirred, closing;
	bool log_unused;		 /* closed in order: the tables are to say so */
	struct pending waiting, writing; /* committed, later than the tables; in this order */
	uint64_t committed, in_tables, durable; /* numbers of commits */
	uint64_t awaits;     /* must be durable for a file of the log to be free; 0: it is */
	bool stuck;	     /* the last try to write the tables failed */
	struct error broken; /* why the tables cannot be written any more */
	struct store_reader *idle;
	int n_idle;
	int n_lent;
};

struct store_reader {
	struct store *store;
	struct connection connection;
	struct store_reader *next; /* in store.idle */
};

/* ---- rows.c ---- */

extern const char row_columns[]; /* the list for SELECT, in the order that row_message() reads */
/* The statement of a query, prepared on first use. */
struct db_statement *row_query(struct connection *c, enum row_kind kind, int query,
			       struct error *err);
/* The message of the current row, checked against its crc; on the heap without an arena. */
ProtobufCMessage *row_message(struct db_statement *st, enum row_kind kind, struct arena *a,
			      struct error *err);
/* Steps once: 1 and the message, 0, -1. The statement is reset. */
int row_only(struct db_statement *st, enum row_kind kind, struct arena *a, ProtobufCMessage **ret,
	     struct error *err);

int row_write(struct connection *c, const struct row *row, struct error *err);

/* ---- queries.c ---- */

char *list_sql(enum row_kind kind, int variant);

/* ---- events.c ---- */

int events_load_last(struct store *s, struct error *err);
int event_write(struct connection *c, const struct record_item *event, struct error *err);

/* ---- behind.c ---- */

void *write_behind(void *store); /* the thread */
/* A record that is durable: it is written behind from now on. */
void behind_committed(struct store *s, uint64_t number, struct buf *record);
/* The tables hold all, synced, and say whether the log is in use: it is from here on, or not after
 * the end. Nobody else uses the store meanwhile. */
int behind_mark(struct store *s, bool in_use, struct error *err);
/* Back when the tables hold what was committed before; for_good: and are synced. Any thread. */
int store_settle(struct store *s, bool for_good, struct error *err);

#endif
