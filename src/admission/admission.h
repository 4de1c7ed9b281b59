/*
 * src/admission/admission.h - limits on clients: how many at a time, and how many logins per second ([limits]). In this
 * folder, a struct admission_place stands for a connection.
 *
 *   admission.c           counts connections of each address, user and database, and limits their logins per second
 *   admission_queue.c     limits the connections that are not authenticated yet
 *   admission_failures.c  delays the answers to wrong proofs (a proof is a password, or what authentication uses
 *                         instead)
 *   admission_log.c       limits the log lines about refused logins
 *   admission_table.h     the counts of each address, user and database
 *
 * For each connection, admission_enter() is called after accept(), admission_check_startup() when the startup packet
 * has come, admission_admit() when the client is authenticated, and admission_leave() when the connection ends or turns
 * out to be a CancelRequest. Limits on the clients of a user or database are checked only after authentication, so that
 * earlier refusals do not reveal which users and databases exist.
 *
 * An address is an IPv4 address or an IPv6 network of 64 bits. Unix sockets have no address. Limits on addresses do not
 * apply to Unix sockets or to exempt_addresses. Usually all users at an address share one count of wrong passwords. The
 * higher the count, the longer the answer to the next wrong password is delayed. At exempt_addresses, and in the
 * console, each user has a separate count, so no user can lock out another. A reload changes all limits at once.
 *
 * Always: a connection counts in its address from accept() to its end, and in its user and database from admission to
 *         its end. All databases of a tenant count as one.
 */
#pragma once

#include "base/counters.h"
#include "base/fail.h"
#include "log/log.h"
#include "config/config.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <sys/queue.h>

struct admission; /* opaque: admission_state.h */
struct admission_entry; /* admission_table.h */
struct admission_hold; /* opaque: admission_failures.c */

/* The queue that a connection is in while it is not authenticated. */
enum admission_queue {
	ADMISSION_UNQUEUED, /* the connection is authenticated, or its wrong proof gets a delayed answer */
	ADMISSION_SILENT, /* the startup packet has not come yet */
	ADMISSION_PROVING, /* the startup packet has come, and the proof has not */
	ADMISSION_QUEUES
};

/* Which of the limits on addresses apply to a connection. */
enum admission_standing {
	ADMISSION_SHARED_LIMITS, /* all limits, counted for all connections of the address together */
	/* for a user of the console: the login rate and the delays, counted for this user alone */
	ADMISSION_OWN_LIMITS,
	/* for exempt_addresses: the delays, counted for this user alone */
	ADMISSION_EXEMPT
};

/* The limits' data about a connection. Zeroed at first. A member of the connection's own struct, which the functions of
 * admission_ops get from the member's address. */
struct admission_place {
	struct admission_entry *address; /* NULL for a Unix socket */
	union {
		TAILQ_ENTRY(admission_place) queue_link; /* valid unless `queue` is ADMISSION_UNQUEUED */
		struct { /* valid if `queue` is ADMISSION_UNQUEUED */
			struct admission_entry *user_entry; /* NULL if the client is not admitted */
			/* the database's entry, or the tenant's for a tenant's database; NULL for the console */
			struct admission_entry *database_entry;
		};
	};
	uint8_t queue; /* enum admission_queue */
	bool is_above_limit; /* max_address_client_connections was exceeded when the connection came */
	uint8_t standing; /* enum admission_standing */
	bool is_unlogged; /* the connection's refusal was not logged, because there were too many such lines */
};

/* Callbacks. Each closes the connection, and so calls admission_leave(), before it returns. Only refuse() may keep the
 * connection and repeat the step later (login_wait_for_recount()). */
struct admission_ops {
	/* Called if a limit refuses the connection. Counts the refusal under `reason`, and sends *why to the client. */
	void (*refuse)(struct admission_place *t, const struct fail *why, enum reject_reason reason);
	void (*out_of_memory)(struct admission_place *t);
	/* Called when the delayed answer to a wrong proof is due, or earlier to make room. Sends *why to the client. */
	void (*answer)(struct admission_place *t, const struct fail *why);
};

