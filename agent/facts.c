/*
 * Facts about the host. What the configuration says wins over what is measured.
 */
#include "agent/facts.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/gpu.h"
#include "base/file.h"
#include "proto/message.h"

static uint32_t cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return (uint32_t)CPU_COUNT(&set);
	return (uint32_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
}

static uint64_t memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

static void set_os(Sluice__V1__HostFacts *f)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct utsname name;
	const char *at, *key = "PRETTY_NAME=\"";

	if (file_read("/etc/os-release", 64 << 10, &text, NULL) == 0 &&
	    (at = strstr(buf_str(&text), key))) {
		cleanup(freep) char *value = NULL;

		at += strlen(key);
		value = xstrndup(at, strcspn(at, "\"\n"));
		message_set_string(&f->os, value);
	} else if (uname(&name) == 0) {
		message_set_string(&f->os, name.sysname);
	}
}

Sluice__V1__HostFacts *facts_measure(const struct config *config, const char *state_dir,
				     const struct contain *contain, struct error *err)
{
	cleanup(message_freep) Sluice__V1__HostFacts *f =
		message_new(&sluice__v1__host_facts__descriptor);
	const char *address = config_string(config, "address");
	char hostname[256] = "";

	gethostname(hostname, sizeof hostname - 1);
	message_set_string(&f->hostname, hostname);
	f->cpu_milli = config_has(config, "cpus") ? (uint32_t)config_int(config, "cpus") * 1000
						  : cpus() * 1000;
	f->slots = config_has(config, "slots") ? (uint32_t)config_int(config, "slots")
					       : MAX(f->cpu_milli / 1000, 1u);
	f->memory = config_has(config, "memory") ? config_size(config, "memory") : memory();
	if (file_free_bytes(state_dir, &f->disk_free, err) < 0)
		return NULL;
	if (config_has(config, "gpus"))
		gpu_pretend(f, (unsigned)config_int(config, "gpus"),
			    config_size(config, "gpu_memory"));
	else
		gpu_detect(f);
	if (contain) {
		cleanup(freep) char *text =
			xprintf("%s: %s", contain_kind_name(contain->kind), contain->reason);

		message_set_string(&f->containment, text);
	}
	message_set_string(&f->address, address ? address : hostname);
	set_os(f);
	return steal(f);
}
