/*
 * fault.h - places where a test may make the world go wrong
 *
 * FAULT_POINT("commit.before-sync") does what SLUICE_FAULTS in the environment
 * says of that name: `name=kill@3` (SIGKILL ourselves at the third passing),
 * `name=delay:250` (milliseconds, each time), `name=error@2+` (an error, from the
 * second on), `name=kill%5:seed` (one passing in 5, drawn from a seed); several
 * are joined by commas. It evaluates to true when the place must
 * behave as if its operation had failed. Release builds hold none of it.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#ifdef SLUICE_FAULTS
bool fault_point(const char *name);
void fault_load(const char *spec); /* for tests: instead of the environment's list, from now on */
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) false
#endif

#endif
