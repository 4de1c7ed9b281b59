/*
 * src/dedicated/fleet.h - one limit for the connections of all pgweir processes to a PostgreSQL (budget,
 * budget_connections).
 *
 * For each list of hosts with a budget, pgweir has a *fleet connection* to budget_database on these hosts. There the
 * fleet connection reads PostgreSQL's list of backends. With `on`, the pools of these hosts are under a cap (CAP_HOST):
 * they open only as many connections as the fleet connection was granted places. To be granted places, a fleet
 * connection first takes an advisory lock, which only one process holds at a time. Then it counts the backends that
 * PostgreSQL lists, and the places that any process was granted for connections that have not logged in yet. From the
 * places that the limit leaves, it takes its own. A connection counts as long as PostgreSQL lists it: there are no
 * leases, and the limit does not depend on clocks or on what other processes report. The application_name of a fleet
 * connection, in the same list, is its process's report: how many connections it has, and whether clients wait. Reports
 * only decide which process should give up connections for which other.
 *
 * An example, with budget = 100: PostgreSQL lists 95 connections of the fleet. Process P was granted two more places,
 * and its connections for them have not logged in yet. Process Q needs five places. Q's fleet connection takes the
 * lock, computes 100 - 95 - 2 = 3, takes three places, and marks them in PostgreSQL. If Q dies now, its marks end with
 * its fleet connection, and the three places are free again.
 *
 * Owns:    the fleet connections, and the policy worker (policy_commons.h) to which pools report.
 * Borrows: the pools of worker 0, for their environment.
 * Always:  runs on worker 0's thread. Nothing is opened without a grant. A grant is marked in PostgreSQL until its
 *          connection has logged in or failed; if the fleet connection is lost, its marks may be lost, too, so the
 *          logins under way are closed.
 */
#pragma once

#include "config/config.h"
#include "policy/policy_commons.h"
#include "pool/pool_set.h"

/* the most processes of one budget that are listed; connections of further processes still count */
#define FLEET_MEMBERS_MAX 128
#define FLEET_NAME_MAX 40
#define FLEET_STRANGERS_MAX 8
#define FLEET_TEXT_MAX 80 /* longer than any name of PostgreSQL's */

struct fleet; /* opaque: fleet.c */

/* wake(owner) is called, on any thread, when fleet_run_orders() must be called on worker 0's thread. Returns NULL
 * without memory. */
struct fleet *fleet_new(struct pool_set *pools, void (*wake)(void *owner), void *owner);
void fleet_free(struct fleet *f); /* must be called before the pools are freed; f may be NULL */
/* Called at start and at each reload, before the pools are configured, so that the budget applies from a pool's first
 * connection on. */
void fleet_configure(struct fleet *f, struct config *config, struct users *users, struct tls_store *tls);
void fleet_run_orders(struct fleet *f, uint64_t now_us);
void fleet_tick(struct fleet *f); /* called about every 100 ms */

/* --- For SHOW BUDGET, SHOW FLEET and metrics. --- */

enum fleet_state {
	FLEET_CONNECTING, /* the fleet connection is not logged in; with `on`, nothing is opened meanwhile */
	FLEET_JOINED,
	/* another session, lock_pid, has held the lock for a second or more, or keeps marks from being taken */
	FLEET_LOCK_HELD,
	FLEET_POOLED /* the connection leads to a pooler, so the list is not that of these hosts, and there is no
		      * budget */
};

/* The result of a question for places. */
enum fleet_check {
	FC_GRANTED, /* some places were granted */
	FC_NONE, /* no place was granted */
	FC_FAILED, /* PostgreSQL reported an error: for a question for places, or for any other question */
	FLEET_CHECKS
};

/* A process of the fleet, as the application_name of its fleet connection reports it. */
struct fleet_member {
	uint32_t pid; /* the PID of its fleet connection's backend */
	char name[FLEET_NAME_MAX]; /* the name of its host, and its process ID */
	uint32_t budget; /* the budget in the configuration of that process */
	uint32_t used; /* connections of its pools to these hosts */
	uint32_t waiting; /* how many connections it would open now */
	bool is_in_use; /* true if clients have used its pools of these hosts within the last moments */
	bool is_own; /* true for this process itself */
	bool is_silent; /* true if it has reported nothing for 3 s, and 3 s more for every 20 members */
	uint64_t heard_us; /* when `report_count` changed last */
	uint8_t report_count; /* how often this process has reported, modulo 10: it shows that the process lives */
};

/* A session that holds, or waits for, an advisory lock of the budget's, though its user is not cluster_user. */
struct fleet_stranger {
	uint32_t pid; /* 0 for a prepared transaction */
	char user[FLEET_TEXT_MAX], application[FLEET_TEXT_MAX];
};

/* A budget. Counts are of connections, times in microseconds. */
struct fleet_budget {
	const char *hosts; /* "db1:5432,db2:5432 primary": see pool_target_hosts() */
	const char *database; /* the first section of the file with these hosts */
	enum budget_mode mode;
	enum fleet_state state;
	uint32_t limit; /* the smallest of all members' limits; 0 if not known yet (auto) */
	uint32_t own_limit; /* the limit in this process's file; 0 if not known yet */
	char limit_process[FLEET_NAME_MAX]; /* the process with the smallest limit; empty if this process has it */
	uint32_t listed; /* connections that PostgreSQL lists, fleet connections included */
	uint32_t others; /* listed connections beyond those that members report */
	uint32_t used; /* this process's connections that are open or opening */
	uint32_t granted; /* connections that this process may open */
	uint32_t waiting; /* connections that this process would open now */
	uint32_t share; /* the most connections that this process should keep; UINT32_MAX if it need not give up any */
	uint32_t lock_pid; /* the backend that holds the lock, with FLEET_LOCK_HELD; 0 if not known */
	uint32_t peak; /* the largest number of connections that was ever listed */
	uint64_t peak_wall_us; /* when that number was listed */
	uint64_t over_us; /* the total time in which PostgreSQL listed more connections than the limit */
	uint64_t over_opens; /* with `advise`: connections that `on` would have held back */
	uint64_t checks[FLEET_CHECKS]; /* questions for places, by their result */
	uint64_t check_us; /* the time that all these questions took, as measured here */
	uint64_t looked_us; /* when PostgreSQL's list was read last; 0 if never */
	uint32_t member_count;
	const struct fleet_member *members;
	uint32_t stranger_count;
	const struct fleet_stranger *strangers;
	const char *last_error; /* why the fleet connection could not log in, or be asked; empty if nothing failed */
};

/* Calls row for each budget, in the order of the file. The pointers in *b are good until row returns. */
void fleet_each(const struct fleet *f, void (*row)(const struct fleet_budget *b, void *arg), void *arg);
