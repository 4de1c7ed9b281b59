#include "admin/console_rows.h"
#include "base/escape.h"
#include "wire/messages.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TEXT_MAX 40

static const struct {
	uint32_t oid;
	uint16_t len;
} types[] = {
	[COLUMN_TEXT] = { 25, 0xffff }, [COLUMN_BOOL] = { 16, 1 },	   [COLUMN_INT4] = { 23, 4 },
	[COLUMN_INT8] = { 20, 8 },	[COLUMN_INT8_OR_NULL] = { 20, 8 }, [COLUMN_NUMERIC] = { 1700, 0xffff },
	[COLUMN_FLOAT8] = { 701, 8 },
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

/* A field as the column's type has it, as text; NULL is SQL's. scratch has NUMBER_TEXT_MAX bytes. */
static const char *
field_text(enum column_type type, const void *field, char *scratch)
{
	uint64_t max = type == COLUMN_INT4 ? INT32_MAX : type == COLUMN_NUMERIC ? UINT64_MAX : INT64_MAX, v;

	if (type == COLUMN_TEXT)
		return *(const char *const *)field;
	if (type == COLUMN_BOOL)
		return *(const uint64_t *)field != 0 ? "t" : "f";
	if (type != COLUMN_FLOAT8) {
		v = *(const uint64_t *)field;
		snprintf(scratch, NUMBER_TEXT_MAX, "%" PRIu64, v < max ? v : max);
		return type == COLUMN_INT8_OR_NULL && v == ROWS_NULL ? NULL : scratch;
	}
	snprintf(scratch, NUMBER_TEXT_MAX, "%.15g", *(const double *)field);
	return isnan(*(const double *)field)   ? NULL
	       : isinf(*(const double *)field) ? "Infinity"
					       : scratch; /* as PostgreSQL writes it */
}

static void
add_json(struct rows *r, const void *row)
{
	if (r->count == r->json_max)
		return;
	buf_printf(r->out, r->count++ > 0 ? ",\n{" : "{");
	for (size_t i = 0; i < r->column_count; i++) {
		enum column_type type = r->columns[i].type;
		char scratch[NUMBER_TEXT_MAX];
		const char *text = field_text(type, (const char *)row + i * ROW_FIELD_SIZE, scratch);

		buf_printf(r->out, "%s\"%s\":", i > 0 ? "," : "", r->columns[i].name);
		if (type == COLUMN_TEXT)
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
rows_scratch(struct rows *r, size_t count, size_t size)
{
	void *scratch = calloc(count, size);

	r->out->is_broken |= scratch == NULL;
	return scratch;
}

static bool
is_liked(const struct rows *r, const void *row)
{
	static const char *const names[] = { "database", "user", "application_name", "event" };

	for (size_t i = 0; i < r->column_count; i++) {
		const struct column *column = &r->columns[i];
		const char *text = column->type == COLUMN_TEXT
				       ? *(const char *const *)(const void *)((const char *)row + i * ROW_FIELD_SIZE)
				       : NULL;
		bool is_asked = i == 0;

		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]) && !is_asked; k++)
			is_asked = strcmp(column->name, names[k]) == 0;
		if (is_asked && text != NULL && console_like_matches(text, r->like))
			return true;
	}
	return false;
}

void
rows_add(struct rows *r, const void *row)
{
	size_t begun;

	if (r->like != NULL && !is_liked(r, row))
		return;
	if (r->json_max > 0) {
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

/* Returns what follows the character at text. */
static const char *
next_char(const char *text)
{
	text++;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++;
	return text;
}

/* Goes back to the last % only: trying that one further on is enough, so no pattern takes exponential time. */
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
