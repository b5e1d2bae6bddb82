#include "agent/identity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "crypto/cert.h"
#include "stand.h"

static char dir[64];

static void begin(void)
{
	snprintf(dir, sizeof dir, "/tmp/identity-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void end(void)
{
	file_remove_tree(dir, NULL);
}

TestSuite(identity, .init = begin, .fini = end, .timeout = 20);

static void write_file(const char *name, const char *text, mode_t mode)
{
	cleanup(freep) char *path = path_join(dir, name);
	struct error err = { 0 };

	cr_assert_eq(file_write_atomic(path, text, strlen(text), mode, &err), 0, "%s", err.text);
}

Test(identity, a_token_that_is_none_is_told_before_anybody_is_asked)
{
	static const char *const tokens[] = { "",	    "abc",   ".",
					      "secret.abc", "a b.c", "trailing words. and more" };

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		struct identity_join how = { .dir = dir,
					     .address = "127.0.0.1:1",
					     .token = tokens[i] };
		struct error err = { 0 };

		cr_expect_lt(identity_join(&how, &err), 0);
		cr_expect_str_eq(err.id, "E0304", "'%s': %s", tokens[i], err.text);
	}
}

Test(identity, a_host_that_has_not_joined_says_how)
{
	struct error err = { 0 };

	cr_assert_null(identity_load(dir, &err));
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect(strstr(err.hint, "join"));
}

Test(identity, renewal_is_due_after_a_third_of_a_certificates_life)
{
	struct pair ca = certs_ca("test");
	struct leaf leaf = { .names = "URI:spiffe://test/agent/7",
			     .usage = "clientAuth",
			     .days = 30 };
	struct pair own = certs_leaf(&ca, &leaf);
	cleanup(freep) char *both = xprintf("%s%s", own.key, own.cert);
	struct identity *i;
	struct cert_info info;
	struct error err = { 0 };
	int64_t third;

	write_file("identity.pem", both, 0600);
	write_file("ca.pem", ca.cert, 0644);
	write_file("agent.json",
		   "{\"id\": \"0190a1b2-0000-7000-8000-000000000001\", \"name\": \"a\", "
		   "\"controller\": \"h:1\"}",
		   0644);
	i = identity_load(dir, &err);
	cr_assert(i, "%s", err.text);
	cr_expect_str_eq(i->name, "a");
	cr_assert_eq(cert_read(own.cert, &info, &err), 0);
	third = info.not_before_ms + (info.not_after_ms - info.not_before_ms) / 3;
	cr_expect_not(identity_renewal_due(i, third - 1000));
	cr_expect(identity_renewal_due(i, third + 1000));
	identity_free(i);

	write_file("identity.pem", both, 0644); /* readable by others */
	cr_assert_null(identity_load(dir, &err));
	cr_expect_eq(err.code, ERR_DENIED, "%s", err.text);
	write_file("identity.pem", both, 0600);
	write_file("agent.json", "{\"id\": \"../../x\"}", 0644);
	cr_assert_null(identity_load(dir, &err));
	cr_expect_eq(err.code, ERR_CORRUPT, "%s", err.text);
	pair_release(&own);
	pair_release(&ca);
}

/* ---- renewal ---- */

static struct pair authority(const char *name)
{
	struct buf key = { 0 }, cert = { 0 };
	struct error err = { 0 };

	cr_assert_eq(cert_make_authority(name, 1, &key, &cert, &err), 0, "%s", err.text);
	return (struct pair){ .cert = buf_detach(&cert), .key = buf_detach(&key) };
}

static void join_stand(const struct stand *stand, const struct pair *ca)
{
	cleanup(freep) char *both = xprintf("%s%s", stand->agent.key, stand->agent.cert);

	write_file("identity.pem", both, 0600);
	write_file("ca.pem", ca->cert, 0644);
	write_file("agent.json",
		   "{\"id\": \"0190a1b2-0000-7000-8000-000000000001\", \"name\": \"a\", "
		   "\"controller\": \"h:1\"}",
		   0644);
}

static bool is_as_joined(const struct stand *stand)
{
	cleanup(freep) char *path = path_join(dir, "identity.pem");
	cleanup(freep) char *both = xprintf("%s%s", stand->agent.key, stand->agent.cert);
	cleanup(buf_release) struct buf now = { 0 };
	struct error err = { 0 };

	cr_assert_eq(file_read(path, 1 << 16, &now, &err), 0);
	return strcmp(buf_str(&now), both) == 0;
}

Test(identity, a_renewed_certificate_takes_the_place_of_the_old_one_with_its_key)
{
	struct stand *stand = stand_new();
	struct pair ca = authority("ours");
	cleanup(freep) char *path = path_join(dir, "identity.pem");
	struct cert_info info;
	struct error err = { 0 };
	struct identity *i;
	struct stat st;

	join_stand(stand, &ca);
	stand->renew_by = &ca;
	cr_assert_eq(identity_renew(dir, stand->channel, &err), 0, "%s", err.text);
	i = identity_load(dir, &err);
	cr_assert(i, "%s", err.text);
	cr_assert_eq(cert_read(i->pem, &info, &err), 0, "%s", err.text);
	cr_expect_str_eq(info.common_name, "renewed");
	cr_expect_eq(cert_check_key(i->pem, i->pem, &err), 0, "%s", err.text);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	identity_free(i);
	pair_release(&ca);
	stand_free(stand);
}

Test(identity, a_renewal_that_would_not_serve_leaves_the_old_certificate)
{
	struct stand *stand = stand_new();
	struct pair ca = authority("ours"), other = authority("another");
	struct error err = { 0 };

	join_stand(stand, &ca);
	stand->renew_by = &other;
	cr_expect_lt(identity_renew(dir, stand->channel, &err), 0, "signed by another CA");
	cr_expect(is_as_joined(stand));
	stand->renew_by = &ca;
	stand->renew_other_key = true;
	cr_expect_lt(identity_renew(dir, stand->channel, &err), 0, "of another key");
	cr_expect(is_as_joined(stand));
	pair_release(&other);
	pair_release(&ca);
	stand_free(stand);
}
