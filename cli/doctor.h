/*
 * doctor.h - checks, each with what to do next
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/args.h"

verb_fn doctor; /* STATUS_FAILED when a check failed */

#endif
