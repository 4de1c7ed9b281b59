/*
 * src/load/load.c - turns a file into a configuration, or into a list of all its errors.
 *
 * config_reader.c calls on_section() and on_setting(). Each setting is looked up in the table of keys, its ${...} are
 * expanded, and its value replaces the default in the new configuration. After an error, reading goes on. At the end,
 * sections of databases, tenants and users are sorted by name, and load_check.c checks the whole.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "config/compat.h"
#include "load/file_format.h"
#include "load/load_state.h"

#define ENVIRONMENT_NAME_MAX 96

enum place { IN_NOTHING, IN_UNKNOWN, IN_SECTION, IN_DATABASE, IN_TENANT, IN_USER, PLACES };

struct loader {
	struct config *config;
	struct problem_sink sink;
	char *folder; /* the folder of the file, in which relative paths begin */
	enum place place;
	char section[READER_HEAD_MAX + 1]; /* the text between the brackets */
	/* the line of each section's head, indexed by the row of the section's first key; 0 if there was no head yet */
	unsigned section_lines[CONFIG_KEYS_MAX];
	const struct file_format *format; /* NULL for pgweir's own file */
};

/* The first words of sections of databases, tenants and users. */
static const char *const scope_words[PLACES] = {
	[IN_DATABASE] = "database", [IN_TENANT] = "tenant", [IN_USER] = "user"
};

/* --- sections ------------------------------------------------------------------------------------------------- */

static int
read_scope_name(const struct loader *l, const char *text, char *out, struct fail *why)
{
	static const char *const consoles[] = { "pgweir", "pgbouncer" };

	if (*text != '"' && text[strcspn(text, " \t")] != '\0')
		return fail_set(why, "F0000", "put quotes around a name with blanks, for example [database \"my db\"]");
	if (value_read_name(text, strlen(text), out, why) < 0)
		return -1;
	for (size_t i = 0; l->place == IN_DATABASE && i < 2; i++)
		if (strcmp(out, consoles[i]) == 0)
			return fail_set(why, "F0000", "this name is reserved for the console");
	if (l->place == IN_TENANT && strcmp(out, "*") != 0 && !upstream_is_tenant_name(out, strlen(out)))
		return fail_set(why, "F0000", "the name of a tenant may only have letters, digits, _ and -");
	if (l->place == IN_USER && strcmp(out, "*") == 0)
		return fail_set(why, "F0000", "settings for all users belong in [pool], [timeouts] and so on");
	return 0;
}

/* Returns a place's list of scopes, and sets *count. Until check_scopes(), the list is in the order of the file. */
static struct config_scope **
scopes_of(struct config *config, enum place place, size_t **count)
{
	*count = place == IN_DATABASE ? &config->database_count
		 : place == IN_TENANT ? &config->tenant_count
				      : &config->user_count;
	return place == IN_DATABASE ? &config->databases : place == IN_TENANT ? &config->tenant_scopes : &config->users;
}

/* Adds a scope; `name` is the text after the word database, tenant or user. If `name` is refused, the scope gets no
 * name, but the settings of the scope are checked all the same. */
static void
begin_scope(struct loader *l, unsigned line, enum place place, const char *name)
{
	size_t *count;
	struct config_scope **list = scopes_of(l->config, place, &count), *scope;
	struct fail why;
	char about[READER_HEAD_MAX + 3];

	l->place = place;
	*list = xwith_room(*list, *count, sizeof(**list));
	scope = &(*list)[(*count)++];
	*scope = (struct config_scope){ .origin = xcalloc(1, sizeof(*scope->origin)) };
	scope->origin->line = line;
	snprintf(about, sizeof(about), "[%s]", l->section);
	name += strspn(name, " \t");
	if (*name == '\0')
		problem_error(&l->sink, line, "[%s] needs a name, for example [%s app]%s", l->section, l->section,
			      place == IN_DATABASE ? ", or [database *] for all that are not listed"
			      : place == IN_TENANT ? ", or [tenant *] for all that are not listed"
						   : "");
	else if (read_scope_name(l, name, scope->name, &why) < 0)
		problem_add_fail(&l->sink, line, about, &why);
	else
		return;
	scope->name[0] = '\0';
}

/* Returns the rest of text if it begins with word, followed by a blank or nothing; else NULL. */
static const char *
after_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 && strchr(" \t", text[len]) != NULL ? text + len : NULL;
}

