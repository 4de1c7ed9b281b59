/*
 * src/admin/console_rows.h - turns a struct into a DataRow for the console, or into a JSON object for HTTP.
 *
 * Each command that is answered with rows has a struct for a row and a table of columns. The struct has one field for
 * each column, in the same order. Pure.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_type {
	COLUMN_TEXT, /* the field is a const char *; NULL is SQL's NULL */
	/* For all types below except FLOAT8, the field is a uint64_t. A value that is too large for its SQL type is
	 * shown as the largest value of that type. */
	COLUMN_BOOL,
	COLUMN_INT4,
	COLUMN_INT8,
	COLUMN_INT8_OR_NULL, /* ROWS_NULL is SQL's NULL */
	COLUMN_NUMERIC,
	COLUMN_MS, /* microseconds, shown as milliseconds with decimals */
	COLUMN_TIME, /* microseconds since 1970, shown as "2026-11-20 09:15:00 UTC"; 0 is SQL's NULL */
	COLUMN_HASH, /* shown as 16 hexadecimal digits; 0 is SQL's NULL */
	COLUMN_FLOAT8 /* the field is a double; NaN is SQL's NULL */
};

#define ROWS_NULL UINT64_MAX

struct column {
	const char *name;
	enum column_type type;
};

/* The C types of fields. All fields have the same size, so the position of a column gives its field's offset. */
#define ROW_FIELD_SIZE 8
#define ROW_TEXT const char *
#define ROW_BOOL uint64_t
#define ROW_INT4 uint64_t
#define ROW_INT8 uint64_t
#define ROW_INT8_OR_NULL uint64_t
#define ROW_NUMERIC uint64_t
#define ROW_MS uint64_t
#define ROW_TIME uint64_t
#define ROW_HASH uint64_t
#define ROW_FLOAT8 double

/* Declares struct NAME_row and the table NAME_columns from one list of columns: (TEXT, database) (INT8, calls) ... The
 * macro ROW_FIELD expands the first column and ends with the name ROW_FIELD_, which expands the next column and ends
 * with the name ROW_FIELD, and so on. ROW_ENDED appends _END to the last name, and that macro is empty. */
#define SHOW_ROW(name, columns)                                                                                        \
	struct name##_row {                                                                                            \
		ROW_FIELDS(columns)                                                                                    \
	};                                                                                                             \
	static const struct column name##_columns[] = { ROW_COLUMNS(columns) }
#define ROW_FIELDS(columns) ROW_ENDED(ROW_FIELD columns)
#define ROW_COLUMNS(columns) ROW_ENDED(ROW_COLUMN columns)
#define ROW_ENDED(...) ROW_ENDED_(__VA_ARGS__)
#define ROW_ENDED_(...) __VA_ARGS__##_END
#define ROW_FIELD(type, field)                                                                                         \
	_Alignas(ROW_FIELD_SIZE) ROW_##type field;                                                                     \
	ROW_FIELD_
#define ROW_FIELD_(type, field)                                                                                        \
	_Alignas(ROW_FIELD_SIZE) ROW_##type field;                                                                     \
	ROW_FIELD
#define ROW_COLUMN(type, field) { #field, COLUMN_##type }, ROW_COLUMN_
#define ROW_COLUMN_(type, field) { #field, COLUMN_##type }, ROW_COLUMN
#define ROW_FIELD_END
#define ROW_FIELD__END
#define ROW_COLUMN_END
#define ROW_COLUMN__END

struct rows {
	const struct column *columns;
	size_t column_count;
	/* a pattern of LIKE, or NULL. A row is added only if the pattern matches the row's first column, or its column
	 * database, user, application_name or event */
	const char *like;
	struct buf *out;
	uint64_t count; /* rows that were added */
	/* the largest number of JSON objects to add, with commas between them; 0 to add DataRows instead */
	uint64_t json_rows_max;
};

/* Allocates count zeroed elements, which the caller frees. If there is no memory, returns NULL and marks r->out as
 * broken, so the command is answered with an error. */
void *rows_alloc_scratch(struct rows *r, size_t count, size_t size);
void rows_describe(struct buf *out, const struct column *columns, size_t column_count); /* appends a RowDescription */
void rows_add(struct rows *r, const void *row); /* row points to the command's struct NAME_row */
bool rows_like_matches(const struct rows *r, const void *row); /* returns true if r->like is NULL or matches the row */

/* Returns true if text matches SQL's LIKE pattern: % stands for any text, _ for one character (in UTF-8), and a
 * backslash makes the next character stand for itself. */
bool console_like_matches(const char *text, const char *pattern);
