/*
 * src/config/config_dump.c - writes a configuration as an ini file that loads to an equal one, except for passwords.
 *
 * A value from ${...} may not fit on a line (because it is too long, or has a newline or " ;" in it). Instead of such a
 * value, the text as written is printed. Sections without any setting are printed, too, because they have an effect.
 */
#include "config/config_state.h"
#include "config/config_value.h"

#include <stdlib.h>
#include <string.h>

struct dump {
	FILE *to;
	char section[2 * CONFIG_NAME_MAX + 16]; /* the section of the previous row; has room for any quoted name */
};

/* Appends value in a form that is read back as value. If value is in quotes, which reading would remove, adds a pair of
 * the other quotes. Returns NULL if value is in quotes and also contains the other kind of quote. */
static const char *
put_value_escaped(struct buf *to, const char *value)
{
	char quote = reader_quote_of(value), other = quote == '"' ? '\'' : '"';

	if (quote != 0 && strchr(value, other) != NULL)
		return NULL;
	if (quote != 0)
		buf_put_u8(to, (uint8_t)other);
	/* A dollar sign is written twice, because a single one may begin ${...}. */
	for (; *value != '\0'; value++) {
		if (*value == '$')
			buf_put_u8(to, '$');
		buf_put_u8(to, (uint8_t)*value);
	}
	if (quote != 0)
		buf_put_u8(to, (uint8_t)other);
	return value_put_end(to);
}

static void
dump_value(FILE *to, const char *name, const char *value, const char *raw, const char *origin)
{
	struct buf escaped = { 0 }, line = { 0 };
	const char *text = put_value_escaped(&escaped, value);

	if (text == NULL || !reader_can_hold(name, text))
		text = raw != NULL && reader_can_hold(name, raw) ? raw : NULL;
	if (text != NULL) {
		size_t len;

		buf_printf(&line, "%s =%s%s", name, *text != '\0' && *text != ';' ? " " : "", text);
		/* Appends the origin as a comment, if the line can hold the comment. */
		len = line.len;
		buf_printf(&line, " ; %s", origin);
		text = value_put_end(&line);
		if (strlen(text) > READER_LINE_MAX || !reader_can_hold("", text + len + 3))
			line.len = len;
		else
			line.len--;
	} else
		buf_printf(&line, "; %s: its value does not fit on one line of a file", name);
	fprintf(to, "%.*s\n", (int)line.len, (const char *)line.bytes);
	buf_fini(&escaped);
	buf_fini(&line);
}

/* Dumps a row with its secrets in full, except upstreams' passwords and values with an LDAP password (bindpasswd). */
static void
dump_row(const struct config_row *row, void *arg)
{
	struct dump *dump = arg;
	bool shows_value = row->hidden == NULL || strstr(row->hidden, "bindpasswd") != NULL;

	if (strcmp(dump->section, row->section) != 0)
		fprintf(dump->to, "[%s]\n", row->section);
	snprintf(dump->section, sizeof(dump->section), "%s", row->section);
	dump_value(dump->to, row->key, shows_value ? row->value : row->hidden,
		   row->hidden != NULL && shows_value ? NULL : row->raw, row->origin);
}

void
config_dump(const struct config *config, FILE *to)
{
	struct dump dump = { .to = to };
	struct buf name = { 0 };

	fprintf(to, "; the settings in force, and where each comes from; passwords are ***\n");
	if (config->single_password[0] != '\0')
		fprintf(to, "; from --upstream: the one user that can log in is not part of this file\n");
	config_each(config, dump_row, &dump);
	for (struct config_section s = { 0 }; config_next_section(config, &s); name.len = 0)
		if (s.scope->set == 0 && s.scope->upstream == NULL) {
			value_put_name(&name, s.scope->name);
			fprintf(to, "[%s %s]\n", s.word, value_put_end(&name));
		}
	buf_fini(&name);
}
