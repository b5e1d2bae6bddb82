#include "agent/tail.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char dir[64];
static struct tail *tail;

static void begin(void)
{
	struct error err = { 0 };

	snprintf(dir, sizeof dir, "/tmp/tail-XXXXXX");
	cr_assert(mkdtemp(dir));
	tail = tail_new(open(dir, O_PATH | O_DIRECTORY), "out/run/m.jsonl");
	cr_assert(tail_watch(tail, &err) == 0, "%s", err.text);
}

static void end(void)
{
	tail_free(tail);
	file_remove_tree(dir, NULL);
}

TestSuite(tail, .init = begin, .fini = end, .timeout = 20);

/* As the job would. */
static void shell(const char *command)
{
	cleanup(freep) char *text = xprintf("cd %s && %s", dir, command);

	cr_assert_eq(system(text), 0, "%s", text);
}

static bool told(int ms)
{
	struct pollfd p = { .fd = tail_fd(tail), .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* All that is new, on the heap; *ret_anew if any of it began anew. */
static char *new (bool *ret_anew)
{
	struct buf all = { 0 };
	struct error err = { 0 };
	char bytes[7];
	bool anew;
	ssize_t n;

	*ret_anew = false;
	while ((n = tail_read(tail, bytes, sizeof bytes, &anew, &err)) > 0 || anew) {
		if (anew)
			buf_clear(&all);
		*ret_anew |= anew;
		buf_add(&all, bytes, (size_t)n);
	}
	cr_assert_eq(n, 0, "%s", err.text);
	return buf_detach(&all);
}

static void expect(const char *want, bool want_anew)
{
	bool anew;
	cleanup(freep) char *text = new (&anew);

	cr_expect_str_eq(text, want);
	cr_expect_eq(anew, want_anew, "'%s'", want);
}

Test(tail, it_is_told_of_folders_of_the_file_and_of_each_line)
{
	expect("", false);
	cr_expect_not(told(0));
	shell("mkdir out");
	cr_assert(told(5000));
	expect("", false);
	shell("mkdir out/run && echo one >out/run/m.jsonl");
	cr_assert(told(5000));
	expect("one\n", false);
	cr_expect_not(told(50), "nobody wrote");
	shell("echo two >>out/run/m.jsonl");
	cr_assert(told(5000));
	expect("two\n", false);
	shell("echo beside >out/beside");
	expect("", false);
}

Test(tail, all_may_be_there_before)
{
	struct error err = { 0 };

	shell("mkdir -p out/run && echo before >out/run/m.jsonl");
	tail_free(tail);
	tail = tail_new(open(dir, O_PATH | O_DIRECTORY), "out/run/m.jsonl");
	cr_assert_eq(tail_watch(tail, &err), 0);
	expect("before\n", false);
	shell("echo after >>out/run/m.jsonl");
	cr_assert(told(5000));
	expect("after\n", false);
}

Test(tail, a_file_that_is_cut_replaced_or_rewritten_begins_anew)
{
	shell("mkdir -p out/run && echo long line >out/run/m.jsonl");
	expect("long line\n", false);
	shell("echo x >out/run/m.jsonl"); /* cut */
	cr_assert(told(5000));
	expect("x\n", true);
	shell("echo other >out/new && mv out/new out/run/m.jsonl"); /* replaced */
	cr_assert(told(5000));
	expect("other\n", true);
	shell("echo and a longer one >out/run/m.jsonl"); /* rewritten */
	cr_assert(told(5000));
	expect("and a longer one\n", true);
	shell("rm out/run/m.jsonl");
	expect("", false);
	shell("echo back >out/run/m.jsonl");
	cr_assert(told(5000));
	expect("back\n", true);
	shell("echo more >>out/run/m.jsonl");
	cr_assert(told(5000));
	expect("more\n", false);
}

Test(tail, a_fifo_and_a_link_out_are_refused)
{
	static const char *const tricks[] = { "mkfifo out/run/m.jsonl",
					      "ln -s /etc/passwd out/run/m.jsonl",
					      "mkdir out/run/m.jsonl",
					      "rmdir out/run && ln -s / out/run" };

	for (size_t i = 0; i < ARRAY_SIZE(tricks); i++) {
		struct error err = { 0 };
		char bytes[16];
		bool anew;

		shell("rm -rf out && mkdir -p out/run");
		shell(tricks[i]);
		cr_expect_lt(tail_read(tail, bytes, sizeof bytes, &anew, &err), 0, "%s", tricks[i]);
		cr_expect_eq(err.code, ERR_INVALID, "%s: %s", tricks[i], err.text);
	}
}
