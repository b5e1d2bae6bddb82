/*
 * rpc.h - gRPC for people who write handlers
 *
 * A call is a conversation: the client opens it, both sides send and receive
 * messages, the server ends it with a status. A handler runs on a thread of its
 * own and may block; its stack frame is the life of the call. Only long-lived,
 * mostly idle conversations (an agent's session) are written as callbacks.
 *
 * Memory:  request, reply and rpc_arena() die with the call; a received message
 *          dies at the next rpc_recv() (in a session: when `received` returns).
 *          Nothing here is freed by hand.
 * Threads: one thread sends and one receives, they may be two; any thread may
 *          rpc_post(), rpc_finish() or rpc_cancel() while it holds a reference
 *          (rpc_ref) or otherwise knows the call to be alive.
 * Errors:  a handler returns 0, or -1 with *err set: code, id, text and hint
 *          reach the client's struct error unchanged.
 * Limits:  struct rpc_limits. What a peer sends is bounded before memory is
 *          taken, unpacked into a capped arena, and its strings are UTF-8.
 *
 * TLS is 1.3 only, for certificates with EC or Ed25519 keys. rpc_init() sets
 * GRPC_SSL_CIPHER_SUITES in the environment for this: do not hand it on to jobs.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/arena.h"
#include "base/error.h"

struct rpc_call;
struct rpc_channel;
struct rpc_server;

/* Called by rpc_server_new() and rpc_dial(); a program with threads of its own calls it first,
 * after thread_block_signals(). Also sends gRPC's own log lines to base/log, at most a few a
 * second. */
void rpc_init(void);

/* ---- the service table --------------------------------------------------------------------------
 */

/* Who may call. rpc hands the bits to the guard unread, but PUBLIC: that row is not guarded. */
enum rpc_access {
	ENROL = 1, /* who holds a one-time token of an agent to be */
	AGENT = 2, /* an enrolled agent */
	VIEWER = 4,
	OPERATOR = 8,
	APPROVER = 16,
	ADMIN = 32,
	PUBLIC = 64, /* anybody who can connect: health and reflection only */
};

enum rpc_shape {
	RPC_SHAPE_UNARY,
	RPC_SHAPE_SERVER_STREAM,
	RPC_SHAPE_CLIENT_STREAM,
	RPC_SHAPE_BIDI,
	RPC_SHAPE_SESSION, /* on the wire a bidi stream */
	RPC_SHAPE_WATCH,   /* on the wire a server stream */
};

typedef void rpc_fn(void); /* a handler; .shape says of which type */

struct rpc_method {
	const char *name;
	unsigned access;
	enum rpc_shape shape;
	rpc_fn *fn;
	int (*opened)(struct rpc_call *, void *self, struct error *);
	void (*closed)(struct rpc_call *, const struct error *why);
	size_t request_size, reply_size;
};

/*
 * One row per rpc:
 *
 *	static const struct rpc_method runs_api[] = {
 *		RPC_UNARY(VIEWER | ADMIN, Get, get, Sluice__V1__GetRequest, Sluice__V1__Run),
 *		RPC_END
 *	};
 *
 * A handler of the wrong type and a row without ACCESS do not compile; a row that the .proto does
 * not know, or whose types are not the .proto's, aborts in rpc_server_add(). A method of the .proto
 * without a row is answered ERR_UNIMPLEMENTED.
 */
#define RPC_UNARY(ACCESS, M, fn, Request, Reply)       \
	RPC_ROW_(ACCESS, M, UNARY, fn, Request, Reply, \
		 int (*)(struct rpc_call *, const Request *, Reply *, struct error *))
#define RPC_SERVER_STREAM(ACCESS, M, fn, Request, Reply)       \
	RPC_ROW_(ACCESS, M, SERVER_STREAM, fn, Request, Reply, \
		 int (*)(struct rpc_call *, const Request *, struct error *))
#define RPC_CLIENT_STREAM(ACCESS, M, fn, Request, Reply)       \
	RPC_ROW_(ACCESS, M, CLIENT_STREAM, fn, Request, Reply, \
		 int (*)(struct rpc_call *, Reply *, struct error *))
