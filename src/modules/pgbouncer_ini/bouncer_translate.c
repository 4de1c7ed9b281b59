/* src/modules/pgbouncer_ini/bouncer_translate.c - makes settings of pgweir's from what was read of a pgbouncer.ini. */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "base/alloc.h"
#include "base/text.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <math.h>

/* --- what is in the file -------------------------------------------------------------------------------------- */

bool
bouncer_is_set(const struct bouncer *b, const char *name)
{
	return b->values[bouncer_key_row(bouncer_key_find(name))] != NULL;
}

const char *
bouncer_value(const struct bouncer *b, const char *name)
{
	const struct bouncer_key *key = bouncer_key_find(name);
	const char *value = b->values[bouncer_key_row(key)];

	if (value != NULL)
		return value;
	return key->default_value != NULL ? key->default_value : "";
}

unsigned
bouncer_line_number(const struct bouncer *b, const char *name)
{
	return bouncer_is_set(b, name) ? b->lines[bouncer_key_row(bouncer_key_find(name))] : LINE_PGBOUNCER_DEFAULT;
}

/* --- what comes out ------------------------------------------------------------------------------------------- */

/* Escapes ${ and $$, which have a meaning in pgweir's file. The caller frees the result. */
static char *
escape_dollars(const char *value)
{
	char *escaped = xmalloc(2 * strlen(value) + 1), *to = escaped;

	for (; *value != '\0'; value++) {
		if (*value == '$' && (value[1] == '{' || value[1] == '$'))
			*to++ = '$';
		*to++ = *value;
	}
	*to = '\0';
	return escaped;
}

static void
add_setting(struct translated_setting **list, size_t *count, const struct translated_setting *setting)
{
	*list = xwith_room(*list, *count, sizeof(**list));
	(*list)[(*count)++] = *setting;
}

void
bouncer_add_direct(struct bouncer *b, unsigned line, const char *section, const char *key, const char *value)
{
	const struct translated_setting setting = { xstrdup(section), xstrdup(key), xstrdup(value),
						    xasprintf("%s = %s", key, value), line };

	add_setting(&b->ours, &b->ours_count, &setting);
}

/* A pgbouncer.ini may also have sections of pgweir.ini. Returns true if one of those sets this key. */
static bool
is_set_directly(const struct bouncer *b, const char *section, const char *key)
{
	for (size_t i = 0; i < b->ours_count; i++)
		if (strcmp(b->ours[i].section, section) == 0 && strcmp(b->ours[i].key, key) == 0)
			return true;
	return false;
}

void
bouncer_emit(struct bouncer *b, unsigned line, const char *from, const char *section, const char *key,
	     const char *value)
{
	struct translated_setting setting;

	if (key != NULL && is_set_directly(b, section, key))
		return;
	setting = (struct translated_setting){
		.section = xstrdup(section),
		.key = key != NULL ? xstrdup(key) : NULL,
		.value = value != NULL ? escape_dollars(value) : NULL,
		.from = xstrdup(from),
		.line = line,
	};
	add_setting(&b->settings, &b->setting_count, &setting);
}

void
bouncer_note(struct bouncer *b, unsigned line, const char *fmt, ...)
{
	va_list ap;
	char text[512];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	b->notes = xwith_room(b->notes, b->note_count, sizeof(*b->notes));
	b->notes[b->note_count++] = (struct bouncer_note){ .text = xstrdup(text), .line = line };
}

/* --- values --------------------------------------------------------------------------------------------------- */

/* Reads a decimal, octal (0...) or hexadecimal (0x...) number, as PgBouncer does. */
static int
read_number(const char *value, long long *out, struct fail *why)
{
	char *end;

	errno = 0;
	*out = strtoll(value, &end, 0);
	if (end == value || *end != '\0' || errno != 0 || *out > INT_MAX || *out < INT_MIN)
		return fail_set(why, "F0000", "must be a whole number");
	return 0;
}

static int
fail_out_of_range(const char *min, const char *max, const char *taken, struct fail *why)
{
	fail_set(why, "22023", "the value must be from %s to %s", min, max);
	fail_detail(why, "The value %s is used.", taken);
	return 1;
}

static int
read_time(const struct bouncer_key *key, const char *value, double *us, struct fail *why)
{
	char *end;

	*us = strtod(value, &end) * (key->type == BOUNCER_MS ? US_PER_MS : US_PER_S);
	if (end == value || *end != '\0' || !(*us >= 0) || !isfinite(*us))
		return fail_set(why, "F0000", "must be a number of %s",
				key->type == BOUNCER_MS ? "milliseconds" : "seconds");
	return 0;
}

static int
convert_time(const struct config_key *ours, const struct bouncer_key *key, const char *value, struct buf *to,
	     struct fail *why)
{
	struct buf min = { 0 }, max = { 0 };
	int result = 0;
	double us;

