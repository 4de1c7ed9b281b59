/*
 * src/exchange/request.h - a message of a client, parsed once for all features; see relay/features.h.
 *
 * Owns:    `instead`. Borrows: the message's bytes, and all else that its pointers point to.
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

/* The names at the beginning of a Bind. */
struct bind_names {
	const char *portal, *statement;
	size_t len; /* bytes, including terminators */
};

/* All pointers except named, statement, traits, scan and instead point into the message. */
struct request {
	uint8_t type;
	const uint8_t *message;
	size_t total; /* bytes of the message */
	size_t have; /* how many bytes from `message` on have come; more than total if the next message has begun */
	const char *sql; /* Query, Parse: the complete SQL, without its terminator; NULL if the SQL comes in pieces */
	size_t sql_len; /* bytes */
	struct parse_fields parse; /* Parse: its fields */
	struct bind_names names; /* Bind: its names */
	const char *portal; /* Execute: "" for the unnamed portal, "?" for every other, whose name is not read */
	uint8_t target; /* Describe, Close: 'S' for a statement or 'P' for a portal */
	const char *name; /* Describe, Close: the name of the statement or portal */
	/* Bind, Describe: the client's statement of the name in the message; NULL for the unnamed statement, or if the
	 * client has no statement of that name */
	struct client_statement *named;
	struct statement *statement; /* the statement of `named`, or the unnamed one; NULL if pgweir does not know it */
	/* The union of the traits that the SQL has under each combination of settings. For a Query: the traits under
	 * the client's settings, unless earlier SQL may have changed the settings. NULL if there is no complete SQL. */
	const struct sql_traits *traits;
	const struct scan *scan; /* Query: the scan of its SQL under the client's settings; NULL if traits is NULL */
	unsigned risk; /* Query, Bind: the risk of the SQL (seal/seal.h) */
	struct sql_traits parse_traits; /* Parse: the traits of its SQL */
	bool is_taken_apart; /* true if request_known() has parsed the SQL of this message */
	bool is_found; /* Bind, Describe: true if `named`, statement and traits have their final values */
	enum forbidden forbidden; /* Query, Parse: the rule that forbids the SQL; see relay/forbid.h */
	struct buf instead; /* Query, Parse: the message to send if this message is replaced */
	/* Query: if the message is replaced, the client gets only the first shown_count CommandCompletes */
	unsigned shown_count;
	size_t skip_len; /* Bind: if the beginning of the message was replaced, the length of the old beginning */
};

/* Returns true if the SQL of m may begin with this word. */
static inline bool
request_begins_with(const struct request *m, enum sql_word word)
{
	return m->traits != NULL && m->traits->first == (uint8_t)word;
}

/* Returns true if the SQL of m has one of these flags (enum scan_flag) or hints (enum scan_hint). */
static inline bool
request_has(const struct request *m, uint32_t flags, uint32_t hints)
{
	return m->traits != NULL && ((m->traits->flags & flags) != 0 || (m->traits->hints & hints) != 0);
}

/* Returns the SQL of m, or of the statement that m names, and sets *len to its length; NULL if the SQL is unknown. */
const char *request_sql(const struct request *m, size_t *len);
/* Returns the statements in the SQL of m, parsed under the settings of the client's session. The result is valid until
 * the next call for another request. The first call parses the SQL, so call this only if the traits demand it. */
const struct known_text *request_known(const struct exchange *x, struct request *m);
/* Returns the statement in the SQL of m, or a KNOWN_NOT if there are several. Valid for as long as request_known()'s
 * result. */
const struct known_statement *request_single_known(const struct exchange *x, struct request *m);
/*
 * For features that send a message of pgweir's ahead of m. The feature calls request_must_wait() first. If that returns
 * true, the feature sends nothing yet, and returns STEP_HOLD. Otherwise it sends its message, and returns the result of
 * request_hold_behind_ours(): STEP_FORWARD if m may be sent at once; or STEP_HOLD if m must wait until pgweir's
 * message is answered, which is noted in the server's loan (enum loan_behind).
 *
 * Both functions matter for a Query that comes before the Sync of an extended-protocol request. After an error
 * PostgreSQL ignores everything up to a Sync, even the Query, because a Query has no Sync of its own. That is right if
 * a message of the client's own fails, because the same would happen without pgweir. But if pgweir's message fails,
 * only the Query may fail. So pgweir's message must be answered first; then either the Query goes through the features
 * again, or a Sync is sent in place of the Query.
 */
bool request_must_wait(const struct exchange *x, const struct request *m);
enum feature_step request_hold_behind_ours(const struct exchange *x, const struct request *m);

/* Returns how many bytes of the message's body have come. */
static inline size_t
request_body_len(const struct request *m)
{
	return (m->have < m->total ? m->have : m->total) - 5;
}