#define RPC_BIDI(ACCESS, M, fn, Request, Reply) \
	RPC_ROW_(ACCESS, M, BIDI, fn, Request, Reply, int (*)(struct rpc_call *, struct error *))
/*
 * A session is three callbacks, run on a small pool of threads: for one call one after another,
 * never two at once; they must not wait for anything.
 *
 *	int opened(struct rpc_call *, void *self, struct error *);
 *	int received(struct rpc_call *, const Request *, struct error *);
 *	void closed(struct rpc_call *, const struct error *why);
 *
 * -1 from opened or received ends the call with *err. closed comes once and last, if opened
 * returned 0; why->code is ERR_NONE when the client ended on purpose or rpc_finish(call, NULL) was
 * said, ERR_CANCELLED when the client died, or what ended it. Drop your pointers to the call there.
 */
#define RPC_SESSION(ACCESS, M, opened_fn, received_fn, closed_fn, Request, Reply) \
	RPC_CALLBACKS_(ACCESS, M, SESSION, opened_fn, received_fn, closed_fn, Request, Reply)
/* The same for a server stream that is idle most of its life: received comes once, with the
 * request, and the call lasts until rpc_finish() or the client leaves. */
#define RPC_WATCH(ACCESS, M, opened_fn, received_fn, closed_fn, Request, Reply) \
	RPC_CALLBACKS_(ACCESS, M, WATCH, opened_fn, received_fn, closed_fn, Request, Reply)
#define RPC_CALLBACKS_(ACCESS, M, SHAPE, opened_fn, received_fn, closed_fn, Request, Reply)    \
	{                                                                                      \
		.name = #M, .access = RPC_ACCESS_(ACCESS), .shape = RPC_SHAPE_##SHAPE,         \
		.fn = _Generic((received_fn),                                                  \
			       int (*)(struct rpc_call *, const Request *, struct error *)     \
			       : (rpc_fn *)(received_fn)),                                     \
		.opened = (opened_fn), .closed = (closed_fn), .request_size = sizeof(Request), \
		.reply_size = sizeof(Reply)                                                    \
	}
#define RPC_END              \
	{                    \
		.name = NULL \
	}

#define RPC_ROW_(ACCESS, M, SHAPE, handler, Request, Reply, type)                      \
	{                                                                              \
		.name = #M, .access = RPC_ACCESS_(ACCESS), .shape = RPC_SHAPE_##SHAPE, \
		.fn = _Generic((handler), type                                         \
			       : (rpc_fn *)(handler)),                                 \
		.request_size = sizeof(Request), .reply_size = sizeof(Reply)           \
	}
#define RPC_ACCESS_(ACCESS)                                                    \
	((ACCESS) + 0 * sizeof(struct {                                        \
			    _Static_assert((ACCESS) > 0 && (ACCESS) < 128,     \
					   "the row says nobody may call it"); \
			    int unused;                                        \
		    }))

/* ---- the conversation: the same verbs on either side ---- */

/* out is a `const Message **`. 1: a message; 0: the peer ended on purpose (at a client: with
 * success); -1: the call is broken, cancelled, too late, or its status is an error. A client that
 * died in the middle is -1, never 0. After 0 or -1 nothing more comes. */
#define rpc_recv(call, out, err)                                                               \
	rpc_recv_((call), (const void **)(out), sizeof(*(out))->base ? sizeof **(out) : 0, -1, \
		  (err))
/* The same for at most ms milliseconds: then -1 with ERR_TIMEOUT, and the call goes on. */
#define rpc_recv_within(call, out, ms, err)                                                      \
	rpc_recv_((call), (const void **)(out), sizeof(*(out))->base ? sizeof **(out) : 0, (ms), \
		  (err))
/* Waits until flow control has taken the message, and those posted before it. Taken is not
 * delivered: what must be known to have arrived is acknowledged by a message of our own. -1 with
 * ERR_CANCELLED: the call is over (at a client rpc_recv() tells why). */
#define rpc_send(call, msg, err)      rpc_send_((call), &(msg)->base, false, (err))
/* The same when another follows at once: it returns while up to 256 KiB wait. The last is sent by
 * rpc_send(). */
