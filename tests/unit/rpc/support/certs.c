#include "certs.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/mem.h"

#define MUST(x)                                             \
	do {                                                \
		if (!(x)) {                                 \
			fprintf(stderr, "certs: %s\n", #x); \
			ERR_print_errors_fp(stderr);        \
			abort();                            \
		}                                           \
	} while (0)

static char *take(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	text = xstrndup(data, (size_t)len);
	BIO_free(bio);
	return text;
}

static char *cert_text(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	MUST(PEM_write_bio_X509(bio, cert) == 1);
	return take(bio);
}

static char *key_text(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	MUST(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	return take(bio);
}

static X509 *cert_of(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	MUST(cert);
	BIO_free(bio);
	return cert;
}

static EVP_PKEY *key_of(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	MUST(key);
	BIO_free(bio);
	return key;
}

static X509 *new_cert(EVP_PKEY *key, const char *name, int days)
{
	X509 *cert = X509_new();
	unsigned char serial[16];
	BIGNUM *bn;

	MUST(X509_set_version(cert, 2));
	MUST(RAND_bytes(serial, sizeof serial) == 1);
	serial[0] |= 0x80; /* with a sign byte in DER */
	bn = BN_bin2bn(serial, sizeof serial, NULL);
	MUST(BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)));
	BN_free(bn);
	X509_gmtime_adj(X509_getm_notBefore(cert), days < 0 ? -86400 : -300);
	X509_gmtime_adj(X509_getm_notAfter(cert), days < 0 ? -3600 : days * 86400L);
	MUST(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
					(const unsigned char *)name, -1, -1, 0));
	MUST(X509_set_pubkey(cert, key));
	return cert;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	MUST(ext);
	MUST(X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

struct pair certs_ca(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = new_cert(key, name, 100);
	struct pair p;

	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
	extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	MUST(X509_sign(cert, key, EVP_sha256()) > 0);
	p = (struct pair){ cert_text(cert), key_text(key) };
	X509_free(cert);
	EVP_PKEY_free(key);
	return p;
}

struct pair certs_leaf(const struct pair *ca, const struct leaf *leaf)
{
	X509 *issuer = cert_of(ca->cert), *cert;
	EVP_PKEY *ca_key = key_of(ca->key);
	EVP_PKEY *key = leaf->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	struct pair p;

	cert = new_cert(key, "leaf", leaf->days ? leaf->days : 10);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	extend(cert, issuer, NID_basic_constraints, "critical,CA:FALSE");
	extend(cert, issuer, NID_ext_key_usage, leaf->usage);
	extend(cert, issuer, NID_subject_alt_name, leaf->names);
	MUST(X509_sign(cert, ca_key, EVP_sha256()) > 0);
	p = (struct pair){ cert_text(cert), key_text(key) };
	X509_free(cert);
	X509_free(issuer);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return p;
}

char *certs_sha256(const char *cert_pem)
{
	X509 *cert = cert_of(cert_pem);
	unsigned char md[32];
	unsigned len;
	char *hex = xmalloc(65);

	MUST(X509_digest(cert, EVP_sha256(), md, &len) == 1);
	for (unsigned i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
	X509_free(cert);
	return hex;
}

char *certs_serial(const char *cert_pem)
{
	X509 *cert = cert_of(cert_pem);
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = BN_bn2hex(bn), *copy = xstrdup(hex);

	OPENSSL_free(hex);
	BN_free(bn);
	X509_free(cert);
	return copy;
}

void pair_release(struct pair *p)
{
	free(p->cert);
	free(p->key);
	*p = (struct pair){ 0 };
}
