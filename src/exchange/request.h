/*
 * src/exchange/request.h - a message of a client as the features see it, taken apart once; see relay/features.h.
 */
#pragma once

#include "base/buf.h"
#include "base/counters.h"
#include "sql/known.h"
#include "sql/traits.h"
#include "wire/fields.h"

struct client_statement; /* statements/statements_state.h */
struct exchange;
struct statement; /* session/statement_store.h */

/* The names that a Bind begins with. */
struct bind_names {
	const char *portal, *statement;
	size_t len; /* bytes, with terminators */
};

/* All pointers except named, statement, traits, scan and instead point into the message. */
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
	struct client_statement
	    *named; /* Bind, Describe of a statement: what the client calls so; NULL: the unnamed one, or none */
	struct statement *statement; /* the same; NULL: pgweir does not know it */
	const struct sql_traits *traits; /* of its SQL: of a Query under the client's settings or, if earlier SQL may
					  * change these, whichever they are; of others, whichever they are. NULL: the
					  * SQL comes in pieces, or is unknown */
	const struct scan *scan; /* Query: of its SQL under the client's settings; NULL if traits is */
	unsigned risk; /* enum state_part: what code of the database its SQL could touch unseen. Query, Bind */
	struct sql_traits own; /* Parse: those */
	bool is_taken_apart; /* request_known() has read its SQL */
	bool is_found; /* Bind, Describe: named, statement and traits are what they will be */
	enum forbidden forbidden; /* Query, Parse: why it is not sent as it is; see relay/forbid.h */
	struct buf instead; /* Query, Parse that was replaced: the message to send in its place */
	unsigned shown; /* Query that was replaced: see struct owed_request */
	size_t used; /* Bind that was replaced: bytes of it that need not be sent any more */
};

/* Returns true if its SQL may begin with this word. */
static inline bool
request_begins_with(const struct request *m, enum sql_word word)
{
	return m->traits != NULL && m->traits->first == (uint8_t)word;
}

/* Returns true if its SQL has one of these flags (enum scan_flag) or hints (enum scan_hint). */
static inline bool
request_has(const struct request *m, uint32_t flags, uint32_t hints)
{
	return m->traits != NULL && ((m->traits->flags & flags) != 0 || (m->traits->hints & hints) != 0);
}

/* Returns the SQL that it has, or its statement, and writes its length in bytes; NULL: it is not known. */
const char *request_sql(const struct request *m, size_t *len);
/*
 * Returns the statements of its SQL as the client's session reads them, valid until another request is asked about. It
 * is taken apart at the first call: a feature asks only if the traits concern it.
 */
const struct known_text *request_known(const struct exchange *x, struct request *m);
/* Returns the only statement of its SQL; KNOWN_NOT: there are several, or it is another one. Valid as above. */
const struct known *request_only(const struct exchange *x, struct request *m);
/*
 * A message of pgweir's is to go ahead of m: request_awaits_others() is called before it is sent, and m held if that
 * returns true; then request_goes_behind(), which returns STEP_HOLD or STEP_FORWARD. Both concern a Query within a
 * request that has begun: an error ahead of it makes PostgreSQL ignore all up to a Sync, even the Query, which brings
 * none. An error of the client's own messages does so for the client, too. One of pgweir's is the Query's: so that is
 * answered first, and then the Query comes to the features again, or a Sync goes in its place.
 */
bool request_awaits_others(const struct exchange *x, const struct request *m);
enum feature_step request_goes_behind(const struct exchange *x, const struct request *m);

/* Returns how many bytes of the message's body have come. */
static inline size_t
request_body_len(const struct request *m)
{
	return (m->have < m->total ? m->have : m->total) - 5;
}