#define rpc_send_more(call, msg, err) rpc_send_((call), &(msg)->base, true, (err))
/* From any thread, without waiting. ERR_EXHAUSTED: the call's queue is full (limits.max_posts,
 * max_posted); ERR_CANCELLED: the call is over. The message is packed before it returns. */
#define rpc_post(call, msg, err)      rpc_post_((call), &(msg)->base, (err))

int rpc_recv_(struct rpc_call *call, const void **ret, size_t size, int ms, struct error *err);
int rpc_send_(struct rpc_call *call, const ProtobufCMessage *msg, bool more, struct error *err);
int rpc_post_(struct rpc_call *call, const ProtobufCMessage *msg, struct error *err);

/* Ends the call at once, both ways. At a server the client sees "cancelled". */
void rpc_cancel(struct rpc_call *call);
/* The peer is gone, or somebody cancelled: stop working for it. */
bool rpc_cancelled(struct rpc_call *call);
/* wake(arg) when that happens (at once, if it has), on another thread: set a flag, signal, return.
 * After rpc_on_cancel(call, NULL, NULL) it neither runs nor will; hold no lock there that wake
 * takes. */
void rpc_on_cancel(struct rpc_call *call, void (*wake)(void *arg), void *arg);
/* A reference keeps the call's memory; the call itself may end. */
struct rpc_call *rpc_ref(struct rpc_call *call);
void rpc_unref(struct rpc_call *call);

/*
 * Bytes without a copy (raw.c), for messages whose last field is `bytes`. Sending: the message,
 * whose own field is left empty, and then the data; release(arg) is called once, on any thread,
 * also after an error, when data is no longer needed. Waits for flow control like rpc_send().
 */
struct rpc_tail {
	unsigned field; /* its number in the .proto */
	const void *data;
	size_t len;
	void (*release)(void *arg);
	void *arg;
};
#define rpc_send_tail(call, msg, tail, err) rpc_send_tail_((call), &(msg)->base, (tail), (err))
int rpc_send_tail_(struct rpc_call *call, const ProtobufCMessage *msg, const struct rpc_tail *tail,
		   struct error *err);
/* Receiving: like rpc_recv(), but the bytes of that field stay where they arrived, in *ret_tail,
 * and the message's own field is empty. Both live until the next receive. Bytes that are not the
 * last field come all the same, copied. */
struct rpc_bytes {
	const struct iovec *parts;
	unsigned n_parts;
	size_t len;
};
#define rpc_recv_tail(call, out, field, ret_tail, err)                                          \
	rpc_recv_tail_((call), (const void **)(out), sizeof(*(out))->base ? sizeof **(out) : 0, \
		       (field), (ret_tail), (err))
int rpc_recv_tail_(struct rpc_call *call, const void **ret, size_t size, unsigned field,
		   struct rpc_bytes *ret_tail, struct error *err);

/* ---- what a handler may ask of its call ---- */

enum rpc_listener_kind { RPC_AGENTS, RPC_USERS };

/* Who calls. All strings live as long as the call. */
struct rpc_caller {
	enum rpc_listener_kind listener;
	const char *service; /* "sluice.v1.Runs" */
	const char *method;  /* "GetRun" */
	/* The one URI among the names of a certificate that TLS verified, or "". */
	const char *peer_uri;
	const char *cert_serial; /* upper-case hex, as in struct cert_info, or "" */
	const char *bearer;	 /* the token of "authorization: Bearer ...", or "" */
	const char *address;	 /* "ipv4:10.0.0.7:51820": for logs, never for access */
};

void *rpc_self(const struct rpc_call *call); /* as given to rpc_server_add() */
/* The call's own thread only; in a session's callback it lives until that returns. */
struct arena *rpc_arena(struct rpc_call *call);
const char *rpc_peer(const struct rpc_call *call);		  /* the caller's peer_uri */
const struct rpc_caller *rpc_caller(const struct rpc_call *call); /* NULL at a client */
void *rpc_identity(const struct rpc_call *call); /* what the guard attached, or NULL */
/* When the client stops waiting, on the boot clock (clock_boot_ms); INT64_MAX: never. */
int64_t rpc_deadline(const struct rpc_call *call);