static void
on_section(void *arg, unsigned line, const char *head)
{
	struct loader *l = arg;
	const struct config_key *key;
	char text[PROBLEM_TEXT_MAX];
	const char *name;
	size_t row = 0;

	snprintf(l->section, sizeof(l->section), "%s", head);
	for (enum place place = IN_DATABASE; place < PLACES; place++)
		if ((name = after_word(head, scope_words[place])) != NULL) {
			begin_scope(l, line, place, name);
			return;
		}
	while ((key = config_key_at(row)) != NULL && strcmp(key->section, head) != 0)
		row++;
	l->place = key != NULL ? IN_SECTION : IN_UNKNOWN;
	if (key == NULL) {
		suggest_section(head, text, sizeof(text));
		problem_error(&l->sink, line, "%s", text);
	} else if (l->section_lines[row] != 0)
		problem_error(&l->sink, line, "[%s] has already begun on line %u; put its settings there", l->section,
			      l->section_lines[row]);
	else
		l->section_lines[row] = line;
}

/* --- settings ------------------------------------------------------------------------------------------------- */

static void
on_unknown(struct loader *l, unsigned line, const char *name)
{
	char text[PROBLEM_TEXT_MAX];

	if (l->sink.problems->count >= PROBLEMS_MAX) /* the error will not be shown, so its text does not matter */
		snprintf(text, sizeof(text), "unknown setting");
	else
		suggest_setting(l->section, l->place != IN_SECTION, name, text, sizeof(text));
	problem_error(&l->sink, line, "%s", text);
}

/* Sets *set_line. Returns false, with an error reported, if the setting already has a value on another line. */
static bool
claim_line(struct loader *l, unsigned *set_line, unsigned line, const char *name)
{
	if (*set_line != LINE_DEFAULT) {
		problem_error(&l->sink, line, "\"%s\" was already set on line %u; remove one", name, *set_line);
		return false;
	}
	*set_line = line;
	return true;
}

/* Returns a copy of raw without quotes that enclose the whole of raw; the caller frees the copy with secret_free(). In
 * a list of names, double quotes belong to a name, and stay. */
static char *
unquote(const char *raw, bool is_names)
{
	char quote = reader_quote_of(raw);

	return quote == 0 || (is_names && quote == '"') ? xstrdup(raw) : xstrndup(raw + 1, strlen(raw) - 2);
}

/* Returns raw without a comment (# after a blank), if values of the key can't contain a # (numbers, words, addresses).
 * A name, a password, a path or SQL may contain a #, so the # then stays, with a warning unless the value is quoted.
 * The caller frees the result. */
static char *
strip_comment(struct loader *l, unsigned line, const struct config_key *key, const char *raw)
{
	bool is_plain = key->type <= KEY_WORD_TEXT || (key->type >= KEY_LISTENS && strncmp(raw, "unix:", 5) != 0);
	size_t len = strlen(raw), at = 1;

	while (at < len && !(raw[at] == '#' && is_blank(raw[at - 1])))
		at++;
	if (is_plain && at < len)
		len = at;
	else if (at < len && reader_quote_of(raw) == 0)
		problem_warning(&l->sink, line,
				"%s: the # and what follows are part of the value; a comment there begins "
				"with a semicolon. If they are meant, put quotes around the value",
				key->name);
	while (len > 0 && is_blank(raw[len - 1]))
		len--;
	return xstrndup(raw, len);
}

/* Errors show the value as written, not as expanded, because a variable or file may hold a secret. */
static int
store(struct loader *l, unsigned line, const struct config_key *key, void *base, const char *name, const char *raw)
{
	char about[256];
	struct fail why = { 0 };
	char *bare = strip_comment(l, line, key, raw), *inner = unquote(bare, key->type == KEY_NAMES);
	char *value = expand(inner, EXPAND_ALL, "", &why);
	int rc = value != NULL ? key_store(key, base, value, l->folder, &why) : -1;

	if (value == NULL)
		problem_error(&l->sink, line, "%s", why.text);
	else if (rc < 0) {
		if (key->type == KEY_SECRET)
			raw = "***";
		snprintf(about, sizeof(about), "%s = %.160s%s", name, raw, strlen(raw) > 160 ? "..." : "");
		problem_add_fail(&l->sink, line, about, &why);
	}
	secret_free(value);
	secret_free(inner);
	secret_free(bare);
	return rc;
}

static void
set_in_section(struct loader *l, unsigned line, const char *name, const char *raw)
{
	const struct config_key *key = config_key_find(l->section, name);
	struct config_origin *origins = l->config->origins;
	size_t row, index;

	if (key == NULL) {
		on_unknown(l, line, name);
		return;
	}
	row = config_key_row(key);
	if (key->type == KEY_LISTENS) {
		if (origins->lines[row] == LINE_DEFAULT) /* the first address replaces the default */
			l->config->listen_count = 0;
		origins->lines[row] = line;
		index = l->config->listen_count;
		if (store(l, line, key, l->config, name, raw) == 0 && index < l->config->listen_count)
			origins->listen_lines[index] = line;
		return;
	}
	if (!claim_line(l, &origins->lines[row], line, name))
		return;
	origins->is_bad[row] = store(l, line, key, key_base(key, l->config), name, raw) < 0;
	origins->raws[row] = xstrdup(raw);
}