	if (read_time(key, value, &us, why) < 0)
		return -1;
	if (us < 1 && key->zero != NULL) {
		buf_printf(to, "%s", key->zero);
		return 0;
	}
	value_put_time(to, us < (double)ours->min ? ours->min : us > (double)ours->max ? ours->max : (uint64_t)us);
	value_put_time(&min, ours->min);
	value_put_time(&max, ours->max);
	if (us < (double)ours->min || us > (double)ours->max)
		result = fail_out_of_range(value_put_end(&min), value_put_end(&max), value_put_end(to), why);
	buf_fini(&min);
	buf_fini(&max);
	return result;
}

static int
convert_word(const struct bouncer_key *key, const char *value, struct buf *to, struct fail *why)
{
	struct buf known = { 0 };

	for (size_t i = 0; key->words[i][0] != NULL; i++) {
		if (strcasecmp(key->words[i][0], value) == 0) {
			buf_printf(to, "%s", key->words[i][1]);
			buf_fini(&known);
			return 0;
		}
		buf_printf(&known, "%s%s", i > 0 ? ", " : "", key->words[i][0]);
	}
	fail_set(why, "F0000", "\"%.64s\" is not one of %s", value, value_put_end(&known));
	buf_fini(&known);
	return -1;
}

/* Converts a list of names that commas separate. PgBouncer knows no quotes; the quotes that pgweir needs are added. */
static void
convert_names(const char *value, struct buf *to)
{
	while (*value != '\0') {
		size_t len = strcspn(value, ","), rest = len;
		const char *name = value;

		trim_blanks(&name, &len);
		if (len > 0) {
			char *copy = xstrndup(name, len);

			buf_printf(to, "%s", to->len > 0 ? ", " : "");
			value_put_name(to, copy);
			free(copy);
		}
		value += rest + (value[rest] == ',');
	}
}

/* Converts a path. PgBouncer's relative paths begin in the directory where PgBouncer was started, pgweir's in the
 * directory of the file. */
static void
convert_path(const char *value, struct buf *to)
{
	char *here;

	if (*value == '\0' || *value == '/' || (here = getcwd(NULL, 0)) == NULL) {
		buf_printf(to, "%s", value);
		return;
	}
	buf_printf(to, "%s/%s", strcmp(here, "/") == 0 ? "" : here, value);
	free(here);
}

int
bouncer_convert(const struct bouncer_key *key, const char *value, struct buf *to, struct fail *why)
{
	const struct config_key *ours = bouncer_key_in_pgweir(key);
	long long n, min, max;
	char texts[3][24];

	switch (key->type) {
	case BOUNCER_COUNT:
		if (read_number(value, &n, why) < 0)
			return -1;
		min = (long long)ours->min;
		max = (long long)ours->max;
		snprintf(texts[0], sizeof(texts[0]), "%lld", key->zero != NULL ? 0 : min);
		snprintf(texts[1], sizeof(texts[1]), "%lld", max);
		snprintf(texts[2], sizeof(texts[2]), "%lld", n < min ? min : n > max ? max : n);
		buf_printf(to, "%s", n <= 0 && key->zero != NULL ? key->zero : texts[2]);
		return n > max || n < (key->zero != NULL ? 0 : min)
			   ? fail_out_of_range(texts[0], texts[1], value_put_end(to), why)
			   : 0;
	case BOUNCER_TIME:
	case BOUNCER_MS:
		return convert_time(ours, key, value, to, why);
	case BOUNCER_SWITCH:
		if (read_number(value, &n, why) < 0)
			return -1;
		buf_printf(to, n != 0 ? "on" : "off");
		return 0;
	case BOUNCER_WORD:
		return convert_word(key, value, to, why);
	case BOUNCER_NAMES:
		convert_names(value, to);
		return 0;
	case BOUNCER_PATH:
		convert_path(value, to);
		return 0;
	default:
		buf_printf(to, "%s", value);
		return 0;
	}
}

/* --- [pgbouncer] ---------------------------------------------------------------------------------------------- */

/* If a value can't be converted, reports an error, because PgBouncer does not start with such a value. A value out of
 * range gets only a warning, except in the console's SET. */
static void
report_value(const struct bouncer *b, const struct bouncer_key *key, int result, const struct fail *why)
{
	unsigned line = bouncer_line_number(b, key->name);
	bool is_set = line == LINE_SET;

	if (result < 0 || is_set)
		problem_error(b->sink, line, "%s%s%s", is_set ? key->name : "", is_set ? ": " : "", why->text);
	else if (result > 0)
		problem_warning(b->sink, line, "%s. %s", why->text, why->detail);
}

