/*
 * row.h - what the store keeps of an entity: a few indexed columns and the packed message
 */
#ifndef PROTO_ROW_H
#define PROTO_ROW_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which open rows are loaded. The numbers are stored: never reuse one. */
enum row_kind {
	ROW_CONTROLLER = 1,  /* ControllerRow, id "controller" */
	ROW_TOKEN = 2,	     /* Token; key: hash */
	ROW_ENROL_TOKEN = 3, /* EnrolTokenRow; key: hash */
	ROW_AGENT = 4,	     /* Agent; key: name */
	ROW_PUBLISHED = 5,   /* PublishedRow; id: the name */
	ROW_RELEASE =
		6, /* Release; number; key: digest; parent: run. Never open: loaded when named */
	ROW_ENVIRONMENT = 7, /* Environment; key: name */
	ROW_PROMOTION = 8,   /* Promotion; parent: environment name; key: release id; number */
	ROW_RUN = 9,	     /* Run; key: pipeline; number */
	ROW_RUN_SPEC =
		10,   /* RunSpecRow; id, parent: the run's id. Loaded as long as the run is open */
	ROW_JOB = 11, /* Job; parent: run; key: name; number: index. Loaded as long as the run is
			 open */
	ROW_ATTEMPT =
		12, /* Attempt; id: decimal fence; parent: job; key: agent id; number: its number */
	ROW_ARTIFACT = 13, /* Artifact; parent: run, key: digest; number: version; state: kind.
			      Never open */
	ROW_VERDICT = 14,  /* Verdict; parent: job; key: gate + candidate + champion + set +
			      evaluator. Never open */
	ROW_REQUEST = 15,  /* RequestRow. Never open */
	ROW_KINDS
};

struct row {
	enum row_kind kind;
	const char *id;	    /* unique within the kind */
	const char *parent; /* "" where there is none */
	const char *key;
	int state;
	uint64_t number;
	int64_t time_ms; /* created */
	bool open;	 /* loaded at the next start */
	bool gone;	 /* delete it */
	const uint8_t *body;
	size_t len;
};

/* The columns of a message of this kind, but for body and len. Strings point into the message or
 * into `scratch`. Whether a row is open depends on the message alone. */
void row_describe(enum row_kind kind, const ProtobufCMessage *message, struct row *ret,
		  char scratch[256]);
const ProtobufCMessageDescriptor *row_descriptor(enum row_kind kind);
const char *row_kind_name(enum row_kind kind); /* "run", for messages */
/* The kind of the parent that keeps rows of this kind loaded while it is open, whatever they say
 * themselves (a job that is done still has outputs that others wait for); 0: none. */
enum row_kind row_kept_open_by(enum row_kind kind);

#endif
