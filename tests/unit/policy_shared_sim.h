/*
 * tests/unit/policy_shared_sim.h - a pool on up to five workers, without threads, sockets or a real clock.
 *
 * Each worker has a shard. A random schedule of what policy_sim.h plays to one pool is played to all of them; orders
 * are heard late, and connections that are transferred arrive late and in any order; a worker hangs, is found silent,
 * and comes back. It may be under a cap, with a rival: a pool on one of these workers. The books are kept here once
 * more: places at each step, who was overtaken at each grant, whether anybody waits while a connection that could be
 * transferred is idle, and that all places come back. One seed is one schedule. What does not hold ends it, with a
 * sentence in report.
 */
#pragma once

#include "policy/policy_shard.h"

#define WSIM_PARTS 5
#define WSIM_CLIENTS 40

enum wsim_state { WS_OPENING, WS_IDLE, WS_PINGING, WS_LENT, WS_CLOSING, WS_LOOSE, WS_IN_TRANSFER };

struct wsim_shard;

struct wsim_conn {
	struct policy_conn conn; /* first */
	struct wsim_shard *at; /* where it is, or goes */
	enum wsim_state state;
	struct wsim_client *borrower;
	uint64_t round; /* the world's when it was opened */
	bool cannot_be_transferred; /* the owner does not give it */
	bool was_transferred; /* ... and is not lent yet: to whom it goes was decided where it left */
	TAILQ_ENTRY(wsim_conn) link;
};

struct wsim_client {
	struct policy_waiter waiter; /* first */
	struct wsim_shard *at;
	struct wsim_conn *holds;
	bool is_waiting;
	uint64_t since_us;
};

struct wsim_shard {
	struct wsim *s;
	struct policy_worker *policy_worker;
	struct policy *p; /* NULL: it is gone */
	struct pool_counters counters;
	struct wsim_client *line[WSIM_CLIENTS];
	unsigned line_len, number, on_stack;
	struct wsim_shard *worker; /* itself, or, of the rival, the shard on whose worker it is */
	bool is_told;
	bool hangs; /* its worker: nothing happens there ... */
	bool is_silent; /* ... and that was noticed: SILENT_US later */
	uint64_t hangs_since_us;
	uint64_t due_us;
	unsigned turns; /* of its worker's loop */
	struct {
		unsigned own_turns, its_turns; /* when the last one left */
		bool is_any;
	} given[WSIM_PARTS]; /* to each other shard */
};

struct wsim {
	uint64_t seed, random, now_us, step, round;
	unsigned shard_count, depth;
	struct policy_commons *commons;
	struct policy_shared *shared;
	struct policy_circuit *circuit;
	struct policy_settings settings, rival_settings;
	struct wsim_shard shards[WSIM_PARTS + 1]; /* behind those of the shared policy: the rival */
	struct wsim_client clients[WSIM_CLIENTS];
	TAILQ_HEAD(, wsim_conn) conns;
	uint32_t lowered_limit, previous_total, outages;
	uint32_t cap, previous_all; /* 0: none */
	uint64_t whole_rests_us, rival_rests_us; /* until then */
	uint64_t lowered_until_us;
	unsigned open_fails, closes_late, ping_fails, stuck; /* per cent */
	bool is_calm, is_paused, is_verbose;
	bool is_failing; /* the last attempt to open did not succeed */
	uint64_t transfers, asked; /* what the schedules reach, for the test to see that they do */
	char report[512];
};

/* Plays one schedule. False: report says what does not hold. */
bool wsim_play(struct wsim *s, uint64_t seed, bool is_verbose);
