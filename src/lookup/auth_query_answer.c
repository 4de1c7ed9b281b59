/* src/lookup/auth_query_answer.c - see auth_query_cache.h. */
#include "lookup/auth_query_cache.h"
#include "base/clock.h"
#include "wire/fields.h"

#include <string.h>

#define COLUMNS_MAX 3
#define SECONDS_MAX 9000000000000 /* later times count as infinity, so that microseconds fit into 64 bits */

struct column {
	const uint8_t *text; /* NULL for SQL's NULL */
	size_t len;
};

/* Returns the number of columns, or -1. */
static int
read_columns(const uint8_t *body, size_t len, struct column out[static COLUMNS_MAX])
{
	struct value_list row;
	unsigned count = fields_begin_row(body, len, &row);

	if (count < 1 || count > COLUMNS_MAX)
		return -1;
	for (unsigned i = 0; i < count; i++)
		if (!fields_next_value(&row, &out[i].text, &out[i].len))
			return -1;
	return row.at == row.end ? (int)count : -1;
}

static bool
column_is_word(const struct column *c, const char *word)
{
	return c->len == strlen(word) && memcmp(c->text, word, c->len) == 0;
}

/* Parses "1763650000", "-5", "1763650000.250000"; digits below a microsecond are dropped. */
static bool
read_seconds(const struct column *c, int64_t *us)
{
	bool is_negative = c->len > 0 && c->text[0] == '-';
	int64_t whole = 0, part = 0, unit = US_PER_S / 10;
	size_t at = is_negative, digits = 0;

	for (; at < c->len && c->text[at] >= '0' && c->text[at] <= '9'; at++, digits++)
		if (whole <= SECONDS_MAX)
			whole = whole * 10 + (c->text[at] - '0');
	if (digits == 0)
		return false;
	if (at < c->len && c->text[at] == '.')
		for (at++; at < c->len && c->text[at] >= '0' && c->text[at] <= '9'; at++, unit /= 10)
			part += (c->text[at] - '0') * unit;
	if (at < c->len)
		return false;
	*us = whole > SECONDS_MAX ? AUTH_VALID_FOR_EVER : whole * (int64_t)US_PER_S + part;
	if (is_negative)
		*us = -*us;
	return true;
}

static bool
read_valid_until(const struct column *c, int64_t *us)
{
	*us = AUTH_VALID_FOR_EVER;
	if (c->text == NULL || column_is_word(c, "infinity") || column_is_word(c, "Infinity"))
		return true;
	if (column_is_word(c, "-infinity") || column_is_word(c, "-Infinity")) {
		*us = INT64_MIN;
		return true;
	}
	return read_seconds(c, us);
}

int
auth_answer_read(const uint8_t *body, size_t len, const char *user, struct auth_answer *out, struct fail *why)
{
	struct column columns[COLUMNS_MAX], *secret = &columns[0];
	int count = read_columns(body, len, columns);

	*out = (struct auth_answer){ .valid_until_us = AUTH_VALID_FOR_EVER };
	if (count < 0)
		return fail_set(why, "08P01", "its row does not have one to three columns");
	if (count > 1) {
		secret = &columns[1];
		if (columns[0].text != NULL && !column_is_word(&columns[0], user))
			return fail_set(why, "22023", "its row is about another user");
	}
	if (count > 2 && !read_valid_until(&columns[2], &out->valid_until_us))
		return fail_set(why, "22023", "its third column is not a number of seconds since 1970");
	if (secret->len > AUTH_SECRET_MAX)
		return fail_set(why, "22023", "its secret is longer than %d bytes", AUTH_SECRET_MAX);
	out->is_user = true;
	if (secret->len == 0)
		return 0; /* NULL or empty */
	if (memchr(secret->text, 0, secret->len) != NULL)
		return fail_set(why, "22023", "its secret has a zero byte in it");
	out->secret = (const char *)secret->text;
	out->secret_len = secret->len;
	return 0;
}