static struct config_scope *
last_scope(struct loader *l)
{
	size_t *count;
	struct config_scope **list = scopes_of(l->config, l->place, &count);

	return &(*list)[*count - 1];
}

static void
set_upstream(struct loader *l, unsigned line, const char *raw)
{
	struct config_scope *scope = last_scope(l);
	struct fail why = { 0 };
	char *inner, *value;

	if (!claim_line(l, &scope->origin->upstream_line, line, "upstream"))
		return;
	inner = unquote(raw, false);
	value = expand(inner, EXPAND_ALL, "", &why);
	if (value == NULL)
		problem_error(&l->sink, line, "%s", why.text);
	else if ((scope->upstream = upstream_parse(value, l->place == IN_TENANT, &why)) == NULL)
		problem_add_fail(&l->sink, line, "upstream", &why);
	else {
		load_note_password(l->config, inner, scope->upstream);
		if (scope->upstream->password[0] == '\0')
			scope->origin->upstream_raw = xstrdup(raw);
	}
	secret_free(value);
	secret_free(inner);
}

static void
set_in_scope(struct loader *l, unsigned line, const char *name, const char *raw)
{
	struct config_scope *scope = last_scope(l);
	const struct config_key *key;
	size_t bit;

	if (l->place != IN_USER && strcmp(name, "upstream") == 0) {
		set_upstream(l, line, raw);
		return;
	}
	key = config_scope_key_find(name, &bit);
	if (key == NULL) {
		on_unknown(l, line, name);
		return;
	}
	if (key->scope == (l->place == IN_USER ? KEY_FOR_DATABASES : KEY_FOR_USERS)) {
		problem_error(&l->sink, line, "\"%s\" belongs in [%s NAME]", name,
			      l->place == IN_USER ? "database" : "user");
		return;
	}
	if (!claim_line(l, &scope->origin->lines[bit], line, name))
		return;
	if (store(l, line, key, &scope->settings, name, raw) == 0) /* otherwise the field stays NULL or 0 */
		scope->set |= UINT64_C(1) << bit;
}

static void
on_setting(void *arg, unsigned line, const char *name, const char *raw)
{
	struct loader *l = arg;

	if (l->place == IN_SECTION)
		set_in_section(l, line, name, raw);
	else if (l->place >= IN_DATABASE)
		set_in_scope(l, line, name, raw);
	else if (l->place == IN_NOTHING)
		problem_error(&l->sink, line, "\"%s\" stands before the first section; begin with a line [pgweir]",
			      name);
}

/* --- the end -------------------------------------------------------------------------------------------------- */

static int
compare_scopes(const void *a, const void *b)
{
	const struct config_scope *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : (x->origin->line > y->origin->line) - (x->origin->line < y->origin->line);
}

/* Sorts the scopes by name. Reports names that occur twice, and missing upstreams. */
static void
check_scopes(struct loader *l, enum place place)
{
	size_t *count;
	struct config_scope **list = scopes_of(l->config, place, &count);

	if (*count > 1)
		qsort(*list, *count, sizeof(**list), compare_scopes);
	for (size_t i = 0; i < *count; i++) {
		const struct config_scope *scope = &(*list)[i];

		if (scope->name[0] == '\0')
			continue;
		if (i > 0 && strcmp(scope[-1].name, scope->name) == 0)
			problem_error(&l->sink, scope->origin->line, "[%s %s] has already begun on line %u",
				      scope_words[place], scope->name, scope[-1].origin->line);
		else if (place != IN_USER && scope->origin->upstream_line == 0)
			problem_error(
			    &l->sink, scope->origin->line,
			    "[%s %s] has no upstream; say where it is, for example upstream = host=127.0.0.1 port=5432",
			    scope_words[place], scope->name);
	}
}

static void
load_finish(struct loader *l)
{
	struct config *config = l->config;
	bool may_be_none;

	for (enum place place = IN_DATABASE; place < PLACES; place++)
		check_scopes(l, place);
	may_be_none = compat_does(config, COMPAT_STARTS_WITH_MISTAKES);
	/* With compat, missing databases cause only a warning, or none after an error, which may be the reason. */
	if (config->database_count + config->tenant_count == 0 && (!may_be_none || l->sink.problems->error_count == 0))
		problem_add(
		    &l->sink, !may_be_none, 0, "%s",
		    l->format != NULL
			? l->format->no_database
			: "there is no [database NAME] section; write [database *] and upstream = host=127.0.0.1 "
			  "port=5432");
	load_check(config, &l->sink);
}