/* A pointer of the session's own; set in opened. */
void rpc_session_set(struct rpc_call *call, void *user);
void *rpc_session_get(const struct rpc_call *call);
/* Ends a session from the server's side once all that was posted is sent: with *why, or with
 * success (NULL). The first call counts. Any thread. closed follows on the pool. */
void rpc_finish(struct rpc_call *call, const struct error *why);

/* ---- server ---- */

/* PEM files; cert holds the server's certificate followed by its CA's (rpc_fetch_ca() finds it
 * there). They are read again when they change: new connections get the new pair, a pair that does
 * not match keeps the old. client_ca NULL asks for no client certificate, otherwise one is
 * required. */
struct rpc_listener {
	const char *address; /* "127.0.0.1:7700", "[::]:7701"; port 0: any */
	enum rpc_listener_kind kind;
	const char *cert, *key, *client_ca;
};

/* 0 is the value in brackets. */
struct rpc_limits {
	unsigned max_calls;	 /* [256] handlers at once, all listeners; above it ERR_EXHAUSTED */
	unsigned max_sessions;	 /* [16384] open sessions for each listener */
	unsigned max_peer_calls; /* [32] open calls of one client certificate's URI */
	unsigned max_token_calls; /* [no limit] open calls, but sessions, under one bearer token */
	unsigned max_posts;	  /* [1024] messages that wait in one call's queue */
	size_t max_posted;	  /* [4 MiB] and their bytes */
	size_t max_message;	  /* [1 MiB] a received message, packed */
	size_t max_unpacked;	  /* [8 MiB] and unpacked */
	unsigned max_streams;	  /* [256] calls at once on one connection */
	unsigned io_threads;	  /* [1] */
	unsigned session_threads; /* [2] */
	int keepalive_ms;	  /* [30000] ping after that much silence */
	int keepalive_timeout_ms; /* [10000] no answer by then: the connection is dead */
	/* [20000] for a request's one message to arrive, and for the answer to be taken. */
	int request_timeout_ms;
};

/* Asked before each call, on the thread that will run the handler; it may block for a query. 0, or
 * -1 with *err (ERR_UNAUTHENTICATED, ERR_DENIED). It may attach what it found out about the caller:
 * identity comes back from rpc_identity(), identity_free is called when the call is freed. */
struct rpc_identity {
	void *identity;
	void (*identity_free)(void *identity);
};
typedef int rpc_guard(void *self, const struct rpc_caller *caller, unsigned access,
		      struct rpc_identity *ret, struct error *err);

/* Strings of the listeners are copied. Health and reflection are served by themselves. */
struct rpc_server *rpc_server_new(const struct rpc_listener *listeners, unsigned n,
				  const struct rpc_limits *limits, struct error *err);
/* Before the start. Without a guard only PUBLIC rows may be called. */
void rpc_server_guard(struct rpc_server *s, rpc_guard *guard, void *self);
/* Before the start.  methods must live as long as the server; self is what rpc_self() returns. */
void rpc_server_add(struct rpc_server *s, const ProtobufCServiceDescriptor *service,
		    const struct rpc_method *methods, void *self);
int rpc_server_start(struct rpc_server *s, struct error *err);
int rpc_server_port(const struct rpc_server *s, unsigned listener); /* after start */
/* Health says "not serving", new calls are refused, open ones have grace_ms, then they are
 * cancelled. When it returns no handler and no callback of ours runs. Twice is harmless. */
void rpc_server_stop(struct rpc_server *s, int grace_ms);
void rpc_server_free(struct rpc_server *s);
/* Cancels the open calls that match: a revoked certificate, a withdrawn token. How many. match is
 * called under a lock: it only compares. */
unsigned rpc_server_cut(struct rpc_server *s, bool (*match)(void *arg, const struct rpc_caller *),
			void *arg);
/* What grpc.health.v1 says: of service, or with "" of the server. Serving from start to stop. */
void rpc_server_health(struct rpc_server *s, const char *service, bool serving);
struct rpc_stats {
	unsigned calls, sessions; /* open now */
	uint64_t served, refused; /* since start: by a handler, by guard or limits */
};
struct rpc_stats rpc_server_stats(struct rpc_server *s);
DEFINE_CLEANUP(struct rpc_server *, rpc_server_free)

