/*
 * src/admission/admission.h - who is let in, how many at once and how fast ([limits]). Knows nothing of clients but the
 * ticket that each of them carries.
 *
 *   admission.c           connections counted by address and user; rates of logins
 *   admission_queue.c     those that have not proved yet who they are: a bound on them
 *   admission_failures.c  wrong proofs, answered late
 *   admission_log.c       lines about refused logins: a bound on them
 *   admission_table.h     what is remembered, pure
 *
 * The order of a login: admission_enter at accept, admission_knock at the startup packet, admission_admit once the
 * client has proved who it is, admission_leave when it goes (or goes on to be a cancel). Before the proof every refusal
 * looks the same to somebody who asks what there is: address and rates are checked before it, what databases and users
 * have after it.
 *
 * An address is an IPv4 address or an IPv6 network of 64 bits. Unix sockets have none: no limit of addresses holds.
 * Limits are read from the present configuration each time, so a reload changes them at once.
 *
 * Always: a connection counts in its address from accept to its end, and in its user from admission to its end.
 */
#ifndef PGWEIR_ADMISSION_ADMISSION_H
#define PGWEIR_ADMISSION_ADMISSION_H

#include "base/counters.h"
#include "base/fail.h"
#include "base/log.h"
#include "config/config.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct admission; /* opaque: admission_state.h */
struct admission_entry; /* admission_table.h */
struct admission_hold; /* opaque: admission_failures.c */
struct pool_entry;

/* Where a connection stands that has not proved who it is. */
enum admission_line {
	ADMISSION_NOWHERE, /* it has, or its proof was wrong */
	ADMISSION_SILENT, /* its startup packet is not here yet */
	ADMISSION_PROVING,
	ADMISSION_LINES
};

/* What a connection counts as; all zero at first. Its owner has it in a struct of its own, see admission_ops. */
struct admission_ticket {
	struct admission_entry *address; /* NULL: a Unix socket */
	union {
		TAILQ_ENTRY(admission_ticket) in_line; /* unless ADMISSION_NOWHERE */
		struct admission_entry *user_entry; /* NULL: not admitted */
	};
	uint8_t line; /* enum admission_line */
	bool is_above_limit; /* max_address_client_connections, as it came */
	bool is_unlogged; /* its login was refused, and there are too many lines of that */
};

/* What only the owner of a ticket can do. All close the connection, and so call admission_leave from within. */
struct admission_ops {
	/* There is no room for it: to be counted under reason, told and closed. */
	void (*refuse)(struct admission_ticket *t, const struct fail *why, enum reject_reason reason);
	void (*out_of_memory)(struct admission_ticket *t);
	/* The answer to a wrong proof is due. */
	void (*answer)(struct admission_ticket *t, const struct fail *why);
};

struct admission_settings {
	struct event_base *base;
	struct log *log;
	uint64_t *now_us; /* the loop's; a timer brings it up to date */
	struct config *const *config; /* the present one */
	const struct admission_ops *ops;
};

/* NULL and why: no memory, no randomness. */
struct admission *admission_new(const struct admission_settings *settings, struct fail *why);
void admission_free(struct admission *a); /* after the last ticket; NULL is fine */
/* How many the process may have open: the bound on connections that log in follows it. */
void admission_set_descriptors(struct admission *a, uint64_t descriptors);
void admission_tick(struct admission *a, uint64_t now_us); /* about every 100 ms */

/* --- The steps. false: it was refused by ops->refuse. --- */
bool admission_enter(struct admission *a, struct admission_ticket *t, const struct sockaddr *peer); /* NULL: Unix */
/* It says who it is, nothing is proved. database: NULL for the console, which has no rate of its own. */
bool admission_knock(struct admission *a, struct admission_ticket *t, const char *user, const char *database);
/* It has proved who it is; entry is to be its pool. */
bool admission_admit(struct admission *a, struct admission_ticket *t, const char *user, const struct pool_entry *entry);
void admission_leave(struct admission *a, struct admission_ticket *t); /* also more than once */
/* It has proved who it is, or goes; also more than once. */
void admission_leave_queue(struct admission *a, struct admission_ticket *t);

/* --- Lines about refused logins. Of a connection that gets none, the end must not be logged either. --- */
/* So many in a second, the others are counted and reported together. */
bool admission_may_log(struct admission *a, struct admission_ticket *t);
/* Those for want of room: one line a second for each reason. */
bool admission_may_log_reject(struct admission *a, struct admission_ticket *t, enum reject_reason reason);

/* --- Proofs --- */
/*
 * The proof was wrong: its answer is held back (login_failure_delay) until ops->answer, with a copy of why. The caller
 * owns what is returned until then, and ends it by admission_drop_answer if the connection goes. NULL: to be answered
 * at once.
 */
struct admission_hold *admission_failed(struct admission *a, struct admission_ticket *t, const char *user,
					const struct fail *why);
void admission_drop_answer(struct admission_hold *hold);
void admission_answer_now(struct admission_hold *hold);
void admission_succeeded(struct admission *a, const struct admission_ticket *t, const char *user);

/* Clients of this name that are let in; for SHOW. */
uint32_t admission_user_clients(const struct admission *a, const char *user);

#endif
