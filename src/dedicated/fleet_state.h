/*
 * src/dedicated/fleet_state.h - the structs that fleet*.c share; see fleet.h.
 *
 *   fleet.c          the budgets that are configured
 *   fleet_conn.c     one budget: its fleet connection, when to ask PostgreSQL, and what follows from an answer
 *   fleet_sql.c      the SQL of the questions, and the parser of the answers. Pure
 *
 * Owns:   struct fleet owns the fleet connections and a policy worker; a struct fleet_conn owns its struct dedicated
 *         and a reference to the budget of its pools.
 * Always: a fleet connection has at most one question under way; its `marked` is at least the number of granted places
 *         whose connections have not logged in.
 */
#pragma once

#include "base/buf.h"
#include "dedicated/dedicated.h"
#include "dedicated/fleet.h"
#include "policy/policy_circuit.h"
#include "policy/policy_keeper.h"

/* places that no process is granted; new processes' fleet connections use them without a grant */
#define FLEET_RESERVED 2

TAILQ_HEAD(fleet_conns, fleet_conn);

struct fleet {
	struct pool_set *pools;
	struct server_env env; /* from dedicated_fill_env() */
	struct policy_worker *worker; /* the keeper of all budgets (policy_keeper.h) */
	struct policy_worker *main_worker; /* the policy worker of worker 0's pools */
	char name[FLEET_NAME_MAX];
	struct fleet_conns conns;
};

/* --- fleet_sql.c --- */

/* ASK_WHO is the first question, about the server. ASK_LOOK counts connections and lists the processes. ASK_GRANT
 * counts connections and takes places. */
enum fleet_ask { ASK_WHO, ASK_LOOK, ASK_GRANT };

struct fleet_question {
	enum fleet_ask what;
	struct fleet_member self; /* this process's report for the other processes */
	uint32_t want, limit; /* ASK_GRANT takes up to `want` places, as far as `limit` leaves places */
	uint32_t expected; /* the expected number of fleet connections; a place is kept free for each missing one */
	uint32_t granted_not_logged_in; /* granted places whose connections are not opened, or not logged in yet */
	uint32_t marked; /* the number of places in this process's mark in PostgreSQL */
	/* true if the question wakes the other fleet connections, because this process needs connections and no place
	 * is left, or because its limit has changed */
	bool wakes_others;
	bool is_first; /* true for the first question after ASK_WHO; this question also LISTENs for wake-ups */
};

struct fleet_answer {
	bool is_counted; /* true if listed, fleet_conns, granted and is_marked are known */
	uint32_t listed; /* how many connections PostgreSQL lists */
	uint32_t fleet_conns; /* how many of the listed connections are fleet connections */
	uint32_t granted; /* how many places were granted to this process */
	/* true if PostgreSQL has the new mark, which includes `granted`. If false, PostgreSQL has the previous mark,
	 * and nothing was granted */
	bool is_marked;
	bool has_identity; /* true if pid, unreserved_slots and is_standby are known */
	uint32_t pid; /* the PID of the backend that answered */
	uint32_t unreserved_slots; /* with budget_connections = auto, the limit is nine tenths of this */
	bool is_standby;
	bool is_lock_held; /* true if another session holds a lock that this process needs */
	uint32_t lock_pid; /* the PID of the session that holds the lock; 0 for a prepared transaction */
	size_t member_count, stranger_count;
	struct fleet_member members[FLEET_MEMBERS_MAX];
	struct fleet_stranger strangers[FLEET_STRANGERS_MAX];
};

/* Appends the SQL of ASK_WHO. users: the value of budget_users. */
void fleet_put_first(struct buf *b, const char *users);
void fleet_put_question(struct buf *b, const struct fleet_question *q);
void fleet_read_row(struct fleet_answer *a, const uint8_t *body, size_t len); /* adds the contents of a DataRow to *a */

/* --- fleet_conn.c --- */

struct fleet_conn {
	struct dedicated conn; /* must be first. Once ASK_WHO is answered, the session has the prepared statements */
	TAILQ_ENTRY(fleet_conn) link;
	struct fleet *fleet;
	struct fleet_budget b; /* also for SHOW. b.hosts is `hosts`; other pointers point into this struct */
	char database[CONFIG_NAME_MAX + 1];
	char *hosts, *users; /* users: the value of budget_users */
	enum budget_mode configured_mode; /* the mode in the present configuration; BUDGET_OFF if there is none */
	uint32_t configured_limit; /* the limit in the present configuration */
	struct policy_budget *budget; /* the budget of its pools */
	struct policy_circuit *host_circuit; /* of its hosts; tells even pools without connections of an outage */
	struct circuit_member circuit;
	struct policy_orders orders;
	struct timer timer;
	/* true if PostgreSQL has dropped a binding mark, so connections that have not logged in must be closed */
	bool must_abandon_logins;
	bool is_standby; /* true if PostgreSQL is a standby, where NOTIFY does not work */
	struct budget_news news; /* the present news for the pools */
	struct budget_news told_news; /* the last news that the pools were given */
	bool was_notified; /* true if another process has sent a wake-up since the last question */
	struct fleet_question asked; /* the question under way, or the last question */
	struct fleet_question last_asked; /* the last question that was answered as expected */
	uint64_t look_us; /* when the list of members was last asked for; 0 to ask for it again soon */
	uint32_t look_used; /* how many connections its pools had at look_us */
	uint64_t next_grant_us, notify_sent_us; /* when the next ASK_GRANT is due; when the last wake-up was sent */
	uint64_t unused_since_us, beat_us; /* since when places are unused, or 0; when report_digit last changed */
	uint64_t taken; /* budget_counts.taken at the last answer */
	uint32_t refusals; /* how many questions in a row were granted fewer places than they asked for */
	uint32_t found_others; /* how many connections no member had reported at the last ASK_LOOK */
	uint32_t fleet_conns; /* how many fleet connections there were at the last answer */
	uint32_t expected_conns; /* how many fleet connections there should be */
	uint64_t missed_us; /* when the number of fleet connections last fell */
	uint32_t marked; /* for how many places PostgreSQL has a mark of this process */
	uint32_t auto_limit; /* the limit for budget_connections = auto; 0 if not known */
	uint8_t report_digit; /* see fleet_member.report_digit; beat_us is when it last changed */
	struct fleet_answer answer;
	struct fleet_member members[FLEET_MEMBERS_MAX];
	struct fleet_stranger strangers[FLEET_STRANGERS_MAX];
};

struct fleet_conn *fleet_conn_new(struct fleet *f, char *hosts); /* frees `hosts` and returns NULL without memory */
/* Frees s. If the budget of s is binding, its pools open no connection until they get another budget or none. */
void fleet_conn_free(struct fleet_conn *s);
void fleet_conn_set_mode(struct fleet_conn *s, enum budget_mode mode); /* `mode` must not be BUDGET_OFF */
void fleet_conn_run(void *fleet_conn); /* does the work that is due, and sets the timer, which calls this function */
