/*
 * cert.c, cert_read.c: what the certificates say is checked with OpenSSL's own verification, as a
 * peer would.
 */
#include "crypto/cert.h"

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "crypto/keys.h"

#define AGENT "0190a5b2-7c1e-7abc-8def-0123456789ab"
#define URI   "spiffe://lab/agent/" AGENT

static struct buf ca_key, ca_cert, key, csr, cert;
static struct cert_authority ca;
static struct error err;

static void setup(void)
{
	cr_assert_eq(cert_make_authority("lab", 10, &ca_key, &ca_cert, &err), 0, "%s", err.text);
	cr_assert_eq(key_generate(&key, &err), 0, "%s", err.text);
	cr_assert_eq(cert_make_request(key.data, &csr, &err), 0, "%s", err.text);
	ca = (struct cert_authority){ ca_cert.data, ca_key.data };
}

static void teardown(void)
{
	key_release(&ca_key);
	key_release(&key);
	buf_release(&ca_cert);
	buf_release(&csr);
	buf_release(&cert);
}

static X509 *parse(const struct buf *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	cr_assert(x);
	return x;
}

/* X509_V_OK or what OpenSSL has against it, for a purpose. */
static int verify(const struct buf *leaf, const struct buf *authority, int purpose)
{
	X509 *x = parse(leaf), *root = parse(authority);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, x, NULL);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	X509_verify_cert(ctx);
	r = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(x);
	X509_free(root);
	return r;
}

static int issue_client(const char *request, int days)
{
	struct cert_client what = { request, "gpu-1", URI, days };

	return cert_issue_client(&ca, &what, &cert, &err);
}

static int issue_server(const char *const *names)
{
	struct cert_server what = { key.data, names, 90 };

	return cert_issue_server(&ca, &what, &cert, &err);
}

Test(cert, an_authority_signs_itself_and_may_sign_only_leaves, .init = setup, .fini = teardown)
{
	struct cert_info info;
	X509 *x = parse(&ca_cert);

	cr_assert_eq(cert_read(ca_cert.data, &info, &err), 0, "%s", err.text);
	cr_expect(info.is_authority);
	cr_expect_str_eq(info.common_name, "lab");
	cr_expect_str_eq(info.uri, "");
	cr_expect_eq(strlen(info.serial), 32);
	cr_expect_eq(X509_get_pathlen(x), 0);
	cr_expect_eq(X509_get_key_usage(x), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	cr_expect_eq(verify(&ca_cert, &ca_cert, X509_PURPOSE_ANY), X509_V_OK);
	cr_expect_eq(cert_check_signed_by(ca_cert.data, ca_cert.data, &err), 0, "%s", err.text);
	cr_expect_eq(cert_check_key(ca_cert.data, ca_key.data, &err), 0, "%s", err.text);
	X509_free(x);
}

Test(cert, its_digest_is_that_of_its_der_form, .init = setup, .fini = teardown)
{
	X509 *x = parse(&ca_cert);
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);
	struct digest wanted = digest_of(der, (size_t)len), other = { { 1 } };
	struct cert_info info;

	cr_assert_eq(cert_read(ca_cert.data, &info, &err), 0);
	cr_expect(digest_equal(&wanted, &info.digest));
	cr_expect_eq(cert_check_pin(ca_cert.data, &wanted, &err), 0);
	cr_expect_eq(cert_check_pin(ca_cert.data, &other, &err), -1);
	cr_expect_eq(err.code, ERR_UNAUTHENTICATED);
	OPENSSL_free(der);
	X509_free(x);
}

