/*
 * src/auth/rule_file.c - see rule_file.h.
 *
 * A file is read in logical lines, which join each continued line with the next one. Each logical line is split into
 * fields. An included file is read in the same way, one level deeper. The words of all lines of a list file (@NAME) go
 * into one field.
 */
#include "auth/rule_file.h"
#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>

#define DIR_FILES_MAX 1000

/* A file that is being read. */
struct source {
	void (*on_line)(const struct rule_line *line, void *arg);
	void *arg; /* passed to on_line() */
	struct rule_reading *reading;
	size_t *bytes_left; /* for all files together */
	const char *path;
	unsigned line_number; /* the number of the line where the present logical line begins */
	unsigned depth;
	bool opens_files;
	bool is_bad; /* an error in the present logical line was reported; after take_lines(), in any line */
	struct rule_field *list; /* if not NULL, the words of all lines are added to this field (@NAME) */
};

static void complain(struct source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
report_error(struct rule_reading *r, const char *path, unsigned line, const char *fmt, va_list ap)
{
	char text[RULE_TEXT_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	r->errors++;
	r->report(true, path, line, text, r->arg);
}

bool
rule_report_error(struct rule_reading *r, const struct rule_line *line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_error(r, line->path, line->number, fmt, ap);
	va_end(ap);
	return false;
}

static void
complain(struct source *s, const char *fmt, ...)
{
	va_list ap;

	s->is_bad = true;
	va_start(ap, fmt);
	report_error(s->reading, s->path, s->line_number, fmt, ap);
	va_end(ap);
}

bool
rule_take_regex(struct rule_reading *r, const struct rule_line *line, const struct rule_word *word,
		struct rule_regex **regex)
{
	struct fail why;

	if (r->regexes++ == RULE_REGEXES_MAX)
		return rule_report_error(r, line, "more than %d regular expressions", RULE_REGEXES_MAX);
	if (r->regexes > RULE_REGEXES_MAX)
		return false;
	*regex = rule_regex_new(word->text + 1, &why);
	if (*regex == NULL)
		return rule_report_error(r, line, "regular expression \"%.150s\": %s", word->text + 1, why.text);
	return true;
}

bool
rule_check_role(struct rule_reading *r, const struct rule_line *line, const char *role)
{
	if (role[0] != '\0' && strlen(role) <= RULE_ROLE_MAX)
		return true;
	return rule_report_error(r, line, "\"+%.100s\" names no role: 1 to %d bytes behind the plus", role,
				 RULE_ROLE_MAX);
}

bool
rule_word_is(const struct rule_word *word, const char *keyword)
{
	return !word->is_quoted && strcmp(word->text, keyword) == 0;
}

/* --- Fields and words. --- */

static void
field_fini(struct rule_field *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->words[i].text);
	free(f->words);
	*f = (struct rule_field){ 0 };
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Reads the next word, and unquotes the word in place. Sets *has_comma to true if a comma follows, after which the same
 * field goes on, else to false. Returns false if there is no word, or if the line is bad. */
static bool
next_word(struct source *s, char **at, struct rule_word *word, bool *has_comma)
{
	char *p = *at, *to;
	bool is_in_quotes = false, has_quotes = false;

	*has_comma = false;
	while (is_blank(*p) || *p == ',')
		p++;
	word->text = to = p;
	word->is_quoted = *p == '"';
	for (; *p != '\0' && (is_in_quotes || (!is_blank(*p) && *p != ',' && *p != '#')); p++) {
		if (*p != '"')
			*to++ = *p;
		else if (is_in_quotes && p[1] == '"')
			*to++ = *p++;
		else {
			is_in_quotes = !is_in_quotes;
			has_quotes = true;
		}
	}
	if (is_in_quotes) {
		complain(s, "a quote is not closed on its line");
		return false;
	}
	*has_comma = *p == ',';
	/* The word's terminator may overwrite the byte after the word. So reading goes on after that byte or, if the
	 * byte begins a comment, after the whole comment. */
	*at = *p == '#' ? p + strlen(p) : *p != '\0' ? p + 1 : p;
	if (to == word->text && !has_quotes)
		return false;
	*to = '\0';
	return true;
}

static void read_file(struct source *s, const char *path, bool is_optional);
static void read_list(struct source *from, const char *name, struct rule_field *list);

/* Adds all words of the next field to f. Returns false if there is no field, or if the line is bad. */
static bool
next_field(struct source *s, char **at, struct rule_field *f)
{
	struct rule_word word;
	bool has_comma = true;
	bool has_any = false;

	while (has_comma && next_word(s, at, &word, &has_comma)) {
		has_any = true;
		if (!word.is_quoted && word.text[0] == '@' && word.text[1] != '\0')
			read_list(s, word.text + 1, f);
		else {
			f->words = xwith_room(f->words, f->count, sizeof(*f->words));
			f->words[f->count++] = (struct rule_word){ xstrdup(word.text), word.is_quoted };
		}
	}
	return has_any && !s->is_bad;
}

/* --- Files within files. --- */

/* Returns the path of the file `name`, which the file at `path` names. A relative name begins in the folder of path. */
static char *
path_beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	if (name[0] == '/' || slash == NULL)
		return xstrdup(name);
	return xasprintf("%.*s%s", (int)(slash + 1 - path), path, name);
}

static bool
check_may_open(struct source *s, const char *name)
{
	if (!s->opens_files)
		complain(s, "other files are not read here: \"%.200s\"", name);
	else if (s->depth + 1 >= RULE_DEPTH_MAX)
		complain(s, "\"%.200s\" is more than %d files deep; does a file include itself?", name, RULE_DEPTH_MAX);
	else
		return true;
	return false;
}

/* Reads the lines or, unless list is NULL, the words of the file at `path`, which the present line of `from` names. */
static void
read_named(struct source *from, const char *path, struct rule_field *list, bool is_optional)
{
	struct source inner = *from;

	inner.depth++;
	inner.list = list;
	read_file(&inner, path, is_optional);
	from->is_bad = from->is_bad || (list != NULL && inner.is_bad);
}

static void
read_list(struct source *from, const char *name, struct rule_field *list)
{
	char *path;

	if (!check_may_open(from, name))
		return;
	path = path_beside(from->path, name);
	read_named(from, path, list, false);
	free(path);
}

static int
is_rules_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
read_folder(struct source *from, const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_rules_file, by_name);

	if (count < 0)
		complain(from, "could not open folder \"%.200s\": %s", path, strerror(errno));
	if (count > DIR_FILES_MAX)
		complain(from, "more than %d files in \"%.200s\"", DIR_FILES_MAX, path);
	for (int i = 0; i < count; i++) {
		if (count <= DIR_FILES_MAX) {
			char *file = xasprintf("%s/%s", path, entries[i]->d_name);

			read_named(from, file, NULL, false);
			free(file);
		}
		free(entries[i]);
	}
	free(entries);
}

