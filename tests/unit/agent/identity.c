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
