/*
 * tests/sim/fleet_sim.h - deterministic simulation of one budget (dedicated/fleet.h): three processes of pgweir, each
 * whole, before a model of PostgreSQL that knows its list, advisory locks and NOTIFY, over the network in memory of
 * kernel.h, at a time of its own. All that happens is drawn from a seed.
 *
 *   fleet_sim.c       what is printed
 *   fleet_run.c       one seed: what happens next, what breaks
 *   fleet_oracle.c    what must hold
 *   fleet_load.c      processes and their clients
 *   fleet_postgres.c  connections to the model of PostgreSQL: logging in, listed, gone
 *   fleet_sql.c       what it makes of a Query
 *   runner.c          options, seeds, what has happened
 */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "dedicated/fleet.h"
#include "process/process_state.h"
#include "runner.h"

#include <sys/queue.h>

#define PROCESSES 3
#define CLIENTS 10 /* of each process: more than it can get */
#define MARKS 4 /* numbers in FLYING locks of one backend, at a time */
#define FLEET_FOLDER_LEN 64

/* --- PostgreSQL --- */

enum backend_state {
	BE_STARTING, /* not listed */
	BE_LISTED, /* and has not said so yet */
	BE_READY,
	BE_RUNNING, /* a Query */
	BE_LEAVING /* its locks are free; still listed, if it was */
};

struct backend {
	TAILQ_ENTRY(backend) link;
	struct fleet_sim *sim;
	enum backend_state state;
	int fd; /* -1: a stranger's */
	unsigned process; /* from 1 on: who has dialled it; 0: a stranger */
	uint32_t pid;
	uint64_t due_us; /* nothing happens before */
	bool has_started; /* its startup packet is there */
	bool is_fleet_conn, is_listed, is_listening;
	bool has_own_mark; /* (FLYING, 0) */
	uint64_t read_us, seen_us; /* when it looked at marks last, and before the last answer */
	bool is_lost; /* the other end is gone */
	bool is_unmarked; /* logging in, and its fleet connection's mark is gone: see fleet_oracle.c */
	bool is_beyond; /* a stranger that came when nothing was left */
	bool is_load; /* what runs is a client's */
	char name[64]; /* application_name */
	uint32_t marks[MARKS]; /* (FLYING, n): n; 0: none */
	struct buf in, out;
	/* The Query. */
	char *sql, *at; /* at: the next statement */
	bool is_counted; /* of pgweir_grant: its list is read, and marks are not */
	bool wakes_others;
	uint32_t listed, flying, conns;
	uint64_t queue; /* its place in the line for the lock; 0: it does not wait */
	uint64_t lock_until_us; /* lock_timeout */
	/* Of PREPAREs. */
	bool has_grant, reads_marks_late, takes_all_marks, takes_all_members;
};

TAILQ_HEAD(backends, backend);

struct postgres {
	struct backends backends;
	int fd; /* it listens; made once */
	uint32_t last_pid;
	const struct backend *lock_holder;
	uint64_t lock_dba_until_us; /* somebody else has the lock until then */
	uint64_t lock_queue;
	uint64_t
	    mark_dba_until_us; /* ... or, of marks, that of so many (0: of fleet connections themselves) until then */
	uint32_t mark_dba;
	uint64_t down_until_us;
	uint64_t refuses_until_us; /* ... the logins of one process, but its fleet connection's */
	unsigned refused;
	unsigned newcomers; /* fleet connections that were listed since places were last granted */
	unsigned granted; /* places, ever */
};

/* --- processes --- */

struct load_client {
	int fd; /* -1: not connected */
	bool is_in, is_asking;
	uint64_t asked_us;
	struct buf in;
};

struct fleet_process {
	unsigned number; /* from 1 on */
	struct config *config;
	struct weir *weir; /* NULL: it is not there */
	uint64_t down_until_us, stopped_until_us;
	uint64_t unmarked_us; /* so much longer may logins be unmarked, of time in which it runs */
	uint64_t marked_us, missing_since_us; /* when its fleet connection marked itself, and ended; 0: it is there */
	uint64_t short_since_us; /* a client has waited for a server since; 0: none does */
	uint64_t alone_since_us; /* the same, and none of another process has */
	uint64_t kept_since_us; /* it has had a mark for no connection since, and nobody waits; 0: it has none */
	unsigned rate; /* how often an idle client asks for something: in so many of 4096 steps */
	unsigned wanted; /* so many clients ask at all */
	unsigned answers;
	struct load_client clients[CLIENTS];
};

