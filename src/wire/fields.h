/*
 * src/wire/fields.h - parses the bodies of messages (protocol chapter, "Message Formats", "Error and Notice Message
 * Fields"). The functions are pure. Every string that they return lies in the body, with its terminator.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error_fields {
	/* the 'V' field, which is never localized; else the 'S' field; NULL if both are missing */
	const char *severity;
	const char *sqlstate; /* exactly five characters; NULL if the error has none */
	const char *message;
	const char *routine; /* the function in PostgreSQL's source, which is never localized; NULL if it is missing */
};
/*
 * Parses the body of an ErrorResponse or NoticeResponse as far as it goes: the body may be truncated. Fields that are
 * missing are NULL in *out.
 */
void fields_read_error(const uint8_t *body, size_t len, struct error_fields *out);
/* Returns true if this whole NoticeResponse is the one that DROP ... IF EXISTS sends for a missing object. */
bool fields_is_drop_skipped_notice(const uint8_t *body, size_t len);
/* Returns true if the severity is FATAL or PANIC: the server closes the connection after such an error. */
bool fields_error_is_fatal(const struct error_fields *e);
/*
 * Returns true if the error has this SQLSTATE and was raised by this routine of PostgreSQL's. A user's function can
 * choose the severity, the SQLSTATE and the text of an error, but not its routine.
 */
bool fields_error_is_of(const struct error_fields *e, const char *sqlstate, const char *routine);

/* Parses a ParameterStatus into *name and *value. Returns false if the message is malformed. */
bool fields_read_parameter(const uint8_t *body, size_t len, const char **name, const char **value);

/*
 * The fields of a Parse. The SQL with its terminator and the parameter types lie in one run of bytes, which identifies
 * the statement. fields_read_parse() returns false if the message is malformed.
 */
struct parse_fields {
	const char *name;
	const uint8_t *rest; /* the query, its terminator, an int16 count and that many int32 types */
	size_t rest_len;
	size_t query_len; /* bytes of the query without its terminator */
};
bool fields_read_parse(const uint8_t *body, size_t len, struct parse_fields *out);

/*
 * Parses the names at the front of a Bind into *portal and *statement, and sets *names_len to the number of bytes up to
 * and including the second terminator. Returns false if a terminator is missing: more bytes may have it.
 */
bool fields_read_bind(const uint8_t *body, size_t len, const char **portal, const char **statement, size_t *names_len);
/*
 * Returns a hash of the parts of a RowDescription that clients rely on: names, types and type modifiers. The columns'
 * origin and format are ignored, as PostgreSQL ignores them when it decides whether a plan's result type has changed
 * (equalTupleDescs). Returns 0 if the message is malformed, and never otherwise.
 */
uint32_t fields_description_hash(const uint8_t *body, size_t len);
/* Returns a hash, never 0, of a ParameterDescription's types if any type's OID is at least first_user_oid; otherwise 0.
 */
uint32_t fields_user_types_hash(const uint8_t *body, size_t len, uint32_t first_user_oid);
/*
 * Finds the value of a Bind's parameter i, counted from 0, in the format in which the client sent it. (A value of type
 * text has the same bytes in both formats.) *value is NULL for SQL's NULL. Returns false if the Bind has fewer
 * parameters, or if the body is truncated before the value's end.
 */
bool fields_read_bind_value(const uint8_t *body, size_t body_len, unsigned i, const uint8_t **value, size_t *len);
/*
 * Iterates over the values of a Bind. fields_begin_values() returns false if the Bind is truncated before the count of
 * its values; fields_next_value() returns false after the last value, or if the next one is truncated.
 */
struct value_list {
	const uint8_t *at, *end;
	unsigned left;
};
bool fields_begin_values(const uint8_t *body, size_t len, struct value_list *values);
bool fields_next_value(struct value_list *values, const uint8_t **value, size_t *len);
/*
 * Begins an iteration over the columns of a DataRow, which have the same form as the values of a Bind, so
 * fields_next_value() takes each column. Returns the number of columns; 0 if the message is malformed.
 */
unsigned fields_begin_row(const uint8_t *body, size_t len, struct value_list *columns);
/*
 * Copies the next column to out as terminated text: "" if it is NULL, missing or too long for cap bytes. Returns out.
 */
const char *fields_row_take_text(struct value_list *columns, char *out, size_t cap);
/* Takes the next column and returns it as a number: 0 if its text does not begin with a number. */
uint64_t fields_row_take_number(struct value_list *columns);
/* Returns the number of result formats in a Bind; 0 if there are none, or if the Bind is truncated or malformed. */
unsigned fields_bind_result_format_count(const uint8_t *body, size_t len);
/* Parses a Describe or Close; *kind is 'S' (statement) or 'P' (portal). Returns false if the message is malformed. */
bool fields_read_target(const uint8_t *body, size_t len, uint8_t *kind, const char **name);
