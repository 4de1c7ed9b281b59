/* src/admin/console_host.h - what the console's commands see of the process, and what they make it do. */
#pragma once

#include "base/request_report.h"
#include "client/client.h"

struct weir; /* opaque here: process/process_state.h */

/* Ways to stop, each more determined than the one before. */
enum shutdown_how {
	SHUTDOWN_CLIENTS, /* nobody new gets in; when the last client has left */
	SHUTDOWN_SERVERS, /* when the transactions that are open are finished */
	SHUTDOWN_NOW
};

/* A row of SHOW WORKERS, as of the worker's last tick. */
struct worker_row {
	uint64_t worker; /* its number */
	const char *state;
	uint64_t clients, servers, cpu_percent, turns; /* cpu_percent: of a processor, in the last second */
	uint64_t tick_age_us, oldest_note_us; /* oldest_note_us: how long it has not been read; 0: there is none */
};
typedef void worker_fn(const struct worker_row *row, void *arg);

/* The process, as far as commands act on it; all of it on worker 0's thread. */
struct console_host {
	struct weir *w; /* the process: the first argument of what follows */
	struct query_table *queries; /* telemetry/query_table.h */
	void *const *modules; /* states, by enum module_number: config/module.h */
	struct fleet *fleet; /* dedicated/fleet.h */
	struct watch *watch; /* dedicated/watch.h */
	struct client_env *clients; /* worker 0's, which has the console */
	struct client_env *const *crew; /* of all workers, with a NULL behind them: see clients.h */
	/*
	 * All other workers stand still until go(): what looks at their clients and pools, or changes them, does it
	 * then. Halts may be within one another. Returns 0, or -1 with *why set: one of them does not answer.
	 */
	int (*halt)(struct weir *w, struct fail *why);
	void (*go)(struct weir *w);
	const char *version;
	uint64_t start_wall_us;
	int (*reload)(struct weir *w,
		      struct fail *why); /* returns 0, or -1 with *why set; the old configuration then stays */
	/* Sets a setting until the next reload; value NULL: as in the file. Returns as reload does; *notice is what
	 * else the client should know, or an empty text. */
	int (*set)(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);
	/* Checks that all clients can be held back, as commands from PAUSE to KILL do. 0, or -1 with *why set. */
	int (*may_hold)(struct weir *w, struct fail *why);
	/* database NULL: all. These return 0, or -1 with *why set: no memory, or a worker does not answer. */
	int (*pause)(struct weir *w, const char *database, struct fail *why);
	int (*resume)(struct weir *w, const char *database, struct fail *why);
	int (*suspend)(struct weir *w, struct fail *why); /* ends by resume(NULL) */
	void (*shutdown)(struct weir *w, enum shutdown_how how); /* begins the shutdown and returns */
	int (*restart)(struct weir *w, struct fail *why); /* starts the successor and returns; -1: *why is set */
	/* In a halt: returns why a restart would not move c to the new process now, or NULL: it would. */
	const char *(*stays)(const struct client *c);
	/* Writes what the process before this one still does. Returns false if it has ended, or there was none. */
	bool (*tell_predecessor)(struct weir *w, char *out, size_t size);
	void (*reopen)(struct weir *w); /* log files */
	/* Fills problems of the last failed reload, oldest first, as lines; NULL: none. */
	const char *(*config_error)(struct weir *w, size_t i);
	const char *(*config_change)(struct weir *w, size_t i); /* the same for what the last reload changed */
	bool (*is_shutting_down)(struct weir *w);
	void (*workers_each)(struct weir *w, worker_fn *row, void *arg);
	struct snapshot *(*snapshot)(struct weir *w); /* telemetry/snapshot.h; NULL: no memory */
};
