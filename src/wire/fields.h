/*
 * src/wire/fields.h - looks into the bodies of messages (protocol chapter, "Message Formats", "Error and Notice Message
 * Fields"). Pure. Every field is optional until seen; results point into the body and are terminated there.
 */
#ifndef PGWEIR_WIRE_FIELDS_H
#define PGWEIR_WIRE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error_fields {
	const char *severity; /* 'V' (never localised) or else 'S'; NULL: absent */
	const char *sqlstate; /* exactly five characters, else NULL */
	const char *message;
	const char *routine; /* where in PostgreSQL's source: never localised */
};
/* Reads what is there of a (possibly cut) ErrorResponse or NoticeResponse body. */
void fields_error(const uint8_t *body, size_t len, struct error_fields *out);
/* A whole notice of DROP ... IF EXISTS: there is no such thing. */
bool fields_notice_is_skip(const uint8_t *body, size_t len);
/* FATAL or PANIC: the server closes the connection after it. */
bool fields_error_is_fatal(const struct error_fields *e);

/* ParameterStatus: false if malformed. */
bool fields_parameter(const uint8_t *body, size_t len, const char **name, const char **value);

/*
 * Parse: name, then query text with its terminator and the parameter types as one run of bytes (what a statement is
 * known by). false if malformed.
 */
struct parse_fields {
	const char *name;
	const uint8_t *rest; /* query, terminator, int16 count, int32 types */
	size_t rest_len;
	size_t query_len; /* without terminator */
};
bool fields_parse(const uint8_t *body, size_t len, struct parse_fields *out);

/*
 * The names at the front of Bind: portal and statement. false: a terminator is missing within len (more bytes may
 * bring it, if the message is longer). names_len: bytes up to and with the second terminator.
 */
bool fields_bind(const uint8_t *body, size_t len, const char **portal, const char **statement, size_t *names_len);
/*
 * What a client that was told a RowDescription relies on: names, types and their modifiers, as one number, never 0. It
 * leaves out where columns come from and their format, as PostgreSQL does when it decides whether a plan has changed
 * its result type (equalTupleDescs). 0: malformed.
 */
uint32_t fields_row_shape(const uint8_t *body, size_t len);
/* The types of a ParameterDescription as one number, never 0, if any of them is at least first; else 0. */
uint32_t fields_own_types(const uint8_t *body, size_t len, uint32_t first);
/*
 * Bind: the value of parameter i (from 0), as it stands: for text, its text and binary formats are the same. body may
 * be cut: false then, if the value is not whole; false, too, where there is no such parameter. *value NULL: SQL's NULL.
 */
bool fields_bind_value(const uint8_t *body, size_t body_len, unsigned i, const uint8_t **value, size_t *len);
/* All of them, one after the other. */
struct bind_values {
	const uint8_t *at, *end;
	unsigned left;
};
bool fields_bind_values(const uint8_t *body, size_t len, struct bind_values *values);
bool fields_bind_next(struct bind_values *values, const uint8_t **value, size_t *len);
/* How many result formats a Bind gives; 0: none, or it is cut or malformed. */
unsigned fields_bind_formats(const uint8_t *body, size_t len);
/* Describe and Close: kind is 'S' or 'P'. false if malformed. */
bool fields_target(const uint8_t *body, size_t len, uint8_t *kind, const char **name);

#endif
