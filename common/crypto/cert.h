/*
 * cert.h - the controller's own certificate authority (X.509, P-256, ECDSA with SHA-256)
 *
 * All certificates and keys go in and out as PEM text. Serials are 128 random bits. Times begin
 * five minutes early, for hosts whose clocks differ. Nothing in a CSR but its public key is used,
 * after its signature was checked. Any thread; nothing is kept between calls.
 *
 * ERR_INVALID: the PEM, a name or a key is not what it should be. ERR_INTERNAL: OpenSSL refuses.
 */
#ifndef CRYPTO_CERT_H
#define CRYPTO_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "crypto/digest.h"

enum {
	CERT_SERIAL_SIZE = 41, /* up to 20 bytes (RFC 5280) as upper-case hex, and the NUL */
	CERT_NAME_SIZE = 65,   /* a common name has at most 64 characters */
	CERT_URI_SIZE = 256,
	CERT_MAX_NAMES = 64, /* subject alternative names of one server */
};

/* The authority that signs; borrowed strings. */
struct cert_authority {
	const char *cert_pem;
	const char *key_pem;
};

struct cert_info {
	char serial[CERT_SERIAL_SIZE];	  /* hex, no separators */
	char common_name[CERT_NAME_SIZE]; /* "" when there is none */
	char uri[CERT_URI_SIZE];	  /* the one URI among the alternative names, or "" */
	int64_t not_before_ms, not_after_ms;
	struct digest digest; /* SHA-256 of the DER form: what `--ca-sha256` pins */
	bool is_authority;
};

/* A self-signed authority that may sign leaves only (pathlen 0). The key goes with key_release().
 */
int cert_make_authority(const char *name, int years, struct buf *ret_key_pem,
			struct buf *ret_cert_pem, struct error *err);
/* The same into files: key 0600 first, then the certificate 0644. Neither may exist. */
int cert_make_authority_files(const char *name, int years, const char *key_path,
			      const char *cert_path, struct error *err);

/* For serverAuth only. names: DNS names and IP addresses (v4 or v6 text), 1 to CERT_MAX_NAMES, NULL
 * at the end; the first is the common name, too. */
struct cert_server {
	const char *key_pem;
	const char *const *names;
	int days;
};
int cert_issue_server(const struct cert_authority *ca, const struct cert_server *what,
		      struct buf *ret_cert_pem, struct error *err);

/* A request for key_pem's public half; it names nothing. */
int cert_make_request(const char *key_pem, struct buf *ret_csr_pem, struct error *err);
/* For clientAuth only, with exactly one alternative name, the URI
 * ("spiffe://<cluster>/agent/<uuid>"). */
struct cert_client {
	const char *csr_pem;
	const char *common_name;
	const char *uri;
	int days;
};
int cert_issue_client(const struct cert_authority *ca, const struct cert_client *what,
		      struct buf *ret_cert_pem, struct error *err);
/* "spiffe://<cluster>/agent/<uuid>": ret_cluster and ret_id have CERT_URI_SIZE bytes. cluster must
 * be a name (base/file.h: name_valid), uuid one of ours (base/id.h). */
int cert_parse_agent_uri(const char *uri, char *ret_cluster, char *ret_id, struct error *err);

/* Reads the first certificate in pem. */
int cert_read(const char *pem, struct cert_info *ret, struct error *err);
/* 0 when key_pem is the private half of the certificate's key. */
int cert_check_key(const char *cert_pem, const char *key_pem, struct error *err);
/* 0 when cert_pem was signed by ca_pem; times are not looked at. */
int cert_check_signed_by(const char *cert_pem, const char *ca_pem, struct error *err);
/* 0 when the SHA-256 of the first certificate in pem is pin. ERR_UNAUTHENTICATED names both. */
int cert_check_pin(const char *pem, const struct digest *pin, struct error *err);

#endif
