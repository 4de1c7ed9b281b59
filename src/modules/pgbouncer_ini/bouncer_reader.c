/*
 * src/modules/pgbouncer_ini/bouncer_reader.c - the lines of a pgbouncer.ini, and of the files that it includes.
 *
 * The lines are read as PgBouncer reads them (its parser is in libusual): a comment has a line of its own, a value is
 * the rest of its line, the last of several values counts, and each section [pgbouncer] begins with the defaults again.
 * PgBouncer stops at an error; this reader goes on, so users see all errors at once.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "base/alloc.h"
#include "base/text.h"

#define INCLUDE_DEPTH_MAX 10 /* as in PgBouncer */
#define FILES_MAX 64
#define ENTRIES_MAX 65536
#define NAME_MAX_LEN 127
#define SECTION_MAX_LEN 31 /* pgweir's sections have shorter names */

enum where { BEFORE_SECTIONS, IN_PGBOUNCER, IN_DATABASES, IN_USERS, IN_PEERS, IN_OURS, IN_OTHER };

struct reader {
	struct bouncer *b;
	enum where where;
	char section[SECTION_MAX_LEN + 1]; /* the section's name, if `where` is IN_OURS */
	unsigned depth;
};

static void read_text(struct reader *r, const char *text, size_t len, unsigned file);

static void
begin_section(struct reader *r, unsigned line, const char *name)
{
	static const char *const names[] = { "", "pgbouncer", "databases", "users", "peers" };

	r->where = IN_OTHER;
	for (unsigned i = IN_PGBOUNCER; i < IN_OURS; i++)
		if (strcmp(name, names[i]) == 0)
			r->where = (enum where)i;
	if (r->where == IN_OTHER && config_has_section(name)) {
		r->where = IN_OURS;
		snprintf(r->section, sizeof(r->section), "%s", name);
	}
	if (r->where == IN_OTHER)
		problem_error(r->b->sink, line,
			      "PgBouncer has no section [%s], only [pgbouncer], [databases], [users] and [peers]; "
			      "pgweir's own, such as [http] and [slow_query], may stand beside them",
			      name);
	if (r->where != IN_PGBOUNCER)
		return;
	r->b->has_pgbouncer_section = true;
	for (size_t i = 0; i < BOUNCER_KEYS_MAX; i++) {
		secret_free(r->b->values[i]);
		r->b->values[i] = NULL;
	}
}

static void
report_unknown_key(const struct reader *r, unsigned line, const char *name)
{
	struct nearest nearest = nearest_to(name);
	const struct config_key *ours;

	/* A file that was written for a fork of PgBouncer may have this setting. */
	if (strcmp(name, "stats_users_prefix") == 0) {
		problem_warning(r->b->sink, line,
				"stats_users_prefix, which only a fork of PgBouncer has, is not followed: name in "
				"stats_users each user who may look at the console");
		return;
	}
	bouncer_try_keys(&nearest);
	for (size_t i = 0; (ours = config_key_at(i)) != NULL; i++)
		if (strcmp(ours->name, name) == 0) {
			problem_error(
			    r->b->sink, line,
			    "PgBouncer has no setting \"%s\"; it is pgweir's, in section [%s], which this file may "
			    "have, too",
			    name, ours->section);
			return;
		}
	if (nearest.name != NULL)
		problem_error(r->b->sink, line, "PgBouncer has no setting \"%s\"; did you mean \"%s\"?", name,
			      nearest.name);
	else
		problem_error(r->b->sink, line, "PgBouncer has no setting \"%s\"", name);
}

void
bouncer_set_value(struct bouncer *b, const struct bouncer_key *key, unsigned line, const char *value)
{
	size_t row = bouncer_key_row(key);

	secret_free(b->values[row]);
	b->values[row] = xstrdup(value);
	b->lines[row] = line;
}

static void
put_entry(const struct reader *r, struct bouncer_entries *entries, unsigned line, const char *name, const char *value)
{
	for (size_t i = 0; i < entries->count; i++)
		if (strcmp(entries->list[i].name, name) == 0) {
			secret_free(entries->list[i].value);
			entries->list[i].value = xstrdup(value);
			entries->list[i].line = line;
			return;
		}
	if (entries->count >= ENTRIES_MAX) {
		problem_error(r->b->sink, line, "there are more than %d of them", ENTRIES_MAX);
		return;
	}
	entries->list = xwith_room(entries->list, entries->count, sizeof(*entries->list));
	entries->list[entries->count++] =
	    (struct bouncer_entry){ .name = xstrdup(name), .value = xstrdup(value), .line = line };
}

static void
include(struct reader *r, unsigned line, const char *path)
{
	struct config_source *source = r->b->sink->source;
	struct file_content file;
	struct fail why;

	if (r->depth >= INCLUDE_DEPTH_MAX || source->file_count >= FILES_MAX) {
		problem_error(r->b->sink, line,
			      "%%include %.256s: files include each other too deeply, or are too many", path);
		return;
	}
	if (file_read(path, CONFIG_FILE_MAX, &file, &why) < 0) {
		problem_error(r->b->sink, line, "%%include: %s", why.text);
		return;
	}
	r->depth++;
	read_text(r, file.text, file.len, source_add_file(source, path));
	r->depth--;
	file_free(&file);
}

