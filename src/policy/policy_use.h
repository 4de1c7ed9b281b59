/*
 * src/policy/policy_use.h - how a pool's connections are used, and how many would be in use without a limit.
 *
 * The owner takes a sample of each pool about ten times a second (pool/pool_use.c). Between two samples, only the times
 * of loans are added up.
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
struct policy_use_sample {
	uint64_t loans, waits, timeouts; /* totals since the pool was made */
	uint64_t server_us, waited_us; /* total times: for which PostgreSQL worked; for which requests waited */
	uint32_t uses[SERVER_USES]; /* connections in use, by the party that each waits for */
	uint32_t in_use; /* connections in use: the sum of uses */
	uint32_t waiting; /* requests in the queue */
	uint32_t busy, limit; /* connections in use in all shards; the limit on that number */
	uint32_t clients; /* clients of the pool; each uses one connection at most */
};

#define POLICY_USE_SPAN_US (10 * 60 * UINT64_C(1000000))
#define POLICY_USE_PARTS 31u /* the limit is divided into 31 parts, for the times in at_us */
#define POLICY_USE_LEVELS 12 /* 1 connection in use, 2, up to 4, up to 8, ... */

/* All fields are sums, because counters_add() adds up the structs of the shards. */
struct policy_use_sums {
	struct policy_use_span {
		uint64_t time_us; /* the sampled time */
		/* connections in use, and requests in the queue, each multiplied by the time */
		uint64_t uses_us[SERVER_USES], waiting_us;
		/* at_us[i]: the time in which i of the limit's POLICY_USE_PARTS parts were in use */
		uint64_t at_us[POLICY_USE_PARTS + 1];
		uint64_t loans, timeouts, waited_us;
		/* loans, waits and arrivals of requests, including loans and waits under way when the span began */
		uint64_t had, waits, arrived;
	} spans[2]; /* the present span, and the previous one if it had the same limit */
	/* levels[i]: the loans that ended while about that many connections (see POLICY_USE_LEVELS) were in use. busy:
	 * the sum, over these loans, of the exact number in use. All counts are halved when a span begins. They are
	 * kept when the limit changes, because different limits give the best comparison. */
	struct policy_use_level {
		uint64_t loans, server_us, busy;
	} levels[POLICY_USE_LEVELS];
};

/* Zeroed before the first sample. */
struct policy_use {
	struct policy_use_sample last; /* the last sample */
	uint64_t sampled_us, since_us; /* when the last sample was taken; when the span began; 0 if never */
	uint32_t clients[2]; /* the most clients in each span */
	struct policy_use_sums sums;
};

/* PostgreSQL's mean time for a loan, server_us, while `busy` connections were in use on average. busy is 0 if not
 * known. */
struct policy_service {
	double busy, server_us;
};

/* The use of a pool in both spans. Numbers of connections and requests are averages. */
struct policy_sizing {
	uint64_t span_us, loans, waits, timeouts;
	double in_use, by[SERVER_USES]; /* connections in use, in all and by the party that each waited for */
	double hold_us; /* the time of a loan */
	double wait_us; /* the time that a request waited, if it had to wait */
	double per_second; /* requests that arrived */
	/* the connections that would be in use without a limit, and an upper bound of that number: the two numbers in
	 * the head of this file */
	double unlimited, unlimited_most;
	double enough,
	    enough_most; /* if the pool is too small: the size that is enough, and an upper bound of that size */
	uint32_t limit;
	uint32_t peak; /* the most connections that were in use */
	uint32_t at_95; /* in 95 % of the time, at most this number of connections was in use */
	struct policy_service many, few; /* while many connections were in use; while fewer were */
};

void policy_use_record_sample(struct policy_use *u, const struct policy_use_sample *look, uint64_t now_us);
/* Adds the use of a shard to *to, which is zeroed before the first shard is added. */
void policy_use_add(struct policy_use *to, const struct policy_use *shard);
/* shards: how many shards were added to *u. */
struct policy_sizing policy_use_size(const struct policy_use *u, uint32_t shards);
/* Returns true if PostgreSQL's time for a loan grows about in proportion to the connections in use, so more connections
 * would do no more work. */
bool policy_use_is_slowed(const struct policy_sizing *s);
