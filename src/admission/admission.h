/*
 * src/admission/admission.h - limits on the clients that are let in: how many at once, and how fast ([limits]). Here, a
 * client is only its struct admission_place.
 *
 *   admission.c           counts connections by address, user and database; rates of logins
 *   admission_queue.c     bounds the connections that are not authenticated yet
 *   admission_failures.c  delays the answers to wrong proofs
 *   admission_log.c       bounds the log lines about refused logins
 *   admission_table.h     the counts of each address, user and database; pure
 *
 * A login calls admission_enter at accept, admission_knock at the startup packet, admission_admit once the client has
 * proved who it is, and admission_leave when it goes (or turns out to be a cancel request). Only addresses and rates
 * are checked before authentication, so until then every refusal looks the same. The limits of databases and users are
 * checked after it.
 *
 * An address is an IPv4 address or an IPv6 network of 64 bits. Unix sockets have no address; limits on addresses apply
 * neither to them nor to the addresses in exempt_addresses. For a user at such an address, or of the console, only
 * wrong passwords for the same user from that address count, so other users there can't lock the user out. Limits are
 * read from the present configuration each time, so a reload changes them at once.
 *
 * Always: a connection counts in its address from accept to its end, and in its user and database (all databases of a
 *         tenant count as one) from admission to its end.
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
	ADMISSION_UNQUEUED, /* in no queue: the connection is authenticated, or its proof was wrong */
	ADMISSION_SILENT, /* the startup packet has not come yet */
	ADMISSION_PROVING,
	ADMISSION_QUEUES
};

/* The counts of a connection's address that apply to the connection. */
enum admission_standing {
	ADMISSION_OF_MANY, /* all counts */
	ADMISSION_APART, /* a user of the console: other users' wrong passwords do not count */
	ADMISSION_EXEMPT /* in exempt_addresses: other users' wrong passwords and the rate do not count */
};

/* A connection, as the limits see it. Zeroed at first; embedded in its owner, which admission_ops' functions find by
 * it. */
struct admission_place {
	struct admission_entry *address; /* NULL for a Unix socket */
	union {
		TAILQ_ENTRY(admission_place) queue_link; /* in a queue, unless `queue` is ADMISSION_UNQUEUED */
		struct {
			struct admission_entry *user_entry; /* NULL if not admitted */
			/* the tenant's entry for a tenant's database; NULL for the console */
			struct admission_entry *database_entry;
		};
	};
	uint8_t queue; /* enum admission_queue */
	bool is_above_limit; /* max_address_client_connections was exceeded when the connection came */
	uint8_t standing; /* enum admission_standing */
	bool is_unlogged; /* its login was refused without a log line, because there are too many such lines */
};

/* Callbacks of the owner of a place. Each closes the connection, and so calls admission_leave() from within. */
struct admission_ops {
	/* A limit refuses the connection: counts it under `reason`, sends *why to the client and closes it. */
	void (*refuse)(struct admission_place *t, const struct fail *why, enum reject_reason reason);
	void (*out_of_memory)(struct admission_place *t);
	/* The delayed answer to a wrong proof is due. */
	void (*answer)(struct admission_place *t, const struct fail *why);
};

struct admission_settings {
	struct event_base *base;
	struct log *log;
	uint64_t *now_us; /* the loop's time, which a timer brings up to date */
	struct config *const *config; /* the present configuration */
	const struct admission_ops *ops;
};

/* Returns NULL with *why set if there is no randomness. */
struct admission *admission_new(const struct admission_settings *settings, struct fail *why);
void admission_free(struct admission *a); /* must be called after the last place has left; a may be NULL */
/* Sets how many descriptors the process may have, on which the bound on connections that log in depends. */
void admission_set_descriptors(struct admission *a, uint64_t descriptors);
/* While memory is full, only users of the console may log in. */
void admission_set_memory(struct admission *a, bool is_full);
void admission_tick(struct admission *a, uint64_t now_us); /* called about every 100 ms */

/* --- The steps. Each returns false if ops->refuse or ops->out_of_memory was called. --- */
/* A client was accepted. peer: NULL for a Unix socket */
bool admission_enter(struct admission *a, struct admission_place *t, const struct sockaddr *peer);
/* The startup packet names the user, and the user is not authenticated yet. database: NULL for the console, which has
 * no rate; its users share no limit with other users of their address. */
bool admission_knock(struct admission *a, struct admission_place *t, const char *user, const char *database);
/* The client is authenticated; database is a database of the configuration. */
bool admission_admit(struct admission *a, struct admission_place *t, const char *user, const char *database);
/*
 * Replaces all these steps for a client that another process has admitted: counts the client like any other, but
 * applies no limit. peer: NULL for a Unix socket. Returns 0, or -1 without memory; admission_leave() is due in either
 * case.
 */
int admission_restore(struct admission *a, struct admission_place *t, const struct sockaddr *peer, const char *user,
		      const char *database);
/* Like admission_admit(), for a user of the console, if the console's clients are counted (compat = pgbouncer).
 * clients: how many clients the console has now. No limit applies to administrators (is_admin). */
bool admission_admit_console(struct admission *a, struct admission_place *t, const char *user, bool is_admin,
			     uint32_t clients);
void admission_leave(struct admission *a, struct admission_place *t); /* may be called again */
/* Called when the client is authenticated, or leaves. May be called again. */
void admission_leave_queue(struct admission *a, struct admission_place *t);

/* --- Log lines about refused logins. If the refusal of a connection is not logged, the connection's end must not be
 * logged either. --- */
/* Returns true while this second's lines are not used up; further refusals are counted and reported together. */
bool admission_may_log(struct admission *a, struct admission_place *t);
/* Like admission_may_log(), for refusals at a limit: one line a second for each reason. */
bool admission_may_log_reject(struct admission *a, struct admission_place *t, enum reject_reason reason);

/* --- Wrong proofs. --- */
/* The proof was wrong: the answer is delayed (login_failure_delay) until ops->answer is called with a copy of *why.
 * Until then the caller keeps the result, and calls admission_drop_answer() if the connection closes earlier. Returns
 * NULL if the answer is due at once. */
struct admission_hold *admission_failed(struct admission *a, struct admission_place *t, const char *user,
					const struct fail *why);
void admission_drop_answer(void *hold); /* hold: a struct admission_hold */
void admission_answer_now(struct admission_hold *hold);
void admission_succeeded(struct admission *a, const struct admission_place *t, const char *user);

/* Returns how many clients of this user are admitted; for SHOW. */
uint32_t admission_user_clients(const struct admission *a, const char *user);
