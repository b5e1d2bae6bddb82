/*
 * Two policies compared field by field, along the descriptors of the schema, so that
 * no field can be forgotten here. A repeated message with a `name` is compared by
 * name; everything else as text: durations, sizes, shares and enums as people write
 * them.
 */
#include "controller/model/policy.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "controller/model/environments.h"

struct diff {
	policy_line_fn *line;
	void *arg;
	size_t n;
};

static void add_line(struct diff *d, const char *path, const char *old, const char *new)
{
	if (d->n++ < POLICY_LINES)
		d->line(d->arg, xprintf("%s: %s -> %s", path, old, new));
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

/* ---- one value as text ---- */

static void print_message(const ProtobufCMessage *m, struct buf *out);

static void print_integer(const char *name, int64_t value, struct buf *out)
{
	char text[CLOCK_TEXT];

	if (ends_with(name, "_ms"))
		buf_puts(out, value ? duration_format(value, text) : "none");
	else
		buf_printf(out, "%" PRId64, value);
}

static void print_text(const char *value, struct buf *out)
{
	if (!value || !*value)
		buf_puts(out, "none");
	else if (strlen(value) > 60 || strchr(value, '\n'))
		buf_printf(out, "'%.*s...'", (int)MIN(strcspn(value, "\n"), (size_t)56), value);
	else
		buf_printf(out, "'%s'", value);
}

static void print_value(const ProtobufCFieldDescriptor *f, const void *at, struct buf *out)
{
	char text[CLOCK_TEXT];

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		print_text(*(char *const *)at, out);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		print_message(*(const ProtobufCMessage *const *)at, out);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		buf_puts(out, *(const protobuf_c_boolean *)at ? "yes" : "no");
		break;
	case PROTOBUF_C_TYPE_ENUM: {
		const ProtobufCEnumValue *v =
			protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)at);

		buf_puts(out, v ? v->name : "unknown");
		break;
	}
	case PROTOBUF_C_TYPE_UINT64:
		if (strstr(f->name, "memory") || strstr(f->name, "disk"))
			buf_puts(out, size_format(*(const uint64_t *)at, text));
		else
			buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
		print_integer(f->name, *(const int64_t *)at, out);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		buf_printf(out, "%g", *(const double *)at);
		break;
	default:
		buf_printf(out, "%" PRId32, *(const int32_t *)at);
	}
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	default:
		return sizeof(uint32_t);
	}
}

static size_t field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return m ? *(const size_t *)((const char *)m + f->quantifier_offset) : 0;
}

static const char *field_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return *(char *const *)((const char *)m + f->offset);
}

static void print_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
			struct buf *out)
{
	size_t n;

	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		print_value(f, (const char *)m + f->offset, out);
		return;
	}
	n = field_count(m, f);
	if (!n)
		buf_puts(out, "none");
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i ? ", " : "");
		print_value(f, field_list(m, f) + i * element_size(f), out);
	}
}

static bool print_special(const ProtobufCMessage *m, struct buf *out)
{
	if (m->descriptor == &sluice__v1__share__descriptor) {
		const Sluice__V1__Share *share = (const Sluice__V1__Share *)m;

		if (share->count)
			buf_printf(out, "%" PRIu32, share->count);
		else
			buf_printf(out, "%" PRIu32 "%%", share->percent);
		return true;
	}
	if (m->descriptor == &sluice__v1__variable__descriptor) {
		const Sluice__V1__Variable *v = (const Sluice__V1__Variable *)m;

		buf_printf(out, "%s=%s", v->name, v->value);
		return true;
	}
	return false;
}

static void print_message(const ProtobufCMessage *m, struct buf *out)
{
	if (!m)
		buf_puts(out, "none");
	if (!m || print_special(m, out))
		return;
	buf_putc(out, '{');
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		buf_printf(out, "%s%s: ", i ? ", " : "", m->descriptor->fields[i].name);
		print_field(m, &m->descriptor->fields[i], out);
	}
	buf_putc(out, '}');
}

/* ---- two messages ---- */

static void diff_messages(struct diff *d, const char *path, const ProtobufCMessage *old,
			  const ProtobufCMessage *new);

static const char *name_of(const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "name");

	return *(char *const *)((const char *)m + f->offset);
}

static const ProtobufCMessage *find_named(const ProtobufCMessage *m,
					  const ProtobufCFieldDescriptor *f, const char *name)
{
	ProtobufCMessage *const *list = m ? (ProtobufCMessage *const *)field_list(m, f) : NULL;

	for (size_t i = 0; i < field_count(m, f); i++)
		if (!strcmp(name_of(list[i]), name))
			return list[i];
	return NULL;
}

static bool has_names(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
	       f->descriptor != &sluice__v1__variable__descriptor &&
	       protobuf_c_message_descriptor_get_field_by_name(f->descriptor, "name");
}

