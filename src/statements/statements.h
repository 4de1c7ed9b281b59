/*
 * src/statements/statements.h - makes the prepared statements of a client work on all servers that the client borrows:
 * the functions that the relay calls.
 *
 * Borrows: the exchange, and the request, for the length of a call.
 * Always:  a client that uses no prepared statements has no struct client_statements (statements_state.h).
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * The next functions are rows of relay/features.c. They handle messages of the extended protocol that name a statement,
 * from a client with a server. They return STEP_FORWARD if the message must be sent as it is; STEP_REPLACED if the
 * message is in the ledger, and what the server must get is in the outbox; STEP_HOLD if the message must wait for
 * replies; or STEP_FAILED if there is no memory.
 */
/* Finds the statement that a Bind names, and sets m->named and m->statement. */
enum feature_step statements_find_bound(struct exchange *x, struct request *m);
/* Finds the statement that a Describe names, and sets m->named and m->statement. */
enum feature_step statements_find_described(struct exchange *x, struct request *m);
/* STEP_REPLACED: the outbox has a rewritten beginning of the Bind. The caller must skip the first m->skip_len bytes of
 * the Bind, and send the rest. */
enum feature_step statements_bind(struct exchange *x, struct request *m);
enum feature_step statements_describe(struct exchange *x, struct request *m);
enum feature_step statements_close(struct exchange *x, struct request *m);
/*
 * Returns true if all messages must be sent as they are: in session mode, where the names on the server are the
 * client's own; after an error, when the server skips messages; and within COPY IN, where no reply would come.
 */
bool statements_pass_through(const struct exchange *x);
/*
 * Does what statements_find_bound() and statements_bind() do, for a complete Bind in the fast lane (relay/fast.c).
 * Returns what statements_bind() returns, except that STEP_FORWARD means that the Bind must take the slow lane.
 */
enum feature_step statements_bind_plain(struct exchange *x, struct request *m);
/* Returns true if a Describe of a portal, as the next message, must not take the fast lane (relay/fast.c). */
bool statements_describe_is_slow(const struct exchange *x);
/* Handles a Close of a client without a server. The caller answers the Close. Returns false if it is malformed. */
bool statements_close_without_server(struct exchange *x, const uint8_t *message, size_t len);
void statements_request_done(struct exchange *x); /* call at each ReadyForQuery */
/* Call when a Sync is sent, because after an error the server skips messages only up to the next Sync. */
void statements_note_sync(struct exchange *x);
/* Returns true if the client must keep its server, because only that server has one of the client's statements, which
 * is too large to be stored. */
bool statements_need_server(const struct exchange *x);
/* Returns true if `name` is not "" and the client has a statement of this name, so a Parse of this name must fail. */
bool statements_is_taken(const struct exchange *x, const char *name);

/* --- parse.c --- */
/* Handles a Parse; a row of relay/features.c, like those above. */
enum feature_step statements_parse(struct exchange *x, struct request *m);
/* Answers a Parse of a client without a server. Returns false if the Parse needs a server. */
bool statements_parse_unlinked(struct exchange *x, const struct request *m);
/*
 * Handles a Parse that is longer than max_statement_size. sql: the len bytes of the Parse that follow the name; the
 * first `have` of these bytes have come. Returns STEP_FORWARD if the Parse is in the ledger and must be sent;
 * STEP_REPLACED if another message was sent in its place, and the Parse must be dropped; STEP_HOLD; or STEP_FAILED.
 */
enum feature_step statements_oversize_parse(struct exchange *x, const char *name, const char *sql, size_t have,
					    size_t len);

/* --- settled.c and row_shape.c: replies to messages about statements --- */
/* Handles the end of a message about a statement (answered, failed or skipped): see server_ops.settled. */
void statements_settled(struct server *srv, const struct owed *o, enum owed_end how);
/* Sends the error with the client's name in place of pgweir's, or with a hint. If neither applies, returns false. */
bool statements_rewrite_error(struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len);
/* Handles the reply to a Describe of a named statement: see server_ops.described. */
void statements_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);

/* --- statements_deallocate.c: SQL that deallocates statements --- */
/*
 * Handles a Query of a client with or without a server. Returns STEP_REPLACED if pgweir has answered the Query, because
 * it only deallocates statements that have names in the client's table; STEP_HOLD if the Query must wait until earlier
 * messages are answered; STEP_FORWARD if the server must run it.
 */
enum feature_step statements_deallocate_here(struct exchange *x, const struct request *m);
/* The next three functions are rows of relay/features.c. They return STEP_FORWARD, STEP_HOLD or STEP_FAILED. The first
 * two note which statements the SQL of a Query, or of a bound statement, will deallocate. */
enum feature_step statements_deallocate_query(struct exchange *x, struct request *m);
enum feature_step statements_deallocate_bind(struct exchange *x, struct request *m);
/* Call before a Query is sent. If the Query is one DROP ... IF EXISTS, notes how many names it has: see loan.drops. */
enum feature_step statements_note_drop(struct exchange *x, struct request *m);
/* Call at the CommandComplete of a DEALLOCATE. is_all: true for DEALLOCATE ALL and DISCARD ALL. */
void statements_deallocated(struct exchange *x, bool is_all);

/* --- names.c --- */
/* Returns how many statements the client has ever named. */
uint32_t statements_last_name_number(const struct exchange *x);
/* Forgets the client's statement of this name, unless its number (client_statement.order) is at most
 * last_name_number. */
void statements_forget_since(struct exchange *x, const char *name, uint32_t last_name_number);
/* Returns the client's statement of this name ("" for the unnamed one), borrowed; NULL if there is none. */
struct statement *statements_find(const struct exchange *x, const char *name);
/* Returns false if the client's statement of this name ("" for the unnamed one) is certainly no BEGIN with a mode. The
 * call is cheap if none of the client's named statements is such a BEGIN. */
bool statements_may_be_begin_with_mode(const struct exchange *x, const char *name);
size_t statements_count(const struct exchange *x); /* returns how many named statements the client has */
/* For the features' table of relay/features.c: always true, because relay/fast.c looks at each name itself. */
static inline bool
statements_is_quiet(const struct exchange *x)
{
	return true;
}
void statements_free(struct exchange *x);
