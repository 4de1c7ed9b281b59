/*
 * src/state/prepare.h - statements of SQL PREPARE, on servers that do not have them.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * Makes sure, ahead of a Query, Parse, Bind or Describe, that the server has the SQL-prepared statements that it
 * may use. FORWARD; HOLD: one was to be prepared behind messages that may have failed; FAILED.
 */
enum feature_step state_ensure_prepared(struct exchange *x, struct request *m);
/*
 * Puts what makes PostgreSQL read the messages behind it, up to the Sync, under these settings; NULL: under the
 * session's own again. The server keeps a statement that is called STATEMENT_PLACEHOLDER.
 */
void state_read_under(struct exchange *x, struct buf *b, const struct image *reading, enum owed_to to);
void state_close_placeholder(struct exchange *x, struct buf *b); /* on its server, which need not have it */
/* Makes known what the client has prepared by SQL. FORWARD; HOLD: the server is being asked; FAILED: no memory. */
enum feature_step state_settle_prepared(struct exchange *x);
enum feature_step state_ensure_named(struct exchange *x, const char *name); /* the same for Bind or Describe of it */
void state_prepare_settled(struct server *srv, const struct owed *o, enum owed_end how);
/* The error of a PREPARE that was sent ahead of a request; until state_request_done. sqlstate: its own, or NULL. */
void state_keep_error(struct exchange *x, const char *sqlstate, const uint8_t *message, size_t len);
/* Returns true if the kept error was sent in place of this one. */
bool state_tell_kept_error(struct exchange *x, const char *sqlstate);
