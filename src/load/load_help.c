/* src/load/load_help.c - prints the table of settings as Markdown, and single settings as text, for --help-config. */
#include "config/config_keys.h"
#include "load/file_format.h"

#include <inttypes.h>
#include <string.h>

/* Writes the kind of value that a setting takes. */
static void
put_kind(struct buf *to, const struct config_key *key)
{
	/* Texts for types without bounds. Of settings with a list of words, only KEY_HTTP_LISTEN uses its text. */
	static const char *const texts[] = {
		[KEY_FRACTION] = "0 to 1", [KEY_SWITCH] = "on or off",
		[KEY_TEXT] = "text",	   [KEY_CODE] = "code",
		[KEY_SECRET] = "text",	   [KEY_PATH] = "path",
		[KEY_PATHS] = "paths",	   [KEY_NAMES] = "names",
		[KEY_LISTENS] = "address", [KEY_HTTP_LISTEN] = "address, or off",
	};

	switch (key->type) {
	case KEY_COUNT:
		buf_printf(to, "%" PRIu64 " to %" PRIu64 "%s%s%s", key->min, key->max, *key->unit != '\0' ? " " : "",
			   key->unit, key->words != NULL ? ", or auto" : "");
		break;
	case KEY_TIME:
		buf_printf(to, "time, ");
		value_put_time(to, key->min);
		buf_printf(to, " to ");
		value_put_time(to, key->max);
		if (key->words != NULL)
			buf_printf(to, ", or off");
		break;
	case KEY_SIZE:
		buf_printf(to, "size, ");
		value_put_size(to, key->min);
		buf_printf(to, " to ");
		value_put_size(to, key->max);
		break;
	default:
		if (key->words != NULL && key->type != KEY_HTTP_LISTEN)
			value_put_words(to, key->words, key->type == KEY_PATH ? "an absolute path" : NULL);
		else
			buf_printf(to, "%s", texts[key->type]);
		if (key->type == KEY_WORDS)
			buf_printf(to, "; or several, separated by commas");
	}
}

/* Writes the other places where the setting can be set, and whether a change needs a restart. */
static void
put_notes(struct buf *to, const struct config_key *key)
{
	const char *where = "database and user";

	if (key->scope_name != NULL && key->scope == KEY_FOR_DATABASES)
		where = "database";
	else if (key->scope_name != NULL && key->scope == KEY_FOR_USERS)
		where = "user";
	if (key->scope_name != NULL && strcmp(key->scope_name, key->name) != 0)
		buf_printf(to, ". Per %s as `%s`", where, key->scope_name);
	else if (key->scope_name != NULL)
		buf_printf(to, ". Per %s", where);
	if (!key->is_reloadable)
		buf_printf(to, ". Needs a restart");
}

bool
load_print_key(const char *name, FILE *to)
{
	const struct file_format *format;
	const struct config_key *key, *ours = load_find_foreign(name, &format);
	bool is_found = false;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++)
		if (load_key_has_name(key, name) || key == ours) {
			struct buf text = { 0 };

			buf_printf(&text, "[%s]\n%s =%s%s\n\t", key->section, key->name,
				   *key->default_value != '\0' ? " " : "", key->default_value);
			put_kind(&text, key);
			buf_printf(&text, "\n\t%s", key->help);
			put_notes(&text, key);
			buf_printf(&text, "\n");
			if (buf_ok(&text))
				fwrite(text.bytes, 1, text.len, to);
			buf_fini(&text);
			is_found = true;
		}
	return is_found;
}

void
load_print_keys(FILE *to)
{
	const struct config_key *key;
	const char *section = "";

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		const char *quote = *key->default_value != '\0' ? "`" : "";
		struct buf row = { 0 };

		if (strcmp(section, key->section) != 0)
			fprintf(to, "%s### [%s]\n\n| setting | default | value | meaning |\n|---|---|---|---|\n",
				i > 0 ? "\n" : "", key->section);
		section = key->section;
		buf_printf(&row, "| `%s` | %s%s%s | ", key->name, quote, *quote != '\0' ? key->default_value : "empty",
			   quote);
		put_kind(&row, key);
		buf_printf(&row, " | %s", key->help);
		put_notes(&row, key);
		buf_printf(&row, " |\n");
		if (buf_ok(&row))
			fwrite(row.bytes, 1, row.len, to);
		buf_fini(&row);
	}
	fprintf(
	    to,
	    "\n### [database NAME] and [user NAME]\n\n| setting | default | value | meaning |\n|---|---|---|---|\n"
	    "| `upstream` | required | a libpq connection string or URI | where PostgreSQL is; only in databases |\n"
	    "| any \"per database and user\" above | the value above | the same | for this database or user; "
	    "the user's takes precedence |\n");
}
