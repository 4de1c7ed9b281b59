/*
 * src/policy/policy_use.h - how a pool's connections are used, and how many would be in use without a limit.
 *
 * The owner looks at each pool about ten times a second (pool/pool_use.c). Between two looks, only the times of loans
 * are added up.
 *
 *   arrivals x time of a loan   would be in use without a limit (Little's law), if requests arrive no matter how many wait
 *   in use + waiting            is the most that would be in use, if clients send nothing while they wait
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The party that a lent connection waits for. */
enum server_use {
	USE_RUNNING, /* the connection waits for PostgreSQL */
	/* the connection waits for its client, in the middle of a request: the client does not read the result, or has
	 * not sent the rest of the request */
	USE_CLIENT,
	USE_IDLE, /* the connection waits for its client, in a transaction */
	USE_KEPT, /* the connection waits for its client, between transactions: in session mode, or because of a pin */
	SERVER_USES
};

/* The counts of a pool, or of a shard of it, at one moment. */
struct policy_look {
	/* totals so far; server_us: PostgreSQL's time; waited_us: the time of waits */
	uint64_t loans, waits, timeouts, server_us, waited_us;
	uint32_t uses[SERVER_USES], in_use, waiting; /* connections, by use and in all; requests in the queue */
	uint32_t busy, limit; /* connections in use in all shards, and the limit on them */
	uint32_t clients; /* clients of the pool; each uses one connection at most */
};

#define POLICY_USE_SPAN_US (10 * 60 * UINT64_C(1000000))
#define POLICY_USE_PARTS 31u /* the limit is divided into so many parts, for the times in at_us */
#define POLICY_USE_LEVELS 12 /* 1 connection in use, 2, up to 4, up to 8, ... */

/* Sums only, because counters_add() adds up structs. */
struct policy_use_sums {
	struct policy_use_span {
		/* connections or requests, multiplied by microseconds */
		uint64_t time_us, uses_us[SERVER_USES], waiting_us;
		uint64_t at_us[POLICY_USE_PARTS + 1]; /* for how long this part of the limit's connections was in use */
		uint64_t loans, timeouts, waited_us;
		/* loans, waits and requests, including those that had begun before the span */
		uint64_t had, waits, arrived;
	} spans[2]; /* the present span, and the previous one if it had the same limit */
	/* The loans that ended while about that many connections were in use. busy: the sum of the exact numbers in
	 * use. All counts are halved when a span begins. They are kept when the limit changes, because different limits
	 * give the best comparison. */
	struct policy_use_level {
		uint64_t loans, server_us, busy;
	} levels[POLICY_USE_LEVELS];
};

/* Zeroed before the first look. */
struct policy_use {
	struct policy_look last;
	uint64_t looked_us, since_us; /* when the last look was, and when the span began; 0 if never */
	uint32_t clients[2]; /* the most clients in each span */
	struct policy_use_sums sums;
};

/* server_us: PostgreSQL's mean time for a loan. busy: the average number of connections in use meanwhile; 0 if not
 * known. */
struct policy_service {
	double busy, server_us;
};

/* The use of a pool in both spans. Connections and requests are averages. */
struct policy_sizing {
	uint64_t span_us, loans, waits, timeouts;
	/* hold_us: the time of a loan; wait_us: the time that a request waited, if it had to wait */
	double in_use, by[SERVER_USES], hold_us, wait_us;
	/* per_second: requests that arrived; unlimited: connections that would be in use without a limit, and the most
	 * that would be (see the head of this file) */
	double per_second, unlimited, unlimited_most;
	double enough, enough_most; /* the pool size that is enough, if the pool is too small */
	uint32_t limit, peak, at_95; /* peak: the most connections in use; at_95: the most for 95 % of the time */
	struct policy_service many, few; /* many: while the most connections were in use; few: while fewer were */
};

void policy_use_look(struct policy_use *u, const struct policy_look *look, uint64_t now_us);
void policy_use_add(struct policy_use *to, const struct policy_use *shard); /* to: zeroed before the first call */
/* shards: how many shards were added */
struct policy_sizing policy_use_size(const struct policy_use *u, uint32_t shards);
/* Returns true if PostgreSQL's time for a loan grows about in proportion to the connections in use, so more connections
 * would do no more work. */
bool policy_use_is_slowed(const struct policy_sizing *s);
