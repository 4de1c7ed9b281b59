/*
 * tests/unit/policy_sim.h - a world around the pool policy, without sockets and with a clock of its own.
 *
 * policy_sim.c plays the owner and the borrowers: a random schedule of arrivals, returns, cancels, connections that
 * open, fail, are lost, pings, pauses, reloads, budgets, time. policy_sim_model.c keeps its own books of who waits
 * since when and which connection is whose, from what went in and what came out, and holds them against every "Always"
 * line of policy.h. Pools under a cap may be those of several workers: what they tell each other comes late, in any
 * order, or while the other one is still at it; and one may hang, be found silent, and come back. Which pool then gives
 * up a connection or gets a place depends on what it knows, so the model asks less: that there are never more than the
 * cap allows, that all places come back, and, when all notes were read, all that must hold with one worker.
 *
 * With is_shared, one pool has shards on two to five workers, which may come and go, and a rival: a pool on one of
 * these workers, for the cap. Connections that are transferred arrive late and in any order. policy_sim_shards.c holds
 * against policy_shared.h: places at each step, who was overtaken at each grant, whether anybody waits while a
 * connection that could be transferred is idle, and that all places come back.
 *
 * One seed is one schedule. What does not hold ends it, with a sentence in report.
 */
#pragma once

#include "policy/policy.h"
#include "policy/policy_budget.h"
#include "policy/policy_shared.h"

#define SIM_POOLS 6 /* the shards, and their rival */
#define SIM_ROOMS 5
#define SIM_CLIENTS 40
#define SIM_NEVER UINT64_MAX
#define SIM_GUCS 3

/* M_LOOSE: nobody's for the moment, in the middle of a report about it (returned, opened, pinged). */
enum model_state { M_OPENING, M_CHECKING, M_IDLE, M_PINGING, M_LENT, M_CLOSING, M_LOOSE, M_IN_TRANSFER, M_STATES };

struct sim_pool;

struct sim_conn {
	struct policy_conn conn; /* first: the pool's pointer is ours */
	struct sim_pool *sp;
	enum model_state state;
	struct sim_client *borrower;
	const void *gucs;
	uint64_t started_us, opened_us, heard_us, idle_since_us, pinged_us, epoch;
	uint64_t recycle_seen_us; /* conn.recycle_at_us ahead of the last reload */
	uint64_t of; /* its last borrower's id */
	bool is_used, is_overflow, is_recycle_due, ping_has_failed;
	bool cannot_be_transferred; /* the owner does not give it */
	bool was_transferred; /* ... and is not lent yet: to whom it goes was decided where it left */
	TAILQ_ENTRY(sim_conn) link;
};

enum client_state { CL_OUT, CL_WAITING, CL_HOLDING };

struct sim_client {
	struct policy_waiter waiter; /* first */
	enum client_state state;
	struct sim_pool *sp;
	struct sim_conn *holds;
	uint64_t since_us;
	uint32_t wait_number; /* one more for each time it waits */
	bool is_patient; /* in the queue when the last connection was lost */
	bool is_doomed; /* may be refused: there was nothing to hope for, or somebody refused all */
};

/* A worker: its pools, and the servers that no policy lends. */
struct sim_worker {
	struct sim *sim;
	struct policy_worker *worker;
	struct budget_member places;
	bool is_told; /* a note is under way to it */
	bool hangs; /* nothing happens there ... */
	bool is_silent; /* ... and that was noticed: SILENT_US later */
	uint64_t hangs_since_us;
	unsigned turns; /* of its loop */
	struct {
		unsigned own_turns, its_turns; /* when the last one left */
		bool is_any;
	} given[SIM_ROOMS]; /* to the shard of each other worker */
};

struct sim_pool {
	struct sim *sim;
	struct sim_worker *worker;
	struct policy *pool; /* NULL: a shard that is gone */
	unsigned index;
	struct policy_settings settings;
	struct pool_counters counters;
	TAILQ_HEAD(, sim_conn) conns;
	struct sim_client *line[SIM_CLIENTS]; /* first has waited longest */
	unsigned line_len;
	uint64_t due_us; /* when we were told to call policy_tick */
	unsigned on_stack; /* calls into this pool that have not returned */
	bool is_paused, is_in_use, is_shrinking, is_giving_up;
	enum recycle_reason closing_all; /* RR_COUNT: not now */
	uint64_t epoch, distrust_epoch, returned_us, turn_end_us;
	uint32_t failed_rounds;
	uint64_t backed_off_us, backoff_from_us, backoff_to_us; /* opens again not before the one, and by the other */
	uint64_t limits_from_us, asked_us; /* when somebody last joined the line */
	enum connect_failure last_kind;
	bool is_last_fatal;
	uint64_t failed_us, fail_began_us;
	uint64_t heard_us; /* the last sign of life of those that have gone */
	bool answers; /* it has answered a health check since */
	bool is_silent; /* the last attempt got no answer */
	uint64_t down_since_us; /* nothing is there, and the last attempt has failed; 0: else */
	uint32_t ramp; /* after an outage: so many may be opened at once; 0: all */
	uint32_t lowered_limit, previous_total;
	uint64_t lowered_until_us;
	uint64_t checkouts[CS_COUNT], waits, timeouts, pings_ok, pings_failed;
};

