/*
 * src/admission/admission.h - the limits on who is let in, how many at once and how fast ([limits]). It knows a client
 * only by the place that each of them has.
 *
 *   admission.c           counts connections by address, user and database; rates of logins
 *   admission_queue.c     bounds the connections that are not authenticated yet
 *   admission_failures.c  answers wrong proofs late
 *   admission_log.c       bounds the log lines about refused logins
 *   admission_table.h     what is remembered for each address, user and database; pure
 *
 * A login calls admission_enter at accept, admission_knock at the startup packet, admission_admit once the client has
 * proved who it is, and admission_leave when it goes (or turns out to be a cancel request). Before authentication every
 * refusal looks the same: addresses and rates are checked before it, the limits of databases and users after it.
 *
 * An address is an IPv4 address or an IPv6 network of 64 bits. Unix sockets have none, and no limit on addresses
 * applies to them, nor to those in exempt_addresses. For these, and for the console's users, only their own wrong
 * passwords count: nobody else behind their address can lock them out. Limits are read from the present configuration
 * each time, so a reload changes them at once.
 *
 * Always: a connection counts in its address from accept to its end, and in its user and database (all of a tenant are
 * one) from admission to its end.
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

/* The line in which a connection waits that is not authenticated. */
enum admission_line {
	ADMISSION_NOWHERE, /* it is authenticated, or its proof was wrong */
	ADMISSION_SILENT, /* its startup packet has not come yet */
	ADMISSION_PROVING,
	ADMISSION_LINES
};

/* Says what of its address concerns a connection. */
enum admission_standing {
	ADMISSION_OF_MANY, /* all */
	ADMISSION_APART, /* a user of the console: not other users' wrong passwords */
	ADMISSION_EXEMPT /* in exempt_addresses: the same, nor the rate */
};

/* A connection's place in the limits, zeroed at first and embedded in its owner, which admission_ops reaches. */
struct admission_place {
	struct admission_entry *address; /* NULL: a Unix socket */
	union {
		TAILQ_ENTRY(admission_place) in_line; /* unless ADMISSION_NOWHERE */
		struct {
			struct admission_entry *user_entry; /* NULL: not admitted */
			struct admission_entry
			    *database_entry; /* its tenant's, if it is a tenant's; NULL: the console */
		};
	};
	uint8_t line; /* enum admission_line */
	bool is_above_limit; /* max_address_client_connections was exceeded when it came */
	uint8_t standing; /* enum admission_standing */
	bool is_unlogged; /* its login was refused, and there are too many log lines about that */
};

/* The owner of a place does these. Each closes the connection, and so calls admission_leave() from within. */
struct admission_ops {
	/* There is no room for it: counts it under reason, sends it *why and closes it. */
	void (*refuse)(struct admission_place *t, const struct fail *why, enum reject_reason reason);
	void (*out_of_memory)(struct admission_place *t);
	/* The delayed answer to a wrong proof is due. */
	void (*answer)(struct admission_place *t, const struct fail *why);
};

struct admission_settings {
	struct event_base *base;
	struct log *log;
	uint64_t *now_us; /* the loop's; a timer brings it up to date */
	struct config *const *config; /* the present one */
	const struct admission_ops *ops;
};

/* Returns NULL with *why set if there is no randomness. */
struct admission *admission_new(const struct admission_settings *settings, struct fail *why);
void admission_free(struct admission *a); /* after the last place; NULL is fine */
/* Sets how many descriptors the process may have: the bound on connections that log in depends on it. */
void admission_set_descriptors(struct admission *a, uint64_t descriptors);
/* While it is full, nobody but users of the console may log in. */
void admission_set_memory(struct admission *a, bool is_full);
void admission_tick(struct admission *a, uint64_t now_us); /* about every 100 ms */

/* --- The steps. Each returns false if ops->refuse was called. --- */
bool admission_enter(struct admission *a, struct admission_place *t, const struct sockaddr *peer); /* NULL: Unix */
/* The startup packet names the user, who is not authenticated yet. database: NULL for the console, which has no rate;
 * its users share no limit with others of their address. */
bool admission_knock(struct admission *a, struct admission_place *t, const char *user, const char *database);
/* The client is authenticated; database is one of the configuration. */
bool admission_admit(struct admission *a, struct admission_place *t, const char *user, const char *database);
/*
 * In place of all these steps, for a client that another process has let in: it counts as the others do, and no limit
 * refuses it. peer: NULL for a Unix socket. Returns 0, or -1 without memory; admission_leave() is due in either case.
 */
int admission_restore(struct admission *a, struct admission_place *t, const struct sockaddr *peer, const char *user,
		      const char *database);
/* The same for a user of the console, where those are counted (compat = pgbouncer); clients: how many are there now.
 * Limits are for those that may only look. */
bool admission_admit_console(struct admission *a, struct admission_place *t, const char *user, bool is_admin,
			     uint32_t clients);
void admission_leave(struct admission *a, struct admission_place *t); /* may be called again */
/* The client is authenticated, or goes. May be called again. */
void admission_leave_queue(struct admission *a, struct admission_place *t);

/* --- Log lines about refused logins. If a connection gets none, its end must not be logged either. --- */
/* Allows a number of lines a second; further refusals are counted and reported together. */
bool admission_may_log(struct admission *a, struct admission_place *t);
/* For refusals at a limit: one line a second for each reason. */
bool admission_may_log_reject(struct admission *a, struct admission_place *t, enum reject_reason reason);

/* --- Proofs --- */
/* The proof was wrong: the answer is delayed (login_failure_delay) until ops->answer is called with a copy of *why. The
 * caller owns the result until then, and calls admission_drop_answer if the connection goes. Returns NULL if the answer
 * is due at once. */
struct admission_hold *admission_failed(struct admission *a, struct admission_place *t, const char *user,
					const struct fail *why);
void admission_drop_answer(void *hold); /* a struct admission_hold */
void admission_answer_now(struct admission_hold *hold);
void admission_succeeded(struct admission *a, const struct admission_place *t, const char *user);

/* Returns how many clients of this user are admitted; for SHOW. */
uint32_t admission_user_clients(const struct admission *a, const char *user);
