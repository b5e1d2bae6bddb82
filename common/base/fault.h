/*
 * fault.h - places where a test may make the world go wrong
 *
 * FAULT_POINT("commit.before-sync") does what SLUICE_FAULTS in the environment
 * says of that name: `name=kill@3` (SIGKILL ourselves at the third passing),
 * `name=delay:250` (milliseconds, each time), `name=error@2+` (an error, from the
 * second on), `name=kill%5:seed` (one passing in 5, drawn from a seed); several
 * are joined by commas. It evaluates to true when the place must
 * behave as if its operation had failed. Release builds hold none of it.
 *
 * FAULT_SHORT("spool.append", fd, data, len) stands before a write. There `name=short@2` puts
 * half of the bytes into the file and fails, as a disk that becomes full does; so does a kill
 * before it strikes, which leaves a torn record. errno is ENOSPC then, EIO after `error`. At a
 * FAULT_POINT `short` is an error.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef SLUICE_FAULTS
bool fault_point(const char *name);
bool fault_short(const char *name, int fd, const void *data, size_t len);
void fault_load(const char *spec); /* for tests: instead of the environment's list, from now on */
#define FAULT_POINT(name)		 fault_point(name)
#define FAULT_SHORT(name, fd, data, len) fault_short(name, fd, data, len)
#else
#define FAULT_POINT(name)		 false
#define FAULT_SHORT(name, fd, data, len) false
#endif

#endif