Test(cert, a_server_is_known_by_its_names_and_addresses, .init = setup, .fini = teardown)
{
	static const char *const names[] = { "controller.lab", "localhost", "127.0.0.1", "::1",
					     NULL };
	X509 *x;

	cr_assert_eq(issue_server(names), 0, "%s", err.text);
	x = parse(&cert);
	cr_expect_eq(X509_check_host(x, "controller.lab", 0, 0, NULL), 1);
	cr_expect_eq(X509_check_host(x, "localhost", 0, 0, NULL), 1);
	cr_expect_eq(X509_check_host(x, "evil.lab", 0, 0, NULL), 0);
	cr_expect_eq(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
	cr_expect_eq(X509_check_ip_asc(x, "::1", 0), 1);
	cr_expect_eq(X509_check_ip_asc(x, "10.0.0.1", 0), 0);
	cr_expect_eq(verify(&cert, &ca_cert, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	cr_expect_neq(verify(&cert, &ca_cert, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	cr_expect_eq(cert_check_key(cert.data, key.data, &err), 0, "%s", err.text);
	X509_free(x);
}

Test(cert, a_server_needs_real_names, .init = setup, .fini = teardown)
{
	static const char *const none[] = { NULL };
	static const char *const smuggled[] = { "a.lab,DNS:evil.lab", NULL };
	static const char *const space[] = { "a lab", NULL };

	cr_expect_eq(issue_server(none), -1);
	cr_expect_eq(issue_server(smuggled), -1);
	cr_expect(strstr(err.text, "'a.lab,DNS:evil.lab'"));
	cr_expect_eq(issue_server(space), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_eq(cert.len, 0);
}

Test(cert, an_agent_is_its_uri_and_a_client_only, .init = setup, .fini = teardown)
{
	struct cert_info info;

	cr_assert_eq(issue_client(csr.data, 30), 0, "%s", err.text);
	cr_assert_eq(cert_read(cert.data, &info, &err), 0, "%s", err.text);
	cr_expect_str_eq(info.uri, URI);
	cr_expect_str_eq(info.common_name, "gpu-1");
	cr_expect_not(info.is_authority);
	cr_expect_eq(verify(&cert, &ca_cert, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	cr_expect_neq(verify(&cert, &ca_cert, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	cr_expect_eq(cert_check_key(cert.data, key.data, &err), 0, "%s", err.text);
	cr_expect_eq(cert_check_key(cert.data, ca_key.data, &err), -1);
	cr_expect_eq(cert_check_signed_by(cert.data, ca_cert.data, &err), 0, "%s", err.text);
}

Test(cert, lives_the_days_asked_for_and_begins_a_little_early, .init = setup, .fini = teardown)
{
	struct cert_info info;
	int64_t now = clock_wall_ms(), day = 24 * 60 * 60 * 1000;

	cr_assert_eq(issue_client(csr.data, 30), 0, "%s", err.text);
	cr_assert_eq(cert_read(cert.data, &info, &err), 0, "%s", err.text);
	cr_expect_leq(llabs(info.not_after_ms - (now + 30 * day)), 5000);
	cr_expect_leq(llabs(info.not_before_ms - (now - 300000)), 5000);
	cr_expect_eq(issue_client(csr.data, 0), -1);
	cr_expect_eq(issue_client(csr.data, -1), -1);
}

Test(cert, serials_differ, .init = setup, .fini = teardown)
{
	struct cert_info a, b;

	cr_assert_eq(issue_client(csr.data, 30), 0);
	cr_assert_eq(cert_read(cert.data, &a, &err), 0);
	buf_clear(&cert);
	cr_assert_eq(issue_client(csr.data, 30), 0);
	cr_assert_eq(cert_read(cert.data, &b, &err), 0);
	cr_expect_str_neq(a.serial, b.serial);
	cr_expect_eq(strspn(a.serial, "0123456789ABCDEF"), 32);
}

/* A request with a subject, a name and an extension of its own choice. */
static struct buf greedy_request(void)
{
	struct buf pem = { 0 };
	BIO *in = BIO_new_mem_buf(key.data, -1), *out = BIO_new(BIO_s_mem());
	EVP_PKEY *k = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *wishes = sk_X509_EXTENSION_new_null();
	char *text;
	long len;

	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
				   (const unsigned char *)"admin", -1, -1, 0);
	sk_X509_EXTENSION_push(wishes, X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name,
							    "URI:spiffe://lab/agent/other"));
	sk_X509_EXTENSION_push(wishes, X509V3_EXT_nconf_nid(NULL, NULL, NID_basic_constraints,
							    "critical,CA:TRUE"));
	X509_REQ_add_extensions(req, wishes);
	X509_REQ_set_pubkey(req, k);
	cr_assert(X509_REQ_sign(req, k, EVP_sha256()));
	PEM_write_bio_X509_REQ(out, req);
	len = BIO_get_mem_data(out, &text);
	buf_add(&pem, text, (size_t)len);
	sk_X509_EXTENSION_pop_free(wishes, X509_EXTENSION_free);
	X509_REQ_free(req);
	EVP_PKEY_free(k);
	BIO_free(in);
	BIO_free(out);
	return pem;
}

Test(cert, what_a_request_wishes_for_is_ignored, .init = setup, .fini = teardown)
{
	cleanup(buf_release) struct buf greedy = greedy_request();
	struct cert_info info;

	cr_assert_eq(issue_client(greedy.data, 30), 0, "%s", err.text);
	cr_assert_eq(cert_read(cert.data, &info, &err), 0, "%s", err.text);
	cr_expect_str_eq(info.common_name, "gpu-1");
	cr_expect_str_eq(info.uri, URI);
	cr_expect_not(info.is_authority);
}

Test(cert, a_request_must_be_signed_by_its_key, .init = setup, .fini = teardown)
{
	BIO *in = BIO_new_mem_buf(csr.data, -1), *out = BIO_new(BIO_s_mem());
	X509_REQ *req = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
	EVP_PKEY *other = EVP_EC_gen("P-256");
	cleanup(buf_release) struct buf forged = { 0 };
	char *text;
	long len;

	cr_assert(X509_REQ_sign(req, other, EVP_sha256())); /* our name, another's hand */
	PEM_write_bio_X509_REQ(out, req);
	len = BIO_get_mem_data(out, &text);
	buf_add(&forged, text, (size_t)len);
	cr_expect_eq(issue_client(forged.data, 30), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	X509_REQ_free(req);
	EVP_PKEY_free(other);
	BIO_free(in);
	BIO_free(out);
}

Test(cert, a_request_with_another_kind_of_key_is_refused, .init = setup, .fini = teardown)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	X509_REQ *req = X509_REQ_new();
	BIO *out = BIO_new(BIO_s_mem());
	cleanup(buf_release) struct buf pem = { 0 };
	char *text;
	long len;

	X509_REQ_set_pubkey(req, rsa);
	X509_REQ_sign(req, rsa, EVP_sha256());
	PEM_write_bio_X509_REQ(out, req);
	len = BIO_get_mem_data(out, &text);
	buf_add(&pem, text, (size_t)len);
	cr_expect_eq(issue_client(pem.data, 30), -1);
	cr_expect(strstr(err.text, "P-256"), "%s", err.text);
	X509_REQ_free(req);
	EVP_PKEY_free(rsa);
	BIO_free(out);
}

Test(cert, an_authority_signs_only_with_its_own_key, .init = setup, .fini = teardown)
{
	ca.key_pem = key.data;
	cr_expect_eq(issue_client(csr.data, 30), -1);
	cr_expect_eq(err.code, ERR_INVALID);
}

Test(cert, one_of_another_authority_is_not_ours, .init = setup, .fini = teardown)
{
	cleanup(key_release) struct buf other_key = { 0 };
	cleanup(buf_release) struct buf other = { 0 };

	/* of the same name: only the signature tells */
	cr_assert_eq(cert_make_authority("lab", 10, &other_key, &other, &err), 0);
	cr_assert_eq(issue_client(csr.data, 30), 0, "%s", err.text);
	cr_expect_eq(cert_check_signed_by(cert.data, other.data, &err), -1);
	cr_expect_eq(err.code, ERR_UNAUTHENTICATED);
	cr_expect_eq(cert_check_signed_by(cert.data, cert.data, &err), -1);
}

Test(cert, nonsense_is_an_error_and_leaves_no_trace, .init = setup, .fini = teardown)
{
	static const char *const texts[] = {
		"", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	};
	struct cert_info info = { .serial = "untouched" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cr_expect_eq(cert_read(texts[i], &info, &err), -1);
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect_eq(issue_client(texts[i], 30), -1);
		cr_expect_eq(cert_make_request(texts[i], &cert, &err), -1);
	}
	cr_expect_str_eq(info.serial, "untouched");
	cr_expect_eq(cert.len, 0);
	cr_expect_eq(ERR_peek_error(), 0, "OpenSSL's queue is empty");
}

Test(cert, an_agents_uri_has_a_cluster_and_a_uuid)
{
	static const char *const bad[] = {
		"",
		"spiffe://lab",
		"spiffe:///agent/" AGENT,
		"spiffe://lab/agent/",
		"spiffe://lab/agent/nobody",
		"spiffe://lab/user/" AGENT,
		URI "/more",
		"http://lab/agent/" AGENT,
		"spiffe://a/b/agent/" AGENT,
	};
	char cluster[CERT_URI_SIZE], id[CERT_URI_SIZE];

	cr_assert_eq(cert_parse_agent_uri(URI, cluster, id, &err), 0, "%s", err.text);
	cr_expect_str_eq(cluster, "lab");
	cr_expect_str_eq(id, AGENT);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(cert_parse_agent_uri(bad[i], cluster, id, &err), -1, "'%s'", bad[i]);
}

Test(cert, an_authoritys_files_are_private_and_never_replaced)
{
	char dir[] = "/tmp/sluice-ca-XXXXXX";
	struct stat st;

	cr_assert(mkdtemp(dir));
	cleanup(freep) char *key_path = path_join(dir, "ca.key");
	cleanup(freep) char *cert_path = path_join(dir, "ca.pem");

	cr_assert_eq(cert_make_authority_files("lab", 10, key_path, cert_path, &err), 0, "%s",
		     err.text);
	cr_assert_eq(stat(key_path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	cr_expect_eq(cert_make_authority_files("lab", 10, key_path, cert_path, &err), -1);
	cr_expect_eq(err.code, ERR_EXISTS);
	file_remove_tree(dir, NULL);
}
