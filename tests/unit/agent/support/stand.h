/*
 * stand.h - a stand-in for the controller: what agents say to it is kept, what it says is told
 *
 * It serves Agents.Session, Logs.Append, Artifacts.Upload and Download over real connections, with
 * none of the controller's code. Knobs make it lose, cut and refuse. Usable without Criterion: what
 * goes wrong aborts.
 */
#ifndef TESTS_AGENT_STAND_H
#define TESTS_AGENT_STAND_H

#include "base/buf.h"
#include "base/thread.h"
#include "blob/store.h"
#include "certs.h"
#include "rpc/rpc.h"
#include "sluice/v1/agents.pb-c.h"
#include "sluice/v1/artifacts.pb-c.h"
#include "sluice/v1/logs.pb-c.h"

enum { STAND_LOGS = 1024, STAND_MESSAGES = 65536, PATIENCE_MS = 20000 };

struct stand_log {
	uint64_t fence;
	uint32_t stream;
	char environment[64];
	struct buf bytes;
	unsigned frames, gaps;
	uint64_t received; /* bytes of all frames, those that were there already included */
	bool refused;
};

struct stand {
	char dir[64];
	struct pair ca, agent;
	struct rpc_server *server;
	struct rpc_channel *channel; /* to it, as an agent */
	struct blob_store *store;

	struct lock lock; /* guards all below */
	struct signal changed;
	struct stand_log logs[STAND_LOGS];
	size_t n_logs;
	struct rpc_call *session; /* the open one, a reference */
	bool registered;	  /* and its Register was answered */
	unsigned sessions;
	Sluice__V1__AgentMessage *heard[STAND_MESSAGES]; /* all of them, copies */
	size_t n_heard;
	bool mute;				  /* Accept is not answered */
	bool no_renewals;			  /* nor Renew */
	Sluice__V1__HeldVerdict__Verdict verdict; /* for what is held; 0: CONTINUE */

	/* Every n-th message of a stream of that kind ends it with UNAVAILABLE; 0: never. */
	unsigned cut_logs, cut_uploads, cut_downloads;
	unsigned log_messages, upload_messages, download_messages;
	unsigned appends, uploads, downloads; /* streams begun */
	uint64_t uploaded, downloaded;	      /* bytes of parts */
	bool hold_acks;			      /* frames are taken, but not acknowledged */
	bool refuse_uploads;		      /* with DENIED */
	bool flip_downloads;		      /* a bit of each part */
	const struct pair *renew_by;	      /* the CA that renews certificates */
	bool renew_other_key;		      /* than was asked for */
};

struct stand *stand_new(void);
void stand_free(struct stand *s);
/* A path in its directory, on the heap. */
char *stand_path(const struct stand *s, const char *name);

/* With the lock held, until it is true; aborts after PATIENCE_MS. */
void stand_wait_locked(struct stand *s, bool (*is)(struct stand *s, void *arg), void *arg,
		       const char *what);
/* The log, with the lock held; NULL: nothing came. */
struct stand_log *stand_log(struct stand *s, uint64_t fence, const char *environment,
			    uint32_t stream);
/* Until it holds exactly these bytes. */
void stand_wait_log(struct stand *s, uint64_t fence, uint32_t stream, const void *data, size_t len);

/* The first message of that kind from *at on, which moves behind it; waits for it. Borrowed. */
const Sluice__V1__AgentMessage *stand_hear(struct stand *s, size_t *at,
					   Sluice__V1__AgentMessage__BodyCase kind);
/* Says it in the open session, which is waited for. */
void stand_say(struct stand *s, Sluice__V1__ControllerMessage *m);
void stand_break_session(struct stand *s);

#endif
