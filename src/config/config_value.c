#include "config/config_value.h"
#include "base/alloc.h"
#include "base/text.h"

#include <inttypes.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* The units are in ascending order. A value is shown in the largest unit that divides it. */
static const struct unit time_units[] = {
	{ "us", 1 },	     { "ms", 1000 },	   { "s", 1000000 }, { "min", 60000000 },
	{ "h", 3600000000 }, { "d", 86400000000 }, { NULL, 0 },
};
static const struct unit size_units[] = {
	{ "B", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 },
};
/* Units that are read, but never written. kB, MB and GB are powers of 1024, as in postgresql.conf. */
static const struct unit more_units[] = {
	{ "m", 60000000 }, { "kB", 1 << 10 }, { "KB", 1 << 10 }, { "MB", 1 << 20 }, { "GB", 1 << 30 }, { NULL, 0 },
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits. Returns the rest of the text, or NULL if there is no digit or the number is too large. */
static const char *
read_digits(const char *text, uint64_t *out)
{
	uint64_t n = 0;

	if (!is_digit(*text))
		return NULL;
	for (; is_digit(*text); text++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return NULL;
	*out = n;
	return text;
}

int
value_read_count(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why)
{
	uint64_t n;
	const char *rest = read_digits(text, &n);

	if (rest == NULL || *rest != '\0' || n < min || n > max)
		return fail_set(why, "F0000", "must be a whole number from %" PRIu64 " to %" PRIu64, min, max);
	*out = n;
	return 0;
}

static uint64_t
unit_factor(const struct unit *units, const char *name)
{
	for (; units->name != NULL; units++)
		if (strcmp(units->name, name) == 0)
			return units->factor;
	return 0;
}

/* Reads a number and a unit of `units` or more_units, perhaps with blanks in between. kind, unit_names and example are
 * words for the error message. */
static int
read_with_unit(const char *text, const struct unit *units, const char *kind, const char *unit_names,
	       const char *example, uint64_t *out, struct fail *why)
{
	uint64_t n, factor;
	const char *rest = read_digits(text, &n);

	if (rest == NULL)
		return fail_set(why, "F0000", "a %s must be a whole number with a unit, for example %s", kind, example);
	while (*rest == ' ' || *rest == '\t')
		rest++;
	if (*rest == '\0')
		return fail_set(why, "F0000", "a %s needs a unit, for example %s", kind, example);
	factor = unit_factor(units, rest);
	if (factor == 0 && (units == time_units) == (strcmp(rest, "m") == 0))
		factor = unit_factor(more_units, rest);
	if (factor == 0)
		return fail_set(why, "F0000", "\"%.16s\" is not a unit of %s; use %s", rest, kind, unit_names);
	if (__builtin_mul_overflow(n, factor, out))
		return fail_set(why, "F0000", "this %s is too large", kind);
	return 0;
}

/* Checks that n is between min and max. put() writes the two bounds into the error message. */
static int
check_bounds(uint64_t n, uint64_t min, uint64_t max, void (*put)(struct buf *to, uint64_t n), struct fail *why)
{
	struct buf range = { 0 };

	if (n >= min && n <= max)
		return 0;
	put(&range, min);
	buf_printf(&range, " to ");
	put(&range, max);
	fail_set(why, "F0000", "must be in the range %s", value_put_end(&range));
	buf_fini(&range);
	return -1;
}

int
value_read_time(const char *text, uint64_t min_us, uint64_t max_us, uint64_t *out_us, struct fail *why)
{
	uint64_t us;

	if (read_with_unit(text, time_units, "time", "us, ms, s, min, h or d", "30s or 500ms", &us, why) < 0) {
		if (*text == '-' && min_us == 0)
			fail_hint(why, "Use 0s for none.");
		return -1;
	}
	if (check_bounds(us, min_us, max_us, value_put_time, why) < 0)
		return -1;
	*out_us = us;
	return 0;
}

int
value_read_size(const char *text, uint64_t min, uint64_t max, uint64_t *out, struct fail *why)
{
	uint64_t bytes;

	if (read_with_unit(text, size_units, "size", "B, KiB, MiB or GiB", "1MiB or 16KiB", &bytes, why) < 0 ||
	    check_bounds(bytes, min, max, value_put_size, why) < 0)
		return -1;
	*out = bytes;
	return 0;
}

/* Does not use strtod(), which expects a decimal comma in some locales, and accepts hexadecimals and infinities. */
int
value_read_fraction(const char *text, double *out, struct fail *why)
{
	uint64_t whole, billionths = 0, step = 100000000;
	const char *rest = read_digits(text, &whole);

	if (rest != NULL && *rest == '.')
		for (rest++; is_digit(*rest) && step > 0; rest++, step /= 10)
			billionths += step * (uint64_t)(*rest - '0');
	if (rest == NULL || *rest != '\0' || whole > 1 || (whole == 1 && billionths > 0))
		return fail_set(why, "F0000", "must be a number from 0 to 1, for example 0.01");
	*out = (double)(whole * 1000000000 + billionths) / 1e9;
	return 0;
}

int
value_read_switch(const char *text, bool *out, struct fail *why)
{
	static const char *const words[] = { "off", "on", "no", "yes", "false", "true", "0", "1", NULL };
	const char *near;

	for (unsigned i = 0; words[i] != NULL; i++)
		if (strcasecmp(words[i], text) == 0) {
			*out = i % 2 == 1;
			return 0;
		}
	near = nearest_word(text, words);
	fail_set(why, "F0000", "use on or off");
	return near != NULL ? fail_hint(why, "Did you mean %s?", near) : -1;
}

int
value_refuse_word(const char *text, const char *const *words, const char *last, struct fail *why)
{
	const char *near = nearest_word(text, words);
	struct buf list = { 0 };

	value_put_words(&list, words, last);
	fail_set(why, "F0000", "use %s", value_put_end(&list));
	buf_fini(&list);
	return near != NULL ? fail_hint(why, "Did you mean %s?", near) : -1;
}

int
value_read_word(const char *text, const char *const *words, unsigned *out, struct fail *why)
{
	for (unsigned i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0) {
			*out = i;
			return 0;
		}
	return value_refuse_word(text, words, NULL, why);
}

int
value_read_words(const char *text, const char *const *words, uint32_t *out, struct fail *why)
{
	uint32_t chosen = 0;
	char **names;
	unsigned word = 0;
	int rc = value_read_names(text, &names, why);

	if (rc < 0)
		return -1;
	for (char **name = names; *name != NULL && (rc = value_read_word(*name, words, &word, why)) == 0; name++)
		chosen |= 1u << word;
	value_names_free(names);
	if (rc == 0)
		*out = chosen;
	return rc;
}

bool
value_is_plain(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

/* Copies the name between the quotes, in which "" stands for one quote. Returns the length of the name, or -1. */
static int
unquote(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 1; i + 1 < len; i++) {
		if (text[i] == '"' && (text[++i] != '"' || i + 1 >= len))
			return -1;
		if (n >= CONFIG_NAME_MAX)
			return -1;
		out[n++] = text[i];
	}
	return (int)n;
}

int
value_read_name(const char *text, size_t len, char *out, struct fail *why)
{
	int n;

	if (len > 0 && text[0] == '"') {
		n = len > 1 && text[len - 1] == '"' ? unquote(text, len, out) : -1;
		if (n < 0)
			return fail_set(why, "F0000", "a name in quotes is at most %d bytes long, then the quote ends",
					CONFIG_NAME_MAX);
	} else {
		if (len > CONFIG_NAME_MAX)
			return fail_set(why, "F0000", "a name is at most %d bytes long, this has %zu", CONFIG_NAME_MAX,
					len);
		memcpy(out, text, len);
		n = (int)len;
	}
	out[n] = '\0';
	if (n == 0)
		return fail_set(why, "F0000", "a name is missing");
	return value_is_plain(out) ? 0 : fail_set(why, "F0000", "a name must not contain control characters");
}

/* Returns the length of text up to the comma after the first name, or to the end. Commas within quotes don't count. */
static size_t
name_len(const char *text)
{
	size_t len = strspn(text, " \t");
	bool has_quotes = text[len] == '"', is_inside = false;

	for (; text[len] != '\0' && (is_inside || text[len] != ','); len++)
		if (has_quotes && text[len] == '"')
			is_inside = !is_inside;
	return len;
}

int
value_read_names(const char *text, char ***out, struct fail *why)
{
	size_t count = 0, most = 2;
	char **names;

	for (const char *p = text; *p != '\0'; p++)
		most += *p == ',';
	names = xcalloc(most, sizeof(*names));
	while (*text != '\0') {
		size_t len = name_len(text), trimmed_len = len;
		const char *at = text;
		char name[CONFIG_NAME_MAX + 1];

		trim_blanks(&at, &trimmed_len);
		if (value_read_name(at, trimmed_len, name, why) < 0)
			goto fail;
		names[count++] = xstrdup(name);
		text += len;
		if (*text == ',' && *++text == '\0') {
			fail_set(why, "F0000", "a name is missing after the last comma");
			goto fail;
		}
	}
	*out = names;
	return 0;
fail:
	value_names_free(names);
	return -1;
}

void
value_names_free(char **names)
{
	for (char **name = names; name != NULL && *name != NULL; name++)
		free(*name);
	free(names);
}

static void
put_with_unit(struct buf *to, uint64_t n, const struct unit *units, const struct unit *zero_unit)
{
	const struct unit *best = units;

	if (n == 0)
		best = zero_unit;
	else
		for (; units->name != NULL; units++)
			if (n % units->factor == 0)
				best = units;
	buf_printf(to, "%" PRIu64 "%s", n / best->factor, best->name);
}

void
value_put_time(struct buf *to, uint64_t us)
{
	put_with_unit(to, us, time_units, &time_units[2]);
}

void
value_put_size(struct buf *to, uint64_t bytes)
{
	put_with_unit(to, bytes, size_units, &size_units[0]);
}

void
value_put_fraction(struct buf *to, double fraction)
{
	uint64_t billionths = (uint64_t)(fraction * 1e9 + 0.5);
	char digits[16];
	size_t len;

	buf_printf(to, "%" PRIu64, billionths / 1000000000);
	if (billionths % 1000000000 == 0)
		return;
	snprintf(digits, sizeof(digits), "%09" PRIu64, billionths % 1000000000);
	for (len = 9; digits[len - 1] == '0'; len--)
		;
	buf_printf(to, ".%.*s", (int)len, digits);
}

void
value_put_words(struct buf *to, const char *const *words, const char *last)
{
	for (size_t i = 0; words[i] != NULL; i++) {
		const char *between = i == 0 ? "" : words[i + 1] == NULL && last == NULL ? " or " : ", ";

		buf_printf(to, "%s%s", between, words[i]);
	}
	if (last != NULL)
		buf_printf(to, " or %s", last);
}

void
value_put_chosen(struct buf *to, const char *const *words, uint32_t chosen)
{
	const char *between = "";

	for (unsigned i = 0; words[i] != NULL; i++)
		if ((chosen & 1u << i) != 0) {
			buf_printf(to, "%s%s", between, words[i]);
			between = ", ";
		}
}

void
value_put_name(struct buf *to, const char *name)
{
	if (name[0] != '"' && name[strcspn(name, " ,")] == '\0') {
		buf_put(to, name, strlen(name));
		return;
	}
	buf_put_u8(to, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_put_u8(to, '"');
		buf_put_u8(to, (uint8_t)*name);
	}
	buf_put_u8(to, '"');
}

void
value_put_names(struct buf *to, char *const *names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		if (i > 0)
			buf_put_u8(to, ',');
		value_put_name(to, names[i]);
	}
}

const char *
value_put_end(struct buf *to)
{
	buf_put_u8(to, '\0');
	return alloc_check(buf_ok(to) ? to->bytes : NULL);
}
