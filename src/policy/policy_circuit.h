/*
 * src/policy/policy_circuit.h - what the pools of one upstream know of each other's attempts to connect: while it can't
 * be reached, one of them tries, and the others wait for what comes of that.
 *
 * The circuit opens when an attempt fails for a reason that is the host's (nobody answers, nobody listens, it starts
 * up), unless the host has answered another one that began later. Then one connection is tried alone, by whichever pool
 * somebody waits in, after the back-off of policy_conn_failed(). If nobody answers it, another one may be tried after
 * half a second: whoever began the first may hang. Each failure counts for all pools in which somebody waits. The first
 * answer closes the circuit, whatever it says: a wrong password is that pool's own matter.
 *
 * Pools of several policy workers share it, so each function takes the lock (policy_commons.h); while the circuit is
 * closed, only what opens a connection does. Each pool embeds a circuit_member, whose fields are its own.
 */
#pragma once

#include "policy/policy_commons.h"

#include <stddef.h>

#define TRIAL_EVERY_US (500 * 1000u) /* while nobody answers the earlier ones */

/* Says what the next attempt may expect: the host refuses it soon, lets it wait in vain, or answers it. */
enum circuit_sign { HOST_ANSWERS, HOST_FAILS, HOST_SILENT };

struct circuit_member {
	struct policy_circuit *circuit; /* NULL: it shares none, and the fields below are unused */
	struct policy_orders *orders; /* its pool's */
	uint64_t round; /* the last one of the circuit's that it knows of */
	bool is_heeding; /* it backs off for what others have found */
	TAILQ_ENTRY(circuit_member) link;
};

/* The result of the last attempt of any pool. */
struct circuit_news {
	uint64_t round; /* one more after each failure and each recovery */
	uint32_t failed_count; /* in a row; 0: the circuit is closed */
	uint64_t failed_us, backoff_until_us;
	enum connect_failure kind;
	enum circuit_sign sign;
	struct fail why;
};

/* Returns what an attempt says that began then and has failed now. */
static inline enum circuit_sign
circuit_sign_of(enum connect_failure kind, uint64_t started_us, uint64_t now_us)
{
	return kind == CF_TIMEOUT || now_us - started_us >= TRIAL_EVERY_US ? HOST_SILENT : HOST_FAILS;
}

/* c may be NULL in both. No connection that is OPENING may be a trial of m's. */
void circuit_join(struct policy_circuit *c, struct circuit_member *m, struct policy_orders *orders);
void circuit_leave(struct circuit_member *m);
/* Returns when the next attempt may begin; UINT64_MAX: when news comes. 0 while the circuit is closed. */
uint64_t circuit_due(const struct circuit_member *m);
/* Begins an attempt; false: one of another policy worker has just begun. *is_trial: circuit_ended() must follow. */
bool circuit_begin(const struct circuit_member *m, bool *is_trial, uint64_t now_us);
void circuit_ended(const struct circuit_member *m, uint64_t now_us);
/* The host has answered. */
void circuit_answered(const struct circuit_member *m, uint64_t now_us);
/* The same, if that is later than the last failure. */
void circuit_on_life(const struct circuit_member *m, uint64_t heard_us, uint64_t now_us);
/* Returns true if such a failure says that the host can't be reached. CF_OTHER may be anything, such as a
 * password_command that has failed. */
bool circuit_is_of_host(enum connect_failure kind, const struct fail *why);
/* An attempt that began then has failed. Wakes (policy_stir) the other pools if that is news for them. Returns false if
 * it means nothing, as the host has answered since. */
bool circuit_failed(const struct circuit_member *m, enum connect_failure kind, bool is_fatal, const struct fail *why,
		    uint64_t started_us, uint64_t now_us);
/* Tries again at once: somebody has said that things have changed. */
void circuit_hurry(const struct circuit_member *m);
/* Returns true with news that m has not heeded; of a failure only if it is_waiting. */
bool circuit_news(const struct circuit_member *m, bool is_waiting, struct circuit_news *news);

/* --- The pool's side: policy.c. --- */
/* Returns true if anybody waits in the queue. */
bool policy_has_waiters(const struct policy *p);

/* With the other pools of c, p tries one connection at a time while their upstream can't be reached: policy_circuit.h.
 * c may be NULL, as at first; it must be there until it is replaced, or p freed. */
void policy_set_circuit(struct policy *p, struct policy_circuit *c, uint64_t now_us);

/* --- Health checks: policy_supply.c. --- */
/*
 * Opens one connection that nobody waits for, back-off and circuit or not, to find out whether PostgreSQL is there. If
 * it fails and nobody waits in the queue, report policy_health_check_failed and policy_conn_gone. Does nothing while
 * paused, at the limit, or where others wait for places in the budget.
 */
void policy_health_check(struct policy *p, uint64_t now_us);
/* Nobody waits for this one, which is CHECKING still: in an outage who comes next is told of its failure. */
void policy_health_check_failed(struct policy *p, const struct policy_conn *conn, enum connect_failure kind,
				bool is_fatal, const struct fail *why, uint64_t now_us);

/* --- All circuits. --- */

/* Returns the one of this name, the caller's until policy_circuit_put; NULL without memory. */
struct policy_circuit *policy_circuit_get(struct policy_commons *all, const char *name);
void policy_circuit_put(struct policy_commons *all, struct policy_circuit *c); /* without pools; NULL is fine */
