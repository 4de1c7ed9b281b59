/*
 * src/config/config_dump.c - a configuration as an ini file that loads to the same value, passwords excepted.
 *
 * A value that came out of a ${...} may be more than a line can hold (with a newline, with " ;" in it): then what was
 * written is printed instead. Sections without a setting of their own are printed too: they count.
 */
#include "config/config_state.h"
#include "config/config_value.h"

#include <stdlib.h>
#include <string.h>

struct dump {
	const struct config *config;
	FILE *to;
};

/* Quotes around all of it would be taken off. NULL: it can't be written. */
static const char *
put_quoted(struct buf *to, const char *value)
{
	char quote = reader_quote_of(value), other = quote == '"' ? '\'' : '"';

	if (quote != 0 && strchr(value, other) != NULL)
		return NULL;
	if (quote != 0)
		buf_put_u8(to, (uint8_t)other);
	/* Writes value so that it is read back unchanged: a dollar sign is doubled. */
	for (; *value != '\0'; value++) {
		if (*value == '$')
			buf_put_u8(to, '$');
		buf_put_u8(to, (uint8_t)*value);
	}
	if (quote != 0)
		buf_put_u8(to, (uint8_t)other);
	return value_put_end(to);
}

/* raw: what was written in the file, or NULL. */
static void
dump_value(const struct dump *dump, const char *name, const char *value, const char *raw, unsigned origin)
{
	struct buf escaped = { 0 }, line = { 0 };
	const char *text = put_quoted(&escaped, value);

	if (text == NULL || !reader_can_hold(text))
		text = raw != NULL && reader_can_hold(raw) ? raw : NULL;
	if (text != NULL) {
		size_t len;
		char place[512];

		buf_printf(&line, "%s =%s%s", name, *text != '\0' && *text != ';' ? " " : "", text);
		/* The name of the file as a comment, unless it would be read as something else. */
		len = line.len;
		source_place(dump->config->origins->source, dump->config->origins->file, origin, place, sizeof(place));
		buf_printf(&line, " ; %s", place);
		text = value_put_end(&line);
		if (!reader_can_hold(text + len + 3))
			line.len = len;
		else
			line.len--;
	} else
		buf_printf(&line, "; %s: its value does not fit on one line of a file", name);
	fprintf(dump->to, "%.*s\n", (int)line.len, (const char *)line.bytes);
	buf_fini(&escaped);
	buf_fini(&line);
}

static void
dump_scope(const struct dump *dump, const struct config_section *s)
{
	const struct config_scope *scope = s->scope;
	struct buf text = { 0 };
	const struct config_key *key;
	char *upstream;

	buf_printf(&text, "[%s ", s->word);
	value_put_name(&text, scope->name);
	fprintf(dump->to, "%.*s]\n", (int)text.len, (const char *)text.bytes);
	upstream = scope->upstream != NULL ? upstream_text(scope->upstream, false) : NULL;
	if (upstream != NULL)
		dump_value(dump, "upstream", upstream, s->origin->upstream_raw, s->origin->upstream_line);
	free(upstream);
	for (size_t bit = 0; (key = config_scope_key(bit)) != NULL; bit++) {
		if (!(scope->set & UINT64_C(1) << bit))
			continue;
		text.len = 0;
		key_put(key, &scope->settings, &text);
		dump_value(dump, key->scope_name, value_put_end(&text), NULL, s->origin->lines[bit]);
	}
	buf_fini(&text);
}

void
config_dump(const struct config *config, FILE *to)
{
	const struct dump dump = { config, to };
	const struct config_origin *origins = config->origins;
	const struct config_key *key;
	const char *section = "";

	fprintf(to, "; the settings in force, and where each comes from; passwords are ***\n");
	if (config->single_password[0] != '\0')
		fprintf(to, "; from --upstream: the one user that can log in is not part of this file\n");
	for (size_t i = 0; (key = config_key(i)) != NULL; i++) {
		if (strcmp(section, key->section) != 0)
			fprintf(to, "[%s]\n", key->section);
		section = key->section;
		for (size_t k = 0; key->type == KEY_LISTENS && k < config->listen_count; k++)
			dump_value(&dump, key->name, config->listens[k].text, NULL, origins->listen_lines[k]);
		if (key->type != KEY_LISTENS) {
			size_t row = config_key_row(key);
			struct buf value = { 0 };

			key_put(key, key_base_of(key, config), &value);
			if (key->type == KEY_SECRET && strstr(value_put_end(&value), "bindpasswd") != NULL)
				dump_value(&dump, key->name, "***", NULL, origins->lines[row]);
			else
				dump_value(&dump, key->name, value_put_end(&value), origins->raws[row],
					   origins->lines[row]);
			buf_fini(&value);
		}
	}
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		dump_scope(&dump, &s);
}
