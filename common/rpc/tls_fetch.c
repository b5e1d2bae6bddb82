/*
 * TLS without the core, for two short errands: to fetch the CA that is known
 * by its hash only (enrolment), and to find out why a handshake fails, which
 * the core says in words for nobody.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "rpc/internal.h"

enum { CONNECT_MS = 10000, DIGEST = 32 };

int tls_split_address(const char *address, char **ret_host, char **ret_port, struct error *err)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;

	if (!colon || len == 0 || !colon[1] ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
		error_set(err, ERR_INVALID, "'%s' is not an address", address);
		return error_hint(err, "write it as HOST:PORT");
	}
	if (address[0] == '[' && address[len - 1] == ']')
		address++, len -= 2;
	*ret_host = xstrndup(address, len);
	*ret_port = xstrdup(colon + 1);
	return 0;
}

static int wait_connected(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof errno;
	int r, e = 0;

	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return errno = ETIMEDOUT, -1;
	if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		return -1;
	errno = e;
	return e ? -1 : 0;
}

static int connect_one(const struct addrinfo *ai, int timeout_ms)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), saved;

	if (fd < 0)
		return -1;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 ||
	    (errno == EINPROGRESS && wait_connected(fd, timeout_ms) == 0))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int connect_to(const char *address, int timeout_ms, int *ret_fd, struct error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *ai;
	cleanup(freep) char *host = NULL;
	cleanup(freep) char *port = NULL;
	char why[128];
	int fd = -1, r;

	if (tls_split_address(address, &host, &port, err) < 0)
		return -1;
	r = getaddrinfo(host, port, &hints, &list);
	if (r != 0) {
		error_id(err, "E0307", "cannot reach the controller at %s: no such host", address);
		return error_hint(err, "check the spelling of the address");
	}
	for (ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai, timeout_ms);
	freeaddrinfo(list);
	if (fd < 0) {
		snprintf(why, sizeof why, "%s", strerror(errno));
		why[0] |= 0x20; /* lower case */
		error_id(err, "E0307", "cannot reach the controller at %s: %s", address, why);
		return error_hint(err, "is sluice-controller running there?");
	}
	*ret_fd = fd;
	return 0;
}

/* ---- a handshake ---- */

struct hello {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	bool asked; /* for a certificate of ours */
};

static void hello_release(struct hello *h)
{
	SSL_free(h->ssl);
	SSL_CTX_free(h->ctx);
	if (h->fd >= 0)
		close(h->fd);
	ERR_clear_error();
}

/* Until op says it is done; what it says otherwise is ret of SSL_get_error(). */
static int drive(struct hello *h, int (*op)(SSL *), int64_t until_ms, int *ret_why)
{
	struct pollfd p = { .fd = h->fd };
	int64_t left;
	int r;

	while ((r = op(h->ssl)) <= 0) {
		*ret_why = SSL_get_error(h->ssl, r);
		if (*ret_why != SSL_ERROR_WANT_READ && *ret_why != SSL_ERROR_WANT_WRITE)
			return -1;
		p.events = *ret_why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		left = until_ms - clock_mono_us() / 1000;
		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -1;
	}
	return 0;
}

static int peek(SSL *ssl)
{
	char byte;

	return SSL_peek(ssl, &byte, 1);
}

static int hello_open(struct hello *h, const char *address, struct error *err)
{
	static const unsigned char h2[] = "\x02h2";

	h->ctx = SSL_CTX_new(TLS_client_method());
	if (!h->ctx)
		return error_set(err, ERR_INTERNAL, "OpenSSL refuses to start");
	SSL_CTX_set_min_proto_version(h->ctx, TLS1_3_VERSION);
	SSL_CTX_set_alpn_protos(h->ctx, h2, sizeof h2 - 1);
	return connect_to(address, CONNECT_MS, &h->fd, err);
}

static int hello_say(struct hello *h, const char *name, int64_t until_ms, int *ret_why)
{
	unsigned char ip[16];

	h->ssl = SSL_new(h->ctx);
	if (!h->ssl || SSL_set_fd(h->ssl, h->fd) != 1)
		return *ret_why = SSL_ERROR_SSL, -1;
	if (inet_pton(AF_INET, name, ip) != 1 && inet_pton(AF_INET6, name, ip) != 1)
		SSL_set_tlsext_host_name(h->ssl, name);
	return drive(h, SSL_connect, until_ms, ret_why);
}

