/*
 * src/modules/pgbouncer_ini/bouncer_import.c - pgweir --import-pgbouncer writes a pgbouncer.ini as pgweir's own
 * configuration file, with comments; --help-pgbouncer prints what becomes of each setting.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "config/compat.h"

#include <string.h>

/* Writes a comment with the origin of the setting: its line, as in "pgbouncer.ini:14: default_pool_size = 30", or
 * PgBouncer's default. */
static void
put_from(const struct bouncer *b, const struct translated_setting *s, FILE *to)
{
	char place[512];

	source_put_location(b->sink->source, "", s->line, place, sizeof(place));
	if (s->line != LINE_PGBOUNCER_DEFAULT)
		fprintf(to, "; %s%s%s\n", place, *s->from != '\0' ? ": " : "", s->from);
	else
		fprintf(to, "; not set there: %s\n", s->from);
}

static void
put_setting(const struct bouncer *b, const struct translated_setting *s, FILE *to)
{
	const struct config_key *key = config_key_find(s->section, s->key);

	/* A default of PgBouncer's that is pgweir's default, too, is left out, except addresses. */
	if (s->line == LINE_PGBOUNCER_DEFAULT && key != NULL && key->type != KEY_LISTENS &&
	    strcmp(key->default_value, s->value) == 0)
		return;
	put_from(b, s, to);
	fprintf(to, "%s =%s%s\n", s->key, *s->value != '\0' && *s->value != ';' ? " " : "", s->value);
}

static void
put_file(const struct bouncer *b, const char *path, FILE *to)
{
	char place[512];

	fprintf(to, "; pgweir's settings for what is in %s: written by pgweir --import-pgbouncer\n", path);
	for (size_t i = 0; i < b->setting_count; i++) {
		const struct translated_setting *s = &b->settings[i];
		bool begins = i == 0 || strcmp(s[-1].section, s->section) != 0,
		     is_scope = !config_has_section(s->section);

		if (begins)
			fprintf(to, "\n[%s]\n", s->section);
		if (begins && is_scope) /* one comment is for all settings of a database or user */
			put_from(b, s, to);
		if (!is_scope)
			put_setting(b, s, to);
		else if (s->key != NULL)
			fprintf(to, "%s = %s\n", s->key, s->value);
	}
	if (b->note_count > 0)
		fprintf(to, "\n; --- what has no setting here, and why ---\n");
	for (size_t i = 0; i < b->note_count; i++) {
		source_put_location(b->sink->source, "", b->notes[i].line, place, sizeof(place));
		fprintf(to, "; %s: %s\n", place, b->notes[i].text);
	}
}

bool
bouncer_import_text(const char *text, size_t len, const char *path, struct config_problems *problems, FILE *to)
{
	struct config_source *source = source_new(&bouncer_problem_words);
	const struct problem_sink sink = { .problems = problems, .file = path, .source = source };
	size_t errors_before = problems->error_count;
	struct bouncer b = { .sink = &sink };
	bool is_good;

	bouncer_read_lines(&b, text, len, path);
	bouncer_translate(&b);
	problems_sort(problems);
	is_good = problems->error_count == errors_before;
	if (is_good)
		put_file(&b, path, to);
	bouncer_fini(&b);
	source_free(source);
	return is_good;
}

bool
bouncer_import(const char *path, struct config_problems *problems, FILE *to)
{
	const struct problem_sink sink = { .problems = problems, .file = path };
	struct file_content file;
	struct fail why;
	bool is_good;

	if (file_read(path, CONFIG_FILE_MAX, &file, &why) < 0) {
		problem_error(&sink, 0, "%s", why.text);
		return false;
	}
	is_good = bouncer_import_text(file.text, file.len, path, problems, to);
	file_free(&file);
	return is_good;
}

/* --- as tables ------------------------------------------------------------------------------------------------ */

static void
print_word(const struct bouncer_word *word, FILE *to)
{
	static const struct {
		unsigned place;
		const char *text;
	} places[] = { { OF_DATABASE, "databases" }, { OF_USER, "users" }, { OF_PEER, "peers" } };
	bool is_next = false;

	fprintf(to, "| `%s` | ", word->name);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if ((word->places & places[i].place) != 0) {
			fprintf(to, "%s%s", is_next ? ", " : "", places[i].text);
			is_next = true;
		}
	if (word->part == WORD_SETTING)
		fprintf(to, " | `%s` |\n", bouncer_key_in_pgweir(bouncer_key_find(word->key))->scope_name);
	else
		fprintf(to, " | %s |\n", word->note);
}

#define WAY_ROW(name, theirs, otherwise) "| " theirs " | " otherwise " |\n"

void
bouncer_print_keys(FILE *to)
{
	const struct bouncer_word *word;
	const struct bouncer_key *key;

	fprintf(to, "| setting | default | what becomes of it |\n|---|---|---|\n");
	for (size_t i = 0; (key = bouncer_key_at(i)) != NULL; i++) {
		fprintf(to, "| `%s` | ", key->name);
		if (key->default_value != NULL && *key->default_value != '\0')
			fprintf(to, "`%s`", key->default_value);
		fprintf(to, " | ");
		if (key->section != NULL)
			fprintf(to, "`[%s] %s`", key->section, key->key);
		else
			fprintf(to, "%s",
				key->fate == BOUNCER_IGNORED ? "ignored" : "**refused**, unless it is the default");
		if (key->zero != NULL)
			fprintf(to, "; 0 becomes `%s`", key->zero);
		if (key->note != NULL)
			fprintf(to, "%s %s", key->section != NULL ? ";" : ":", key->note);
		fprintf(to, " |\n");
	}
	fprintf(to, "\n| word | of | what becomes of it |\n|---|---|---|\n");
	for (size_t i = 0; (word = bouncer_word_at(i)) != NULL; i++)
		print_word(word, to);
	fputc('\n', to);
	fputs("| with compat = pgbouncer | otherwise |\n|---|---|\n" COMPAT_WAY_LIST(WAY_ROW), to);
}
