#include <criterion/criterion.h>
#include <string.h>

#include "spec/config.h"

static const struct config_key table[] = {
	{ "state_dir", CONFIG_STRING, "/var/lib/sluice", "where everything is kept", 0, 0 },
	{ "controller", CONFIG_STRING, NULL, "the controller's address", 0, 0 },
	{ "slots", CONFIG_INT, "4", "jobs at a time", 1, 256 },
	{ "verbose", CONFIG_BOOL, "false", "say more", 0, 0 },
	{ "keep", CONFIG_DURATION, "90d", "logs", 1000, 0 },
	{ "reserve", CONFIG_SIZE, "1G", "free disk", 1024, 0 },
	{ "service_ports", CONFIG_PORTS, "18000-18099", "of services", 0, 0 },
	{ "names", CONFIG_LIST, "localhost,127.0.0.1", "of the certificate", 0, 0 },
	{ "labels", CONFIG_MAP, "zone=a", "of this agent", 0, 0 },
	{ NULL, CONFIG_STRING, NULL, NULL, 0, 0 },
};

static int read_text(struct config *c, const char *text, struct buf *ret)
{
	struct diagnostics d;
	int r = config_read(c, "agent.yaml", text, strlen(text), &d);

	buf_clear(ret);
	diagnostics_text(&d, false, ret);
	cr_expect_eq(r<0, d.errors> 0);
	diagnostics_release(&d);
	return r;
}

Test(config, without_file_and_flags_there_are_the_defaults)
{
	cleanup(config_freep) struct config *c = config_new(table);
	uint16_t first, last;

	cr_expect_str_eq(config_string(c, "state_dir"), "/var/lib/sluice");
	cr_expect_not(config_has(c, "controller"));
	cr_expect_null(config_string(c, "controller"));
	cr_expect_eq(config_int(c, "slots"), 4);
	cr_expect_not(config_bool(c, "verbose"));
	cr_expect_eq(config_duration(c, "keep"), INT64_C(90) * 86400 * 1000);
	cr_expect_eq(config_size(c, "reserve"), 1u << 30);
	cr_expect(config_ports(c, "service_ports", &first, &last));
	cr_expect(first == 18000 && last == 18099);
	cr_expect_eq(config_count(c, "names"), 2);
	cr_expect_str_eq(config_item(c, "names", 1), "127.0.0.1");
	cr_expect_str_eq(config_item_name(c, "labels", 0), "zone");
	cr_expect_str_eq(config_item(c, "labels", 0), "a");
}

Test(config, the_file_changes_what_it_names_and_flags_change_it_again)
{
	cleanup(config_freep) struct config *c = config_new(table);
	cleanup(buf_release) struct buf said = { 0 };
	char *argv[] = { (char *)"agent",     (char *)"--slots=7",
			 (char *)"run",	      (char *)"--state-dir",
			 (char *)"/tmp/x",    (char *)"--verbose",
			 (char *)"--other",   (char *)"--",
			 (char *)"--slots=1", NULL };
	int argc = 9;
	struct error err = { 0 };

	cr_assert_eq(config_flags(c, &argc, argv, &err), 0, "%s", err.text);
	cr_assert_eq(read_text(c,
			       "slots: 8\nkeep: 1h\nnames: [a, 'b,c']\nlabels: {gpu: h200}\n"
			       "service_ports: 19000\n",
			       &said),
		     0, "%s", buf_str(&said));
	cr_expect_eq(config_int(c, "slots"), 7);
	cr_expect_str_eq(config_string(c, "state_dir"), "/tmp/x");
	cr_expect(config_bool(c, "verbose"));
	cr_expect_eq(config_duration(c, "keep"), 3600000);
	cr_assert_eq(config_count(c, "names"), 2);
	cr_expect_str_eq(config_item(c, "names", 1), "b,c");
	cr_assert_eq(config_count(c, "labels"), 1);
	cr_expect_str_eq(config_item_name(c, "labels", 0), "gpu");
	cr_assert_eq(argc, 5);
	cr_expect_str_eq(argv[1], "run");
	cr_expect_str_eq(argv[2], "--other");
	cr_expect_str_eq(argv[3], "--");
	cr_expect_str_eq(argv[4], "--slots=1");
	cr_expect_null(argv[5]);
}

