/*
 * src/dedicated/fleet.h - one number for all pgweir processes before a PostgreSQL (budget, budget_connections).
 *
 * For each list of hosts with a budget there is a *fleet connection*: a connection to budget_database there, which
 * looks at the list of PostgreSQL's backends. With `on`, the pools of these hosts are under a cap (CAP_HOST) that has
 * no place but those which the fleet connection was granted: under an advisory lock, which one process has at a time,
 * it counts the backends that PostgreSQL lists and those that were granted anywhere and have not logged in yet, and
 * takes what is left. A connection counts as long as PostgreSQL lists it; there are no leases, and nothing rests on
 * clocks or on what other processes say. What they say is in the same list (application_name of their fleet
 * connections: what they have, and whether somebody waits), and only decides who should give connections up for whom.
 *
 * An example, with budget = 100: PostgreSQL lists 95 connections of the fleet, and two were granted to process P that
 * have not logged in yet. Process Q is short of five. Its fleet connection takes the lock, counts 100 - 95 - 2, takes
 * three, and marks them in PostgreSQL. Should Q die now, its marks go with its fleet connection's connection, and the
 * three are free again.
 *
 * Owns:    the fleet connections, and the policy worker (policy_commons.h) in which they are told of pools.
 * Borrows: the pools of worker 0, for their environment.
 * Always:  on worker 0's thread. Nothing is opened without a grant. A grant is marked in PostgreSQL until its
 *          connection has logged in or failed; if the mark may be gone, because the fleet connection's connection is,
 * so are the logins under way.
 */
#pragma once

#include "config/config.h"
#include "policy/policy_commons.h"
#include "pool/pool_set.h"

#define FLEET_MEMBERS_MAX 128 /* processes of one budget that are told apart; connections of others still count */
#define FLEET_NAME_MAX 40
#define FLEET_STRANGERS_MAX 8
#define FLEET_TEXT_MAX 80 /* more than a name of PostgreSQL's has */

struct fleet; /* opaque: fleet.c */

/* wake(owner) is called on any thread: fleet_run_orders() is due on worker 0's. Returns NULL without memory. */
struct fleet *fleet_new(struct pool_set *pools, void (*wake)(void *owner), void *owner);
void fleet_free(struct fleet *f); /* before the pools; NULL is fine */
/* At start and at each reload, before the pools are configured: a pool that finds a budget is under it from its first
 * connection on. */
void fleet_configure(struct fleet *f, struct config *config, struct users *users, struct tls_store *tls);
void fleet_run_orders(struct fleet *f, uint64_t now_us);
void fleet_tick(struct fleet *f); /* about every 100 ms */

/* --- For SHOW BUDGET, SHOW FLEET and metrics. --- */

enum fleet_state {
	FLEET_CONNECTING, /* the fleet connection is not logged in; with `on`, nothing is opened meanwhile */
	FLEET_JOINED,
	/* another session holds the lock for a second or more, or keeps marks from being taken: lock_pid */
	FLEET_LOCK_HELD,
	FLEET_POOLED /* a pooler stands between, so the list is not that of these hosts: there is no budget */
};

/* result of a check */
enum fleet_check { FC_GRANTED, FC_NONE, FC_FAILED, FLEET_CHECKS };

/* Another process, or this one, as its fleet connection's application_name says. */
struct fleet_member {
	uint32_t pid; /* of its fleet connection's backend */
	char name[FLEET_NAME_MAX]; /* its host's name and process ID */
	uint32_t budget, used; /* the budget it was given; connections of its pools there */
	uint32_t waiting; /* connections that it would open now */
	bool is_in_use; /* clients have used its pools there within the last moments */
	bool is_own, is_silent; /* silent: it has said nothing for 3 s */
	uint64_t heard_us; /* when that has changed last */
	uint8_t beat;
};

/* A session of another user than cluster_user that holds, or waits for, an advisory lock of the budget's. */
struct fleet_stranger {
	uint32_t pid; /* 0: a prepared transaction */
	char user[FLEET_TEXT_MAX], application[FLEET_TEXT_MAX];
};

/* A budget. Counts are of connections, times in microseconds. */
struct fleet_budget {
	const char *hosts; /* "db1:5432,db2:5432 primary": see pool_target_hosts() */
	const char *database; /* the first section of the file that it is of */
	enum budget_mode mode;
	enum fleet_state state;
	uint32_t limit; /* the smallest of all members'; 0: not known yet (auto) */
	uint32_t own_limit; /* of this process's file; 0: not known yet */
	char limit_of[FLEET_NAME_MAX]; /* the process whose file has the smallest; empty: this one's has */
	uint32_t listed; /* that PostgreSQL counts, the fleet connections' included */
	uint32_t others; /* of these, beyond what members say they have */
	uint32_t used, granted, waiting; /* of this process: open or opening; may be opened; would be opened now */
	uint32_t share; /* UINT32_MAX: there is none now */
	uint32_t lock_pid; /* the backend that holds the lock, with FLEET_LOCK_HELD; 0: not known */
	uint32_t peak; /* the largest number of connections that was listed */
	uint64_t peak_wall_us; /* when that number was listed */
	uint64_t over_us; /* how long more than the limit was listed */
	uint64_t over_opens; /* with `advise`: connections that `on` would have held back */
	uint64_t checks[FLEET_CHECKS], check_us; /* check_us: what all took together, as seen from here */
	uint64_t looked_us; /* when PostgreSQL's list was read last; 0: never */
	uint32_t member_count;
	const struct fleet_member *members;
	uint32_t stranger_count;
	const struct fleet_stranger *strangers;
	const char *last_error; /* why the fleet connection could not log in, or be asked; empty: nothing */
};

/* Calls row for each budget, in the order of the file. What it points to is good until row returns. */
void fleet_each(const struct fleet *f, void (*row)(const struct fleet_budget *b, void *arg), void *arg);
