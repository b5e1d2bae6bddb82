/*
 * Reading certificates: what the store records of one, what a caller's identity is, and whether
 * key, authority and pin belong to it. A name with a NUL in it is no name.
 */
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>
#include "base/file.h"
#include "base/id.h"
#include "crypto/cert.h"
#include "crypto/private.h"

DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free)

/* size counts the NUL. */
static int copy_text(const ASN1_STRING *s, char *ret, size_t size, struct error *err)
{
	const unsigned char *data = ASN1_STRING_get0_data(s);
	size_t len = (size_t)ASN1_STRING_length(s);

	if (len >= size || memchr(data, 0, len))
		return error_set(err, ERR_INVALID,
				 "a certificate has a name that is too long or holds a NUL");
	memcpy(ret, data, len);
	ret[len] = '\0';
	return 0;
}

static int read_serial(const X509 *cert, char *ret, struct error *err)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = n ? BN_bn2hex(n) : NULL;
	int r = -1;

	if (!hex || *hex == '-' || strlen(hex) >= CERT_SERIAL_SIZE) {
		crypto_fail(err, ERR_INVALID, "a certificate has no usable serial number");
	} else {
		memcpy(ret, hex, strlen(hex) + 1);
		r = 0;
	}
	OPENSSL_free(hex);
	BN_free(n);
	return r;
}

static int read_time(const ASN1_TIME *t, int64_t *ret_ms, struct error *err)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(t, &tm))
		return crypto_fail(err, ERR_INVALID, "a certificate has no readable time");
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return 0;
}

static int read_uri(const X509 *cert, char *ret, struct error *err)
{
	cleanup(GENERAL_NAMES_freep) GENERAL_NAMES *names =
		X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int found = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type != GEN_URI)
			continue;
		if (found++)
			return error_set(err, ERR_INVALID,
					 "a certificate has more than one URI; whose is it?");
		if (copy_text(n->d.uniformResourceIdentifier, ret, CERT_URI_SIZE, err) < 0)
			return -1;
	}
	return 0;
}

static int read_common_name(const X509 *cert, char *ret, struct error *err)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (at < 0)
		return 0;
	return copy_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), ret,
			 CERT_NAME_SIZE, err);
}

static int der_digest(const X509 *cert, struct digest *ret, struct error *err)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	if (len < 0)
		return crypto_fail(err, ERR_INVALID, "encoding a certificate");
	*ret = digest_of(der, (size_t)len);
	OPENSSL_free(der);
	return 0;
}

int cert_read(const char *pem, struct cert_info *ret, struct error *err)
{
	cleanup(X509_freep) X509 *cert = cert_from_pem(pem, err);
	struct cert_info info = { 0 };

	if (!cert)
		return -1;
	if (read_serial(cert, info.serial, err) < 0 ||
	    read_common_name(cert, info.common_name, err) < 0 ||
	    read_uri(cert, info.uri, err) < 0 ||
	    read_time(X509_get0_notBefore(cert), &info.not_before_ms, err) < 0 ||
	    read_time(X509_get0_notAfter(cert), &info.not_after_ms, err) < 0 ||
	    der_digest(cert, &info.digest, err) < 0)
		return -1;
	info.is_authority = X509_check_ca(cert) == 1;
	*ret = info;
	return 0;
}

int cert_check_key(const char *cert_pem, const char *key_pem, struct error *err)
{
	cleanup(X509_freep) X509 *cert = cert_from_pem(cert_pem, err);
	cleanup(EVP_PKEY_freep) EVP_PKEY *key = cert ? key_from_pem(key_pem, err) : NULL;

	if (!key)
		return -1;
	if (X509_check_private_key(cert, key) != 1)
		return crypto_fail(err, ERR_INVALID, "the key is not that of the certificate");
	return 0;
}

int cert_check_signed_by(const char *cert_pem, const char *ca_pem, struct error *err)
{
	cleanup(X509_freep) X509 *cert = cert_from_pem(cert_pem, err);
	cleanup(X509_freep) X509 *ca = cert ? cert_from_pem(ca_pem, err) : NULL;

	if (!ca)
		return -1;
	if (X509_check_ca(ca) != 1 || X509_check_issued(ca, cert) != X509_V_OK ||
	    X509_verify(cert, X509_get0_pubkey(ca)) != 1)
		return crypto_fail(err, ERR_UNAUTHENTICATED,
				   "the certificate was not signed by this authority");
	return 0;
}

int cert_check_pin(const char *pem, const struct digest *pin, struct error *err)
{
	cleanup(X509_freep) X509 *cert = cert_from_pem(pem, err);
	char wanted[DIGEST_HEX_SIZE], got[DIGEST_HEX_SIZE];
	struct digest digest;

	if (!cert || der_digest(cert, &digest, err) < 0)
		return -1;
	if (!digest_equal(&digest, pin))
		return error_set(err, ERR_UNAUTHENTICATED,
				 "the authority's certificate is '%s', '%s' is expected",
				 digest_hex(&digest, got), digest_hex(pin, wanted));
	return 0;
}

int cert_parse_agent_uri(const char *uri, char *ret_cluster, char *ret_id, struct error *err)
{
	static const char scheme[] = "spiffe://", middle[] = "/agent/";
	char cluster[CERT_URI_SIZE];
	const char *at, *id;
	size_t len;

	if (strncmp(uri, scheme, sizeof scheme - 1) != 0)
		goto bad;
	uri += sizeof scheme - 1;
	at = strstr(uri, middle);
	if (!at || (len = (size_t)(at - uri)) >= sizeof cluster)
		goto bad;
	memcpy(cluster, uri, len);
	cluster[len] = '\0';
	id = at + sizeof middle - 1;
	if (!name_valid(cluster) || !id_valid(id))
		goto bad;
	memcpy(ret_cluster, cluster, len + 1);
	memcpy(ret_id, id, strlen(id) + 1);
	return 0;
bad:
	return error_set(err, ERR_INVALID,
			 "'%.200s' does not name an agent ('spiffe://<cluster>/agent/<uuid>')",
			 uri);
}