Test(config, a_file_of_comments_alone_changes_nothing)
{
	static const char *const files[] = { "", "\n", "# every key is also a flag\n#slots: 9\n" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup(config_freep) struct config *c = config_new(table);
		cleanup(buf_release) struct buf said = { 0 };

		cr_expect_eq(read_text(c, files[i], &said), 0, "%s", buf_str(&said));
		cr_expect_eq(config_int(c, "slots"), 4);
	}
}

Test(config, a_file_that_is_wrong_is_told_with_places)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "slot: 8\n", "did you mean `slots`?" },
		{ "slots: 0\n", "it must be from 1 to 256" },
		{ "slots: many\n", "it wants a whole number" },
		{ "slots: [1]\n", "`slots` wants one value" },
		{ "slots:\n", "`slots` wants one value" },
		{ "verbose: yes\n", "write `true`" },
		{ "keep: 90\n", "has no unit" },
		{ "keep: 10ms\n", "it must be from 1s" },
		{ "reserve: lots\n", "cannot be `lots`" },
		{ "service_ports: 20-10\n", "a port or a range" },
		{ "service_ports: 0\n", "a port or a range" },
		{ "service_ports: 70000\n", "a port or a range" },
		{ "service_ports: 80-\n", "a port or a range" },
		{ "names: a\n", "a list of texts" },
		{ "names: [[a]]\n", "wants texts" },
		{ "labels: [a=b]\n", "a map of names to texts" },
		{ "labels: {a: \"b c\"}\n", "is not a label" },
		{ "- a\n", "a map of keys" },
		{ "slots: 1\nslots: 2\n", "duplicate key" },
		{ "slots: &a 1\n", "an anchor" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup(config_freep) struct config *c = config_new(table);
		cleanup(buf_release) struct buf said = { 0 };

		cr_expect_eq(read_text(c, bad[i].text, &said), -1, "%s", bad[i].text);
		cr_expect(strstr(buf_str(&said), bad[i].says), "%s does not say \"%s\"",
			  buf_str(&said), bad[i].says);
		cr_expect(strstr(buf_str(&said), "agent.yaml:"));
		if (!strstr(bad[i].text, "1"))
			cr_expect_eq(config_int(c, "slots"), 4, "kept as it was");
	}
}

Test(config, flags_that_are_wrong_name_themselves)
{
	static const struct {
		const char *flag, *says;
	} bad[] = {
		{ "--slots=x", "'--slots=x' cannot be 'x'" },
		{ "--slots", "'--slots' wants a value" },
		{ "--labels=zone", "not name=value" },
		{ "--verbose=maybe", "cannot be 'maybe'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup(config_freep) struct config *c = config_new(table);
		char *argv[] = { (char *)"agent", (char *)bad[i].flag, NULL };
		struct error err = { 0 };
		int argc = 2;

		cr_expect_eq(config_flags(c, &argc, argv, &err), -1);
		cr_expect(strstr(err.text, bad[i].says), "%s", err.text);
	}
}

Test(config, an_absent_file_is_well_unless_it_was_asked_for)
{
	cleanup(config_freep) struct config *c = config_new(table);
	struct diagnostics d;

	cr_expect_eq(config_load(c, "/nonexistent/agent.yaml", false, &d), 0);
	diagnostics_release(&d);
	cr_expect_eq(config_load(c, "/nonexistent/agent.yaml", true, &d), -1);
	cr_expect_eq(d.errors, 1);
	diagnostics_release(&d);
}

Test(config, usage_has_a_line_for_each_key)
{
	cleanup(buf_release) struct buf out = { 0 };

	config_usage(table, &out);
	cr_expect(strstr(buf_str(&out), "--state-dir TEXT"));
	cr_expect(strstr(buf_str(&out), "(default: 90d)"));
	for (const struct config_key *k = table; k->name; k++)
		cr_expect(strstr(buf_str(&out), k->doc));
}
