/*
 * P-256 keys as PKCS#8 PEM. A key file is made under its final name with O_EXCL and 0600, so it
 * is never readable by others, not even for a moment, and never replaces a key.
 */
#include "crypto/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "crypto/hmac.h"
#include "crypto/private.h"

int crypto_fail(struct error *err, enum error_code code, const char *fmt, ...)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	va_list args;

	va_start(args, fmt);
	error_setv(err, code, fmt, args);
	va_end(args);
	if (err && reason) {
		size_t n = strlen(err->text);

		snprintf(err->text + n, sizeof err->text - n, ": %s", reason);
	}
	ERR_clear_error();
	return -1;
}

void bio_take(BIO *bio, struct buf *ret)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	buf_add(ret, data, (size_t)len);
}

EVP_PKEY *key_new(struct error *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		crypto_fail(err, ERR_INTERNAL, "making a P-256 key");
	return key;
}

int crypto_no_passphrase(char *out, int size, int writing, void *arg)
{
	return -1;
}

EVP_PKEY *key_from_pem(const char *pem, struct error *err)
{
	cleanup(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, crypto_no_passphrase, NULL) : NULL;

	if (!key)
		crypto_fail(err, ERR_INVALID, "reading a private key");
	return key;
}

int key_to_pem(EVP_PKEY *key, struct buf *ret, struct error *err)
{
	/* secure memory, as the bytes are a secret: cleared when freed */
	cleanup(BIO_free_allp) BIO *bio = BIO_new(BIO_s_secmem());

	if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
		return crypto_fail(err, ERR_INTERNAL, "writing a private key");
	bio_take(bio, ret);
	return 0;
}

int key_generate(struct buf *ret_pem, struct error *err)
{
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = key_new(err);

	return key ? key_to_pem(key, ret_pem, err) : -1;
}

int key_generate_file(const char *path, struct error *err)
{
	cleanup(key_release) struct buf pem = { 0 };

	return key_generate(&pem, err) < 0 ? -1 : key_write_file(path, &pem, err);
}

int key_write_file(const char *path, const struct buf *pem, struct error *err)
{
	cleanup(closep) int fd = -1;
	cleanup(freep) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return error_set(err, ERR_EXISTS, "a key '%s' is already there", path);
	if (fd < 0)
		return error_errno(err, "creating '%s'", path);
	if (file_write_all(fd, pem->data, pem->len, err) < 0) {
		error_wrap(err, "writing '%s'", path);
		goto failed;
	}
	if (fsync(fd) < 0) {
		error_errno(err, "syncing '%s'", path);
		goto failed;
	}
	if (slash)
		slash[slash == dir] = '\0';
	if (file_sync_dir(slash ? dir : ".", err) < 0)
		goto failed;
	return 0;
failed:
	unlink(path);
	return -1;
}

int key_read_file(const char *path, struct buf *ret_pem, struct error *err)
{
	if (file_check_private(path, err) < 0)
		return -1;
	return file_read(path, KEY_PEM_LIMIT, ret_pem, err);
}

void key_release(struct buf *pem)
{
	if (pem->data)
		secret_clear(pem->data, pem->cap);
	buf_release(pem);
}

struct digest token_hash(const char *token)
{
	return digest_of(token, strlen(token));
}
