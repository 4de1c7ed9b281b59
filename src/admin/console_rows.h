/*
 * src/admin/console_rows.h - rows for a console client: a struct in, a DataRow out; or a JSON object for the status
 * page.
 *
 * A command has a struct for its rows, with a field for each column in the order of its table of columns. Pure.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_type {
	COLUMN_TEXT, /* const char *; NULL is SQL's NULL */
	COLUMN_BOOL, /* uint64_t, as all that follow: larger values are shown as the largest the type can hold */
	COLUMN_INT4,
	COLUMN_INT8,
	COLUMN_INT8_OR_NULL, /* ROWS_NULL is SQL's NULL */
	COLUMN_NUMERIC,
	COLUMN_MS, /* microseconds, shown as milliseconds with a point */
	COLUMN_TIME, /* microseconds since 1970, shown as "2026-11-20 09:15:00 UTC"; 0 is SQL's NULL */
	COLUMN_HASH, /* shown as 16 digits; 0 is SQL's NULL */
	COLUMN_FLOAT8 /* double; not a number is SQL's NULL */
};

#define ROWS_NULL UINT64_MAX

struct column {
	const char *name;
	enum column_type type;
};

/* How C has a field, each in as many bytes, so that columns need not say where they are. */
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

/*
 * Says a row once: struct NAME_row and NAME_columns. The columns are (TEXT, database) (INT8, calls) ..., which each
 * macro below hands on to the other of its pair; the last one meets nothing, and _END ends it.
 */
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
	/* Only rows that match: their first column, or one that is the database, the user, the application or an event;
	 * NULL: all. */
	const char *like;
	struct buf *out;
	uint64_t count; /* rows that were added */
	uint64_t json_max; /* not 0: rows are JSON objects separated by commas, at most this many */
};

/* Allocates count zeroed elements for the caller, who frees them. Without memory: spoils the answer, returns NULL. */
void *rows_scratch(struct rows *r, size_t count, size_t size);
void rows_describe(struct buf *out, const struct column *columns, size_t column_count);
void rows_add(struct rows *r, const void *row);
bool rows_like(const struct rows *r, const void *row); /* Returns true if rows_add() would take it. */

/* SQL's LIKE: % is any text, _ any one character (of UTF-8), a backslash takes the next one as it is. */
bool console_like_matches(const char *text, const char *pattern);
