/*
 * The authority as files: what is made once, what is made again, and what is refused.
 */
#include "controller/api/authority.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "crypto/keys.h"

#define AGENT_ID "0190a5b2-7c1e-7abc-8def-0123456789ab"

static const char *const names[] = { "localhost", "127.0.0.1", NULL };
static char root[64], dir[80];
static struct error err;

static void begin(void)
{
	snprintf(root, sizeof root, "/tmp/authority-test-XXXXXX");
	cr_assert(mkdtemp(root));
	snprintf(dir, sizeof dir, "%s/ca", root);
}

static void end(void)
{
	file_remove_tree(root, NULL);
}

TestSuite(authority, .init = begin, .fini = end);

static struct authority *must_open(const char *const *of)
{
	struct authority *a = authority_open(dir, "lab", of, true, &err);

	cr_assert(a, "%s", err.text);
	return a;
}

static const char *in_dir(const char *name)
{
	static char path[160];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static char *must_read(const char *name)
{
	struct buf text = { 0 };

	cr_assert_eq(file_read(in_dir(name), KEY_PEM_LIMIT, &text, &err), 0, "%s", err.text);
	return buf_detach(&text);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* The server's certificate fits its key and is the authority's. */
static void check_server(const struct authority *a)
{
	cleanup(freep) char *cert = must_read("server.pem"), *key = must_read("server.key");

	cr_expect_eq(cert_check_key(cert, key, &err), 0, "%s", err.text);
	cr_expect_eq(cert_check_signed_by(cert, authority_ca_pem(a), &err), 0, "%s", err.text);
	cr_expect(strstr(cert, authority_ca_pem(a)), "the chain ends with the authority");
}

Test(authority, it_is_made_once_and_then_read)
{
	cleanup(authority_freep) struct authority *first = must_open(names);
	cleanup(authority_freep) struct authority *second = NULL;
	cleanup(freep) char *key = must_read("ca.key"), *server = must_read("server.pem");
	cleanup(freep) char *key_after = NULL, *server_after = NULL;

	check_server(first);
	second = must_open(names);
	key_after = must_read("ca.key");
	server_after = must_read("server.pem");
	cr_expect_str_eq(key, key_after);
	cr_expect_str_eq(server, server_after);
	cr_expect_str_eq(authority_ca_pem(first), authority_ca_pem(second));
	cr_expect_str_eq(authority_ca_sha256(first), authority_ca_sha256(second));
	cr_expect_eq(strlen(authority_ca_sha256(first)), DIGEST_HEX_SIZE - 1);
}

Test(authority, its_keys_are_its_owners_alone)
{
	cleanup(authority_freep) struct authority *a = must_open(names);

	cr_expect_eq(mode_of(dir), 0700);
	cr_expect_eq(mode_of(in_dir("ca.key")), 0600);
	cr_expect_eq(mode_of(authority_server_key(a)), 0600);
}

Test(authority, one_that_is_not_there_is_not_made_unasked)
{
	cr_expect_null(authority_open(dir, "lab", names, false, &err));
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect(strstr(err.text, dir));
	cr_expect_not(file_exists(dir));
}

Test(authority, other_names_bring_another_server_certificate_for_the_same_key)
{
	static const char *const others[] = { "controller.lab", "10.0.0.1", NULL };
	cleanup(authority_freep) struct authority *first = must_open(names);
	cleanup(authority_freep) struct authority *second = NULL;
	cleanup(freep) char *key = must_read("server.key"), *before = must_read("server.pem");
	cleanup(freep) char *key_after = NULL, *after = NULL;
	struct cert_info info;

	second = must_open(others);
	key_after = must_read("server.key");
	after = must_read("server.pem");
	cr_expect_str_eq(key, key_after);
	cr_expect_str_neq(before, after);
	cr_assert_eq(cert_read(after, &info, &err), 0, "%s", err.text);
	cr_expect_str_eq(info.common_name, "controller.lab");
	cr_expect_str_eq(authority_ca_sha256(first), authority_ca_sha256(second));
	check_server(second);
}

Test(authority, looking_again_changes_nothing_that_is_good)
{
	cleanup(authority_freep) struct authority *a = must_open(names);
	cleanup(freep) char *before = must_read("server.pem"), *after = NULL;

	cr_assert_eq(authority_look(a, &err), 0, "%s", err.text);
	after = must_read("server.pem");
	cr_expect_str_eq(before, after);
}

/* The certificate in server.pem as it would look with so many days behind and before it. */
static void set_times(int behind, int before)
{
	const char *path = in_dir("server.pem");
	FILE *f = fopen(path, "r+");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	ASN1_TIME *from = X509_gmtime_adj(NULL, -24L * 3600 * behind);
	ASN1_TIME *until = X509_gmtime_adj(NULL, 24L * 3600 * before);

	cr_assert(x && X509_set1_notBefore(x, from) && X509_set1_notAfter(x, until));
	cr_assert_gt(i2d_re_X509_tbs(x, NULL), 0, "else the old bytes are written again");
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	rewind(f);
	cr_assert_eq(ftruncate(fileno(f), 0), 0);
	cr_assert(PEM_write_X509(f, x));
	cr_assert_eq(fclose(f), 0);
	X509_free(x);
}

Test(authority, a_server_certificate_with_less_than_a_third_left_is_made_again)
{
	static const struct {
		int behind, before;
		bool again;
	} table[] = { { 60, 40, false }, { 70, 30, true }, { 100, -1, true }, { 0, 90, false } };
	cleanup(authority_freep) struct authority *a = must_open(names);

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		cleanup(freep) char *old = NULL, *after = NULL;

		set_times(table[i].behind, table[i].before);
		old = must_read("server.pem");
		cr_assert_eq(authority_look(a, &err), 0, "%s", err.text);
		after = must_read("server.pem");
		cr_expect_eq(strcmp(old, after) != 0, table[i].again, "%d days left",
			     table[i].before);
		if (table[i].again)
			check_server(a);
	}
}

Test(authority, an_agents_certificate_names_the_cluster_and_the_agent)
{
	cleanup(authority_freep) struct authority *a = must_open(names);
	cleanup(key_release) struct buf key = { 0 };
	cleanup(buf_release) struct buf csr = { 0 }, pem = { 0 };
	char cluster[CERT_URI_SIZE], id[CERT_URI_SIZE];
	const int64_t day_ms = 24 * 3600 * 1000;
	struct cert_info info;

	cr_assert_eq(key_generate(&key, &err), 0, "%s", err.text);
	cr_assert_eq(cert_make_request(buf_str(&key), &csr, &err), 0, "%s", err.text);
	cr_assert_eq(authority_issue_agent(a, buf_str(&csr), AGENT_ID, &pem, &info, &err), 0, "%s",
		     err.text);
	cr_expect_str_eq(info.uri, "spiffe://lab/agent/" AGENT_ID);
	cr_expect_str_eq(info.common_name, AGENT_ID);
	cr_expect_not(info.is_authority);
	cr_expect_eq((info.not_after_ms - info.not_before_ms) / day_ms, 30);
	cr_expect_eq(cert_parse_agent_uri(info.uri, cluster, id, &err), 0, "%s", err.text);
	cr_expect_str_eq(cluster, "lab");
	cr_expect_str_eq(id, AGENT_ID);
	cr_expect_eq(cert_check_signed_by(buf_str(&pem), authority_ca_pem(a), &err), 0);
	cr_expect_eq(cert_check_key(buf_str(&pem), buf_str(&key), &err), 0);
}

Test(authority, what_is_no_request_gets_no_certificate)
{
	cleanup(authority_freep) struct authority *a = must_open(names);
	cleanup(buf_release) struct buf pem = { 0 };
	struct cert_info info;

	cr_expect_eq(authority_issue_agent(a, "please", AGENT_ID, &pem, &info, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_eq(pem.len, 0);
}

Test(authority, a_key_that_others_may_read_is_refused)
{
	authority_free(must_open(names));
	cr_assert_eq(chmod(in_dir("ca.key"), 0640), 0);
	cr_expect_null(authority_open(dir, "lab", names, true, &err));
	cr_expect_eq(err.code, ERR_DENIED);
	cr_expect(strstr(err.text, "ca.key"), "%s", err.text);
	cr_assert_eq(chmod(in_dir("ca.key"), 0600), 0);
	authority_free(must_open(names));
}

Test(authority, a_key_opened_to_others_meanwhile_signs_nothing)
{
	cleanup(authority_freep) struct authority *a = must_open(names);
	cleanup(key_release) struct buf key = { 0 };
	cleanup(buf_release) struct buf csr = { 0 }, pem = { 0 };
	struct cert_info info;

	cr_assert_eq(key_generate(&key, &err), 0, "%s", err.text);
	cr_assert_eq(cert_make_request(buf_str(&key), &csr, &err), 0, "%s", err.text);
	cr_assert_eq(chmod(in_dir("ca.key"), 0644), 0);
	cr_expect_eq(authority_issue_agent(a, buf_str(&csr), AGENT_ID, &pem, &info, &err), -1);
	cr_expect_eq(err.code, ERR_DENIED);
	cr_expect_eq(pem.len, 0);
}
