/*
 * src/dedicated/fleet_state.h - what fleet*.c share; see fleet.h.
 *
 *   fleet.c          which budgets there are
 *   fleet_conn.c     one of them: its connection, when it asks, what follows from an answer
 *   fleet_sql.c      what it asks, and reads of the answer. Pure
 *
 * Owns:   the fleet its fleet connections and its policy worker; a fleet connection its connection and a reference to the budget of its pools.
 * Always: one question is under way at a time; marked is never below what is granted and has not logged in.
 */
#pragma once

#include "base/buf.h"
#include "dedicated/dedicated.h"
#include "dedicated/fleet.h"
#include "policy/policy_circuit.h"
#include "policy/policy_keeper.h"

#define FLEET_RESERVED 2 /* places that are granted to no process: fleet connections of newcomers log in unasked */

TAILQ_HEAD(fleet_conns, fleet_conn);

struct fleet {
	struct pool_set *pools;
	struct server_env env; /* dedicated_env */
	struct policy_worker *worker; /* the keeper of all budgets */
	struct policy_worker *main_worker; /* of worker 0's pools */
	char name[FLEET_NAME_MAX];
	struct fleet_conns conns;
};

/* --- fleet_sql.c --- */

enum fleet_ask { ASK_WHO, ASK_LOOK, ASK_GRANT };

struct fleet_question {
	enum fleet_ask what;
	struct fleet_member self; /* as others are to see it */
	uint32_t want, limit; /* ASK_GRANT: so many, if they stay below it */
	uint32_t expected; /* fleet connections: for each that is missing a place is kept */
	uint32_t flying, marked; /* granted and not logged in yet; as PostgreSQL was told last */
	bool is_bell; /* wakes all fleet connections, because a process is short and there is nothing left */
	bool is_first; /* to hear of that from now on */
};

struct fleet_answer {
	bool is_counted; /* the next four are known */
	uint32_t listed, conns, granted;
	bool is_marked; /* the mark for these stands; else the one before, and nothing is granted */
	bool is_who; /* the next three are */
	uint32_t pid, most; /* the backend asked; what budget_connections = auto is */
	bool is_standby;
	bool is_held; /* another session may keep us from locks; its PID is lock_pid, or 0 for a prepared transaction */
	uint32_t lock_pid;
	size_t member_count, stranger_count;
	struct fleet_member members[FLEET_MEMBERS_MAX];
	struct fleet_stranger strangers[FLEET_STRANGERS_MAX];
};

/* Puts what a fleet connection sends first: ASK_WHO. users: as in budget_users. */
void fleet_put_first(struct buf *b, const char *users);
void fleet_put_question(struct buf *b, const struct fleet_question *q);
void fleet_read_row(struct fleet_answer *a, const uint8_t *body, size_t len); /* adds to *a what a DataRow says */

/* --- fleet_conn.c --- */

struct fleet_conn {
	struct dedicated conn; /* must be first. With shown.state FLEET_JOINED, what ASK_WHO prepares is there */
	TAILQ_ENTRY(fleet_conn) link;
	struct fleet *fleet;
	struct fleet_budget shown; /* hosts and database are its own */
	char database[CONFIG_NAME_MAX + 1];
	char *hosts, *users;
	enum budget_mode set_mode; /* of the present configuration; BUDGET_OFF: it has none */
	uint32_t set_limit; /* the same */
	struct policy_budget *budget; /* of its pools */
	struct policy_circuit *shared; /* of its hosts: tells pools, which open nothing, that PostgreSQL is away */
	struct circuit_member circuit;
	struct policy_orders orders;
	struct timer timer;
	bool is_lost; /* the logins under way are to be abandoned */
	bool is_standby; /* where nothing can be sent to others */
	struct budget_news news, told; /* for the pools: as it is, and as they were told */
	bool is_rung; /* another one is short of connections */
	struct fleet_question asked, last_asked; /* last_asked: the last that was answered as it should be */
	uint64_t look_us; /* when the list of members was asked for last ... */
	uint32_t look_used; /* ... and what its pools had then */
	uint64_t next_check_us, rang_us, unused_us, beat_us;
	uint64_t taken; /* of the budget, at the last answer */
	uint32_t refusals; /* checks in a row that granted less than was asked for */
	uint32_t found_others; /* at the last look */
	uint32_t conns, expected; /* that were there at the last answer, and that were lately */
	uint64_t missed_us; /* when there were fewer than before */
	uint32_t marked; /* as PostgreSQL was told */
	uint32_t auto_limit; /* of budget_connections = auto; 0: not known */
	uint8_t beat;
	struct fleet_answer answer;
	struct fleet_member members[FLEET_MEMBERS_MAX];
	struct fleet_stranger strangers[FLEET_STRANGERS_MAX];
};

/* Takes hosts. NULL without memory; hosts is then freed. */
struct fleet_conn *fleet_conn_new(struct fleet *f, char *hosts);
void fleet_conn_free(struct fleet_conn *s); /* its pools open nothing until they are told of another budget, or none */
void fleet_conn_keep(struct fleet_conn *s, enum budget_mode mode); /* not BUDGET_OFF */
void fleet_conn_kick(void *fleet_conn); /* does what is due, and sets the timer, which calls it */
