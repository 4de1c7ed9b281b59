/*
 * src/console/console.h - the console: SQL-like commands to pgweir itself, in the databases "pgweir" and "pgbouncer".
 *
 * It takes simple queries only, like PgBouncer's console. Columns of PgBouncer's SHOW commands keep PgBouncer's names,
 * order and types. One table says which users may give which commands.
 *
 * Owns:    the session of each console client (client->console).
 * Borrows: client_env (clients, pools, config) and the objects of struct console_host.
 */
#pragma once

#include "admin/console_host.h"

struct console; /* opaque; defined in console_client.h */

struct console *console_new(const struct console_host *host);
void console_free(struct console *k);
/* Handles a whole message of a console client, and sends the answer to the client. */
void console_message(struct console *k, struct client *c, uint8_t type, const uint8_t *body, size_t len);
void console_client_closed(struct console *k, struct client *c);
/*
 * console_run.c: appends the rows of a command ("SHOW POOLS") as a JSON array of objects, at most rows_max of them: an
 * empty array if the command has no rows, null if a worker does not answer. Returns true; or false, with nothing
 * appended, while PostgreSQL is being asked about locks. The caller then calls again later. With is_late, it gets the
 * rows without waiting for PostgreSQL.
 */
bool console_rows_json(const struct console *k, const char *sql, uint64_t rows_max, bool is_late, struct buf *out);
/* Called about every 100 ms: sends answers that had to wait (PAUSE until nothing runs), and counts for the averages of
 * SHOW STATS. */
void console_tick(struct console *k, uint64_t now_us);
