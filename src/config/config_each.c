/* src/config/config_each.c - lists all settings with their values, and where each came from. */
#include "base/text.h"
#include "config/config_origin.h"
#include "config/config_value.h"

#include <stdlib.h>

struct walk {
	const struct config *config;
	void (*row)(const struct config_row *row, void *arg);
	void *arg;
};

/* Adds the origin to a row that is complete otherwise, and passes the row to walk->row(). */
static void
emit(const struct walk *walk, struct config_row *row, unsigned line)
{
	char origin[512];

	source_put_location(walk->config->origins->source, walk->config->origins->file, line, origin, sizeof(origin));
	row->origin = origin;
	walk->row(row, walk->arg);
}

static struct config_row
row_of(const struct config_key *key, const char *section, const char *name)
{
	return (struct config_row){
		.section = section,
		.key = name,
		.default_value = key->default_value,
		.unit = key->type == KEY_TIME	? "time"
			: key->type == KEY_SIZE ? "size"
						: key->unit,
		.help = key->help,
		.is_reloadable = key->is_reloadable,
	};
}

static void
emit_key(const struct walk *walk, const struct config_key *key, const void *base, struct config_row *row, unsigned line)
{
	struct buf value = { 0 };

	key_put(key, base, &value);
	row->value = value_put_end(&value);
	if (key->type == KEY_SECRET && *row->value != '\0') {
		row->hidden = row->value;
		row->value = "***";
	}
	emit(walk, row, line);
	secret_free((char *)value.bytes);
}

static void
emit_upstream(const struct walk *walk, const char *section, const struct upstream *up, const struct scope_origin *from)
{
	char *text = upstream_text(up, true), *hidden = upstream_text(up, false);
	struct config_row row = {
		.section = section,
		.key = "upstream",
		.value = text,
		.hidden = hidden,
		.raw = from->upstream_raw,
		.default_value = "",
		.unit = "",
		.help = "where PostgreSQL is: a libpq connection string or a postgres:// URI",
		.is_reloadable = true,
	};

	emit(walk, &row, from->upstream_line);
	secret_free(hidden);
	free(text);
}

static void
emit_scope(const struct walk *walk, const struct config_section *s)
{
	const struct config_scope *scope = s->scope;
	struct buf section = { 0 };
	const struct config_key *key;
	const char *name;

	buf_printf(&section, "%s ", s->word);
	value_put_name(&section, scope->name);
	name = value_put_end(&section);
	if (scope->upstream != NULL)
		emit_upstream(walk, name, scope->upstream, s->origin);
	for (size_t bit = 0; (key = config_scope_key(bit)) != NULL; bit++) {
		struct config_row row = row_of(key, name, key->scope_name);

		if (scope->set & UINT64_C(1) << bit)
			emit_key(walk, key, &scope->settings, &row, s->origin->lines[bit]);
	}
	buf_fini(&section);
}

bool
config_next_section(const struct config *config, struct config_section *s)
{
	const struct {
		const char *word;
		const struct config_scope *scopes;
		size_t count;
	} kinds[] = {
		{ "database", config->databases, config->database_count },
		{ "tenant", config->tenant_scopes, config->tenant_count },
		{ "user", config->users, config->user_count },
	};
	size_t i = s->place++;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); i -= kinds[k++].count)
		if (i < kinds[k].count) {
			s->word = kinds[k].word;
			s->scope = &kinds[k].scopes[i];
			s->origin = s->scope->origin;
			return true;
		}
	return false;
}

const char *
config_foreign_value(const struct config *config, size_t row)
{
	const struct config_source *source = config->origins->source;

	return source != NULL && row < source->value_count ? source->values[row] : NULL;
}

void
config_each(const struct config *config, void (*row)(const struct config_row *row, void *arg), void *arg)
{
	const struct config_origin *origins = config->origins;
	const struct walk walk = { config, row, arg };
	const struct config_key *key;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		struct config_row plain = row_of(key, key->section, key->name);

		plain.pending = origins->pendings[config_key_row(key)];
		plain.raw = origins->raws[config_key_row(key)];
		if (key->type != KEY_LISTENS)
			emit_key(&walk, key, key_base_const(key, config), &plain, origins->lines[config_key_row(key)]);
		for (size_t k = 0; key->type == KEY_LISTENS && k < config->listen_count; k++) {
			plain.value = config->listens[k].text;
			emit(&walk, &plain, origins->listen_lines[k]);
		}
	}
	for (struct config_section s = { 0 }; config_next_section(config, &s);)
		emit_scope(&walk, &s);
}
