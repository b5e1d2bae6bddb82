/*
 * delivery_waits.h - what waits in one environment (delivery.h has it for all)
 */
#ifndef MODEL_DELIVERY_WAITS_H
#define MODEL_DELIVERY_WAITS_H

#include "controller/model/delivery.h"

void environment_tell_waits(struct world *w, const struct environment *env, delivery_wait_fn *add,
			    void *arg);

#endif
