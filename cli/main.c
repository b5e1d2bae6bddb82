/*
 * sluice: the command line. What it can do is the table in verbs.c.
 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
