/*
 * scene.h - one job that is offered to, or runs on, the one agent that is connected
 */
#ifndef TEST_SCENE_H
#define TEST_SCENE_H

#include "lab.h"

enum { SCENE_LEASE = 60 * 1000, T_C = 60000 + 15000 + 600 + 5000 + LEASE_TICK_MS };

struct scene {
	struct lab *l;
	struct lab_agent *a, *b; /* b is enrolled only */
	uint32_t run;
	uint64_t fence;
};

struct scene scene_offered(void);
struct scene scene_running(void);
void scene_end(struct scene *s);

#endif
