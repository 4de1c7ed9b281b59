/*
 * src/admin/console.h - the console: SQL-like commands to pgweir itself, in the databases "pgweir" and "pgbouncer".
 *
 * Speaks the simple and the extended protocol, so that any driver can ask. Columns of PgBouncer's SHOW commands keep
 * PgBouncer's names, order and types. One table says who may do what.
 *
 * Owns:    what each console client has under way (client->console).
 * Borrows: client_env (clients, pools, config) and what struct console_host offers.
 */
#ifndef PGWEIR_ADMIN_CONSOLE_H
#define PGWEIR_ADMIN_CONSOLE_H

#include "base/query_row.h"
#include "client/client.h"

struct console; /* opaque: console.c */
struct weir; /* opaque here: process/process_state.h */

/* Ways to stop, each more determined than the one before. */
enum shutdown_how {
	SHUTDOWN_CLIENTS, /* nobody new gets in; when the last client has left */
	SHUTDOWN_SERVERS, /* when the transactions that are open are finished */
	SHUTDOWN_NOW
};

/* What commands make the process do, all on the loop's thread. */
struct console_host {
	struct weir *w; /* the process: the first argument of what follows */
	struct client_env *clients;
	const char *version;
	uint64_t start_wall_us;
	int (*reload)(struct weir *w,
		      struct fail *why); /* returns 0, or -1 with *why set; the old configuration then stays */
	/* One setting, until the next reload; value NULL: as in the file. As reload; notice: what else is to be said,
	 * or an empty text. */
	int (*set)(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);
	/* Whether all clients can be held back, as commands from PAUSE to KILL do. Returns 0, or -1 with *why set. */
	int (*may_hold)(struct weir *w, struct fail *why);
	void (*pause)(struct weir *w, const char *database); /* NULL: all */
	void (*resume)(struct weir *w, const char *database);
	void (*suspend)(struct weir *w); /* ends by resume(NULL) */
	void (*shutdown)(struct weir *w, enum shutdown_how how); /* begins the shutdown and returns */
	int (*restart)(struct weir *w, struct fail *why); /* starts the successor and returns; -1: *why is set */
	void (*reopen)(struct weir *w); /* log files */
	/* Fills problems of the last failed reload, oldest first, as lines; NULL: none. */
	const char *(*config_error)(struct weir *w, size_t i);
	const char *(*config_change)(struct weir *w, size_t i); /* the same for what the last reload changed */
	bool (*is_shutting_down)(struct weir *w);
	/* Each calls row for all it has: samples of /metrics; what statements cost; the last slow requests. */
	void (*metrics_each)(struct weir *w, void (*row)(const struct metric_sample *sample, void *arg), void *arg);
	void (*queries_each)(struct weir *w, void (*row)(const struct query_row *row, void *arg), void *arg);
	void (*queries_reset)(struct weir *w);
	void (*slow_each)(struct weir *w, void (*row)(const struct slow_row *row, void *arg), void *arg);
	/* SQL without its literals; returns its fingerprint. */
	uint64_t (*normalize)(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap);
};

struct console *console_new(const struct console_host *host);
void console_free(struct console *k);
/* One whole message of a console client; answers with client_send. */
void console_message(struct console *k, struct client *c, uint8_t type, const uint8_t *body, size_t len);
void console_client_closed(struct console *k, struct client *c);
/*
 * The rows of a command ("SHOW POOLS") as a JSON array of objects, at most rows_max of them. Empty if it has no rows.
 */
void console_rows_json(const struct console *k, const char *sql, uint64_t rows_max, struct buf *out);
/* About every 100 ms: answers that had to wait (PAUSE until nothing runs), and the averages of SHOW STATS. */
void console_tick(struct console *k, uint64_t now_us);

#endif
