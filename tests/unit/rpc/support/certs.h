/*
 * certs.h - certificates for tests, made by OpenSSL alone so that common/rpc is tested without
 * common/crypto. All texts are PEM, on the heap; failure aborts.
 */
#ifndef RPCTEST_CERTS_H
#define RPCTEST_CERTS_H

struct pair {
	char *cert, *key;
};

struct leaf {
	const char *names; /* of the subjectAltName extension: "DNS:localhost,IP:127.0.0.1" */
	const char *usage; /* "serverAuth" or "clientAuth" */
	int days;	   /* < 0: has expired */
	int rsa;	   /* an RSA key */
};

struct pair certs_ca(const char *name);
struct pair certs_leaf(const struct pair *ca, const struct leaf *leaf);
char *certs_sha256(const char *cert_pem); /* of the DER form, hex */
char *certs_serial(const char *cert_pem); /* hex, as OpenSSL writes it */
void pair_release(struct pair *p);

#endif
