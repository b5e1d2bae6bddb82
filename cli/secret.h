/*
 * secret.h - a secret that is shown once, where it belongs: a new file for its owner only, or
 * stdout
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "cli/cli.h"

#define SECRET_FLAG                                                                           \
	{                                                                                     \
		'o', "output", "FILE", "write it into this new file (0600) instead of stdout" \
	}

struct secret {
	const char *path; /* --output's; NULL: stdout */
	int fd;
};

/* Makes the file, so that nothing is asked for that could not be kept. ERR_EXISTS when it is there
 * already. */
int secret_begin(struct cli *cli, struct secret *ret, struct error *err);
/* Writes the secret and a newline; names the file on stdout when there is one. */
int secret_put(struct secret *s, const char *text, struct error *err);
/* A file that nothing was written to goes again. Fits cleanup(). */
void secret_end(struct secret *s);

#endif