struct admission_settings {
	struct event_base *base;
	struct log *log;
	uint64_t *now_us; /* the event loop's time, which timers of this folder also set */
	struct config *const *config; /* the pointer to the present configuration */
	const struct admission_ops *ops;
};

/* Returns NULL with *why set if there is no randomness. */
struct admission *admission_new(const struct admission_settings *settings, struct fail *why);
void admission_free(struct admission *a); /* called after the last connection has left; a may be NULL */
/* Sets how many file descriptors the process may have. The limit on connections that log in depends on this number. */
void admission_set_descriptors(struct admission *a, uint64_t descriptors);
/* is_full: max_memory is reached, so only users of the console may log in until the next call. */
void admission_set_memory(struct admission *a, bool is_full);
void admission_tick(struct admission *a, uint64_t now_us); /* called about every 100 ms */

/* --- The steps of a connection. Functions that return a bool return true if the connection may go on, or false after
 * ops->refuse or ops->out_of_memory was called. --- */
/* Called after accept(), and again after a PROXY header. peer is NULL for a Unix socket, and before a PROXY header. */
bool admission_enter(struct admission *a, struct admission_place *t, const struct sockaddr *peer);
/* Called when the startup packet has come. `database` is NULL for the console. */
bool admission_check_startup(struct admission *a, struct admission_place *t, const char *user, const char *database);
/* Called when the client is authenticated. `database` must be in the configuration. */
bool admission_admit(struct admission *a, struct admission_place *t, const char *user, const char *database);
/*
 * Replaces the steps above for a client that another process has admitted. Counts the client, without limits. peer is
 * NULL for a Unix socket. Returns 0, or -1 if there is no memory. The caller must call admission_leave() even after -1.
 */
int admission_restore(struct admission *a, struct admission_place *t, const struct sockaddr *peer, const char *user,
		      const char *database);
/* Does what admission_admit() does, for a user of the console. Called only if the limits count users of the console
 * (compat = pgbouncer). `clients` is how many clients the console has now. If is_admin, no limit applies. */
bool admission_admit_console(struct admission *a, struct admission_place *t, const char *user, bool is_admin,
			     uint32_t clients);
void admission_leave(struct admission *a, struct admission_place *t); /* may be called more than once */
/* Takes the connection out of its queue. May be called more than once. */
void admission_leave_queue(struct admission *a, struct admission_place *t);

/* --- Log lines about refused logins. If a connection's refusal is not logged, the connection's end must not be logged
 * either. Refusals that are not logged are counted; a second later, a line reports their number. --- */
/* Called before a refusal is logged. Returns true and counts the line; false if this second has too many lines. */
bool admission_take_log_line(struct admission *a, struct admission_place *t);
/* Does what admission_take_log_line() does, for refusals at a limit. Each reason gets one line a second. */
bool admission_take_reject_line(struct admission *a, struct admission_place *t, enum reject_reason reason);

/* --- Wrong proofs. --- */
/* Called after a wrong proof. Calls ops->answer with a copy of *why after a delay, which grows each time. Returns the
 * delayed answer, for admission_drop_answer() if the connection closes first; NULL if the caller must answer now. */
struct admission_hold *admission_delay_answer(struct admission *a, struct admission_place *t, const char *user,
					      const struct fail *why);
void admission_drop_answer(void *hold); /* cancels the answer; frees `hold`, a struct admission_hold */
void admission_answer_now(struct admission_hold *hold); /* calls ops->answer without further delay */
/* Called after a right proof. Forgets the user's wrong proofs from this address, but not those of other users. */
void admission_forgive_user(struct admission *a, const struct admission_place *t, const char *user);

/* Returns how many of this user's clients are admitted, for SHOW. */
uint32_t admission_user_clients(const struct admission *a, const char *user);