/* Handles the include directives. Returns false if the line is not an include directive. */
static bool
include(struct source *s, const struct rule_line *line)
{
	const struct rule_field *what = &line->fields[0];
	const char *name;
	char *path;

	if (line->count != 2 || what->count != 1 ||
	    !(rule_word_is(what->words, "include") || rule_word_is(what->words, "include_if_exists") ||
	      rule_word_is(what->words, "include_dir")))
		return false;
	if (line->fields[1].count != 1) {
		complain(s, "%s takes one name", what->words->text);
		return true;
	}
	name = line->fields[1].words->text;
	if (!check_may_open(s, name))
		return true;
	path = path_beside(s->path, name);
	if (strcmp(what->words->text, "include_dir") == 0)
		read_folder(s, path);
	else
		read_named(s, path, NULL, strcmp(what->words->text, "include_if_exists") == 0);
	free(path);
	return true;
}

/* --- Lines. --- */

static void
take_fields(struct source *s, char *text)
{
	struct rule_line line = { .path = s->path, .number = s->line_number };
	struct rule_field f = { 0 };

	while (next_field(s, &text, &f)) {
		/* From here on, the line owns the words of f. */
		line.fields = xwith_room(line.fields, line.count, sizeof(*line.fields));
		line.fields[line.count++] = f;
		f = (struct rule_field){ 0 };
	}
	field_fini(&f);
	if (!s->is_bad && line.count > 0 && !include(s, &line))
		s->on_line(&line, s->arg);
	for (size_t i = 0; i < line.count; i++)
		field_fini(&line.fields[i]);
	free(line.fields);
}

/* Appends a physical line to the logical line. Returns true if the next physical line continues the logical line. */
static bool
join_line(char *line, size_t *len, const char *more, size_t more_len)
{
	while (more_len > 0 && more[more_len - 1] == '\r')
		more_len--;
	memcpy(line + *len, more, more_len);
	*len += more_len;
	if (more_len == 0 || line[*len - 1] != '\\')
		return false;
	--*len;
	return true;
}

static void
take_lines(struct source *s, const char *text, size_t text_len)
{
	const char *end = text + text_len;
	char *line = xmalloc(text_len + 1);
	unsigned number = 0;
	bool was_bad = false;

	while (text < end) {
		size_t len = 0;
		bool is_continued = true;

		s->is_bad = false;
		s->line_number = number + 1;
		while (is_continued && text < end) {
			const char *newline = memchr(text, '\n', (size_t)(end - text));

			is_continued = join_line(line, &len, text, (size_t)((newline != NULL ? newline : end) - text));
			text = newline != NULL ? newline + 1 : end;
			number++;
		}
		line[len] = '\0';
		if (strlen(line) != len)
			complain(s, "there is a zero byte: this is not a text file");
		else if (s->list == NULL)
			take_fields(s, line);
		else
			for (char *at = line; next_field(s, &at, s->list);)
				;
		was_bad = was_bad || s->is_bad;
	}
	s->is_bad = was_bad;
	free(line);
}

/* --- Files. --- */

/* Reads a file. If the file can't be read, reports an error for the present line of s, which names the file. */
static void
read_file(struct source *s, const char *path, bool is_optional)
{
	struct file_content file;
	struct fail why;

	if (is_optional && access(path, F_OK) < 0 && errno == ENOENT)
		return;
	if (file_read(path, *s->bytes_left, &file, &why) < 0) {
		if (strcmp(why.sqlstate, FILE_TOO_LARGE) == 0)
			complain(s, "together with %.150s it is larger than %zu MiB", path, RULE_BYTES_MAX >> 20);
		else
			complain(s, "%s", why.text);
		return;
	}
	*s->bytes_left -= file.len;
	if ((file.st.st_mode & S_IWOTH) != 0)
		s->reading->report(false, path, 0, "anyone may change this file: use chmod o-w", s->reading->arg);
	s->path = path;
	take_lines(s, file.text, file.len);
	file_free(&file);
}

void
rule_read(const char *text, size_t text_len, const char *path, void (*on_line)(const struct rule_line *line, void *arg),
	  struct rule_reading *reading, void *arg)
{
	size_t bytes_left = text == NULL ? RULE_BYTES_MAX : 0;
	struct source s = { .on_line = on_line,
			    .arg = arg,
			    .reading = reading,
			    .path = path,
			    .bytes_left = &bytes_left,
			    .opens_files = text == NULL };

	if (text == NULL)
		read_file(&s, path, false);
	else
		take_lines(&s, text, text_len);
}
