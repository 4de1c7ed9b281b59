/*
 * src/config/config_schema.c - the table of settings as a JSON Schema (draft 2020-12), for editors, charts and programs
 * that write the file. Sections are objects, and settings are properties of these objects. All values may be strings as
 * in the file; switches may also be booleans, counts and fractions numbers, and listen an array.
 */
#include "config/config_keys.h"
#include "base/escape.h"

#include <string.h>

static void
schema_put_key(struct buf *to, const char *name, const struct config_key *key)
{
	json_put_string(to, name);
	buf_printf(to, ":{");
	if (key->type == KEY_WORD || key->type == KEY_WORD_TEXT) {
		buf_printf(to, "\"enum\":[");
		for (size_t i = 0; key->words[i] != NULL; i++) {
			if (i > 0)
				buf_put_u8(to, ',');
			json_put_string(to, key->words[i]);
		}
		buf_put_u8(to, ']');
	} else if (key->type == KEY_SWITCH)
		buf_printf(to, "\"type\":[\"string\",\"boolean\"]");
	else if (key->type == KEY_COUNT || key->type == KEY_FRACTION)
		buf_printf(to, "\"type\":[\"string\",\"number\"]");
	else if (key->type == KEY_LISTENS)
		buf_printf(to, "\"type\":[\"string\",\"array\"],\"items\":{\"type\":\"string\"}");
	else
		buf_printf(to, "\"type\":\"string\"");
	if (key->type == KEY_COUNT)
		buf_printf(to, ",\"minimum\":%llu,\"maximum\":%llu", (unsigned long long)key->min,
			   (unsigned long long)key->max);
	buf_printf(to, ",\"default\":");
	json_put_string(to, key->default_value);
	buf_printf(to, ",\"description\":");
	json_put_string(to, key->help);
	buf_printf(to, ",\"x-reloadable\":%s}", key->is_reloadable ? "true" : "false");
}

static void
put_section_begin(struct buf *to, const char *name)
{
	json_put_string(to, name);
	buf_printf(to, ":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
}

/* Puts the settings of sections whose heads (like "database app") match `pattern`, except those with the scope
 * not_for. */
static void
put_scope(struct buf *to, const char *pattern, enum key_scope not_for, bool has_upstream)
{
	const struct config_key *key;
	bool is_first = true;

	put_section_begin(to, pattern);
	if (has_upstream) {
		buf_printf(to, "\"upstream\":{\"type\":\"string\",\"description\":\"where PostgreSQL is: libpq's "
			       "keywords or a URI\"}");
		is_first = false;
	}
	for (size_t i = 0; (key = config_scope_key(i)) != NULL; i++) {
		if (key->scope == not_for)
			continue;
		if (!is_first)
			buf_printf(to, ",\n");
		is_first = false;
		schema_put_key(to, key->scope_name, key);
	}
	buf_printf(to, "}%s}", has_upstream ? ",\"required\":[\"upstream\"]" : "");
}

void
config_print_schema(FILE *to)
{
	struct buf b = { 0 };
	const struct config_key *key;
	const char *section = NULL;

	buf_printf(&b, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"pgweir.ini\","
		       "\"type\":\"object\",\"additionalProperties\":false,\n\"properties\":{\n");
	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		if (section == NULL || strcmp(section, key->section) != 0) {
			if (section != NULL)
				buf_printf(&b, "}},\n");
			put_section_begin(&b, key->section);
			section = key->section;
		} else
			buf_printf(&b, ",\n");
		schema_put_key(&b, key->name, key);
	}
	buf_printf(&b, "}}},\n\"patternProperties\":{\n");
	put_scope(&b, "^(database|tenant) .+$", KEY_FOR_USERS, true);
	buf_printf(&b, ",\n");
	put_scope(&b, "^user .+$", KEY_FOR_DATABASES, false);
	buf_printf(&b, "}}\n");
	if (buf_ok(&b))
		fwrite(b.bytes, 1, b.len, to);
	buf_fini(&b);
}
