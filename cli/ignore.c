/*
 * Globs are matched by hand, since fnmatch() knows no `**`. Each `*` remembers one place to come
 * back to, which is enough within a name; `**` tries every directory, and there are at most as many
 * of them as the pattern has slashes.
 */
#include "cli/ignore.h"

#include <string.h>

#include "base/mem.h"

struct pattern {
	char *glob;
	bool take_back, directory_only, anchored;
};

struct ignore {
	struct pattern *patterns;
	size_t count;
};

/* A set at p ("[a-z]"); *ret_end is behind it. NULL end: no set, a plain `[`. */
static bool in_set(const char *p, char c, const char **ret_end)
{
	bool negated = p[1] == '!' || p[1] == '^', found = false;
	const char *at = p + 1 + negated, *first = at;

	*ret_end = NULL;
	for (; *at && (*at != ']' || at == first); at++) {
		if (at[1] == '-' && at[2] && at[2] != ']') {
			found |= c >= at[0] && c <= at[2];
			at += 2;
		} else {
			found |= c == *at;
		}
	}
	if (!*at)
		return false;
	*ret_end = at + 1;
	return found != negated;
}

/* One character of the pattern against c; the pattern behind it, or NULL. */
static const char *step(const char *p, char c)
{
	const char *end;

	if (!*p || !c || c == '/')
		return *p && *p == c ? p + 1 : NULL;
	if (*p == '?')
		return p + 1;
	if (*p == '[') {
		bool hit = in_set(p, c, &end);

		if (end)
			return hit ? end : NULL;
	}
	if (*p == '\\' && p[1])
		p++;
	return *p == c ? p + 1 : NULL;
}

static bool glob(const char *p, const char *s)
{
	const char *star = NULL, *from = NULL;

	for (;;) {
		const char *next;

		if (p[0] == '*' && p[1] == '*') {
			const char *rest = p + 2 + (p[2] == '/');

			if (!*rest)
				return true;
			for (; s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL)
				if (glob(rest, s))
					return true;
			return false;
		}
		if (*p == '*') {
			star = ++p;
			from = s;
			continue;
		}
		if (!*p && !*s)
			return true;
		next = step(p, *s);
		if (next) {
			p = next;
			s++;
			continue;
		}
		if (!star || !*from || *from == '/')
			return false;
		p = star;
		s = ++from;
	}
}

static bool add(struct ignore *ig, const char *line, size_t len)
{
	struct pattern *p = &ig->patterns[ig->count];

	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' || line[len - 1] == '\r'))
		len--;
	if (!len || *line == '#')
		return true;
	*p = (struct pattern){ 0 };
	if (*line == '!') {
		p->take_back = true;
		line++;
		len--;
	}
	if (len && line[len - 1] == '/') {
		p->directory_only = true;
		len--;
	}
	p->anchored = memchr(line, '/', len) != NULL;
	if (len && *line == '/') {
		line++;
		len--;
	}
	if (!len)
		return true;
	p->glob = xstrndup(line, len);
	return ++ig->count < IGNORE_MAX;
}

struct ignore *ignore_parse(const char *text, size_t len)
{
	struct ignore *ig = xcalloc(1, sizeof *ig);
	const char *end = text + len;

	ig->patterns = xcalloc(IGNORE_MAX, sizeof *ig->patterns);
	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		if (!add(ig, text, (size_t)((eol ? eol : end) - text)))
			break;
		text = eol ? eol + 1 : end;
	}
	return ig;
}

void ignore_free(struct ignore *ig)
{
	if (!ig)
		return;
	for (size_t i = 0; i < ig->count; i++)
		free(ig->patterns[i].glob);
	free(ig->patterns);
	free(ig);
}

static bool matches_one(const struct ignore *ig, const char *path, bool is_directory)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = ig->count; i > 0; i--) {
		const struct pattern *p = &ig->patterns[i - 1];

		if (p->directory_only && !is_directory)
			continue;
		if (glob(p->glob, p->anchored ? path : name))
			return !p->take_back;
	}
	return false;
}

bool ignore_matches(const struct ignore *ig, const char *path, bool is_directory)
{
	if (!ig)
		return false;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		cleanup(freep) char *above = xstrndup(path, (size_t)(slash - path));

		if (matches_one(ig, above, true))
			return true;
	}
	return matches_one(ig, path, is_directory);
}
