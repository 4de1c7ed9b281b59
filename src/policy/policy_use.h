/*
 * src/policy/policy_use.h - the use of a pool's connections, and how many would be in use without a limit.
 *
 * The owner takes a sample of each pool about ten times a second (pool/pool_use.c). Between two samples, only the times
 * of loans are measured.
 *
 *   arrivals x time of a loan   connections in use without a limit (Little's law), if waiting does not slow arrivals
 *   in use + waiting            an upper bound of that number, if clients send nothing while they wait
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

/* The counts of a pool, or of one shard of a pool, at one moment. */
struct policy_use_sample {
	uint64_t loans, waits, timeouts; /* numbers since the pool was made */
	uint64_t server_us, waited_us; /* sums: PostgreSQL's time for requests, and the time that requests waited */
	uint32_t uses[SERVER_USES]; /* connections in use, by the party that the connection waits for */
	uint32_t in_use; /* connections in use: the sum of uses */
	uint32_t waiting; /* requests in the queue */
	uint32_t busy, limit; /* of all shards: connections in use, and the most that may be in use */
	uint32_t clients; /* clients of the pool; each uses one connection at most */
};

#define POLICY_USE_SPAN_US (10 * 60 * UINT64_C(1000000)) /* how long a span lasts */
#define POLICY_USE_PARTS 31u /* for at_us, the limit is divided into this many parts */
#define POLICY_USE_LEVELS 12 /* 1 connection in use, 2, up to 4, up to 8, ... */

/* All fields are sums, because counters_add() adds up the structs of the shards. */
struct policy_use_sums {
	struct policy_use_span {
		uint64_t time_us; /* the sampled time */
		/* sums over the span: connections in use x time, and requests in the queue x time */
		uint64_t uses_us[SERVER_USES], waiting_us;
		/* at_us[i]: the time in which i of the limit's POLICY_USE_PARTS parts were in use */
		uint64_t at_us[POLICY_USE_PARTS + 1];
		uint64_t loans, timeouts, waited_us;
		/* loans, waits and arrivals in the span; these counts include loans and waits that began earlier */
		uint64_t loans_in_span, waits, arrived;
	} spans[2]; /* the present span, and the span before, if it had the same limit */
	/* levels[i]: loans that ended while the number of connections in use belonged to level i (POLICY_USE_LEVELS).
	 * busy: the sum, over these loans, of the number of connections in use then. All these counts are halved when a
	 * span begins, but stay when the limit changes, because counts under different limits can be compared best. */
	struct policy_use_level {
		uint64_t loans, server_us, busy;
	} levels[POLICY_USE_LEVELS];
};

/* Zeroed before the first sample. */
struct policy_use {
	struct policy_use_sample last; /* the last sample */
	uint64_t sampled_us, since_us; /* when the last sample was taken, and when the present span began; 0 if never */
	uint32_t clients[2]; /* the most clients that the pool had in each span */
	struct policy_use_sums sums;
};

/* PostgreSQL's mean time for a loan while, on average, `busy` connections were in use. busy is 0 if not known. */
struct policy_service {
	double busy, server_us;
};

/* The use of a pool in both spans together. Numbers of connections and requests are averages. */
struct policy_sizing {
	uint64_t span_us, loans, waits, timeouts;
	double in_use, in_use_by_party[SERVER_USES]; /* connections in use: all, and by party */
	double hold_us; /* how long a loan took */
	double wait_us; /* how long a request waited, if it had to wait */
	double per_second; /* how many requests arrived each second */
	/* how many connections would be in use without a limit, and an upper bound of that: see the top */
	double unlimited, unlimited_most;
	/* if the pool is too small: the size that is enough, and an upper bound of that size */
	double enough, enough_most;
	uint32_t limit;
	uint32_t peak; /* the most connections that were in use */
	uint32_t at_95; /* in 95 % of the time, at most this number of connections was in use */
	struct policy_service many, few; /* PostgreSQL's times while many connections were in use, and while few were */
};

void policy_use_record_sample(struct policy_use *u, const struct policy_use_sample *sample, uint64_t now_us);
/* Adds the use of one shard to *to. The caller has zeroed *to before it adds the first shard. */
void policy_use_add(struct policy_use *to, const struct policy_use *shard);
/* Returns the sizing for *u. shards: how many shards were added to *u. */
struct policy_sizing policy_use_compute_sizing(const struct policy_use *u, uint32_t shards);
/* Returns true if PostgreSQL's time for a loan grows nearly in proportion to the connections in use, so that more
 * connections would do no more work. */
bool policy_use_is_slowed(const struct policy_sizing *s);
