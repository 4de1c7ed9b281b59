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

#include "client/client.h"

struct console; /* opaque: console.c */

/* What commands make the process do. All on the loop's thread; up is given back. */
struct console_host {
	void *up;
	struct client_env *clients;
	const char *version;
	uint64_t start_wall_us;
	int (*reload)(void *up, struct fail *why); /* 0, or the old configuration stays and why says why */
	void (*pause)(void *up, const char *database); /* NULL: all */
	void (*resume)(void *up, const char *database);
	void (*shutdown)(void *up, bool at_once); /* begins to; returns */
	void (*reopen)(void *up); /* log files */
	/* Fills problems of the last failed reload, oldest first, as lines; NULL: none. */
	const char *(*config_error)(void *up, size_t i);
	bool (*is_shutting_down)(void *up);
	/* telemetry/metrics.h's, for SHOW METRICS. NULL: it shows none. */
	void (*metrics_each)(void (*row)(const char *name, const char *type, const char *labels, const char *help,
					 void *arg),
			     void *arg);
};

struct console *console_new(const struct console_host *host);
void console_free(struct console *k);
/* One whole message of a console client; answers with client_send. */
void console_message(struct console *k, struct client *c, uint8_t type, const uint8_t *body, size_t len);
void console_client_closed(struct console *k, struct client *c);
/* About every 100 ms: answers that had to wait (PAUSE until nothing runs), and the averages of SHOW STATS. */
void console_tick(struct console *k, uint64_t now_us);

#endif
