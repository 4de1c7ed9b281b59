/* src/admin/console_host.h - the parts of the process that console commands use, and callbacks that act on it. */
#pragma once

#include "base/request_report.h"
#include "client/client.h"

struct weir; /* opaque; defined in process/process_state.h */

/* Ways to stop, from the most patient to the fastest. */
enum shutdown_how {
	SHUTDOWN_WAIT_FOR_CLIENTS, /* refuses new clients; ends when the last client has left */
	SHUTDOWN_WAIT_FOR_SERVERS, /* ends when open transactions are finished, or shutdown_timeout is over */
	SHUTDOWN_NOW
};

/* A row of SHOW WORKERS. clients, servers and turns are as of the worker's last tick, which was tick_age_us ago. */
struct worker_report {
	uint64_t worker; /* the worker's number */
	const char *state; /* "up" or "silent" */
	/* cpu_percent: share of one processor in the last second; turns: turns of the event loop since the start */
	uint64_t clients, servers, cpu_percent, turns;
	/* oldest_note_us: how long the oldest unread message in the worker's inbox has waited; 0 if there is none */
	uint64_t tick_age_us, oldest_note_us;
};
typedef void worker_report_fn(const struct worker_report *row, void *arg);

/* Used only on worker 0's thread. */
struct console_host {
	struct weir *w; /* the process, for the callbacks */
	struct query_table *queries; /* telemetry/query_table.h */
	void *const *modules; /* the modules' states, by enum module_number: config/module.h */
	struct fleet *fleet; /* dedicated/fleet.h */
	struct watch *watch; /* dedicated/watch.h */
	struct client_env *main_env; /* worker 0's client_env, which also has the console's clients */
	struct client_env *const *client_envs; /* the client_env of each worker; NULL after the last */
	/* Halts all other workers until leave_halt(). Commands may read or change other workers' clients and pools only
	 * in a halt. Halts may be nested. Returns 0, or -1 with *why set if a worker does not answer. */
	int (*halt)(struct weir *w, struct fail *why);
	void (*leave_halt)(struct weir *w);
	const char *version; /* pgweir's version */
	uint64_t start_wall_us;
	/* Returns 0; or -1 with *why set, and the old configuration stays. */
	int (*reload)(struct weir *w, struct fail *why);
	/* Changes a setting until the next reload, or restores the file's value if value is NULL. Sets notice->text to
	 * the text of a NOTICE, or to "". Returns 0, or -1 with *why set. */
	int (*set)(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);
	/* Checks that no restart is under way, during which PAUSE, SUSPEND, DISABLE and KILL would miss the clients of
	 * the other process. Returns 0, or -1 with *why set. */
	int (*check_no_takeover)(struct weir *w, struct fail *why);
	/* Pauses one database, or all if database is NULL. Returns 0, or -1 with *why set. */
	int (*pause)(struct weir *w, const char *database, struct fail *why);
	/* Ends a database's pause; if database is NULL, ends all pauses and suspend(). Returns 0, or -1 with *why
	 * set. */
	int (*resume)(struct weir *w, const char *database, struct fail *why);
	int (*suspend)(struct weir *w, struct fail *why); /* returns 0, or -1 with *why set */
	void (*shutdown)(struct weir *w, enum shutdown_how how); /* begins the shutdown, without waiting for its end */
	int (*restart)(struct weir *w, struct fail *why); /* starts the successor; returns 0, or -1 with *why set */
	/* Called in a halt. Returns why a restart could not move c to the new process now; NULL if it could move c. */
	const char *(*reason_to_stay)(const struct client *c);
	/* Writes to out why the old process still runs after a restart. Returns false if no old process runs. */
	bool (*describe_predecessor)(struct weir *w, char *out, size_t size);
	void (*reopen)(struct weir *w); /* reopens log files */
	/* Returns problem i that the last reload found, as a line of text; NULL after the last. */
	const char *(*config_error)(struct weir *w, size_t i);
	/* Returns change i that the last reload made, as a line of text; NULL after the last. */
	const char *(*config_change)(struct weir *w, size_t i);
	bool (*is_shutting_down)(struct weir *w);
	void (*workers_each)(struct weir *w, worker_report_fn *row, void *arg); /* calls row() for each worker */
	/* Returns a snapshot of all workers; NULL if there is no memory, or if a worker does not answer. */
	struct snapshot *(*snapshot)(struct weir *w);
};