/* ---- the CA that is known by its hash ---- */

static bool has_digest(X509 *cert, const char *sha256_hex)
{
	unsigned char md[DIGEST];
	unsigned len = 0;
	char hex[2 * DIGEST + 1];

	if (X509_digest(cert, EVP_sha256(), md, &len) != 1 || len != DIGEST)
		return false;
	for (unsigned i = 0; i < DIGEST; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
	return strcasecmp(hex, sha256_hex) == 0;
}

/* Does the server's own certificate end in this CA? The hash alone would only prove that the server
 * knows a public certificate. */
static bool chain_ends_in(SSL *ssl, X509 *ca)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok = store && ctx && X509_STORE_add_cert(store, ca) == 1 &&
		  X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), chain) == 1 &&
		  X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER) == 1 &&
		  X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return ok;
}

static char *to_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem = NULL;
	long len;

	if (bio && PEM_write_bio_X509(bio, cert) == 1) {
		len = BIO_get_mem_data(bio, &data);
		pem = xstrndup(data, (size_t)len);
	}
	BIO_free(bio);
	return pem;
}

static int not_that_ca(const char *address, struct error *err)
{
	error_id(err, "E0307", "the server at '%s' does not prove the CA that was named", address);
	if (err)
		err->code = ERR_UNAUTHENTICATED;
	return error_hint(err, "compare the SHA-256 with that of the controller's CA certificate");
}

int rpc_fetch_ca(const char *address, const char *sha256_hex, char **ret_pem, struct error *err)
{
	cleanup(hello_release) struct hello h = { .fd = -1 };
	cleanup(freep) char *host = NULL;
	cleanup(freep) char *port = NULL;
	STACK_OF(X509) * chain;
	int why = 0;

	if (strlen(sha256_hex) != 2 * DIGEST ||
	    strspn(sha256_hex, "0123456789abcdefABCDEF") != 2 * DIGEST)
		return error_set(err, ERR_INVALID, "'%.80s' is not a SHA-256 in hex", sha256_hex);
	if (tls_split_address(address, &host, &port, err) < 0 || hello_open(&h, address, err) < 0)
		return -1;
	if (hello_say(&h, host, clock_mono_us() / 1000 + CONNECT_MS, &why) < 0)
		return error_id(err, "E0307", "no TLS 1.3 server answers at '%s'", address);
	chain = SSL_get_peer_cert_chain(h.ssl);
	for (int i = 0; chain && i < sk_X509_num(chain); i++) {
		if (!has_digest(sk_X509_value(chain, i), sha256_hex))
			continue;
		if (!chain_ends_in(h.ssl, sk_X509_value(chain, i)))
			break;
		*ret_pem = to_pem(sk_X509_value(chain, i));
		return *ret_pem ? 0 : error_set(err, ERR_INTERNAL, "writing a certificate failed");
	}
	return not_that_ca(address, err);
}

/* ---- why a handshake fails ---- */

static int use_pair(SSL_CTX *ctx, const char *cert_pem, const char *key_pem)
{
	BIO *cert_bio = BIO_new_mem_buf(cert_pem, -1), *key_bio = BIO_new_mem_buf(key_pem, -1);
	X509 *cert = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)"");
	int r = cert && key && SSL_CTX_use_certificate(ctx, cert) == 1 &&
				SSL_CTX_use_PrivateKey(ctx, key) == 1
			? 0
			: -1;

	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	return r;
}

static int trust(SSL_CTX *ctx, const char *ca_pem)
{
	BIO *bio = BIO_new_mem_buf(ca_pem, -1);
	X509 *ca;

	while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca);
		X509_free(ca);
	}
	BIO_free(bio);
	return 0;
}

static int explain_cert(const struct rpc_channel *ch, X509 *cert, const char *name, long verdict,
			struct error *err)
{
	unsigned char ip[16];
	bool is_ip = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;

