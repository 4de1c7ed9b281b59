/*
 * src/dedicated/fleet.h - one limit for the connections of all pgweir processes to a PostgreSQL (the settings budget
 * and budget_connections). The processes are the *fleet*.
 *
 * For each list of hosts with a budget, pgweir has a *fleet connection* to budget_database on these hosts. Over this
 * connection, pgweir reads PostgreSQL's list of backends. With budget = on, the pools of these hosts are under a cap
 * (CAP_HOST): they open only as many connections as the fleet connection was granted *places*. To be granted places, a
 * fleet connection first takes an advisory lock, which only one process holds at a time. Then it counts the backends
 * that PostgreSQL lists, and the places of all processes for connections that have not logged in yet. If the limit
 * leaves places, the fleet connection takes what its process needs. A connection counts as long as PostgreSQL lists it,
 * so there are no leases, and the count depends neither on clocks nor on other processes' reports. PostgreSQL's list
 * also has each fleet connection's application_name, which is the report of its process: how many connections the
 * process has, and how many more it needs. Reports only decide which process gives up connections for others.
 *
 * An example, with budget_connections = 100: PostgreSQL lists 95 connections of the fleet. Process P was granted two
 * more places, whose connections have not logged in yet. Process Q needs five places. Q's fleet connection takes the
 * lock, computes 100 - 95 - 2 = 3, takes three places, and marks them in PostgreSQL by advisory locks. If Q dies now,
 * its marks end with its fleet connection, and the three places are free again.
 *
 * Owns:    the fleet connections, and the policy worker (policy_commons.h) to which pools report.
 * Borrows: the pools of worker 0, for their environment.
 * Always:  runs on worker 0's thread. No connection is opened without a grant. A grant is marked in PostgreSQL until
 *          its connection has logged in or failed. If the fleet connection is lost, its marks may be lost, too, so the
 *          connections whose login has not ended are closed.
 */
#pragma once

#include "config/config.h"
#include "policy/policy_commons.h"
#include "pool/pool_set.h"

/* the most processes that are listed for a budget; connections of other processes still count */
#define FLEET_MEMBERS_MAX 128
#define FLEET_NAME_MAX 40 /* bytes of fleet_member.name, with its terminator */
#define FLEET_STRANGERS_MAX 8 /* the most strangers (struct fleet_stranger) that are listed for a budget */
#define FLEET_TEXT_MAX 80 /* longer than any name of PostgreSQL's */

struct fleet; /* opaque: fleet.c */

/* wake(owner) is called on any thread when fleet_handle_pool_requests() is due on worker 0. Returns NULL if memory is
 * short. */
struct fleet *fleet_new(struct pool_set *pools, void (*wake)(void *owner), void *owner);
void fleet_free(struct fleet *f); /* call before the pools are freed; f may be NULL */
/* Called at the start and at each reload, before pools are configured; else connections would escape the budget. */
void fleet_configure(struct fleet *f, struct config *config, struct users *users, struct tls_store *tls);
void fleet_handle_pool_requests(struct fleet *f, uint64_t now_us); /* handles pools' requests for places; ticks */
void fleet_tick(struct fleet *f); /* called about every 100 ms */

/* --- For SHOW BUDGET, SHOW FLEET and metrics. --- */

enum fleet_state {
	FLEET_CONNECTING, /* the fleet connection is not logged in; with budget = on, pools open no connections */
	FLEET_JOINED, /* the fleet connection can ask for places */
	/* another session (lock_pid) has held the lock for a second, or holds an advisory lock that a mark needs */
	FLEET_LOCK_HELD,
	/* another pooler stands before PostgreSQL, whose list lacks pgweir's connections, so there is no budget */
	FLEET_POOLED
};

/* The result of a *check*, a question for places. FC_FAILED also counts errors of other questions. */
enum fleet_check {
	FC_GRANTED, /* one place or more was granted */
	FC_NONE, /* no place was granted */
	FC_FAILED, /* PostgreSQL reported an error */
	FLEET_CHECKS
};

/* A process of the fleet, as the application_name of its fleet connection reports it. */
struct fleet_member {
	uint32_t pid; /* the PID of the backend of the process's fleet connection */
	char name[FLEET_NAME_MAX]; /* the name of the process's host, and its process ID */
	uint32_t budget; /* the limit in the configuration of that process */
	uint32_t used; /* connections of the process's pools to these hosts */
	uint32_t short_count; /* how many connections the process would open now */
	bool is_in_use; /* true if clients of the process use its pools of these hosts, or used them a moment ago */
	bool is_own; /* true for this process itself */
	bool is_silent; /* true if the process has not reported for 3 s, plus 3 s for every 20 members */
	uint64_t heard_us; /* when report_digit last changed */
	uint8_t report_digit; /* the process adds 1, modulo 10, from time to time; a change shows that it lives */
};

/* A session that holds, or waits for, an advisory lock of the budget, although its user is not cluster_user. */
struct fleet_stranger {
	uint32_t pid; /* 0 for a prepared transaction */
	char user[FLEET_TEXT_MAX], application[FLEET_TEXT_MAX];
};

/* A budget. Counts are numbers of connections; times are in microseconds. */
struct fleet_budget {
	const char *hosts; /* "db1:5432,db2:5432 primary": see pool_target_hosts_key() */
	const char *database; /* the first database section of the configuration file that has these hosts */
	enum budget_mode mode;
	enum fleet_state state;
	uint32_t limit; /* the smallest of all members' limits; with auto, 0 if not known yet */
	uint32_t own_limit; /* the limit in this process's configuration; with auto, 0 if not known yet */
	char limit_process[FLEET_NAME_MAX]; /* the process with the smallest limit; empty if this process has it */
	uint32_t listed; /* connections that PostgreSQL lists, fleet connections included */
	uint32_t others; /* listed connections that no member has reported: the smaller of the last two counts */
	uint32_t used; /* this process's connections that are open or opening */
	uint32_t granted; /* granted places for connections that this process has not opened yet */
	uint32_t short_count; /* connections that this process would open now */
	uint32_t share; /* the most connections that this process should keep; UINT32_MAX if it may keep all */
	uint32_t lock_pid; /* with FLEET_LOCK_HELD: the PID of the session that holds the lock; 0 if not known */
	uint32_t peak; /* the largest number of connections that was ever listed */
	uint64_t peak_wall_us; /* when `peak` was reached, since 1970 */
	uint64_t over_us; /* the total time in which PostgreSQL listed more connections than the limit */
	uint64_t over_opens; /* with budget = advise: how many connections budget = on would have prevented */
	uint64_t checks[FLEET_CHECKS]; /* how many checks had each result */
	uint64_t check_us; /* the total time of the checks that had an answer */
	uint64_t looked_us; /* when PostgreSQL's list was last read; 0 if never */
	uint32_t member_count;
	const struct fleet_member *members;
	uint32_t stranger_count;
	const struct fleet_stranger *strangers;
	const char *last_error; /* why the fleet connection could not log in, or be asked; empty if nothing failed */
};

/* Calls row for each budget, in the order of the configuration file. The pointers in *b are valid until row returns. */
void fleet_each(const struct fleet *f, void (*row)(const struct fleet_budget *b, void *arg), void *arg);
