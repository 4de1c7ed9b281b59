#include "wire/fields.h"
#include "wire/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void
fields_read_error(const uint8_t *body, size_t len, struct error_fields *out)
{
	const char *localized = NULL;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	while (at + 1 < len && body[at] != 0) {
		const uint8_t *value = body + at + 1, *end = memchr(value, 0, len - at - 1);

		if (end == NULL)
			break;
		if (body[at] == 'S')
			localized = (const char *)value;
		else if (body[at] == 'V')
			out->severity = (const char *)value;
		else if (body[at] == 'C')
			out->sqlstate = end - value == 5 ? (const char *)value : NULL;
		else if (body[at] == 'M')
			out->message = (const char *)value;
		else if (body[at] == 'R')
			out->routine = (const char *)value;
		at = (size_t)(end - body) + 1;
	}
	if (out->severity == NULL)
		out->severity = localized;
}

bool
fields_is_drop_skipped_notice(const uint8_t *body, size_t len)
{
	struct error_fields e;

	fields_read_error(body, len, &e);
	return e.routine != NULL &&
	       (strcmp(e.routine, "DropErrorMsgNonExistent") == 0 || strcmp(e.routine, "does_not_exist_skipping") == 0);
}

bool
fields_error_is_fatal(const struct error_fields *e)
{
	return e->severity != NULL && (strcmp(e->severity, "FATAL") == 0 || strcmp(e->severity, "PANIC") == 0);
}

bool
fields_error_is_of(const struct error_fields *e, const char *sqlstate, const char *routine)
{
	return e->sqlstate != NULL && e->routine != NULL && strcmp(e->sqlstate, sqlstate) == 0 &&
	       strcmp(e->routine, routine) == 0;
}

bool
fields_read_parameter(const uint8_t *body, size_t len, const char **name, const char **value)
{
	const uint8_t *end = memchr(body, 0, len);
	const uint8_t *second = end == NULL ? NULL : memchr(end + 1, 0, len - (size_t)(end + 1 - body));

	if (second == NULL || second + 1 != body + len)
		return false;
	*name = (const char *)body;
	*value = (const char *)end + 1;
	return true;
}

/* Returns the terminator of the name at the front of bytes, or NULL if there is none. Most names are empty. */
static inline const uint8_t *
name_end(const uint8_t *bytes, size_t len)
{
	return len > 0 && bytes[0] == 0 ? bytes : memchr(bytes, 0, len);
}

bool
fields_read_parse(const uint8_t *body, size_t len, struct parse_fields *out)
{
	const uint8_t *end = name_end(body, len), *query_end;
	size_t left;

	if (end == NULL)
		return false;
	out->name = (const char *)body;
	out->rest = end + 1;
	out->rest_len = len - (size_t)(out->rest - body);
	query_end = memchr(out->rest, 0, out->rest_len);
	if (query_end == NULL)
		return false;
	out->query_len = (size_t)(query_end - out->rest);
	left = out->rest_len - out->query_len - 1;
	return left >= 2 && left == 2 + (size_t)wire_u16(query_end + 1) * 4;
}

bool
fields_read_bind(const uint8_t *body, size_t len, const char **portal, const char **statement, size_t *names_len)
{
	const uint8_t *end = name_end(body, len);
	const uint8_t *second = end == NULL ? NULL : name_end(end + 1, len - (size_t)(end + 1 - body));

	if (second == NULL)
		return false;
	*portal = (const char *)body;
	*statement = (const char *)end + 1;
	*names_len = (size_t)(second + 1 - body);
	return true;
}

static uint32_t
fold_to_nonzero(uint64_t hash)
{
	uint32_t half = (uint32_t)(hash ^ hash >> 32);

	return half == 0 ? 1 : half;
}

/* The bytes after a column's name: table int32, column int16, type int32, type's length int16, modifier int32, format
 * int16. */
#define COLUMN_TAIL_LEN 18
#define COLUMN_TYPE_AT 6

