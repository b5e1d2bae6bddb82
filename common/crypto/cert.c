/*
 * Making certificates. An authority signs leaves of two kinds: a server's, with the names people
 * and agents dial, and an agent's, with the one URI that says who it is. Extensions whose content
 * comes from outside are built as values, never as OpenSSL's configuration text, in which a comma
 * would add a name.
 */
#include "crypto/cert.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "crypto/keys.h"
#include "crypto/private.h"
#include "crypto/random.h"

enum {
	SERIAL_BYTES = 16,
	EARLY_S = 300,
	DAY_S = 86400,
	MAX_DAYS = 36500,
};

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free)

static int set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n;
	int ok;

	random_bytes(bytes, sizeof bytes);
	bytes[0] |= 1; /* never zero, always 16 bytes */
	n = BN_bin2bn(bytes, sizeof bytes, NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

/* A certificate of version 3 with serial, times, key and common name; no issuer yet. */
static X509 *draft(EVP_PKEY *key, const char *name, int days, struct error *err)
{
	cleanup(X509_freep) X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;

	if (days < 1 || days > MAX_DAYS)
		return error_set(err, ERR_INVALID,
				 "a certificate lives 1 to %d days, %d are asked for", MAX_DAYS,
				 days),
		       NULL;
	if (!*name || strlen(name) >= CERT_NAME_SIZE)
		return error_set(err, ERR_INVALID,
				 "the common name '%.80s' must have 1 to %d characters", name,
				 CERT_NAME_SIZE - 1),
		       NULL;
	if (!subject || !X509_set_version(cert, X509_VERSION_3) || !set_serial(cert) ||
	    !X509_time_adj_ex(X509_getm_notBefore(cert), 0, -EARLY_S, NULL) ||
	    !X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) ||
	    !X509_set_pubkey(cert, key) ||
	    !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
					(const unsigned char *)name, -1, -1, 0))
		return crypto_fail(err, ERR_INVALID, "drafting a certificate for '%s'", name), NULL;
	return steal(cert);
}

/* value is OpenSSL's configuration text: constants only. */
static int extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

static int cert_to_pem(X509 *cert, struct buf *ret, struct error *err)
{
	cleanup(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || !PEM_write_bio_X509(bio, cert))
		return crypto_fail(err, ERR_INTERNAL, "writing a certificate");
	bio_take(bio, ret);
	return 0;
}

int cert_make_authority(const char *name, int years, struct buf *ret_key_pem,
			struct buf *ret_cert_pem, struct error *err)
{
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = key_new(err);
	cleanup(X509_freep) X509 *cert = NULL;
	cleanup(key_release) struct buf key_pem = { 0 };

	if (!key)
		return -1;
	if (years < 1 || years > 50)
		return error_set(err, ERR_INVALID, "an authority lives 1 to 50 years, not %d",
				 years);
	cert = draft(key, name, years * 365 + years / 4, err);
	if (!cert)
		return -1;
	if (!X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
	    !extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !extend(cert, cert, NID_subject_key_identifier, "hash") ||
	    !X509_sign(cert, key, EVP_sha256()))
		return crypto_fail(err, ERR_INTERNAL, "signing the authority '%s'", name);
	if (key_to_pem(key, &key_pem, err) < 0 || cert_to_pem(cert, ret_cert_pem, err) < 0)
		return -1;
	buf_add(ret_key_pem, key_pem.data, key_pem.len);
	return 0;
}

int cert_make_authority_files(const char *name, int years, const char *key_path,
			      const char *cert_path, struct error *err)
{
	cleanup(key_release) struct buf key = { 0 };
	cleanup(buf_release) struct buf cert = { 0 };

	if (file_exists(cert_path))
		return error_set(err, ERR_EXISTS, "a certificate '%s' is already there", cert_path);
	if (cert_make_authority(name, years, &key, &cert, err) < 0 ||
	    key_write_file(key_path, &key, err) < 0)
		return -1;
	if (file_write_atomic(cert_path, cert.data, cert.len, 0644, err) < 0) {
		unlink(key_path); /* made above, worth nothing alone */
		return -1;
	}
	return 0;
}

X509 *cert_from_pem(const char *pem, struct error *err)
{
	cleanup(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, crypto_no_passphrase, NULL) : NULL;

	if (!cert)
		crypto_fail(err, ERR_INVALID, "reading a certificate");
	return cert;
}

static int sign_leaf(X509 *cert, const struct cert_authority *ca, const char *usage,
		     GENERAL_NAMES *names, struct error *err)
{
	cleanup(X509_freep) X509 *issuer = cert_from_pem(ca->cert_pem, err);
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = issuer ? key_from_pem(ca->key_pem, err) : NULL;

	if (!key)
		return error_wrap(err, "the authority");
	if (!X509_check_private_key(issuer, key))
		return crypto_fail(err, ERR_INVALID, "the authority's key is not its own");
	if (!X509_set_issuer_name(cert, X509_get_subject_name(issuer)) ||
	    !extend(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
	    !extend(cert, issuer, NID_key_usage, "critical,digitalSignature") ||
	    !extend(cert, issuer, NID_ext_key_usage, usage) ||
	    !extend(cert, issuer, NID_subject_key_identifier, "hash") ||
	    !extend(cert, issuer, NID_authority_key_identifier, "keyid:always") ||
	    X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1 ||
	    !X509_sign(cert, key, EVP_sha256()))
		return crypto_fail(err, ERR_INTERNAL, "signing a certificate");
	return 0;
}

/* Takes value over. */
static int add_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
	GENERAL_NAME *n = value ? GENERAL_NAME_new() : NULL;

	if (!n) {
		ASN1_STRING_free(value);
		return 0;
	}
	GENERAL_NAME_set0_value(n, type, value);
	if (sk_GENERAL_NAME_push(names, n))
		return 1;
	GENERAL_NAME_free(n);
	return 0;
}

