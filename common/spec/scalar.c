/*
 * One function a type; none of them knows of files or keys. Numbers are decimal, a bool
 * is `true` or `false`: YAML 1.1's other spellings are told what to write instead.
 */
#include "spec/scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "sluice/v1/model.pb-c.h"

typedef int parse_fn(const char *text, struct scalar *ret, struct error *err);

/* The type's own words are enough. */
static int wrong(struct error *err)
{
	return error_set(err, ERR_INVALID, "%s", "");
}

static int parse_text(const char *text, struct scalar *ret, struct error *err)
{
	if (text[strspn(text, " \t\r\n")])
		return 0;
	return error_set(err, ERR_INVALID, "it is empty");
}

static int parse_shell(const char *text, struct scalar *ret, struct error *err)
{
	if (strlen(text) > SHELL_MAX)
		return error_set(err, ERR_INVALID, "it has more than %d bytes: put it into a file",
				 SHELL_MAX);
	return parse_text(text, ret, err);
}

static int parse_name(const char *text, struct scalar *ret, struct error *err)
{
	if (name_valid(text))
		return 0;
	return error_set(err, ERR_INVALID,
			 "a name is 1 to 128 of A-Z a-z 0-9 . _ - and does not begin with . or -");
}

static int parse_plain_name(const char *text, struct scalar *ret, struct error *err)
{
	if (parse_name(text, ret, err) < 0)
		return -1;
	if (strchr(text, '.'))
		return error_set(err, ERR_INVALID,
				 "a `.` separates a job from its output: no name here holds one");
	return 0;
}

static int parse_variable(const char *text, struct scalar *ret, struct error *err)
{
	const char *s = text;

	if (isalpha((unsigned char)*s) || *s == '_')
		while (isalnum((unsigned char)*s) || *s == '_')
			s++;
	if (s > text && !*s)
		return 0;
	return error_set(err, ERR_INVALID, "a variable is letters, digits and _");
}

static int parse_path(const char *text, struct scalar *ret, struct error *err)
{
	const char *s = text;

	if (!*text)
		return error_set(err, ERR_INVALID, "it is empty");
	if (*text == '/')
		return error_set(err, ERR_INVALID, "it is absolute, not inside the workspace");
	if (strlen(text) > 1024)
		return error_set(err, ERR_INVALID, "it has more than 1024 bytes");
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return error_set(err, ERR_INVALID, "it holds a control character");
	do {
		size_t n = strcspn(s, "/");

		if (n == 2 && !memcmp(s, "..", 2))
			return error_set(err, ERR_INVALID, "its `..` leads out of the workspace");
		s += n;
	} while (*s++);
	for (s = text; *s == '.' || *s == '/';)
		s++;
	if (!*s && (text[0] == '.' && (!text[1] || text[1] == '/')))
		return error_set(err, ERR_INVALID, "it is the workspace itself");
	return 0;
}

static int parse_int(const char *text, struct scalar *ret, struct error *err)
{
	const char *digits = text + (*text == '-' || *text == '+');
	char *end;

	if (!*digits || digits[strspn(digits, "0123456789")])
		return wrong(err);
	errno = 0;
	ret->number = strtoll(text, &end, 10);
	if (errno == ERANGE)
		return error_set(err, ERR_INVALID, "it is too large");
	return 0;
}

static int parse_number(const char *text, struct scalar *ret, struct error *err)
{
	char *end;

	if (!*text || text[strspn(text, "0123456789+-.eE")])
		return wrong(err);
	ret->real = strtod(text, &end);
	if (*end)
		return wrong(err);
	if (!isfinite(ret->real))
		return error_set(err, ERR_INVALID, "it is too large");
	return 0;
}

