/*
 * src/statements/statements.h - prepared statements of clients, across the servers they borrow: what the relay calls.
 */
#ifndef PGWEIR_STATEMENTS_STATEMENTS_H
#define PGWEIR_STATEMENTS_STATEMENTS_H

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * Rows of relay/features.c: messages of the extended protocol that name statements, of a client with a server. FORWARD:
 * not concerned; DONE: entered in the ledger, and what is to be sent is in the outbox; HOLD; FAILED: no memory.
 */
enum statement_step statements_parse(struct exchange *x, struct request *m);
/* Which statement it means: m->named, m->statement. */
enum statement_step statements_find_bound(struct exchange *x, struct request *m);
enum statement_step statements_find_described(struct exchange *x, struct request *m);
/* DONE: the first m->used bytes of it are dealt with, the rest follows as it is. */
enum statement_step statements_bind(struct exchange *x, struct request *m);
enum statement_step statements_describe(struct exchange *x, struct request *m);
enum statement_step statements_close(struct exchange *x, struct request *m);
/* SQL that deallocates statements: DONE: a Query (a Parse) in its place was sent. Its ledger entry is the caller's. */
enum statement_step statements_deallocate_query(struct exchange *x, const char *query, size_t len);
enum statement_step statements_parse_sql(struct exchange *x, const struct parse_fields *f);
/*
 * Before SQL runs, is parsed, bound or described: what it looks for by the client's own names is made. FORWARD: it is
 * there, or need not be. HOLD, FAILED.
 */
enum statement_step statements_expose_for_sql(struct exchange *x, const char *sql, size_t len);
enum statement_step statements_expose_for(struct exchange *x, struct statement *st); /* st may be NULL */
/*
 * In session mode the server is the client's own, and so are the names on it. What will be skipped means nothing, and
 * within COPY IN nothing does: the server ends the connection, and would not answer what a held message waits for.
 */
bool statements_pass_through(const struct exchange *x);
/*
 * The fast lane: the same for a whole Bind of plain SQL (state.h) of which nothing is under way. DONE: it is entered in
 * the ledger, what follows from *used on is sent as it lies. HOLD; FAILED; FORWARD: statements_bind() has to see it.
 */
enum statement_step statements_bind_plain(struct exchange *x, const uint8_t *message, size_t have, size_t total,
					  size_t *used);
/* Which statement an unnamed Parse means, if it is plain SQL; a reference of the caller's. NULL: it is not. */
struct statement *statements_plain_unnamed(struct exchange *x, const struct parse_fields *f);
/* It is sent now, as it lies: entered in the ledger. Takes st. -1: no memory. */
int statements_take_unnamed(struct exchange *x, struct statement *st);
bool statements_expect_describe(const struct exchange *x); /* of a portal, which statements_describe() has to see */
bool statements_parse_unlinked(struct exchange *x, const uint8_t *message, size_t len); /* false: a server is needed */
bool statements_close_unlinked(struct exchange *x, const uint8_t *message, size_t len); /* false: malformed */
void statements_note_drop(struct exchange *x, const char *sql, size_t len); /* a text is about to run */
void statements_deallocated(struct exchange *x); /* CommandComplete of a DEALLOCATE */
void statements_request_done(struct exchange *x); /* ReadyForQuery */
enum statement_step statements_simple_query(struct exchange *x); /* before one: it will drop the unnamed statement */
void statements_sync(struct exchange *x); /* an error before it ends with it */
/* What a Describe of a named statement brought: see server_ops.described. */
void statements_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			  bool is_whole);
void statements_settled(struct server *srv, const struct owed *o, enum owed_end how);
void statements_deallocated_all(struct exchange *x);
/* A Parse over max_statement_size. FORWARD: entered in the ledger; DONE: drop it, another was sent; HOLD, FAILED. */
enum statement_step statements_oversize_parse(struct exchange *x, const char *name);
bool statements_hold_server(const struct exchange *x);
/*
 * Before a message, or at_end before its server goes: what was materialised there is taken away. FORWARD: there is
 * nothing, or its request is not over; DONE: it is on its way; HOLD: not before its request is answered; FAILED.
 */
enum statement_step statements_undo(struct exchange *x, bool is_at_end);
bool statements_are_materialised(const struct exchange *x);
/* An error that speaks of pgweir_<n> is to speak of the client's own name: rewritten to out; false: nothing to do. */
bool statements_rewrite_error(struct exchange *x, const uint8_t *message, size_t len, struct buf *out);
void statements_free(struct exchange *x);
struct statement *statements_find(const struct exchange *x, const char *name); /* "": the unnamed one; or NULL */
size_t statements_count(const struct exchange *x);

#endif