static int add_text(GENERAL_NAMES *names, int type, const char *text)
{
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();

	if (s && !ASN1_STRING_set(s, text, -1)) {
		ASN1_IA5STRING_free(s);
		s = NULL;
	}
	return add_name(names, type, s);
}

static bool dns_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 253 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
		       len &&
	       name[0] != '.' && name[0] != '-';
}

static int add_server_name(GENERAL_NAMES *names, const char *name, struct error *err)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
	int ok;

	ERR_clear_error();
	if (!ip && !dns_name_valid(name))
		return error_set(err, ERR_INVALID,
				 "'%.80s' is neither a DNS name nor an IP address", name);
	ok = ip ? add_name(names, GEN_IPADD, ip) : add_text(names, GEN_DNS, name);
	return ok ? 0 : crypto_fail(err, ERR_INTERNAL, "adding the name '%s'", name);
}

int cert_issue_server(const struct cert_authority *ca, const struct cert_server *what,
		      struct buf *ret_cert_pem, struct error *err)
{
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = key_from_pem(what->key_pem, err);
	cleanup(GENERAL_NAMES_freep) GENERAL_NAMES *names = GENERAL_NAMES_new();
	cleanup(X509_freep) X509 *cert = NULL;
	char common[CERT_NAME_SIZE];
	int n = 0;

	if (!key)
		return -1;
	for (; what->names[n]; n++) {
		if (n == CERT_MAX_NAMES)
			return error_set(err, ERR_INVALID, "a server has at most %d names",
					 CERT_MAX_NAMES);
		if (add_server_name(names, what->names[n], err) < 0)
			return -1;
	}
	if (n == 0)
		return error_set(err, ERR_INVALID, "a server's certificate needs a name");
	/* only for people to read: who verifies looks at the alternative names */
	snprintf(common, sizeof common, "%s", what->names[0]);
	cert = draft(key, common, what->days, err);
	if (!cert || sign_leaf(cert, ca, "serverAuth", names, err) < 0)
		return -1;
	return cert_to_pem(cert, ret_cert_pem, err);
}

int cert_make_request(const char *key_pem, struct buf *ret_csr_pem, struct error *err)
{
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = key_from_pem(key_pem, err);
	cleanup(X509_REQ_freep) X509_REQ *req = X509_REQ_new();
	cleanup(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

	if (!key)
		return -1;
	if (!req || !bio || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
	    !X509_REQ_set_pubkey(req, key) || !X509_REQ_sign(req, key, EVP_sha256()) ||
	    !PEM_write_bio_X509_REQ(bio, req))
		return crypto_fail(err, ERR_INTERNAL, "making a certificate request");
	bio_take(bio, ret_csr_pem);
	return 0;
}

/* The public key of a request whose signature proves that its sender has the private one. */
static EVP_PKEY *requested_key(const char *csr_pem, struct error *err)
{
	cleanup(BIO_free_allp) BIO *bio = BIO_new_mem_buf(csr_pem, -1);
	cleanup(X509_REQ_freep) X509_REQ *req =
		bio ? PEM_read_bio_X509_REQ(bio, NULL, crypto_no_passphrase, NULL) : NULL;
	EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
	char group[32] = "";

	if (!key)
		return crypto_fail(err, ERR_INVALID, "reading a certificate request"), NULL;
	if (!EVP_PKEY_is_a(key, "EC") ||
	    !EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
					    NULL) ||
	    strcmp(group, "prime256v1") != 0)
		return crypto_fail(err, ERR_INVALID, "a certificate request must have a P-256 key"),
		       NULL;
	if (X509_REQ_verify(req, key) != 1)
		return crypto_fail(err, ERR_INVALID, "a certificate request has a wrong signature"),
		       NULL;
	return EVP_PKEY_up_ref(key) ? key : NULL;
}

int cert_issue_client(const struct cert_authority *ca, const struct cert_client *what,
		      struct buf *ret_cert_pem, struct error *err)
{
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	cleanup(GENERAL_NAMES_freep) GENERAL_NAMES *names = GENERAL_NAMES_new();
	cleanup(X509_freep) X509 *cert = NULL;

	if (!*what->uri || strlen(what->uri) >= CERT_URI_SIZE)
		return error_set(err, ERR_INVALID, "the URI '%.80s' must have 1 to %d characters",
				 what->uri, CERT_URI_SIZE - 1);
	key = requested_key(what->csr_pem, err);
	if (!key)
		return -1;
	if (!add_text(names, GEN_URI, what->uri))
		return crypto_fail(err, ERR_INTERNAL, "adding the URI '%s'", what->uri);
	cert = draft(key, what->common_name, what->days, err);
	if (!cert || sign_leaf(cert, ca, "clientAuth", names, err) < 0)
		return -1;
	return cert_to_pem(cert, ret_cert_pem, err);
}
