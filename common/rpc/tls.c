/*
 * Credentials. A listener's files are looked at on every new connection and
 * read again when one of them changed; a pair that does not fit together is
 * said once in the log and the old pair goes on serving, so that a half-done
 * renewal locks nobody out.
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "rpc/internal.h"

enum { PEM_LIMIT = 256 << 10 };

struct stamp { /* a file as it was when it was read */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct tls_files {
	const char *cert, *key, *client_ca; /* the port's */
	struct lock lock;		    /* guards what follows */
	struct stamp stamps[3];
	grpc_ssl_server_certificate_config *first; /* read at the start, not yet fetched */
};

struct pems {
	struct buf cert, key, ca;
};

/*
 * Threads of the core may outlive main() by a moment. OpenSSL's clean-up at exit
 * would take its tables from under them, so it never runs; this says so before
 * the first use of OpenSSL, as it must be said.
 */
__attribute__((constructor)) static void keep_openssl(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static void pems_release(struct pems *p)
{
	if (p->key.data)
		explicit_bzero(p->key.data, p->key.len);
	buf_release(&p->cert);
	buf_release(&p->key);
	buf_release(&p->ca);
}

static BIO *bio_of(const char *pem)
{
	return BIO_new_mem_buf(pem, -1);
}

static X509 *read_cert(const char *pem, const char *name, struct error *err)
{
	BIO *bio = bio_of(pem);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (!cert)
		error_set(err, ERR_INVALID, "'%s' holds no certificate in PEM form", name);
	return cert;
}

static EVP_PKEY *read_key(const char *pem, const char *name, struct error *err)
{
	BIO *bio = bio_of(pem);
	/* "": never ask a terminal for a passphrase */
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (!key)
		error_set(err, ERR_INVALID, "'%s' holds no private key in PEM form", name);
	return key;
}

static int check_pair(const char *cert_pem, const char *cert_name, const char *key_pem,
		      const char *key_name, struct error *err)
{
	X509 *cert = read_cert(cert_pem, cert_name, err);
	EVP_PKEY *key = cert ? read_key(key_pem, key_name, err) : NULL;
	int r = -1;

	if (cert && key) {
		if (X509_check_private_key(cert, key) != 1)
			error_set(err, ERR_INVALID,
				  "the key in '%s' does not fit the certificate in '%s'", key_name,
				  cert_name);
		else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
			error_set(err, ERR_INVALID,
				  "'%s' is an RSA key; only EC (P-256) and Ed25519 keys are used "
				  "here",
				  key_name);
		else
			r = 0;
	}
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

static int check_ca(const char *pem, const char *name, struct error *err)
{
	X509 *cert = read_cert(pem, name, err);

	X509_free(cert);
	return cert ? 0 : -1;
}

/* ---- a listener's files ---- */

static int read_pems(const struct tls_files *f, struct pems *ret, struct error *err)
{
	if (file_read(f->cert, PEM_LIMIT, &ret->cert, err) < 0 ||
	    file_read(f->key, PEM_LIMIT, &ret->key, err) < 0 ||
	    (f->client_ca && file_read(f->client_ca, PEM_LIMIT, &ret->ca, err) < 0))
		return -1;
	if (check_pair(buf_str(&ret->cert), f->cert, buf_str(&ret->key), f->key, err) < 0)
		return -1;
	return f->client_ca ? check_ca(buf_str(&ret->ca), f->client_ca, err) : 0;
}

static grpc_ssl_server_certificate_config *read_config(const struct tls_files *f, struct error *err)
{
	cleanup(pems_release) struct pems pems = { 0 };
	grpc_ssl_pem_key_cert_pair pair;

	if (read_pems(f, &pems, err) < 0)
		return NULL;
	pair.private_key = buf_str(&pems.key);
	pair.cert_chain = buf_str(&pems.cert);
	/* The core wants roots even where it asks for no client certificate; any will do there. */
	return grpc_ssl_server_certificate_config_create(
		buf_str(f->client_ca ? &pems.ca : &pems.cert), &pair, 1);
}

static struct stamp stamp_of(const char *path)
{
	struct stamp stamp = { 0 };
	struct stat st;

	if (path && stat(path, &st) == 0) {
		stamp.dev = st.st_dev;
		stamp.ino = st.st_ino;
		stamp.size = st.st_size;
		stamp.changed = st.st_ctim;
	}
	return stamp;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Are the files others than those last looked at? */
static bool have_changed(struct tls_files *f)
{
	struct stamp now[] = { stamp_of(f->cert), stamp_of(f->key), stamp_of(f->client_ca) };
	bool changed = false;

	for (unsigned i = 0; i < ARRAY_SIZE(now); i++) {
		changed = changed || !same_stamp(&now[i], &f->stamps[i]);
		f->stamps[i] = now[i];
	}
	return changed;
}

static grpc_ssl_certificate_config_reload_status fetch_config(
	void *arg, grpc_ssl_server_certificate_config **ret)
{
	struct tls_files *f = arg;
	struct error err = { 0 };

	LOCKED(&f->lock);
	if (f->first) {
		*ret = steal(f->first);
		return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
	}
	if (!have_changed(f))
		return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
	*ret = read_config(f, &err);
	if (*ret)
		return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
	log_warn("the certificate is not renewed, the old one goes on: %s", err.text);
	return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

grpc_server_credentials *tls_server_credentials(struct rpc_port *port, struct error *err)
{
	struct tls_files *f = xcalloc(1, sizeof *f);

	port->files = f;
	f->cert = port->cert;
	f->key = port->key;
	f->client_ca = port->client_ca;
	lock_init(&f->lock);
	have_changed(f);
	f->first = read_config(f, err);
	if (!f->first)
		return NULL;
	return grpc_ssl_server_credentials_create_with_options(
		grpc_ssl_server_credentials_create_options_using_config_fetcher(
			port->client_ca ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
					: GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
			fetch_config, f));
}

void tls_files_free(struct tls_files *f)
{
	if (!f)
		return;
	if (f->first)
		grpc_ssl_server_certificate_config_destroy(f->first);
	lock_release(&f->lock);
	free(f);
}

/* ---- a client's ---- */

grpc_channel_credentials *tls_channel_credentials(const struct rpc_endpoint *ep, struct error *err)
{
	grpc_ssl_pem_key_cert_pair pair = { ep->key_pem, ep->cert_pem };

	if (!ep->ca_pem) /* without one the core would trust every CA of the host */
		return error_set(err, ERR_INVALID, "no CA certificate to know the server by"), NULL;
	if (check_ca(ep->ca_pem, "the CA certificate", err) < 0)
		return NULL;
	if (ep->cert_pem && check_pair(ep->cert_pem, "the client certificate",
				       ep->key_pem ? ep->key_pem : "", "the client key", err) < 0)
		return NULL;
	return grpc_ssl_credentials_create_ex(ep->ca_pem, ep->cert_pem ? &pair : NULL, NULL, NULL);
}
