/*
 * What a row of the service table may not be: the compiler is asked.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"

static const char head[] = "#include \"rpc/rpc.h\"\n#include \"echo.pb-c.h\"\n"
			   "typedef Rpctest__V1__Ping Ping;\ntypedef Rpctest__V1__Pong Pong;\n"
			   "int unary(struct rpc_call *, const Ping *, Pong *, struct error *);\n"
			   "int opened(struct rpc_call *, void *, struct error *);\n"
			   "int received(struct rpc_call *, const Ping *, struct error *);\n"
			   "void closed(struct rpc_call *, const struct error *);\n"
			   "const struct rpc_method rows[] = { ";

static bool compiles(const char *row)
{
	static const char *const argv[] = { COMPILER,
					    "-std=gnu17",
					    "-D_GNU_SOURCE",
					    "-fsyntax-only",
					    "-I" SLUICE_SOURCE_DIR "/common",
					    "-I" ECHO_DIR,
					    "row.c",
					    NULL };
	char dir[] = "/tmp/rpc-rows-XXXXXX";
	struct spawn s = { .argv = argv, .in = -1, .out = -1, .errout = -1 };
	cleanup(buf_release) struct buf out = { 0 };
	cleanup(freep) char *source = xprintf("%s%s, RPC_END };\n", head, row);
	cleanup(freep) char *path = NULL;
	struct error err = { 0 };
	bool ok;

	cr_assert(mkdtemp(dir));
	path = path_join(dir, "row.c");
	cr_assert_eq(file_write_atomic(path, source, strlen(source), 0600, &err), 0);
	s.dir = dir;
	ok = spawn_run(&s, 60000, 1 << 20, &out, &err) == 0;
	file_remove_tree(dir, NULL);
	return ok;
}

Test(rpc_rows, only_rows_with_access_and_a_fitting_handler_compile, .timeout = 120)
{
	cr_expect(compiles("RPC_UNARY(VIEWER | ADMIN, Unary, unary, Ping, Pong)"));
	cr_expect_not(compiles("RPC_UNARY(0, Unary, unary, Ping, Pong)"));
	cr_expect_not(compiles("RPC_UNARY(VIEWER, Unary, unary, Pong, Ping)"));
	cr_expect_not(compiles("RPC_UNARY(VIEWER, Unary, received, Ping, Pong)"));
	cr_expect(compiles("RPC_SESSION(AGENT, Session, opened, received, closed, Ping, Pong)"));
	cr_expect_not(compiles("RPC_SESSION(0, Session, opened, received, closed, Ping, Pong)"));
	cr_expect_not(compiles("RPC_SESSION(AGENT, Session, opened, unary, closed, Ping, Pong)"));
}