static void diff_named(struct diff *d, const char *path, const ProtobufCFieldDescriptor *f,
		       const ProtobufCMessage *old, const ProtobufCMessage *new)
{
	for (size_t i = 0; i < field_count(old, f); i++) {
		const ProtobufCMessage *m = ((ProtobufCMessage *const *)field_list(old, f))[i];
		cleanup(freep) char *at = xprintf("%s.%s", path, name_of(m));

		if (!find_named(new, f, name_of(m)) && d->n++ < POLICY_LINES)
			d->line(d->arg, xprintf("%s: removed", at));
	}
	for (size_t i = 0; i < field_count(new, f); i++) {
		const ProtobufCMessage *m = ((ProtobufCMessage *const *)field_list(new, f))[i];
		const ProtobufCMessage *before = find_named(old, f, name_of(m));
		cleanup(freep) char *at = xprintf("%s.%s", path, name_of(m));

		if (before)
			diff_messages(d, at, before, m);
		else if (d->n++ < POLICY_LINES)
			d->line(d->arg, xprintf("%s: added", at));
	}
}

static void diff_field(struct diff *d, const char *path, const ProtobufCFieldDescriptor *f,
		       const ProtobufCMessage *old, const ProtobufCMessage *new)
{
	cleanup(buf_release) struct buf a = { 0 }, b = { 0 };

	if (has_names(f)) {
		diff_named(d, path, f, old, new);
		return;
	}
	if (f->label != PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
	    f->descriptor != &sluice__v1__share__descriptor) {
		const void *x = *(void *const *)((const char *)old + f->offset);
		const void *y = *(void *const *)((const char *)new + f->offset);

		if (x && y) {
			diff_messages(d, path, x, y);
			return;
		}
	}
	print_field(old, f, &a);
	print_field(new, f, &b);
	if (strcmp(buf_str(&a), buf_str(&b)))
		add_line(d, path, buf_str(&a), buf_str(&b));
}

static void diff_messages(struct diff *d, const char *path, const ProtobufCMessage *old,
			  const ProtobufCMessage *new)
{
	for (unsigned i = 0; i < old->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &old->descriptor->fields[i];
		cleanup(freep) char *at = xprintf(
			"%s%s%.*s", path, *path ? "." : "",
			(int)(strlen(f->name) - (ends_with(f->name, "_ms") ? 3 : 0)), f->name);

		diff_field(d, at, f, old, new);
	}
}

size_t policy_diff(const Sluice__V1__EnvironmentSpec *old, const Sluice__V1__EnvironmentSpec *new,
		   policy_line_fn *line, void *arg)
{
	struct diff d = { line, arg, 0 };

	diff_messages(&d, "", &old->base, &new->base);
	return d.n;
}

/* ---- what is wrong with one ---- */

static const Sluice__V1__EnvironmentSpec *spec_named(struct world *w, const Sluice__V1__Pipeline *p,
						     const char *name)
{
	const struct environment *env;

	for (size_t i = 0; i < p->n_environments; i++)
		if (!strcmp(p->environments[i]->name, name))
			return p->environments[i];
	env = world_environment(w, name, NULL);
	return env ? env->row->spec : NULL;
}

static int check_after(struct world *w, const Sluice__V1__Pipeline *p,
		       const Sluice__V1__EnvironmentSpec *spec, struct error *err)
{
	const Sluice__V1__EnvironmentSpec *at = spec;

	for (size_t n = 0; at->after[0]; n++) {
		const Sluice__V1__EnvironmentSpec *before = spec_named(w, p, at->after);

		if (!before)
			return error_set(err, ERR_INVALID,
					 "environment '%s' comes after '%s', which there is not",
					 at->name, at->after);
		if (before == spec || n > ENVIRONMENTS_MAX)
			return error_set(err, ERR_INVALID,
					 "environment '%s' comes after itself, by way of '%s'",
					 spec->name, at->name);
		at = before;
	}
	return 0;
}

static int check_one(struct world *w, const Sluice__V1__Pipeline *p,
		     const Sluice__V1__EnvironmentSpec *spec, struct error *err)
{
	const struct environment *env = world_environment(w, spec->name, NULL);

	if (!name_valid(spec->name))
		return error_set(
			err, ERR_INVALID,
			"'%s' is no name for an environment: letters, digits, '.', '_' and "
			"'-', not beginning with '.' or '-'",
			spec->name);
	if (env && strcmp(env->row->spec->pipeline, p->name))
		return error_id(err, "E0408",
				"environment '%s' takes the releases of pipeline '%s', not of '%s'",
				spec->name, env->row->spec->pipeline, p->name);
	return check_after(w, p, spec, err);
}

int policy_check(struct world *w, const Sluice__V1__Pipeline *p, struct error *err)
{
	size_t fresh = 0;

	for (size_t i = 0; i < p->n_environments; i++) {
		if (check_one(w, p, p->environments[i], err) < 0)
			return -1;
		fresh += !world_environment(w, p->environments[i]->name, NULL);
	}
	if (HASH_CNT(by_name, w->environments) + fresh > ENVIRONMENTS_MAX)
		return error_set(err, ERR_EXHAUSTED, "there are %u environments, %d are possible",
				 HASH_CNT(by_name, w->environments), ENVIRONMENTS_MAX);
	return 0;
}
