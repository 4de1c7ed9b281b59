/*
 * src/policy/cluster_view.h - what is known of the hosts of an upstream: which one is the primary, and how far each has
 * its log. Pure.
 *
 * Positions are bytes in the write-ahead log. Nothing is asked of the connections that clients have: each host is asked
 * on one of pgweir's own, and an answer is a *reading*. A reading begun after a reply bounds all that the reply has
 * shown or said (docs/architecture.md, "Reads"):
 *
 *   the primary's insert position at t is at or beyond every commit that a snapshot there has seen before t;
 *   a standby in one life that has replayed up to L at t shows every commit up to L in each snapshot after t;
 *   what is visible on the primary stays so, but a commit may be visible on a standby first: hence *settled*.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_HOSTS 8u /* of one list of hosts; further ones are never asked */
#define CLUSTER_OPEN 32u
#define CLUSTER_PASTS 8u

struct reading {
	uint64_t number; /* from 1 on, in the order in which readings are begun on all hosts; 0: none yet */
	uint64_t begun_us;
	/* Primary: insert position, a page's header taken off. Standby: replayed up to here, before its snapshot was
	 * taken (a statement of its own: a snapshot is older than what its own statement finds). */
	uint64_t position;
	uint64_t xmax; /* of its snapshot: no transaction from here on is seen */
	uint64_t next; /* primary: no transaction had a number from here on; 0: not known (age('3'::xid) tells) */
	/* Primary: transactions below xmax that its snapshot does not see. Standby: those of the primary's last reading
	 * before this one that had not ended here, asked no earlier than its position. */
	uint32_t open_count; /* UINT32_MAX: more than fit */
	uint64_t open[CLUSTER_OPEN]; /* ascending */
};

enum host_role { HOST_AWAY, HOST_PRIMARY, HOST_STANDBY, HOST_OTHER };

struct host_view {
	uint8_t role; /* enum host_role; the same for all of a life */
	bool is_proved; /* a standby of which it is certain that it replays the log of this history */
	bool is_silent; /* a standby that answers too late for anybody to begin anything there */
	uint64_t life; /* never twice the same, of any host; 0: it is away */
	uint64_t lag_us; /* of a standby: age of the newest reading of the primary that it has passed */
	struct reading last; /* ... that was answered last, in this life; number 0: none */
	/* A standby's, by its own word to a client, in this life and history: it has replayed up to here; 0: no word.
	 */
	uint64_t replayed;
	/* From when on it may be asked for its word (relay/reads_replayed.c); 0: never. */
	uint64_t asked_from_us;
};

/* An earlier primary, or life of one. */
struct past_view {
	uint32_t history;
	uint64_t end; /* the present primary has its log up to here; UINT64_MAX: all of it; 0: not known */
	uint64_t kept; /* the number of a reading of it, the newest known, whose position lies there; 0: not known */
};

struct cluster_view {
	uint32_t count; /* of hosts; in the order of the upstream */
	int32_t primary; /* its index; -1: there is none, or nobody knows which */
	uint32_t history; /* another one for each life of a primary; from 1 on; 0: none was seen yet */
	uint64_t begun; /* the number of the reading that was begun last, of any host */
	struct past_view past[CLUSTER_PASTS]; /* by history % CLUSTER_PASTS; those that have history != 0 */
	struct host_view hosts[CLUSTER_HOSTS];
};
