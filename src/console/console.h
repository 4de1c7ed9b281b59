/*
 * src/console/console.h - the console: SQL-like commands to pgweir itself, in the databases "pgweir" and "pgbouncer".
 *
 * Like PgBouncer's console, pgweir's accepts simple queries only. Columns of PgBouncer's SHOW commands have PgBouncer's
 * names, order and types. The table of commands (admin/console_command.h) says which users may give each command.
 *
 * Owns:    the session of each console client (client->console).
 * Borrows: client_env (clients, pools, config) and the objects of struct console_host.
 */
#pragma once

#include "admin/console_host.h"

struct console; /* opaque; defined in console_client.h */

struct console *console_new(const struct console_host *host); /* copies *host */
void console_free(struct console *k);
/* Handles a whole message of a console client, or queues the message if an earlier one waits. May close c. */
void console_message(struct console *k, struct client *c, uint8_t type, const uint8_t *body, size_t len);
void console_client_closed(struct console *k, struct client *c); /* called when c is closed; frees its session */
/* console_run.c: writes the rows of a command, such as "SHOW POOLS", to the empty buffer out, and returns true. The
 * rows are a JSON array of at most rows_max objects (empty if the command never has rows); if a worker does not answer,
 * null is written instead. If PostgreSQL must first be asked about locks, writes nothing and returns false, and the
 * caller calls again later. is_late: the caller can wait no longer, and gets the rows without PostgreSQL's answer. */
bool console_put_rows_json(const struct console *k, const char *sql, uint64_t rows_max, bool is_late, struct buf *out);
/* Called about every 100 ms. Sends answers that had to wait, as after PAUSE, takes the counts for SHOW STATS' averages,
 * and logs statistics (log_stats_interval). */
void console_tick(struct console *k, uint64_t now_us);