struct sim {
	uint64_t seed, random, now_us;
	struct sim_pool pools[SIM_POOLS];
	unsigned pool_count, depth, step;
	struct sim_client clients[SIM_CLIENTS];
	struct policy_commons *commons;
	struct sim_worker workers[SIM_ROOMS];
	unsigned worker_count;
	struct policy_budget *budget; /* NULL: no cap */
	uint32_t budget_limit, previous_used;
	unsigned open_fails, open_too_many, cannot_begin, closes_late,
	    ping_fails; /* per cent: how the upstream feels */
	bool is_mute; /* the upstream accepts, and answers nothing for MUTE_US */
	bool is_health_check; /* what is opened now is for nobody */
	bool is_calm; /* no surprises: the end of a schedule */
	bool in_borrow; /* no callbacks now */
	const struct sim_worker *calling; /* NULL, or the one on whose thread a borrower is called back */
	struct policy_shared *shared; /* NULL: each pool is one worker's; else: the last one is the rival */
	struct {
		struct policy_circuit *circuit;
		uint32_t lowered_limit, previous_total, outages;
		uint64_t lowered_until_us;
		unsigned stuck; /* per cent: can't be transferred */
		bool is_failing; /* the last attempt to open did not succeed */
	} whole; /* of all shards */
	uint64_t transfers; /* what the schedules reach, for the test to see that they do */
	bool is_verbose;
	char report[512]; /* empty: all holds */
};

/* Plays one schedule. False: report says what does not hold. */
bool sim_play(struct sim *s, uint64_t seed, bool is_shared, bool is_verbose);

/* --- policy_sim_model.c --- */
void sim_broken(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define SIM_HOLDS(s, condition, ...)                                                                                   \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			sim_broken(s, __VA_ARGS__);                                                                    \
	} while (0)

bool model_hangs(const struct sim_pool *sp); /* its worker does */
uint32_t model_count(const struct sim_pool *sp, enum model_state state);
uint32_t model_total(const struct sim_pool *sp);
uint32_t sim_total(const struct sim *s); /* connections of all pools, and places of others */
uint32_t model_live(const struct sim_pool *sp);
uint32_t model_limit(const struct sim_pool *sp);
uint32_t model_min_idle(const struct sim_pool *sp);
bool model_needs_ping(const struct sim_conn *sc);
bool model_is_paused(const struct sim_pool *sp); /* as the pool itself says */
bool model_is_new(const struct sim_conn *sc);
/* When everybody in the queue who does not wait on is refused; SIM_NEVER: not yet. */
uint64_t model_hopeless_us(const struct sim_pool *sp);
bool model_waits_on(const struct sim_client *c); /* is not refused for what fails to open */
uint64_t model_deadline(const struct sim_client *c);
void model_lost(struct sim_pool *sp, const struct sim_conn *sc); /* before the pool hears of it */
void model_heard(struct sim_pool *sp, const struct sim_conn *gone); /* or is asked to close */
void model_outage_ends(struct sim_pool *sp); /* if there is one */
bool model_doom(struct sim_pool *sp); /* all in the queue, if there is nothing to hope for */
void model_failed(struct sim_pool *sp, enum connect_failure kind, bool is_fatal, uint64_t started_us);
void model_is_asked(struct sim_pool *sp);
void model_health_check_failed(struct sim_pool *sp, enum connect_failure kind, bool is_fatal, uint64_t started_us);
void model_worked(struct sim_pool *sp);
bool model_asks_back(const struct sim_conn *sc);

/* What the pool asks for is checked before it is done. */
void check_open(struct sim_pool *sp);
void check_close(struct sim_conn *sc, enum recycle_reason reason);
void check_ping(struct sim_conn *sc);
void check_lent_from_idle(struct sim_conn *sc, const struct sim_client *c);
void check_recycle_times(struct sim_pool *sp);
void check_states(const struct sim_pool *sp);
/* After a step, with no call under way. is_settled: every tick that was due has been given. */
void check_all(struct sim *s, bool is_settled);

/* --- policy_sim_shards.c: the same with shared, where others know less of one, or more. --- */
bool is_rival(const struct sim_pool *sp);
void shards_failed(struct sim_pool *sp, enum connect_failure kind);
void shards_check_open(struct sim_pool *sp);
void shards_check_lent(const struct sim_conn *sc);
void shards_check_grant(const struct sim_conn *sc, const struct sim_client *c);
void shards_check_give(const struct sim_conn *sc, const struct sim_pool *to);
void shards_check_supply(const struct sim_pool *sp);
void shards_check_all(struct sim *s, bool is_settled);
void shards_check_rest(struct sim *s);
