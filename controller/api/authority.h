/*
 * authority.h - the cluster's certificate authority, as files
 *
 * DIR (0700): ca.key, ca.pem, server.key, server.pem (the server's certificate followed by the
 * CA's, so that an agent that joins finds the CA in the chain).
 */
#ifndef API_AUTHORITY_H
#define API_AUTHORITY_H

#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "crypto/cert.h"

struct authority;

/* Makes the CA if there is none (only when `make`), and the server's certificate when it is absent,
 * soon over, or for other names. */
struct authority *authority_open(const char *dir, const char *cluster, const char *const *names,
				 bool make, struct error *err);
void authority_free(struct authority *a);
DEFINE_CLEANUP(struct authority *, authority_free)
const char *authority_ca_pem(const struct authority *a);
const char *authority_ca_sha256(const struct authority *a);   /* hex */
const char *authority_server_cert(const struct authority *a); /* paths */
const char *authority_server_key(const struct authority *a);
const char *authority_ca_path(const struct authority *a);
/* Issues the server's certificate anew when a third of its life is left; new connections get it. */
int authority_look(struct authority *a, struct error *err);
/* spiffe://<cluster>/agent/<id>, 30 days. */
int authority_issue_agent(struct authority *a, const char *csr_pem, const char *agent_id,
			  struct buf *ret_pem, struct cert_info *ret_info, struct error *err);

#endif
