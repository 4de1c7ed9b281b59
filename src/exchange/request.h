/*
 * src/exchange/request.h - a message of a client as the features see it, taken apart once; see relay/features.h.
 */
#ifndef PGWEIR_EXCHANGE_REQUEST_H
#define PGWEIR_EXCHANGE_REQUEST_H

#include "sql/scan.h"
#include "wire/fields.h"

struct named; /* statements/statements_state.h */
struct statement; /* session/statement_store.h */

/* The names that a Bind begins with. */
struct bind_names {
	const char *portal, *statement;
	size_t len; /* bytes, with terminators */
};

/* All pointers except named, statement and scan point into the message. */
struct request {
	uint8_t type;
	const uint8_t *message;
	size_t total; /* bytes of the message */
	size_t have; /* bytes from message on that have come: less than total, or with what follows it */
	const char *sql; /* Query, Parse: whole, without its terminator; NULL: it comes in pieces */
	size_t sql_len; /* bytes */
	struct parse_fields parse; /* Parse */
	struct bind_names names; /* Bind */
	const char *portal; /* Execute; "?": one with a name */
	uint8_t target; /* Describe, Close: 'S' or 'P' ... */
	const char *name; /* ... of this name */
	struct named
	    *named; /* Bind, Describe of a statement: what the client calls so; NULL: the unnamed one, or none */
	struct statement *statement; /* the same; NULL: pgweir does not know it */
	struct scan *scan; /* Query: the scan of all its SQL, under the client's settings; NULL: not scanned yet */
	unsigned shown; /* Query that was replaced: see struct owed_request */
	size_t used; /* Bind that was replaced: bytes of it that need not be sent any more */
};

/* Returns how many bytes of the message's body have come. */
static inline size_t
request_body_len(const struct request *m)
{
	return (m->have < m->total ? m->have : m->total) - 5;
}

#endif