struct fleet_profile {
	uint32_t budget;
	unsigned ending, losing, killing, stopping, restarting, locking, marking, strangers,
	    refusing; /* in 4096ths of all steps */
	uint32_t slow_us; /* what a client asks for lasts so long at most */
	uint32_t login_us; /* the same for a login */
	uint32_t
	    unlisted_us; /* so long at least a pool's login is not listed: longer than its fleet connection is away */
	bool has_idle; /* min_idle = 1 */
	bool has_liar; /* somebody of another role has a mark of many, and calls himself a member with a tiny budget */
};

struct fleet_sim {
	struct postgres pg;
	struct fleet_process processes[PROCESSES];
	struct fleet_profile profile;
	char folder[FLEET_FOLDER_LEN];
	uint64_t seed, random, step;
	uint64_t free_since_us; /* a place has been free since; 0: none is */
	bool is_calm; /* nothing breaks any more */
	bool is_coarse; /* steps are longer */
	bool watches_waits;
	unsigned answers, kills, ends, peak;
};

/* fleet_run.c */
#define fleet_draw(s) draw_number(&(s)->random)
#define fleet_chance(s, of_4096) draw_chance(&(s)->random, of_4096, 4096)
#define fleet_below(s, limit) draw_below(&(s)->random, limit)
uint64_t fleet_pause_us(struct fleet_sim *s, uint32_t most_us); /* mostly short */
void fleet_run(struct fleet_sim *s, uint64_t seed);

/* fleet_postgres.c */
void postgres_begin(struct fleet_sim *s);
void postgres_end(struct fleet_sim *s);
void postgres_turn(struct fleet_sim *s);
void postgres_restart(struct fleet_sim *s, uint64_t down_us);
void postgres_stranger(struct fleet_sim *s, uint64_t stays_us);
void backend_leave(struct backend *b, const char *why); /* an error's text; NULL: it says nothing */
uint32_t postgres_listed(const struct postgres *pg);
uint32_t backend_marks(const struct backend *b);
uint32_t postgres_marks(const struct postgres *pg);
uint32_t postgres_fleet_conns(const struct postgres *pg); /* that have a mark of their own */
struct backend *postgres_fleet_conn(struct fleet_sim *s, unsigned process); /* the newest; NULL: there is none */
struct backend *postgres_any(struct fleet_sim *s); /* a pool's; NULL: there is none */

/* fleet_sql.c */
void backend_query(struct backend *b, const char *sql);
void backend_go_on(struct backend *b); /* with the next statement, or what it waits for */
void backend_forget(struct backend *b); /* all locks are free */

/* fleet_load.c */
void process_start(struct fleet_sim *s, struct fleet_process *p);
void process_kill(struct fleet_sim *s, struct fleet_process *p);
bool process_is_running(const struct fleet_process *p);
void process_turn(struct fleet_sim *s, struct fleet_process *p);
void load_turn(struct fleet_sim *s, struct fleet_process *p);
unsigned load_asking(const struct fleet_process *p);
unsigned load_connected(const struct fleet_process *p);
const struct fleet_budget *process_budget(const struct fleet_process *p); /* NULL: it is not there */

/* fleet_oracle.c */
void oracle_check_list(struct fleet_sim *s);
void oracle_granted(struct fleet_sim *s, const struct backend *by);
void oracle_unmarked(struct fleet_sim *s, unsigned process); /* its marks are gone with its fleet connection */
void oracle_tell(const struct fleet_sim *s); /* to the trace: how things are */
void oracle_step(struct fleet_sim *s, uint64_t passed_us);
bool oracle_is_recovered(const struct fleet_sim *s);
bool oracle_is_fair(const struct fleet_sim *s);
bool oracle_is_quiet(const struct fleet_sim *s);