uint32_t
fields_hash_description(const uint8_t *body, size_t len)
{
	size_t at = 2, count;
	uint64_t h;

	if (len < 2)
		return 0;
	count = wire_u16(body);
	h = count;
	for (; count > 0; count--) {
		const uint8_t *end = memchr(body + at, 0, len - at);
		uint8_t type[8];

		if (end == NULL || len - (size_t)(end + 1 - body) < COLUMN_TAIL_LEN)
			return 0;
		h = XXH3_64bits_withSeed(body + at, (size_t)(end - body) - at, h);
		memcpy(type, end + 1 + COLUMN_TYPE_AT, 4);
		memcpy(type + 4, end + 1 + COLUMN_TYPE_AT + 6, 4);
		h = XXH3_64bits_withSeed(type, sizeof(type), h);
		at = (size_t)(end + 1 - body) + COLUMN_TAIL_LEN;
	}
	return at != len ? 0 : fold_to_nonzero(h);
}

uint32_t
fields_hash_user_types(const uint8_t *body, size_t len, uint32_t first_user_oid)
{
	for (size_t at = 2; at + 4 <= len; at += 4)
		if (wire_u32(body + at) >= first_user_oid)
			return fold_to_nonzero(XXH3_64bits(body, len));
	return 0;
}

bool
fields_read_target(const uint8_t *body, size_t len, uint8_t *kind, const char **name)
{
	if (len < 2 || (body[0] != 'S' && body[0] != 'P') || memchr(body + 1, 0, len - 1) != body + len - 1)
		return false;
	*kind = body[0];
	*name = (const char *)body + 1;
	return true;
}

bool
fields_begin_values(const uint8_t *body, size_t len, struct value_list *values)
{
	const char *portal, *statement;
	size_t at;

	*values = (struct value_list){ .at = body, .end = body };
	/* After the names come an int16 count and as many int16 formats, then an int16 count and as many values. */
	if (!fields_read_bind(body, len, &portal, &statement, &at) || len - at < 2)
		return false;
	at += 2 + 2 * (size_t)wire_u16(body + at);
	if (len < at + 2)
		return false;
	*values = (struct value_list){ .at = body + at + 2, .end = body + len, .left = wire_u16(body + at) };
	return true;
}

bool
fields_next_value(struct value_list *values, const uint8_t **value, size_t *len)
{
	uint32_t value_len;

	assert(values->at <= values->end); /* each length that was read was compared with the bytes left */
	if (values->left == 0 || values->end - values->at < 4)
		return false;
	value_len = wire_u32(values->at);
	values->at += 4;
	*value = value_len == UINT32_MAX ? NULL : values->at;
	*len = value_len == UINT32_MAX ? 0 : value_len;
	if (*len > (size_t)(values->end - values->at))
		return false;
	values->at += *len;
	values->left--;
	return true;
}

bool
fields_read_bind_value(const uint8_t *body, size_t body_len, unsigned i, const uint8_t **value, size_t *len)
{
	struct value_list values;

	fields_begin_values(body, body_len, &values);
	while (fields_next_value(&values, value, len))
		if (i-- == 0)
			return true;
	return false;
}

unsigned
fields_begin_row(const uint8_t *body, size_t len, struct value_list *columns)
{
	*columns = (struct value_list){ .at = body, .end = body };
	if (len >= 2)
		*columns = (struct value_list){ .at = body + 2, .end = body + len, .left = wire_u16(body) };
	return columns->left;
}

const char *
fields_row_take_text(struct value_list *columns, char *out, size_t cap)
{
	const uint8_t *value;
	size_t len;

	out[0] = '\0';
	if (fields_next_value(columns, &value, &len) && value != NULL && len < cap) {
		memcpy(out, value, len);
		out[len] = '\0';
	}
	return out;
}

uint64_t
fields_row_take_number(struct value_list *columns)
{
	char text[32];

	return strtoull(fields_row_take_text(columns, text, sizeof(text)), NULL, 10);
}

unsigned
fields_count_result_formats(const uint8_t *body, size_t len)
{
	struct value_list values;
	const uint8_t *value;
	size_t value_len;

	fields_begin_values(body, len, &values);
	while (fields_next_value(&values, &value, &value_len))
		;
	return values.left > 0 || values.end - values.at < 2 ? 0 : wire_u16(values.at);
}
