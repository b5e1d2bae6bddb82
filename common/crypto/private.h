/*
 * private.h - what the files of this folder, and its tests, share
 */
#ifndef CRYPTO_PRIVATE_H
#define CRYPTO_PRIVATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

uint32_t crc32c_by_table(uint32_t seed, const void *data, size_t len);

/* The message, then OpenSSL's own reason; empties the thread's queue of errors. Returns -1. */
int crypto_fail(struct error *err, enum error_code code, const char *fmt, ...) ERROR_PRINTF(3, 4);

EVP_PKEY *key_new(struct error *err);
EVP_PKEY *key_from_pem(const char *pem, struct error *err);
int key_to_pem(EVP_PKEY *key, struct buf *ret, struct error *err);
/* For PEM readers: what has a passphrase is refused, not asked for on the terminal. */
int crypto_no_passphrase(char *out, int size, int writing, void *arg);
X509 *cert_from_pem(const char *pem, struct error *err);
/* What a memory BIO holds, appended to ret. */
void bio_take(BIO *bio, struct buf *ret);

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(X509 *, X509_free)
DEFINE_CLEANUP(X509_REQ *, X509_REQ_free)
DEFINE_CLEANUP(BIO *, BIO_free_all)

#endif