static void
translate_setting(struct bouncer *b, const struct bouncer_key *key)
{
	unsigned line = bouncer_line_number(b, key->name);
	const char *value = bouncer_value(b, key->name);
	bool is_default = strcmp(value, key->default_value != NULL ? key->default_value : "") == 0;
	struct fail why = { 0 };
	long long n;
	double us;

	source_set_value(b->sink->source, bouncer_key_row(key), value);
	if (line < LINE_SET)
		source_add_name(b->sink->source, line, key->name);
	if (key->fate == BOUNCER_TAKEN) {
		struct buf converted = { 0 };
		char *from = xasprintf("%s = %s", key->name, value);
		int result = bouncer_convert(key, value, &converted, &why);

		if (result != 0)
			report_value(b, key, result, &why);
		if (result >= 0)
			bouncer_emit(b, line, from, key->section, key->key, value_put_end(&converted));
		free(from);
		buf_fini(&converted);
		return;
	}
	/* Numbers and times are checked even if they are not converted. */
	if (((key->type == BOUNCER_COUNT || key->type == BOUNCER_SWITCH) && read_number(value, &n, &why) < 0) ||
	    (key->type == BOUNCER_TIME && read_time(key, value, &us, &why) < 0))
		report_value(b, key, -1, &why);
	if (key->fate == BOUNCER_REFUSED && !is_default && *value != '\0')
		problem_error(b->sink, line, "%s", key->note);
	else if (bouncer_key_in_pgweir(key) == NULL && line != LINE_PGBOUNCER_DEFAULT)
		bouncer_note(b, line, "%s = %s: %s", key->name, value, key->note);
}

/* Brings the settings of each section together. The sections get the order of the table of keys. */
static void
sort_settings(struct bouncer *b)
{
	struct translated_setting *sorted = NULL;
	const struct config_key *key;
	const char *section = "";
	size_t count = 0;

	for (size_t i = 0; (key = config_key_at(i)) != NULL; section = key->section, i++)
		for (size_t k = 0; k < b->setting_count && strcmp(section, key->section) != 0; k++)
			if (strcmp(b->settings[k].section, key->section) == 0)
				add_setting(&sorted, &count, &b->settings[k]);
	free(b->settings);
	b->settings = sorted;
	b->setting_count = count;
}

void
bouncer_translate(struct bouncer *b)
{
	const struct bouncer_key *key;

	for (size_t i = 0; (key = bouncer_key_at(i)) != NULL; i++)
		translate_setting(b, key);
	bouncer_combine(b);
	for (size_t i = 0; i < b->ours_count; i++)
		add_setting(&b->settings, &b->setting_count, &b->ours[i]);
	b->ours_count = 0;
	sort_settings(b);
	bouncer_emit_sections(b, &b->databases, "database", OF_DATABASE);
	bouncer_emit_sections(b, &b->users, "user", OF_USER);
}

/* --- as a file of pgweir's ------------------------------------------------------------------------------------ */

/* Sets a setting of pgweir. If the file has this setting, the value replaces the file's. */
static void
override_ours(struct bouncer *b, const char *section, const char *key, const char *value)
{
	char *escaped = escape_dollars(value);

	for (size_t i = 0; i < b->ours_count; i++) {
		struct translated_setting *s = &b->ours[i];

		if (strcmp(s->section, section) != 0 || strcmp(s->key, key) != 0)
			continue;
		secret_free(s->value);
		s->value = escaped;
		s->line = LINE_SET;
		return;
	}
	bouncer_add_direct(b, LINE_SET, section, key, escaped);
	free(escaped);
}

static void
override(struct bouncer *b, const struct config_override *o)
{
	const struct bouncer_key *key = bouncer_key_find(o->name);
	const char *dot = strchr(o->name, '.');
	char section[32];

	if (key == NULL && dot != NULL && (size_t)(dot - o->name) < sizeof(section)) {
		snprintf(section, sizeof(section), "%.*s", (int)(dot - o->name), o->name);
		override_ours(b, section, dot + 1, o->value);
	} else if (key == NULL)
		problem_error(b->sink, LINE_SET, "PgBouncer has no setting \"%.64s\"", o->name);
	else
		bouncer_set_value(b, key, LINE_SET, o->value);
}

void
bouncer_read(const char *text, size_t len, const char *path, const struct config_override *overrides,
	     size_t override_count, const struct reader_calls *calls, const struct problem_sink *sink)
{
	struct bouncer b = { .sink = sink };

	bouncer_read_lines(&b, text, len, path);
	for (size_t i = 0; i < override_count; i++)
		override(&b, &overrides[i]);
	bouncer_translate(&b);
	for (size_t i = 0; i < b.setting_count; i++) {
		const struct translated_setting *s = &b.settings[i];

		if (i == 0 || strcmp(b.settings[i - 1].section, s->section) != 0)
			calls->on_section(calls->arg, s->line, s->section);
		if (s->key != NULL)
			calls->on_setting(calls->arg, s->line, s->key, s->value);
	}
	bouncer_fini(&b);
}
