/*
 * src/policy/policy_circuit.h - the circuit breaker of an upstream, which all of its pools share: while the upstream
 * can't be reached, one pool tries to connect, and the others wait for the result.
 *
 * The circuit opens when an attempt fails because of the host (its name is not found, there is no answer, the port is
 * closed, PostgreSQL starts up), unless the host has answered another attempt that began later. While the circuit is
 * open, any pool may try a single connection, after the back-off of policy_conn_failed(); such an attempt is a *trial*.
 * If a trial gets no answer within half a second, another trial may begin, because the first may hang. Each failure
 * counts for all pools with waiters. The first answer closes the circuit, even if the answer is an error such as a
 * wrong password, which concerns only the pool that has tried.
 *
 * Pools of several policy workers share the circuit, so most functions take the lock (policy_commons.h); but while the
 * circuit is closed, the loan of an open connection takes no lock. Each pool embeds a circuit_member, whose fields only
 * that pool uses.
 *
 * Always: a circuit is freed by the last policy_circuit_put(), after its members have left.
 */
#pragma once

#include "policy/policy_commons.h"

#include <stddef.h>

#define TRIAL_EVERY_US (500 * 1000u) /* while earlier trials have no answer, another trial begins this often */

/* How the host is likely to treat the next attempt: answer, fail soon, or not answer at all. */
enum circuit_outlook { HOST_ANSWERS, HOST_FAILS, HOST_SILENT };

struct circuit_member {
	struct policy_circuit *circuit; /* NULL if the pool shares no circuit; then the fields below are unused */
	struct policy_orders *orders; /* the orders of its pool */
	uint64_t round; /* circuit_news.round when the pool last took over the news */
	bool backs_off_for_others; /* true if the pool backs off because attempts of other pools have failed */
	TAILQ_ENTRY(circuit_member) link;
};

/* The result of the last attempt of any pool. */
struct circuit_news {
	uint64_t round; /* grows by one with each failure and each recovery */
	uint32_t failed_count; /* failures in a row; 0 while the circuit is closed */
	uint64_t failed_us, backoff_until_us; /* when the last failure was noted, and when the next attempt may begin */
	enum connect_failure kind;
	enum circuit_outlook outlook;
	struct fail why;
};

/* Returns how the host treated an attempt that began at started_us and has failed now. */
static inline enum circuit_outlook
circuit_outlook_of(enum connect_failure kind, uint64_t started_us, uint64_t now_us)
{
	return kind == CF_TIMEOUT || now_us - started_us >= TRIAL_EVERY_US ? HOST_SILENT : HOST_FAILS;
}

/* Makes m a member of c; c may be NULL. m must not have a trial, i.e. a connection with is_trial. */
void circuit_join(struct policy_circuit *c, struct circuit_member *m, struct policy_orders *orders);
void circuit_leave(struct circuit_member *m); /* m need not have a circuit, and must not have a trial */
bool circuit_is_closed(const struct circuit_member *m); /* false if m has no circuit */
/* Returns when the next attempt may begin; UINT64_MAX if not before a trial ends; 0 while the circuit is closed. */
uint64_t circuit_due_us(const struct circuit_member *m);
/* Call before an attempt. Returns false if the attempt must not begin, because a pool of another policy worker has just
 * begun a trial. If *is_trial becomes true, circuit_note_trial_end() must be called when the attempt has ended. */
bool circuit_begin_attempt(const struct circuit_member *m, bool *is_trial, uint64_t now_us);
void circuit_note_trial_end(const struct circuit_member *m, uint64_t now_us);
/* Call when the host has answered: closes the circuit. */
void circuit_note_answer(const struct circuit_member *m, uint64_t now_us);
/* heard_us: when the pool last heard from the host. Does circuit_note_answer() if that was after the last failure. */
void circuit_note_heard(const struct circuit_member *m, uint64_t heard_us, uint64_t now_us);
/* Returns true if the failure shows that the host can't be reached. Returns false for most failures of the kind
 * CF_OTHER, which may have any cause, such as a password_command that has failed. */
bool circuit_is_failure_of_host(enum connect_failure kind, const struct fail *why);
/* Call when an attempt that began at started_us has failed. Tells other pools if the failure is new to them. Returns
 * false if the caller must ignore the failure, because the host has answered since the attempt began. */
bool circuit_note_failure(const struct circuit_member *m, enum connect_failure kind, bool is_fatal,
			  const struct fail *why, uint64_t started_us, uint64_t now_us);
/* Ends the back-off, so the next attempt may begin at once. */
void circuit_end_backoff(const struct circuit_member *m);
/* Returns true and sets *news if there is news that m has not taken over yet. is_waiting: true if clients wait in the
 * pool of m. If it is false, failures are no news. */
bool circuit_get_news(const struct circuit_member *m, bool is_waiting, struct circuit_news *news);

/* --- The pool's side: policy.c. --- */
/* Returns true if clients wait in the queue of p. */
bool policy_has_waiters(const struct policy *p);

/* Makes p share the circuit c; or no circuit if c is NULL, which is the initial state. c must live until it is
 * replaced, or p is freed. */
void policy_set_circuit(struct policy *p, struct policy_circuit *c, uint64_t now_us);

/* --- Health checks: policy_supply.c. --- */
/* Opens one connection that no client waits for, in spite of back-off and circuit, to find out if PostgreSQL is there.
 * If the attempt fails while the queue is empty, the owner reports policy_health_check_failed and policy_conn_gone.
 * Does nothing if the pool is paused or at its limit, or if other pools wait for places in the budget. */
void policy_health_check(struct policy *p, uint64_t now_us);
/* Call when the health check on conn, which is still CHECKING, has failed, and no client waits in the queue. In an
 * outage, the next client gets this error, or, if PostgreSQL has refused the login, waits for an attempt. */
void policy_health_check_failed(struct policy *p, const struct policy_conn *conn, enum connect_failure kind,
				bool is_fatal, const struct fail *why, uint64_t now_us);

/* --- All circuits. --- */

/* Returns the circuit of this name, which stays valid until policy_circuit_put; NULL if out of memory. */
struct policy_circuit *policy_circuit_get_or_create(struct policy_commons *commons, const char *name);
/* Releases the caller's reference, after the caller's pool has left the circuit. NULL is fine. */
void policy_circuit_put(struct policy_commons *commons, struct policy_circuit *c);