static int parse_bool(const char *text, struct scalar *ret, struct error *err)
{
	static const char *const others[][2] = { { "yes", "true" },  { "on", "true" },
						 { "y", "true" },    { "no", "false" },
						 { "off", "false" }, { "n", "false" } };

	ret->number = !strcmp(text, "true");
	if (ret->number || !strcmp(text, "false"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (!strcasecmp(text, others[i][0]))
			return error_set(err, ERR_INVALID, "write `%s`", others[i][1]);
	return wrong(err);
}

static int parse_duration(const char *text, struct scalar *ret, struct error *err)
{
	return duration_parse(text, &ret->number, err);
}

static int parse_size(const char *text, struct scalar *ret, struct error *err)
{
	return size_parse(text, &ret->bytes, err);
}

static int parse_cpu(const char *text, struct scalar *ret, struct error *err)
{
	if (parse_number(text, ret, err) < 0)
		return -1;
	if (ret->real < 0.001 || ret->real > 65536)
		return error_set(err, ERR_INVALID, "it must be from 0.001 to 65536");
	ret->number = (int64_t)llround(ret->real * 1000);
	return 0;
}

static int parse_share(const char *text, struct scalar *ret, struct error *err)
{
	size_t digits = strspn(text, "0123456789");
	bool percent = text[digits] == '%';
	long n = digits && digits < 7 ? strtol(text, NULL, 10) : -1;

	if (n < 0 || text[digits + percent])
		return wrong(err);
	if (n < 1 || (percent && n > 100))
		return error_set(err, ERR_INVALID, "it must be %s",
				 percent ? "from 1% to 100%" : "at least 1");
	if (percent)
		ret->percent = (unsigned)n;
	else
		ret->number = n;
	return 0;
}

static int parse_label(const char *text, struct scalar *ret, struct error *err)
{
	const char *equal = strchr(text, '=');
	cleanup(freep) char *name = equal ? xstrndup(text, (size_t)(equal - text)) : NULL;

	if (!equal)
		return wrong(err);
	if (!name_valid(name))
		return error_set(err, ERR_INVALID, "the part before `=` is not a name");
	if (!name_valid(equal + 1))
		return error_set(err, ERR_INVALID, "the part after `=` is not a name");
	return 0;
}

static int parse_cause(const char *text, struct scalar *ret, struct error *err)
{
	static const struct {
		const char *name;
		int reason;
	} causes[] = {
		{ "preempted", SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED },
		{ "out_of_memory", SLUICE__V1__EXIT_REASON__EXIT_OUT_OF_MEMORY },
		{ "infra", SLUICE__V1__EXIT_REASON__EXIT_INFRA },
		{ "timeout", SLUICE__V1__EXIT_REASON__EXIT_TIMEOUT },
		{ "agent_lost", SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST },
	};

	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		if (!strcmp(text, causes[i].name))
			return ret->reason = causes[i].reason, 0;
	if (strncmp(text, "exit:", 5))
		return wrong(err);
	if (parse_int(text + 5, ret, err) < 0 || ret->number < 1 || ret->number > 255)
		return error_set(err, ERR_INVALID, "an exit code is from 1 to 255");
	ret->exit_code = (int)ret->number;
	ret->reason = SLUICE__V1__EXIT_REASON__EXIT_CODE;
	return 0;
}

static int parse_version(const char *text, struct scalar *ret, struct error *err)
{
	if (!strcmp(text, "latest"))
		return 0;
	if (parse_int(text, ret, err) < 0 || ret->number < 1 || ret->number > UINT32_MAX)
		return wrong(err);
	return 0;
}

static int parse_any(const char *text, struct scalar *ret, struct error *err)
{
	return 0;
}

static const struct {
	const char *name, *wanted;
	parse_fn *parse;
} types[SCALAR_TYPES] = {
	[SCALAR_NONE] = { "", "", parse_any },
	[SCALAR_TEXT] = { "text", "a text", parse_text },
	[SCALAR_SHELL] = { "shell", "a shell text", parse_shell },
	[SCALAR_NAME] = { "name", "a name", parse_name },
	[SCALAR_PLAIN_NAME] = { "name", "a name", parse_plain_name },
	[SCALAR_VARIABLE] = { "variable", "the name of a variable", parse_variable },
	[SCALAR_PATH] = { "path", "a path inside the workspace", parse_path },
	[SCALAR_INT] = { "integer", "a whole number", parse_int },
	[SCALAR_NUMBER] = { "number", "a number", parse_number },
	[SCALAR_BOOL] = { "bool", "`true` or `false`", parse_bool },
	[SCALAR_DURATION] = { "duration", "a duration such as `90s`, `5m` or `2h`",
			      parse_duration },
	[SCALAR_SIZE] = { "size", "a size such as `512M` or `16G`", parse_size },
	[SCALAR_CPU] = { "cpus", "a number of CPUs such as `4` or `0.5`", parse_cpu },
	[SCALAR_SHARE] = { "hosts", "a number of hosts or a share such as `50%`", parse_share },
	[SCALAR_CHOICE] = { "choice", "one of its choices", parse_any },
	[SCALAR_LABEL] = { "label", "a label such as `zone=a`", parse_label },
	[SCALAR_CAUSE] = { "cause",
			   "preempted, out_of_memory, infra, timeout, agent_lost or exit:N",
			   parse_cause },
	[SCALAR_EXPECTATION] = { "expectation", "an expectation such as `auc >= 0.9`", parse_text },
	[SCALAR_REFERENCE] = { "reference", "`job.output`, or `job.*.output` of a matrix",
			       parse_text },
	[SCALAR_VERSION] = { "version", "`latest` or a version's number", parse_version },
	[SCALAR_VALUE] = { "value", "a text or a number", parse_any },
};

const char *scalar_type_name(enum scalar_type type)
{
	return types[type].name;
}

const char *scalar_wanted(enum scalar_type type)
{
	return types[type].wanted;
}

int scalar_parse(enum scalar_type type, const char *text, struct scalar *ret, struct error *err)
{
	struct scalar value = { 0 };

	if (types[type].parse(text, &value, err) < 0)
		return -1;
	*ret = value;
	return 0;
}
