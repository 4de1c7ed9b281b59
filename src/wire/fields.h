/*
 * src/wire/fields.h - parses the bodies of messages (protocol chapter, "Message Formats", "Error and Notice Message
 * Fields"). Pure. Every field is optional; results point into the body and are terminated there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error_fields {
	const char *severity; /* 'V' (never localised), else 'S', else NULL */
	const char *sqlstate; /* exactly five characters, or NULL */
	const char *message;
	const char *routine; /* the function in PostgreSQL's source; never localised */
};
/* Parses as much as there is of the body of an ErrorResponse or NoticeResponse, which may be truncated. */
void fields_error(const uint8_t *body, size_t len, struct error_fields *out);
/* Returns true if a whole NoticeResponse is the one of DROP ... IF EXISTS about a missing object. */
bool fields_notice_is_skip(const uint8_t *body, size_t len);
/* Returns true if it is FATAL or PANIC, after which the server closes the connection. */
bool fields_error_is_fatal(const struct error_fields *e);
/*
 * Returns true if the error has this SQLSTATE and comes from this routine of PostgreSQL's. A function of anybody's
 * chooses the severity, the SQLSTATE and the text of an error, but not its routine.
 */
bool fields_error_is_of(const struct error_fields *e, const char *sqlstate, const char *routine);

/* Parses a ParameterStatus. Returns false if it is malformed. */
bool fields_parameter(const uint8_t *body, size_t len, const char **name, const char **value);

/*
 * A Parse: the name, then the SQL with its terminator and the parameter types as one run of bytes, which identifies the
 * statement. fields_parse() returns false if it is malformed.
 */
struct parse_fields {
	const char *name;
	const uint8_t *rest; /* query, terminator, int16 count, int32 types */
	size_t rest_len;
	size_t query_len; /* without terminator */
};
bool fields_parse(const uint8_t *body, size_t len, struct parse_fields *out);

/*
 * Parses the names at the front of a Bind: portal and statement. Returns false if a terminator is missing within len
 * (more bytes may bring it). *names_len: the bytes up to and including the second terminator.
 */
bool fields_bind(const uint8_t *body, size_t len, const char **portal, const char **statement, size_t *names_len);
/*
 * Returns a hash, never 0, of the parts of a RowDescription that its reader relies on: names, types and modifiers. It
 * ignores the columns' origin and format, as PostgreSQL does when it decides whether a plan has changed its result type
 * (equalTupleDescs). Returns 0 if it is malformed.
 */
uint32_t fields_row_shape(const uint8_t *body, size_t len);
/* Returns a hash, never 0, of a ParameterDescription's types if any of them is at least first; otherwise 0. */
uint32_t fields_own_types(const uint8_t *body, size_t len, uint32_t first);
/*
 * Finds the value of a Bind's parameter i (from 0), in the format in which it was sent; for the type text both formats
 * are the same. Returns false if there is no such parameter, or if body is truncated before the value's end. *value is
 * NULL for SQL's NULL.
 */
bool fields_bind_value(const uint8_t *body, size_t body_len, unsigned i, const uint8_t **value, size_t *len);
/* Iterates over all values. */
struct bind_values {
	const uint8_t *at, *end;
	unsigned left;
};
bool fields_bind_values(const uint8_t *body, size_t len, struct bind_values *values);
bool fields_bind_next(struct bind_values *values, const uint8_t **value, size_t *len);
/*
 * Begins with the columns of a DataRow, which are written as values in a Bind: fields_bind_next() takes each. Returns
 * how many there are; 0: none, or it is malformed.
 */
unsigned fields_row(const uint8_t *body, size_t len, struct bind_values *columns);
/* Takes the next column as text, terminated within cap: "" if it is NULL, longer, or not there. Returns out. */
const char *fields_row_text(struct bind_values *columns, char *out, size_t cap);
/* Takes the next column as a number: 0 if it begins with none. */
uint64_t fields_row_number(struct bind_values *columns);
/* Returns the number of result formats in a Bind; 0: none, or it is truncated or malformed. */
unsigned fields_bind_formats(const uint8_t *body, size_t len);
/* Parses a Describe or Close: kind is 'S' or 'P'. Returns false if it is malformed. */
bool fields_target(const uint8_t *body, size_t len, uint8_t *kind, const char **name);
