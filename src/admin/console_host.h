/* src/admin/console_host.h - the process as the console's commands see it, and callbacks by which they act on it. */
#pragma once

#include "base/request_report.h"
#include "client/client.h"

struct weir; /* opaque; defined in process/process_state.h */

/* Ways to stop, from the most patient to the fastest. */
enum shutdown_how {
	SHUTDOWN_CLIENTS, /* refuses new clients; ends when the last client has left */
	SHUTDOWN_SERVERS, /* ends when open transactions are finished */
	SHUTDOWN_NOW
};

/* A row of SHOW WORKERS, as of the worker's last tick. */
struct worker_row {
	uint64_t worker; /* the worker's number */
	const char *state;
	/* in the last second: cpu_percent, of one processor, and turns of the loop */
	uint64_t clients, servers, cpu_percent, turns;
	uint64_t tick_age_us, oldest_note_us; /* oldest_note_us: the age of the oldest unread note; 0 if none */
};
typedef void worker_fn(const struct worker_row *row, void *arg);

/* The process as commands see it, and callbacks, all on worker 0's thread. */
struct console_host {
	struct weir *w; /* the process, which is the first argument of the callbacks */
	struct query_table *queries; /* telemetry/query_table.h */
	void *const *modules; /* the modules' states, by enum module_number: config/module.h */
	struct fleet *fleet; /* dedicated/fleet.h */
	struct watch *watch; /* dedicated/watch.h */
	struct client_env *clients; /* worker 0's, which also has the console's clients */
	struct client_env *const *client_envs; /* the client_env of each worker; NULL after the last */
	/* Halts all other workers until go(). Commands may look at other workers' clients and pools, or change them,
	 * only in a halt. Halts may be nested. Returns 0, or -1 with *why set if a worker does not answer. */
	int (*halt)(struct weir *w, struct fail *why);
	void (*go)(struct weir *w);
	const char *version;
	uint64_t start_wall_us;
	/* returns 0, or -1 with *why set; the old configuration then stays */
	int (*reload)(struct weir *w, struct fail *why);
	/* Sets a setting until the next reload; a NULL value brings back the value of the file. Returns 0, or -1 with
	 * *why set. *notice gets a text that the client should know, or an empty one. */
	int (*set)(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);
	/* Checks that all clients can be paused, which the commands from PAUSE to KILL need. Returns 0, or -1 with *why
	 * set. */
	int (*may_hold)(struct weir *w, struct fail *why);
	/* pause and resume act on one database, or on all if database is NULL. Each returns 0, or -1 with *why set if
	 * there is no memory, or if a worker does not answer. */
	int (*pause)(struct weir *w, const char *database, struct fail *why);
	int (*resume)(struct weir *w, const char *database, struct fail *why);
	int (*suspend)(struct weir *w, struct fail *why); /* resume() of all databases ends a SUSPEND */
	void (*shutdown)(struct weir *w, enum shutdown_how how); /* begins the shutdown and returns */
	int (*restart)(struct weir *w, struct fail *why); /* starts the successor; returns 0, or -1 with *why set */
	/* Called in a halt. Returns the reason for which a restart would not move c to the new process now, or NULL if
	 * it would move c. */
	const char *(*stays)(const struct client *c);
	/* Writes the work that the old process still has after a restart. Returns false if the old process has ended,
	 * or if there was none. */
	bool (*describe_predecessor)(struct weir *w, char *out, size_t size);
	void (*reopen)(struct weir *w); /* reopens log files */
	/* Returns problem i of the last reload, in the order in which they were found, as a line of text; NULL after
	 * the last. */
	const char *(*config_error)(struct weir *w, size_t i);
	const char *(*config_change)(struct weir *w, size_t i); /* returns change i that the last reload made,
								 * likewise */
	bool (*is_shutting_down)(struct weir *w);
	void (*workers_each)(struct weir *w, worker_fn *row, void *arg);
	struct snapshot *(*snapshot)(struct weir *w); /* telemetry/snapshot.h; returns NULL without memory */
};
