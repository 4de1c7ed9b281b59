/*
 * src/policy/policy_use.h - how a pool's connections are used, and how many would be in use without a limit.
 *
 * The owner looks at each pool about ten times a second (pool/pool_use.c). A loan only adds up its times.
 *
 *   arrivals x time of a loan   would be in use without a limit (Little's law), if requests arrive whatever others wait
 *   in use + waiting            is the most that would be, also if clients send nothing while they wait
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whose turn it is on a server that is lent. */
enum server_use {
	USE_RUNNING, /* PostgreSQL's */
	USE_CLIENT, /* its client's, in the midst of a request: it does not read its result, or has not sent the rest */
	USE_IDLE, /* its client's, in a transaction */
	USE_KEPT, /* its client's, between transactions: a session, or a pin */
	SERVER_USES
};

/* A pool, or a shard of it, at one moment. */
struct policy_look {
	uint64_t loans, waits, timeouts, server_us, waited_us; /* so far: PostgreSQL's time, and that of waits */
	uint32_t uses[SERVER_USES], in_use, waiting; /* connections, by use and all; requests in the queue */
	uint32_t busy, limit; /* connections in use in all shards, and how many there may be */
	uint32_t clients; /* each uses one connection at most */
};

#define POLICY_USE_SPAN_US (10 * 60 * UINT64_C(1000000))
#define POLICY_USE_PARTS 31u /* of the limit: exact for smaller ones */
#define POLICY_USE_LEVELS 12 /* 1 connection in use, 2, up to 4, up to 8, ... */

/* Only sums, as counters_add() wants them. */
struct policy_use_sums {
	struct policy_use_span {
		uint64_t time_us, uses_us[SERVER_USES], waiting_us; /* connections or requests, times microseconds */
		uint64_t at_us[POLICY_USE_PARTS + 1]; /* for how long so many parts of the limit were in use */
		uint64_t loans, timeouts, waited_us;
		uint64_t had, waits, arrived; /* loans, waits and requests, with those that had begun before */
	} spans[2]; /* the present one; the one before it, if it had the same limit */
	/* Loans that ended while about so many were in use, and busy: how many exactly, summed up. All are halved when
	 * a span begins. They outlive a change of the limit, which is what tells most. */
	struct policy_use_level {
		uint64_t loans, server_us, busy;
	} levels[POLICY_USE_LEVELS];
};

/* Zeroed, it has seen nothing. */
struct policy_use {
	struct policy_look last;
	uint64_t looked_us, since_us; /* when the last look was, and the span began; 0: never */
	uint32_t clients[2]; /* most, of each span */
	struct policy_use_sums sums;
};

/* PostgreSQL's mean time for a loan while so many connections were in use on average; busy = 0: not known. */
struct policy_service {
	double busy, server_us;
};

/* How a pool was used in both spans. Connections and requests are averages. */
struct policy_sizing {
	uint64_t span_us, loans, waits, timeouts;
	double in_use, by[SERVER_USES], hold_us, wait_us; /* times: of a loan; of a request that had to wait */
	double per_second, unlimited, unlimited_most; /* requests that arrived; in use without a limit, as above */
	double enough, enough_most; /* so many are enough for a pool that is too small */
	uint32_t limit, peak, at_95; /* in use: at most; at most for 95 % of the time */
	struct policy_service many, few; /* with the most connections in use; with fewer */
};

void policy_use_look(struct policy_use *u, const struct policy_look *look, uint64_t now_us);
void policy_use_add(struct policy_use *to, const struct policy_use *shard); /* to: zeroed at first */
struct policy_sizing policy_use_size(const struct policy_use *u, uint32_t shards); /* shards: how many were added */
/* Returns true if PostgreSQL takes longer for a loan about in proportion to the connections in use: more of them do no
 * more work. */
bool policy_use_is_slowed(const struct policy_sizing *s);