/* Reads "name = value" in text, which gets a terminator after the name. The name may be in single quotes. */
static void
read_setting(struct reader *r, unsigned line, char *text)
{
	const struct bouncer_key *key;
	bool is_quoted = *text == '\'';
	char *name = is_quoted ? text + 1 : text, *end, *value;
	size_t len = is_quoted ? strcspn(name, "'")
			       : strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-*");

	end = name + len;
	value = end + (is_quoted && *end == '\'');
	value += strspn(value, " \t");
	if (len == 0 || len > NAME_MAX_LEN || *value != '=') {
		problem_error(r->b->sink, line, "this is not a setting; write name = value");
		return;
	}
	value++;
	value += strspn(value, " \t");
	*end = '\0';
	if (r->where == BEFORE_SECTIONS)
		problem_error(r->b->sink, line, "\"%s\" stands before the first section", name);
	else if (r->where == IN_PGBOUNCER && (key = bouncer_key_find(name)) != NULL)
		bouncer_set_value(r->b, key, line, value);
	else if (r->where == IN_PGBOUNCER)
		report_unknown_key(r, line, name);
	else if (r->where == IN_OURS)
		bouncer_add_direct(r->b, line, r->section, name, value);
	else if (r->where != IN_OTHER)
		put_entry(r,
			  r->where == IN_DATABASES ? &r->b->databases
			  : r->where == IN_USERS   ? &r->b->users
						   : &r->b->peers,
			  line, name, value);
}

static void
read_line(struct reader *r, unsigned line, char *text)
{
	char *close;

	for (;;) {
		text += strspn(text, " \t\v\f\r");
		if (*text != '[')
			break;
		close = strchr(text, ']');
		if (close == NULL) {
			problem_error(r->b->sink, line, "a section's name must end with ]");
			return;
		}
		*close = '\0';
		begin_section(r, line, text + 1);
		text = close + 1;
	}
	if (*text == '\0' || *text == '#' || *text == ';')
		return;
	if (strncmp(text, "%include", 8) == 0 && is_blank(text[8]))
		include(r, line, text + 8 + strspn(text + 8, " \t"));
	else
		read_setting(r, line, text);
}

static void
read_text(struct reader *r, const char *text, size_t len, unsigned file)
{
	const char *end = text + len;
	unsigned number = 0;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_len = (size_t)((newline != NULL ? newline : end) - text);
		unsigned line = source_pack_line(file, ++number);
		char *copy;

		if (memchr(text, '\0', line_len) != NULL)
			problem_error(r->b->sink, line, "there is a zero byte in this line");
		else {
			copy = xstrndup(text, line_len);
			while (line_len > 0 && is_space(copy[line_len - 1]))
				copy[--line_len] = '\0';
			read_line(r, line, copy);
			secret_free(copy);
		}
		text = newline != NULL ? newline + 1 : end;
	}
}

void
bouncer_read_lines(struct bouncer *b, const char *text, size_t len, const char *path)
{
	struct reader r = { .b = b, .where = BEFORE_SECTIONS };

	read_text(&r, text, len, source_add_file(b->sink->source, path));
	if (!b->has_pgbouncer_section)
		problem_error(b->sink, 0, "there is no [pgbouncer] section");
}

bool
bouncer_is_ini(const char *text, size_t len)
{
	static const char *const beginnings[] = { "[pgbouncer]", "[databases]", "[users]", "[peers]", "%include " };
	const char *end = text + len, *newline;

	for (; text < end; text = newline != NULL ? newline + 1 : end) {
		while (text < end && is_space(*text))
			text++;
		for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
			if ((size_t)(end - text) >= strlen(beginnings[i]) &&
			    memcmp(text, beginnings[i], strlen(beginnings[i])) == 0)
				return true;
		if (text < end && *text == '[')
			return false;
		newline = memchr(text, '\n', (size_t)(end - text));
	}
	return false;
}

static void
entries_fini(struct bouncer_entries *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		free(entries->list[i].name);
		secret_free(entries->list[i].value);
	}
	free(entries->list);
}

static void
setting_fini(struct translated_setting *s)
{
	free(s->section);
	free(s->key);
	secret_free(s->value);
	secret_free(s->from);
}

void
bouncer_fini(struct bouncer *b)
{
	for (size_t i = 0; i < BOUNCER_KEYS_MAX; i++)
		secret_free(b->values[i]);
	entries_fini(&b->databases);
	entries_fini(&b->users);
	entries_fini(&b->peers);
	for (size_t i = 0; i < b->setting_count; i++)
		setting_fini(&b->settings[i]);
	for (size_t i = 0; i < b->ours_count; i++)
		setting_fini(&b->ours[i]);
	free(b->settings);
	free(b->ours);
	for (size_t i = 0; i < b->note_count; i++)
		free(b->notes[i].text);
	free(b->notes);
}
