/*
 * The pipeline file from any bytes, and a program's configuration from the same: an
 * answer, within the limits, and everything that is said about it can be printed.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spec/config.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config_key table[] = {
	{ "jobs", CONFIG_MAP, NULL, "", 0, 0 },
	{ "pipeline", CONFIG_STRING, NULL, "", 0, 0 },
	{ "version", CONFIG_INT, NULL, "", 0, 3 },
	{ "use", CONFIG_LIST, NULL, "", 0, 0 },
	{ "timeout", CONFIG_DURATION, NULL, "", 0, 0 },
	{ "ports", CONFIG_PORTS, NULL, "", 0, 0 },
	{ "memory", CONFIG_SIZE, NULL, "", 0, 0 },
	{ NULL, CONFIG_STRING, NULL, NULL, 0, 0 },
};

static void print_all(struct diagnostics *d)
{
	struct buf out = { 0 };

	diagnostics_text(d, true, &out);
	diagnostics_json(d, &out);
	diagnostics_sarif(d, &out);
	buf_release(&out);
	diagnostics_release(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spec_override given = { "epochs", "3" };
	struct spec_source src = { .file = "fuzz.yaml",
				   .text = (const char *)data,
				   .len = size,
				   .overrides = &given,
				   .n_overrides = size & 1,
				   .flags = size & 2 ? SPEC_ENVIRONMENTS : 0 };
	struct arena *arena = arena_new(0);
	Sluice__V1__Pipeline *p = NULL;
	struct config *c = config_new(table);
	struct diagnostics d;
	struct buf out = { 0 };

	if (spec_expand(&src, arena, &p, &d) == 0) {
		assert(p && !d.errors && p->n_jobs <= SPEC_JOBS_MAX);
		spec_print(p, &out);
		assert(protobuf_c_message_check(&p->base));
	} else {
		assert(d.errors);
	}
	print_all(&d);
	config_read(c, "fuzz.yaml", (const char *)data, size, &d);
	print_all(&d);
	config_free(c);
	buf_release(&out);
	arena_free(arena);
	return 0;
}
