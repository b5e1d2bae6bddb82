/*
 * docs/sluice.schema.json (JSON Schema draft 7, which editors know best): what the
 * checker accepts, as far as a schema can say it. Keys that are not built yet are left
 * out, so that an editor marks them as the checker does.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "spec/keys.h"
#include "spec/spec.h"

static json_t *schema_of(const struct key *key);

static json_t *choices(const struct key *key)
{
	json_t *names = json_array();
	const char *at = key->choices;
	char name[32];
	bool unbuilt;

	while (key_choice(&at, name, sizeof name, &unbuilt))
		if (!unbuilt)
			json_array_append_new(names, json_string(name));
	return json_pack("{s:o}", "enum", names);
}

static json_t *pattern(const char *regex)
{
	return json_pack("{s:s, s:s}", "type", "string", "pattern", regex);
}

static json_t *integer(const struct key *key)
{
	json_t *schema =
		json_pack("{s:s, s:I}", "type", "integer", "minimum", (json_int_t)key->min);

	if (key->max)
		json_object_set_new(schema, "maximum", json_integer((json_int_t)key->max));
	return schema;
}

static json_t *scalar(const struct key *key, enum scalar_type type)
{
	switch (type) {
	case SCALAR_NAME:
		return pattern("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$");
	case SCALAR_PLAIN_NAME:
		return pattern("^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$");
	case SCALAR_VARIABLE:
		return pattern("^[A-Za-z_][A-Za-z0-9_]*$");
	case SCALAR_PATH:
		return pattern("^[^/]");
	case SCALAR_INT:
		return integer(key);
	case SCALAR_NUMBER:
		return json_pack("{s:s}", "type", "number");
	case SCALAR_CPU:
		return json_pack("{s:s, s:f}", "type", "number", "minimum", 0.001);
	case SCALAR_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case SCALAR_DURATION:
		return pattern("^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$");
	case SCALAR_SIZE:
		return json_pack("{s:[s, s], s:s}", "type", "string", "integer", "pattern",
				 "^[0-9]+(\\.[0-9]+)?([KMGTP](iB|B)?)?B?$");
	case SCALAR_SHARE:
		return json_pack("{s:[s, s], s:i, s:s}", "type", "integer", "string", "minimum", 1,
				 "pattern", "^([1-9][0-9]?|100)%$");
	case SCALAR_CHOICE:
		return choices(key);
	case SCALAR_LABEL:
		return pattern("^[A-Za-z0-9_][A-Za-z0-9._-]*=[A-Za-z0-9_][A-Za-z0-9._-]*$");
	case SCALAR_CAUSE:
		return pattern("^(preempted|out_of_memory|infra|timeout|agent_lost|"
			       "exit:[1-9][0-9]{0,2})$");
	case SCALAR_REFERENCE:
		return pattern("^[A-Za-z0-9_-]+\\.(\\*\\.)?[A-Za-z0-9_-]+$");
	case SCALAR_VERSION:
		return json_pack("{s:[{s:s}, {s:s, s:i}]}", "anyOf", "const", "latest", "type",
				 "integer", "minimum", 1);
	case SCALAR_VALUE:
		return json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
	default:
		return json_pack("{s:s, s:i}", "type", "string", "minLength", 1);
	}
}

static json_t *list_of(json_t *items)
{
	return json_pack("{s:s, s:o}", "type", "array", "items", items);
}

static json_t *any_of(json_t *one, json_t *other)
{
	return json_pack("{s:[o, o]}", "anyOf", one, other);
}

static json_t *map_of(const struct key *map)
{
	json_t *properties = json_object(), *required = json_array(), *schema;
	const struct key *k = NULL;

	while ((k = keys_below(map, k))) {
		if (k->unbuilt)
			continue;
		json_object_set_new(properties, key_name(k), schema_of(k));
		/* environments may be a file of their own */
		if (k->required && map != &keys_root)
			json_array_append_new(required, json_string(key_name(k)));
	}
	if (map == &keys_root)
		json_array_append_new(required, json_string("version"));
	schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
			   "additionalProperties", 0);
	if (json_array_size(required))
		json_object_set(schema, "required", required);
	json_decref(required);
	return schema;
}

static json_t *named_of(const struct key *map)
{
	const struct key *each = keys_find(map, "*"), *k = NULL;
	json_t *properties = json_object();
	json_t *schema =
		json_pack("{s:s, s:o}", "type", "object", "additionalProperties", schema_of(each));

	while ((k = keys_below(map, k)))
		json_object_set_new(properties, key_name(k), schema_of(k));
	if (json_object_size(properties))
		json_object_set(schema, "properties", properties);
	json_decref(properties);
	json_object_set_new(schema, "propertyNames", scalar(map, map->names));
	return schema;
}

static json_t *values_of(const struct key *map)
{
	json_t *schema = json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
				   scalar(map, map->type));

	if (map->names != SCALAR_NONE)
		json_object_set_new(schema, "propertyNames", scalar(map, map->names));
	return schema;
}

static json_t *shape_of(const struct key *key)
{
	switch (key->shape) {
	case KEY_LIST:
		return list_of(scalar(key, key->type));
	case KEY_SCALAR_LIST:
		return any_of(scalar(key, key->type), list_of(scalar(key, key->type)));
	case KEY_LIST_MAP:
		return list_of(values_of(key));
	case KEY_MAP:
		return key->type == SCALAR_NONE ? map_of(key)
						: any_of(scalar(key, key->type), map_of(key));
	case KEY_NAMED:
		return named_of(key);
	case KEY_VALUES:
		return values_of(key);
	case KEY_SCALAR:
		break;
	}
	return scalar(key, key->type);
}

static json_t *schema_of(const struct key *key)
{
	json_t *schema = shape_of(key);

	json_object_set_new(schema, "description", json_string(key->doc));
	if (!strcmp(key->path, "version")) {
		json_object_del(schema, "minimum");
		json_object_set_new(schema, "const", json_integer(1));
	}
	return schema;
}

void spec_json_schema(struct buf *out)
{
	json_t *schema = map_of(&keys_root);
	char *text;

	json_object_set_new(schema, "$schema",
			    json_string("http://json-schema.org/draft-07/schema#"));
	json_object_set_new(schema, "title", json_string("A Sluice pipeline: sluice.yaml"));
	text = json_dumps(schema, JSON_INDENT(2));
	json_decref(schema);
	buf_puts(out, text);
	buf_putc(out, '\n');
	free(text);
}
