/*
 * controller.h - the parts of a controller, put together
 */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include "base/error.h"
#include "spec/config.h"

extern const struct config_key controller_keys[];

struct controller;

/* Makes what a controller needs before its first start: database, certificate authority, and
 * admin.token (0600). What is there already is left alone. */
int controller_init(const struct config *config, struct error *err);

/* Opens the state, serves, and writes STATE/address (users' and agents' host:port, a line each).
 * The state directory is locked as long as it runs (E0605). */
struct controller *controller_start(const struct config *config, struct error *err);
void controller_stop(struct controller *c);
/* Now and then: certificates, old logs, artifacts that nothing names. Problems are logged. */
void controller_look(struct controller *c);

#endif
