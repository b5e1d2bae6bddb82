/*
 * explain.h - what waits in one environment (delivery.h has it for all)
 */
#ifndef MODEL_EXPLAIN_H
#define MODEL_EXPLAIN_H

#include "controller/model/delivery.h"

void environment_tell_waits(struct world *w, const struct environment *env, delivery_wait_fn *add,
			    void *arg);

#endif
