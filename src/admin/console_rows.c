#include "admin/console_rows.h"
#include "base/clock.h"
#include "base/escape.h"
#include "wire/messages.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TEXT_MAX 40
#define TEXT_OID 25

static const struct {
	uint32_t oid;
	uint16_t len;
} types[] = {
	[COLUMN_TEXT] = { TEXT_OID, 0xffff },
	[COLUMN_BOOL] = { 16, 1 },
	[COLUMN_INT4] = { 23, 4 },
	[COLUMN_INT8] = { 20, 8 },
	[COLUMN_INT8_OR_NULL] = { 20, 8 },
	[COLUMN_NUMERIC] = { 1700, 0xffff },
	[COLUMN_FLOAT8] = { 701, 8 },
	[COLUMN_MS] = { 701, 8 },
	[COLUMN_TIME] = { TEXT_OID, 0xffff },
	[COLUMN_HASH] = { TEXT_OID, 0xffff },
};

void
rows_describe(struct buf *out, const struct column *columns, size_t column_count)
{
	size_t begun = message_begin(out, 'T');

	buf_put_u16(out, (uint16_t)column_count);
	for (size_t i = 0; i < column_count; i++) {
		buf_put_str(out, columns[i].name);
		buf_put_u32(out, 0);
		buf_put_u16(out, 0);
		buf_put_u32(out, types[columns[i].type].oid);
		buf_put_u16(out, types[columns[i].type].len);
		buf_put_u32(out, 0xffffffff);
		buf_put_u16(out, 0);
	}
	message_end(out, begun);
}

/* Returns a field as text for the column's type, or NULL for SQL's NULL. scratch has NUMBER_TEXT_MAX bytes. */
static const char *
field_text(enum column_type type, const void *field, char *scratch)
{
	uint64_t max = type == COLUMN_INT4 ? INT32_MAX : type == COLUMN_NUMERIC ? UINT64_MAX : INT64_MAX, v;
	struct tm tm;
	double real;
	time_t t;

	memcpy(&v, field, sizeof(v));
	memcpy(&real, field, sizeof(real));
	switch (type) {
	case COLUMN_TEXT:
		return *(const char *const *)field;
	case COLUMN_BOOL:
		return v != 0 ? "t" : "f";
	case COLUMN_TIME:
		t = (time_t)(v / US_PER_S);
		if (v == 0 || gmtime_r(&t, &tm) == NULL)
			return NULL;
		strftime(scratch, NUMBER_TEXT_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm);
		return scratch;
	case COLUMN_HASH:
		snprintf(scratch, NUMBER_TEXT_MAX, "%016" PRIx64, v);
		return v != 0 ? scratch : NULL;
	case COLUMN_MS:
		snprintf(scratch, NUMBER_TEXT_MAX, "%.15g", (double)v / 1000);
		return scratch;
	case COLUMN_FLOAT8:
		snprintf(scratch, NUMBER_TEXT_MAX, "%.15g", real);
		return isnan(real) ? NULL : isinf(real) ? "Infinity" : scratch; /* in PostgreSQL's notation */
	default:
		snprintf(scratch, NUMBER_TEXT_MAX, "%" PRIu64, v < max ? v : max);
		return type == COLUMN_INT8_OR_NULL && v == ROWS_NULL ? NULL : scratch;
	}
}

static void
add_json(struct rows *r, const void *row)
{
	if (r->count == r->json_rows_max)
		return;
	buf_printf(r->out, r->count++ > 0 ? ",\n{" : "{");
	for (size_t i = 0; i < r->column_count; i++) {
		enum column_type type = r->columns[i].type;
		char scratch[NUMBER_TEXT_MAX];
		const char *text = field_text(type, (const char *)row + i * ROW_FIELD_SIZE, scratch);

		buf_printf(r->out, "%s\"%s\":", i > 0 ? "," : "", r->columns[i].name);
		if (types[type].oid == TEXT_OID)
			json_put_string(r->out, text);
		else if (type == COLUMN_BOOL)
			buf_printf(r->out, *text == 't' ? "true" : "false");
		else
			buf_printf(r->out, "%s",
				   text == NULL || *text == 'I' ? "null" : text); /* JSON has no Infinity */
	}
	buf_printf(r->out, "}");
}

void *
rows_alloc_scratch(struct rows *r, size_t count, size_t size)
{
	void *scratch = calloc(count, size);

	r->out->is_broken |= scratch == NULL;
	return scratch;
}

bool
rows_like_matches(const struct rows *r, const void *row)
{
	static const char *const names[] = { "database", "user", "application_name", "event" };

	for (size_t i = 0; r->like != NULL && i < r->column_count; i++) {
		const struct column *column = &r->columns[i];
		char scratch[NUMBER_TEXT_MAX];
		const char *text;
		bool is_compared = i == 0;

		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]) && !is_compared; k++)
			is_compared = strcmp(column->name, names[k]) == 0;
		if (is_compared && types[column->type].oid == TEXT_OID &&
		    (text = field_text(column->type, (const char *)row + i * ROW_FIELD_SIZE, scratch)) != NULL &&
		    console_like_matches(text, r->like))
			return true;
	}
	return r->like == NULL;
}

void
rows_add(struct rows *r, const void *row)
{
	size_t begun;

	if (!rows_like_matches(r, row))
		return;
	if (r->json_rows_max > 0) {
		add_json(r, row);
		return;
	}
	begun = message_begin(r->out, 'D');
	buf_put_u16(r->out, (uint16_t)r->column_count);
	for (size_t i = 0; i < r->column_count; i++) {
		const void *field = (const char *)row + i * ROW_FIELD_SIZE;
		char scratch[NUMBER_TEXT_MAX];
		const char *text = field_text(r->columns[i].type, field, scratch);

		buf_put_u32(r->out, text == NULL ? 0xffffffff : (uint32_t)strlen(text));
		if (text != NULL)
			buf_put(r->out, text, strlen(text));
	}
	message_end(r->out, begun);
	r->count++;
}

/* Returns the position after the character at text. */
static const char *
next_char(const char *text)
{
	text++;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++;
	return text;
}

/* After a mismatch, it suffices to extend the text that the last % stands for, so no pattern takes exponential time. */
bool
console_like_matches(const char *text, const char *pattern)
{
	const char *retry_pattern = NULL, *retry_text = NULL;

	for (;;) {
		if (*pattern == '%') {
			retry_pattern = ++pattern;
			retry_text = text;
			continue;
		}
		if (*text == '\0' && *pattern == '\0')
			return true;
		if (*text != '\0' && *pattern == '_') {
			text = next_char(text);
			pattern++;
			continue;
		}
		if (*text != '\0' && *pattern != '\0' && *text == pattern[*pattern == '\\' && pattern[1] != '\0']) {
			pattern += 1 + (*pattern == '\\' && pattern[1] != '\0');
			text++;
			continue;
		}
		if (retry_pattern == NULL || *retry_text == '\0')
			return false;
		text = retry_text = next_char(retry_text);
		pattern = retry_pattern;
	}
}