/* Returns the folder of path as an absolute path, or "/" if the folder can't be found. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash != NULL ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	char *absolute = realpath(folder, NULL);

	free(folder);
	return absolute != NULL ? absolute : xstrdup("/");
}

const struct config_key *
load_find_foreign(const char *name, const struct file_format **format)
{
	const struct config_key *key = NULL;

	for (size_t i = 0; key == NULL && (*format = file_formats[i]) != NULL; i++)
		key = (*format)->key_of(name);
	return key;
}

/* Sets one override: "pool.pool_size", or PgBouncer's name with a value in PgBouncer's units. */
static void
override_one(struct loader *l, const struct config_override *o)
{
	const struct file_format *format;
	const struct config_key *ours = load_find_foreign(o->name, &format);
	const char *dot = strchr(o->name, '.');
	char *section = xstrndup(o->name, dot != NULL ? (size_t)(dot - o->name) : 0);
	const struct config_key *key = dot != NULL ? config_key_find(section, dot + 1) : ours;
	struct buf value = { 0 };
	struct fail why = { 0 };

	free(section);
	if (key == NULL || key->type == KEY_LISTENS)
		problem_error(&l->sink, LINE_SET, "%.64s cannot be set while pgweir runs", o->name);
	else if ((format != NULL && format->convert(o->name, o->value, &value, &why) != 0) ||
		 key_store(key, key_base(key, l->config), format != NULL ? value_put_end(&value) : o->value, l->folder,
			   &why) < 0)
		problem_add_fail(&l->sink, LINE_SET, o->name, &why);
	else
		l->config->origins->lines[config_key_row(key)] = LINE_SET;
	buf_fini(&value);
}

/* Reads variables like PGWEIR_POOL_POOL_SIZE. They take precedence over a file of any format, and the console's SET
 * takes precedence over them. */
static void
read_environment(struct loader *l)
{
	struct config_origin *origins = l->config->origins;
	const struct config_key *key;
	const char *value;
	char name[ENVIRONMENT_NAME_MAX];

	l->place = IN_SECTION;
	for (size_t row = 0; (key = config_key_at(row)) != NULL; row++) {
		snprintf(name, sizeof(name), "PGWEIR_%s_%s", key->section, key->name);
		for (char *at = name; *at != '\0'; at++)
			*at = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
		value = getenv(name);
		if (value == NULL || *value == '\0' || origins->lines[row] == LINE_SET)
			continue;
		snprintf(l->section, sizeof(l->section), "%s", key->section);
		origins->lines[row] = LINE_DEFAULT;
		secret_free(origins->raws[row]);
		origins->raws[row] = NULL;
		set_in_section(l, LINE_ENVIRONMENT, key->name, value);
	}
}

struct config *
load_text(const char *text, size_t len, const char *path, const struct config_override *overrides, size_t count,
	  struct config_problems *problems)
{
	struct loader *l = xcalloc(1, sizeof(*l));
	struct problem_sink sink = { .problems = problems, .file = path };
	const struct reader_calls calls = { on_section, on_setting, l };
	size_t errors_before = problems->error_count;
	struct config *config = NULL;

	l->config = config_new(path);
	l->folder = folder_of(path);
	for (size_t i = 0; file_formats[i] != NULL && l->format == NULL; i++)
		if (file_formats[i]->recognizes(text, len))
			l->format = file_formats[i];
	if (l->format != NULL)
		sink.source = l->config->origins->source = source_new(l->format->words);
	l->sink = sink;
	l->sink.words = config_words(l->config);
	if (l->format != NULL) {
		l->format->read(text, len, path, overrides, count, &calls, &sink);
		read_environment(l);
		load_finish(l);
	} else if (config_read(text, len, &calls, &sink) == 0) {
		read_environment(l);
		for (size_t i = 0; i < count; i++)
			override_one(l, &overrides[i]);
		load_finish(l);
	}
	problems_sort(problems);
	if (problems->error_count == errors_before)
		config = config_ref(l->config);
	config_unref(l->config);
	free(l->folder);
	free(l);
	return config;
}

struct config *
load_config(const char *path, const struct config_override *overrides, size_t count, struct config_problems *problems)
{
	const struct problem_sink sink = { .problems = problems, .file = path };
	struct file_content file;
	struct config *config;
	struct fail why;

	if (file_read(path, CONFIG_FILE_MAX, &file, &why) < 0) {
		problem_error(&sink, 0, "%s", why.text);
		return NULL;
	}
	config = load_text(file.text, file.len, path, overrides, count, problems);
	file_free(&file);
	return config;
}
