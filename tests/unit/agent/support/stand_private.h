#ifndef TESTS_AGENT_STAND_PRIVATE_H
#define TESTS_AGENT_STAND_PRIVATE_H

#include "stand.h"

extern const struct rpc_method stand_artifacts_api[];
/* With the lock held: is this the message at which a stream is cut? */
bool stand_cut(unsigned *messages, unsigned every);

#endif
