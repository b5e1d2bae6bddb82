/*
 * fetch.h - an artifact's bytes onto this computer
 *
 * Through the user's chunk cache (~/.cache/sluice/chunks, at most CACHE_MOST after each use), so
 * that what was fetched is not fetched again and a broken download goes on; when another process
 * uses it, through a directory beside the target that is removed afterwards.
 */
#ifndef CLI_FETCH_H
#define CLI_FETCH_H

#include <stdint.h>
#include "cli/cli.h"
#include "sluice/v1/artifacts.pb-c.h"

/* To path, which must not exist: a tree becomes a directory, a file a file. */
int fetch_artifact(struct cli *cli, const Sluice__V1__Artifact *a, const char *path,
		   uint64_t *ret_received, struct error *err);
/* To stdout: a file, raw bytes, or the file `inside` of a tree. */
int fetch_to_stdout(struct cli *cli, const Sluice__V1__Artifact *a, const char *inside,
		    struct error *err);

#endif