/* ---- client ---- */

/* Copied by rpc_dial(). PEM texts, not paths. */
struct rpc_endpoint {
	const char *address;	 /* "host:7700" */
	const char *what;	 /* for messages: "the controller" (the default), "the agent" */
	const char *server_name; /* NULL, or expected in the certificate instead of the host */
	const char *ca_pem;
	const char *cert_pem, *key_pem; /* both or neither */
	const char *bearer;		/* NULL, or the token */
	int timeout_ms;			/* of rpc_ask(); 0: 30000 */
	int wait_ready_ms;		/* for a connection, before a call; 0: fails at once */
	int keepalive_ms, keepalive_timeout_ms; /* 0: 20000 and 10000 */
	size_t max_message, max_unpacked;	/* 0: 4 MiB, 32 MiB */
	unsigned max_posts;			/* 0: 1024 */
	size_t max_posted;			/* 0: 4 MiB */
};

/* Connects with the first call, not before; redials by itself after a loss. Only a wrong address or
 * PEM text is an error. Any thread may use a channel. */
struct rpc_channel *rpc_dial(const struct rpc_endpoint *endpoint, struct error *err);
/* Calls made from it must have been closed. */
void rpc_hangup(struct rpc_channel *ch);
DEFINE_CLEANUP(struct rpc_channel *, rpc_hangup)
/* Replaces the token for calls opened from now on. */
void rpc_channel_bearer(struct rpc_channel *ch, const char *bearer);

/* A unary call; the reply lives in the arena, whose cap (if it has one) bounds it. NULL on error.
 */
const void *rpc_ask(struct rpc_channel *ch, const ProtobufCServiceDescriptor *service,
		    const char *method, struct arena *arena, const ProtobufCMessage *request,
		    struct error *err);
/* The same with its own patience instead of the endpoint's. */
const void *rpc_ask_within(struct rpc_channel *ch, int timeout_ms,
			   const ProtobufCServiceDescriptor *service, const char *method,
			   struct arena *arena, const ProtobufCMessage *request, struct error *err);
/* RPC_STUB(runs_get, sluice__v1__runs, GetRun, Sluice__V1__GetRunRequest, Sluice__V1__Run) makes
 * const Sluice__V1__Run *runs_get(ch, arena, &request, err). The service is its C name. */
#define RPC_STUB(stub, service, M, Request, Reply)                                          \
	static inline const Reply *stub(struct rpc_channel *ch, struct arena *arena,        \
					const Request *request, struct error *err)          \
	{                                                                                   \
		return rpc_ask(ch, &service##__descriptor, #M, arena, &request->base, err); \
	}

/* A streaming call; timeout_ms 0: without end. It does not wait: a server that is not there shows
 * at the first rpc_recv(). Free it with rpc_close(). */
struct rpc_call *rpc_open(struct rpc_channel *ch, const ProtobufCServiceDescriptor *service,
			  const char *method, struct error *err);
struct rpc_call *rpc_open_within(struct rpc_channel *ch, int timeout_ms,
				 const ProtobufCServiceDescriptor *service, const char *method,
				 struct error *err);
/* Nothing more will be sent; waits until what was posted is taken. */
int rpc_done_sending(struct rpc_call *call, struct error *err);
/* Ends it (cancels, if the status has not come) and frees it. No other thread may be inside
 * rpc_recv() or rpc_send(): rpc_cancel() first and join it. NULL is well. */
void rpc_close(struct rpc_call *call);
DEFINE_CLEANUP(struct rpc_call *, rpc_close)

/* Enrolment, before the CA is known: connects to address, takes the chain the server shows and
 * returns the certificate whose DER's SHA-256 is sha256_hex, as PEM on the heap, once the chain is
 * shown to end in it. ERR_UNAUTHENTICATED: the server shows no such CA. */
int rpc_fetch_ca(const char *address, const char *sha256_hex, char **ret_pem, struct error *err);

#endif
