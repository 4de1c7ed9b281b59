/*
 * src/console/console.h - the console: SQL-like commands to pgweir itself, in the databases "pgweir" and "pgbouncer".
 *
 * Takes simple queries only, as PgBouncer's. Columns of PgBouncer's SHOW commands keep PgBouncer's names, order and
 * types. A single table says who may do what.
 *
 * Owns:    what each console client has under way (client->console).
 * Borrows: client_env (clients, pools, config) and what struct console_host offers.
 */
#pragma once

#include "admin/console_host.h"

struct console; /* opaque: console.c */

struct console *console_new(const struct console_host *host);
void console_free(struct console *k);
/* Handles a whole message of a console client; answers with client_send. */
void console_message(struct console *k, struct client *c, uint8_t type, const uint8_t *body, size_t len);
void console_client_closed(struct console *k, struct client *c);
/* console_run.c: appends the rows of a command ("SHOW POOLS") as a JSON array of objects, at most rows_max of them; an
 * empty one if it has no rows, null if a worker does not answer. Returns false if PostgreSQL is asked first: nothing
 * was appended, and it is to be called again, but with is_late. */
bool console_rows_json(const struct console *k, const char *sql, uint64_t rows_max, bool is_late, struct buf *out);
/* About every 100 ms: answers that had to wait (PAUSE until nothing runs), and the averages of SHOW STATS. */
void console_tick(struct console *k, uint64_t now_us);