	if (verdict == X509_V_ERR_CERT_HAS_EXPIRED) {
		error_id(err, "E0307", "the certificate of %s at '%s' has expired", ch->what,
			 ch->address);
		return error_hint(err, "check the clocks of both hosts, then renew it there");
	}
	if (verdict == X509_V_ERR_CERT_NOT_YET_VALID) {
		error_id(err, "E0307", "the certificate of %s at '%s' is not valid yet", ch->what,
			 ch->address);
		return error_hint(err, "check the clocks of both hosts");
	}
	if (verdict != X509_V_OK) {
		error_id(err, "E0307", "%s at '%s' shows a certificate of another CA", ch->what,
			 ch->address);
		return error_hint(err,
				  "is it the one whose CA you know? If its CA was made anew, log "
				  "in or enrol again");
	}
	if ((is_ip ? X509_check_ip_asc(cert, name, 0) : X509_check_host(cert, name, 0, 0, NULL)) ==
	    1)
		return 0;
	error_id(err, "E0307", "the certificate of %s at '%s' is not for the name '%s'", ch->what,
		 ch->address, name);
	return error_hint(err, "dial it by a name in its certificate, or add '%s' to `names`",
			  name);
}

/* The server hung up after it had our certificate, or that we have none. The core closes without a
 * word then, so the reason is looked for on our side. */
static int explain_refusal(const struct rpc_channel *ch, struct hello *h, struct error *err)
{
	X509 *ours = SSL_get_certificate(h->ssl);

	if (!h->asked) {
		error_id(err, "E0307", "what answers at '%s' hangs up", ch->address);
		return error_hint(err, "is it %s?", ch->what);
	}
	if (!ours) {
		error_id(err, "E0303", "%s at '%s' asks for a client certificate", ch->what,
			 ch->address);
		return error_hint(err, "is this the address for agents? Users have another");
	}
	if (X509_cmp_current_time(X509_get0_notAfter(ours)) < 0)
		return error_id(err, "E0303", "our certificate for %s at '%s' has expired",
				ch->what, ch->address);
	return error_id(err, "E0303", "%s at '%s' does not accept our certificate", ch->what,
			ch->address);
}

/* There was no handshake at all. */
static int explain_failure(const struct rpc_channel *ch, struct error *err)
{
	const char *what = "hangs up";

	switch (ERR_GET_REASON(ERR_peek_error())) {
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_UNSUPPORTED_PROTOCOL:
		what = "does not speak TLS 1.3";
		break;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
		what = "does not speak TLS";
		break;
	}
	error_id(err, "E0307", "what answers at '%s' %s", ch->address, what);
	return error_hint(err, "is it %s?", ch->what);
}

static int is_asked(SSL *ssl, void *arg)
{
	struct hello *h = arg;

	h->asked = true;
	return 1;
}

int tls_probe(const struct rpc_channel *ch, struct error *err)
{
	cleanup(hello_release) struct hello h = { .fd = -1 };
	int64_t until = clock_mono_us() / 1000 + 2000;
	cleanup(freep) char *host = NULL;
	cleanup(freep) char *port = NULL;
	const char *name;
	int why = 0;

	if (tls_split_address(ch->address, &host, &port, err) < 0 ||
	    hello_open(&h, ch->address, err) < 0)
		return -1;
	name = ch->server_name ? ch->server_name : host;
	trust(h.ctx, ch->ca_pem);
	if (ch->cert_pem)
		use_pair(h.ctx, ch->cert_pem, ch->key_pem);
	SSL_CTX_set_cert_cb(h.ctx, is_asked, &h);
	ERR_clear_error();
	if (hello_say(&h, name, until, &why) < 0)
		return explain_failure(ch, err);
	if (explain_cert(ch, SSL_get0_peer_certificate(h.ssl), name, SSL_get_verify_result(h.ssl),
			 err) < 0)
		return -1;
	/* In TLS 1.3 the server judges our certificate after we are done. It speaks first in
	 * HTTP/2, so either its settings come or it hangs up. */
	if (drive(&h, peek, until, &why) < 0 && why != SSL_ERROR_WANT_READ)
		return explain_refusal(ch, &h, err);
	return 0;
}
