/*
 * keys.h - private keys, and the hashes that tokens are stored as
 *
 * Keys are P-256 in PKCS#8 PEM without a passphrase: what protects them is the file's mode. A
 * buf that held a key is given back with key_release(), which clears it first.
 */
#ifndef CRYPTO_KEYS_H
#define CRYPTO_KEYS_H

#include "base/buf.h"
#include "base/error.h"
#include "crypto/digest.h"

enum { KEY_PEM_LIMIT = 16384 }; /* bytes; no key or certificate of ours comes near */

int key_generate(struct buf *ret_pem, struct error *err);
/* A new key, written to path as 0600, whole or not at all; path must not exist (ERR_EXISTS). */
int key_generate_file(const char *path, struct error *err);
/* A key that is there already (an authority's), in the same way. */
int key_write_file(const char *path, const struct buf *pem, struct error *err);
/* Reads path; refuses (ERR_DENIED) one that others than its owner may read. */
int key_read_file(const char *path, struct buf *ret_pem, struct error *err);
void key_release(struct buf *pem); /* clears, then frees; fits cleanup() */

/* What the store keeps instead of a token. A plain SHA-256 is enough, as tokens are 256 random
 * bits (random.h) and not passwords. */
struct digest token_hash(const char *token);

#endif
