/*
 * A RUN message, checked field by field. The strings stay where they are: the packet lives as
 * long as the run, because a service is started again from it.
 */
#include <string.h>

#include "agent/shim/run.h"

enum { DEFAULT_GRACE_MS = 10000, DEFAULT_FULL_MS = 60000 };

static const char *string(const struct wire_field *f)
{
	if (f->len == 0 || memchr(f->data, '\0', f->len) != f->data + f->len - 1)
		return NULL;
	return (const char *)f->data;
}

static int add_string(char **list, size_t *count, const struct wire_field *f)
{
	const char *s = string(f);

	if (!s || *count == WIRE_MAX_ARGS)
		return -1;
	list[(*count)++] = (char *)s;
	list[*count] = NULL;
	return 0;
}

static int parse_text(struct request *r, struct mask *masks, const struct wire_field *f)
{
	const char **to;

	switch (f->tag) {
	case WIRE_ARG:
		return add_string(r->argv, &r->n_argv, f);
	case WIRE_ENV:
		return add_string(r->env, &r->n_env, f);
	case WIRE_MASK:
		mask_add(masks, f->data, f->len);
		return 0;
	case WIRE_NAME:
		to = &r->name;
		break;
	case WIRE_EXEC:
		to = &r->exec;
		break;
	case WIRE_DIR:
		to = &r->dir;
		break;
	case WIRE_CGROUP:
		to = &r->cgroup;
		break;
	default:
		return 1;
	}
	*to = string(f);
	return *to ? 0 : -1;
}

/* Where the number of a tag goes; NULL: not one of ours. */
static uint64_t *number_place(struct request *r, enum wire_tag tag)
{
	switch (tag) {
	case WIRE_FENCE:
		return &r->fence;
	case WIRE_FLAGS:
		return &r->flags;
	case WIRE_LIMIT:
		return &r->limit;
	case WIRE_LENGTH:
		return &r->length;
	case WIRE_UID:
		return &r->uid;
	case WIRE_GID:
		return &r->gid;
	case WIRE_DEADLINE_AT:
		return (uint64_t *)&r->deadline;
	case WIRE_BUDGET:
		return (uint64_t *)&r->budget;
	case WIRE_TIMEOUT:
		return (uint64_t *)&r->timeout;
	case WIRE_GRACE:
		return (uint64_t *)&r->grace;
	case WIRE_FULL:
		return (uint64_t *)&r->full_wait;
	case WIRE_RESTART_MAX:
		return &r->restart_max;
	case WIRE_RESTART_WINDOW:
		return (uint64_t *)&r->restart_window;
	case WIRE_BACKOFF_MIN:
		return (uint64_t *)&r->backoff_min;
	case WIRE_BACKOFF_MAX:
		return (uint64_t *)&r->backoff_max;
	case WIRE_HEALTHY:
		return (uint64_t *)&r->healthy;
	default:
		return NULL;
	}
}

/* A name is one path component of harmless letters: base/file.h's name_valid(). */
static bool name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (n == 0 || n > SHIM_NAME_MAX || name[0] == '-' || name[0] == '.')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	       n;
}

/* Times are bounded so that no sum of them can overflow. */
static bool times_ok(const struct request *r)
{
	const int64_t times[] = { r->deadline,	  r->budget,	  r->timeout,
				  r->grace,	  r->full_wait,	  r->restart_window,
				  r->backoff_min, r->backoff_max, r->healthy };

	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
		if (times[i] < 0 || times[i] > INT64_MAX / 8)
			return false;
	return true;
}

static bool complete(const struct request *r)
{
	if (!r->fence || !name_ok(r->name) || !r->exec || !r->n_argv || !times_ok(r))
		return false;
	if (r->uid > UINT32_MAX - 1 || r->gid > UINT32_MAX - 1 ||
	    r->restart_max > RUN_RESTART_HISTORY)
		return false;
	if (!(r->flags & WIRE_FLAG_SERVICE))
		return r->limit <= INT64_MAX;
	return r->limit >= 4096 && r->limit <= INT64_MAX && r->length <= INT64_MAX &&
	       r->backoff_min > 0;
}

int request_parse(struct request *ret, struct mask *masks, struct wire_in *in)
{
	struct wire_field f;
	int r;

	/* Not memset: the two lists are long, and only their beginning is ever touched. */
	ret->fence = ret->flags = ret->limit = ret->length = 0;
	ret->name = ret->exec = ret->cgroup = NULL;
	ret->dir = "/";
	ret->n_argv = ret->n_env = 0;
	ret->argv[0] = ret->env[0] = NULL;
	ret->uid = ret->gid = ret->restart_max = 0;
	ret->deadline = ret->budget = ret->timeout = 0;
	ret->grace = DEFAULT_GRACE_MS;
	ret->full_wait = DEFAULT_FULL_MS;
	ret->restart_window = ret->backoff_min = ret->backoff_max = ret->healthy = 0;
	mask_clear(masks);
	while ((r = wire_next(in, &f)) > 0) {
		uint64_t *place = number_place(ret, f.tag);

		if (place ? wire_field_number(&f, place) < 0 : parse_text(ret, masks, &f) < 0)
			return -1;
	}
	return r == 0 && complete(ret) ? 0 : -1;
}
