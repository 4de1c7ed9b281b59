/*
 * src/statements/statements.h - prepared statements of clients, across the servers they borrow: what the relay calls.
 *
 * Borrows: the exchange, and the request for the length of a call.
 * Always:  a client that uses no prepared statements has no struct client_statements (statements_state.h).
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * Rows of relay/features.c: messages of the extended protocol that name statements, of a client with a server. They
 * return STEP_FORWARD if statements are not concerned; STEP_SENT if the message is in the ledger, and the bytes to send
 * are in the outbox; STEP_HOLD; or STEP_FAILED without memory.
 */
/* Finds the statement that a Bind names, and sets m->named and m->statement. */
enum feature_step statements_find_bound(struct exchange *x, struct request *m);
/* Finds the statement that a Describe names, and sets m->named and m->statement. */
enum feature_step statements_find_described(struct exchange *x, struct request *m);
/* Returns STEP_SENT if other bytes were sent for the first m->skip_len bytes of the Bind; the rest must be sent as it
 * is.
 */
enum feature_step statements_bind(struct exchange *x, struct request *m);
enum feature_step statements_describe(struct exchange *x, struct request *m);
enum feature_step statements_close(struct exchange *x, struct request *m);
/*
 * Returns true if messages must be sent as they are: in session mode, where the names on the server are the client's
 * own; where the server skips messages; and within COPY IN, where the server ends the connection at such a message and
 * would never send the reply that a held message waits for.
 */
bool statements_pass_through(const struct exchange *x);
/*
 * The fast lane's statements_find_bound() and statements_bind(), for a complete Bind. Returns STEP_SENT if the Bind is
 * in the ledger, and its bytes from m->skip_len on must be sent as they are; STEP_FORWARD if the Bind must take the
 * slow lane; STEP_HOLD; or STEP_FAILED.
 */
enum feature_step statements_bind_plain(struct exchange *x, struct request *m);
/* Returns true if the next Describe of a portal must take the slow lane. */
bool statements_expect_describe(const struct exchange *x);
/* Answers a Close without a server. Returns false if the message is malformed. */
bool statements_close_unlinked(struct exchange *x, const uint8_t *message, size_t len);
void statements_request_done(struct exchange *x); /* call at each ReadyForQuery */
/* call when a Sync is sent: after an error, the server skips messages only up to that Sync */
void statements_sync(struct exchange *x);
/* Returns true if the client has statements that are too large to be stored, so only its server has them. */
bool statements_hold_server(const struct exchange *x);
/* Returns true if the client has prepared a statement under this name by the protocol, so a Parse of that name
 * fails. */
bool statements_is_taken(const struct exchange *x, const char *name);

/* --- parse.c --- */
/* A row of relay/features.c, like those above. */
enum feature_step statements_parse(struct exchange *x, struct request *m);
/* Answers a Parse without a server. Returns false if the Parse needs a server. */
bool statements_parse_unlinked(struct exchange *x, const struct request *m);
/*
 * Handles a Parse over max_statement_size. After its name the Parse has len bytes, of which `have` have come. Returns
 * STEP_FORWARD if the Parse is in the ledger and must be sent; STEP_SENT if another message was sent in its place, so
 * it must be dropped; STEP_HOLD; or STEP_FAILED.
 */
enum feature_step statements_oversize_parse(struct exchange *x, const char *name, const char *sql, size_t have,
					    size_t len);

/* --- settled.c and row_shape.c: replies --- */
void statements_settled(struct server *srv, const struct owed *o, enum owed_end how);
/* Sends the error with the client's name in place of pgweir's. Returns false if there is nothing to replace. */
bool statements_rewrite_error(struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len);
/* Handles the reply to a Describe of a named statement: see server_ops.described. */
void statements_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);

/* --- statements_deallocate.c: SQL that deallocates statements --- */
/*
 * Handles a Query of a client with or without a server. Returns STEP_SENT if the Query was answered from the table of
 * names; STEP_HOLD if it may be answered here after all earlier messages; STEP_FORWARD if it needs the server.
 */
enum feature_step statements_deallocate_here(struct exchange *x, const struct request *m);
/* Rows of relay/features.c: return STEP_FORWARD, STEP_HOLD or STEP_FAILED. */
enum feature_step statements_deallocate_query(struct exchange *x, struct request *m);
enum feature_step statements_deallocate_bind(struct exchange *x, struct request *m);
/* call when this Query is about to run */
enum feature_step statements_note_drop(struct exchange *x, struct request *m);
/* call at CommandComplete of DEALLOCATE; is_all is for DEALLOCATE ALL and DISCARD ALL */
void statements_deallocated(struct exchange *x, bool is_all);

/* --- names.c --- */
uint32_t statements_named_count(const struct exchange *x); /* number of names that the client ever gave */
/* Forgets the client's statement of this name, unless the name is one of the first named_count that the client gave. */
void statements_forget_since(struct exchange *x, const char *name, uint32_t named_count);
/* Returns the statement that the client calls by this name ("" for the unnamed one), borrowed, or NULL if it is
 * unknown. */
struct statement *statements_called(const struct exchange *x, const char *name);
/* Returns false if the statement of this name ("" for the unnamed one) is certainly no BEGIN with a mode. For a name,
 * the call is cheap while none of the client's named statements may be such a BEGIN. */
bool statements_may_begin(const struct exchange *x, const char *name);
size_t statements_count(const struct exchange *x);
/* Returns true always, because the fast lane looks at each name itself. */
static inline bool
statements_is_quiet(const struct exchange *x)
{
	return true;
}
void statements_free(struct exchange *x);
