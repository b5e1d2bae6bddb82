/*
 * converge.h - every host to the live release while no rollout runs (rollout.h)
 */
#ifndef MODEL_CONVERGE_H
#define MODEL_CONVERGE_H

#include "controller/model/world.h"

/* New hosts, skipped ones, those that lost what they had; those that leave are told so. With
 * nothing live, hosts that run something are stopped. */
void converge(struct world *w, struct environment *env);
/* A host that connects is tried again, though it failed before. */
void converge_retry(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host);

#endif
