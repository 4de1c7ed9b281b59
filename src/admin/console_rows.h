/*
 * src/admin/console_rows.h - rows for a console client: a struct in, a DataRow out; or a JSON object for the status
 * page.
 *
 * A command has a struct for its rows, and a table of columns that name its fields; a new column is a field and a row
 * of that table. Pure.
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
	COLUMN_FLOAT8 /* double; not a number is SQL's NULL */
};

#define ROWS_NULL UINT64_MAX

struct column {
	const char *name;
	enum column_type type;
	size_t offset; /* of the field in the command's struct */
};

#define COLUMN_NAMED(type, of, name, field)                                                                            \
	{                                                                                                              \
		name, COLUMN_##type, offsetof(of, field)                                                               \
	}
#define COLUMN(type, field) COLUMN_NAMED(type, COLUMNS_OF, #field, field)
#define COLUMNS(show, ...) static const struct column show##_columns[] = { __VA_ARGS__ }
/* Columns of the struct that COLUMNS_OF stands for, named as their fields. */
#define TEXT(field) COLUMN(TEXT, field)
#define BOOL(field) COLUMN(BOOL, field)
#define INT4(field) COLUMN(INT4, field)
#define INT8(field) COLUMN(INT8, field)
#define INT8_OR_NULL(field) COLUMN(INT8_OR_NULL, field)
#define NUMERIC(field) COLUMN(NUMERIC, field)
#define FLOAT8(field) COLUMN(FLOAT8, field)

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

/* SQL's LIKE: % is any text, _ any one character (of UTF-8), a backslash takes the next one as it is. */
bool console_like_matches(const char *text, const char *pattern);
