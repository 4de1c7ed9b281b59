/*
 * src/wire/fields.h - parses the bodies of messages (PostgreSQL's manual, "Frontend/Backend Protocol", sections
 * "Message Formats" and "Error and Notice Message Fields"). The functions are pure. Returned strings point into the
 * body, which has their terminators.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error_fields {
	const char *severity; /* field 'V', which is never localized, or else field 'S'; NULL if both are missing */
	const char *sqlstate; /* exactly five characters; NULL if the error has none */
	const char *message;
	const char *routine; /* name of a function in PostgreSQL's source, never localized; NULL if it is missing */
};
/* Parses the body of an ErrorResponse or NoticeResponse. The body may be truncated: fields that are incomplete or
 * missing are NULL in *out. */
void fields_read_error(const uint8_t *body, size_t len, struct error_fields *out);
/* Returns true if this is the body of the NoticeResponse that DROP ... IF EXISTS sends for a missing object. */
bool fields_is_drop_skipped_notice(const uint8_t *body, size_t len);
/* Returns true if the severity is FATAL or PANIC, after which the server closes the connection. */
bool fields_error_is_fatal(const struct error_fields *e);
/* Returns true if the error has this SQLSTATE, and was raised by this function of PostgreSQL's source. The SQLSTATE
 * alone proves nothing, because a user's function can choose all fields of an error except the routine. */
bool fields_error_is_of(const struct error_fields *e, const char *sqlstate, const char *routine);

/* Parses a ParameterStatus into *name and *value. Returns false if the message is malformed. */
bool fields_read_parameter(const uint8_t *body, size_t len, const char **name, const char **value);

struct parse_fields {
	const char *name;
	/* the query, its terminator, an int16 count and as many int32 types; equal statements have equal bytes here */
	const uint8_t *rest;
	size_t rest_len;
	size_t query_len; /* bytes of the query without its terminator */
};
/* Parses a Parse. Returns false if the message is malformed. */
bool fields_read_parse(const uint8_t *body, size_t len, struct parse_fields *out);

/* Parses the names at the front of a Bind, and sets *names_len to the length of both names with their terminators.
 * Returns false if a terminator is missing, as when more bytes of the Bind are still to come. */
bool fields_read_bind(const uint8_t *body, size_t len, const char **portal, const char **statement, size_t *names_len);
/* Returns a hash, never 0, of the names, types and type modifiers in a RowDescription; 0 if the message is malformed.
 * Ignores the origin and the format of columns, as PostgreSQL does for a plan's result type (equalTupleDescs). */
uint32_t fields_hash_description(const uint8_t *body, size_t len);
/* Returns 0 if no type in a ParameterDescription is a user's type, whose OID is first_user_oid or more; otherwise a
 * hash, never 0, of all the types. */
uint32_t fields_hash_user_types(const uint8_t *body, size_t len, uint32_t first_user_oid);
/* Finds the value of a Bind's parameter i, counted from 0. The value has the format in which the client sent it, text
 * or binary; values of type text have the same bytes in both. *value is NULL for SQL's NULL. Returns false if the Bind
 * has no parameter i, or if the body is truncated before the value's end. */
bool fields_read_bind_value(const uint8_t *body, size_t body_len, unsigned i, const uint8_t **value, size_t *len);
/* An iteration over the values of a Bind, or over the columns of a DataRow, which have the same form. */
struct value_list {
	const uint8_t *at, *end;
	unsigned left; /* how many values or columns are left */
};
/* Begins an iteration over the values of a Bind. Returns false if the Bind is truncated before the count of values. */
bool fields_begin_values(const uint8_t *body, size_t len, struct value_list *values);
/* Takes the next value or column; *value is NULL for SQL's NULL. Returns false at the end, or if bytes are missing. */
bool fields_next_value(struct value_list *values, const uint8_t **value, size_t *len);
/* Begins an iteration over the columns of a DataRow. Returns the number of columns; 0 if the message is malformed. */
unsigned fields_begin_row(const uint8_t *body, size_t len, struct value_list *columns);
/* Copies the next column to out, with a terminator; "" if it is NULL, missing or too long for cap. Returns out. */
const char *fields_row_take_text(struct value_list *columns, char *out, size_t cap);
/* Takes the next column, a number as text, and returns the number; 0 if the text does not begin with a number. */
uint64_t fields_row_take_number(struct value_list *columns);
/* Returns how many result format codes a Bind has; 0 if the Bind is truncated or malformed. */
unsigned fields_count_result_formats(const uint8_t *body, size_t len);
/* Parses a Describe or Close; *kind is 'S' (statement) or 'P' (portal). Returns false if the message is malformed. */
bool fields_read_target(const uint8_t *body, size_t len, uint8_t *kind, const char **name);
