/*
 * Who gets what of the machine, and where things are.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/dev.h"
#include "crypto/digest.h"

enum { PORTS_EACH = 100, FIRST_PORT = 18000, OTHER_PORTS = 20000, OTHER_DIRS = 7 };

char *dev_path(const struct dev_plan *plan, const char *fmt, ...)
{
	cleanup(freep) char *name = NULL;
	va_list args;

	va_start(args, fmt);
	name = xvprintf(fmt, args);
	va_end(args);
	return path_join(plan->dir, name);
}

/* ---- dividing the machine ---- */

static bool is_worker(const char *name)
{
	return strncmp(name, "worker", 6) == 0;
}

static int add_agent(struct dev_plan *plan, const char *name, struct error *err)
{
	struct dev_agent *a = &plan->agents[plan->n_agents];

	if (!name_valid(name))
		return error_set(err, ERR_INVALID, "'%s' is not a valid name for an agent", name);
	for (unsigned i = 0; i < plan->n_agents; i++)
		if (strcmp(plan->agents[i].name, name) == 0)
			return error_set(err, ERR_INVALID, "the agent '%s' is named twice", name);
	if (plan->n_agents == DEV_AGENTS)
		return error_set(err, ERR_INVALID, "more than %d agents", DEV_AGENTS);
	a->name = xstrdup(name);
	if (is_worker(name))
		snprintf(a->label, sizeof a->label, "role=worker");
	else
		snprintf(a->label, sizeof a->label, "env=%s", name);
	plan->n_agents++;
	return 0;
}

static void divide(struct dev_plan *plan, const struct machine *m)
{
	unsigned workers = 0, others;
	uint64_t for_workers, for_others;

	for (unsigned i = 0; i < plan->n_agents; i++)
		workers += is_worker(plan->agents[i].name);
	others = plan->n_agents - workers;
	for_workers = others ? m->memory / 4 * 3 : m->memory;
	for_others = workers ? m->memory / 4 : m->memory;
	for (unsigned i = 0; i < plan->n_agents; i++) {
		struct dev_agent *a = &plan->agents[i];

		if (is_worker(a->name)) {
			a->cpus = MAX(m->cpus / workers, 1u);
			a->slots = MAX(a->cpus, 2u);
			a->memory = for_workers / workers;
		} else {
			a->cpus = MAX(m->cpus / 8, 1u);
			a->slots = 2;
			a->memory = for_others / others;
		}
	}
}

/* Another directory's services want other ports: both may run at once. */
static unsigned base_port(const char *dir, bool is_default)
{
	struct digest d = digest_of(dir, strlen(dir));

	return is_default ? FIRST_PORT
			  : OTHER_PORTS + d.bytes[0] % OTHER_DIRS * PORTS_EACH * DEV_AGENTS;
}

int dev_plan_agents(struct dev_plan *plan, const char *names, const struct machine *machine,
		    struct error *err)
{
	while (*names) {
		size_t len = strcspn(names, ",");
		cleanup(freep) char *name = xstrndup(names, len);

		if (len && add_agent(plan, name, err) < 0)
			return -1;
		names += len + (names[len] == ',');
	}
	if (!plan->n_agents)
		return error_set(err, ERR_INVALID, "--agents names nobody");
	divide(plan, machine);
	return 0;
}

static struct machine look_at_machine(void)
{
	struct machine m = { .cpus = 1 };
	struct sysinfo info;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		m.cpus = (unsigned)CPU_COUNT(&set);
	if (sysinfo(&info) == 0)
		m.memory = (uint64_t)info.totalram * info.mem_unit;
	return m;
}

/* ---- where things are ---- */

static char *default_directory(struct error *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		return xprintf("%s/sluice/dev", state);
	if (home && *home)
		return xprintf("%s/.local/state/sluice/dev", home);
	error_set(err, ERR_INVALID, "HOME is not set: say where with --dir");
	return NULL;
}

char *dev_directory(const char *dir, struct error *err)
{
	char here[PATH_MAX];

	if (!dir)
		return default_directory(err);
	if (*dir == '/')
		return xstrdup(dir);
	if (!getcwd(here, sizeof here))
		return error_errno(err, "the present directory"), NULL;
	return path_join(here, dir);
}

/* Beside this program, then in PATH. */
static char *find_program(const char *name, struct error *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	const char *path = getenv("PATH");

	if (n > 0) {
		cleanup(freep) char *beside = NULL;

		self[n] = 0;
		*strrchr(self, '/') = 0;
		beside = path_join(self, name);
		if (access(beside, X_OK) == 0)
			return steal(beside);
	}
	while (path && *path) {
		size_t len = strcspn(path, ":");
		cleanup(freep) char *dir = xstrndup(path, len);
		cleanup(freep) char *there = path_join(len ? dir : ".", name);

		if (access(there, X_OK) == 0)
			return steal(there);
		path += len + (path[len] == ':');
	}
	error_set(err, ERR_NOT_FOUND, "the program '%s' is neither beside sluice nor in PATH",
		  name);
	return NULL;
}

int dev_plan_make(struct dev_plan *plan, const char *dir, const char *names, struct error *err)
{
	struct machine machine = look_at_machine();
	unsigned port;

	memset(plan, 0, sizeof *plan);
	plan->dir = dev_directory(dir, err);
	if (!plan->dir || dev_plan_agents(plan, names, &machine, err) < 0)
		return -1;
	port = base_port(plan->dir, !dir);
	for (unsigned i = 0; i < plan->n_agents; i++, port += PORTS_EACH) {
		plan->agents[i].first_port = port;
		plan->agents[i].last_port = port + PORTS_EACH - 1;
	}
	plan->bin_controller = find_program("sluice-controller", err);
	plan->bin_agent = plan->bin_controller ? find_program("sluice-agent", err) : NULL;
	return plan->bin_agent ? 0 : -1;
}

void dev_plan_release(struct dev_plan *plan)
{
	for (unsigned i = 0; i < plan->n_agents; i++)
		free(plan->agents[i].name);
	free(plan->dir);
	free(plan->bin_controller);
	free(plan->bin_agent);
	memset(plan, 0, sizeof *plan);
}
