/*
 * The scenes of the tests of attempts.
 */
#include "scene.h"

struct scene scene_offered(void)
{
	struct scene s = { .l = lab_new() };
	Sluice__V1__Pipeline *p = pipeline("p");

	s.a = lab_agent(s.l, "a", 1, "");
	s.b = lab_agent_enrol(s.l, "b", 1, "");
	add_job_to(p, "job", NULL)->lease_ms = SCENE_LEASE;
	s.run = lab_submit(s.l, p);
	s.fence = agent_offered(s.a);
	cr_assert(s.run && s.fence);
	return s;
}

struct scene scene_running(void)
{
	struct scene s = scene_offered();

	agent_accept(s.a, s.fence);
	cr_assert(agent_was_accepted(s.a, s.fence));
	return s;
}

void scene_end(struct scene *s)
{
	lab_free(s->l);
}
