/*
 * src/policy/cluster_view.h - the facts known about the hosts of an upstream: which host is the primary, and how far
 * each is in the write-ahead log. Data only.
 *
 * Positions are bytes in the write-ahead log. Each host is asked on a connection of pgweir's own, never on clients'
 * connections, and the answer is a *reading*. A host's *life* lasts from pgweir's login there until that connection is
 * lost, or the host stops answering or is promoted. Instead of all that a client has seen, pgweir remembers the number
 * of a reading that began after the client's last reply. Three facts make that enough (docs/architecture.md, "Reads"):
 *
 *   - The primary's insert position at a time t is at or beyond every commit that snapshots before t saw there.
 *   - If a standby has replayed up to L at t, its snapshots after t, in the same life, show every commit up to L.
 *   - A commit stays visible once the primary shows it, but a standby may show a commit before the primary does.
 *
 * A client is *settled* when the primary shows all that standbys have shown the client.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_HOSTS 8u /* the most hosts of one upstream; further ones are never asked */
#define CLUSTER_OPEN_MAX 32u /* the most open transactions that a reading lists */
#define CLUSTER_FORMER_MAX 8u /* the most former primaries that are remembered */

struct reading {
	uint64_t number; /* from 1 on, in the order in which readings of all hosts begin; 0 if there is none yet */
	uint64_t begun_us; /* when the question was sent */
	/* On a primary: the insert position, or the beginning of its page if only the page header lies between. On a
	 * standby: the position that was replayed before the snapshot was taken. As a statement takes its snapshot
	 * before it reads the position, a standby is asked for the position in an earlier statement. */
	uint64_t position;
	uint64_t xmax; /* the snapshot's xmax: the snapshot sees no transaction from this number on */
	/* of a primary: the lowest number that no transaction had yet (from age('3'::xid)); 0 if not known */
	uint64_t next_xid;
	uint32_t open_count; /* number of entries in open; UINT32_MAX if there are more than fit */
	/* The open transactions, in ascending order. On a primary: transactions below xmax that its snapshot does not
	 * see. On a standby: transactions that were open in the primary's previous reading, except transactions that
	 * were seen to have ended on the standby at `position` or a little later. */
	uint64_t open[CLUSTER_OPEN_MAX];
};

enum host_role { HOST_AWAY, HOST_PRIMARY, HOST_STANDBY, HOST_OTHER /* in recovery, with no replayed position */ };

struct host_view {
	uint8_t role; /* enum host_role; never changes within a life */
	bool is_proved; /* true for a standby that certainly replays the log of cluster_view.history */
	bool is_silent; /* true for a standby whose answer is so late that no new request is sent there */
	uint64_t life; /* the number of the host's present life, unique among all hosts; 0 while the host is away */
	uint64_t lag_us; /* the age of the primary's oldest reading that a standby has not replayed yet; 0 if none */
	struct reading last; /* the last answered reading of this life; its number is 0 if there is none */
	/* the highest position that the standby, asked on behalf of a client's request (relay/reads_replayed.c), has
	 * reported as replayed in this life and history; 0 if none */
	uint64_t replayed;
	/* when the standby may next be asked on behalf of a client's request; 0 if it can't be asked */
	uint64_t askable_from_us;
	/* how long the last late request has waited for the standby; when a reading shows a shorter lag, the standby
	 * may be asked again */
	uint64_t late_us;
};

/* The primary of one history: the present primary, or a former one (perhaps the same host in an earlier life). */
struct former_primary {
	uint32_t history;
	/* the position up to which the present primary has this primary's log; UINT64_MAX if it has the whole log; 0 if
	 * not known */
	uint64_t end;
	/* the number of this primary's newest reading whose position is not beyond `end`; 0 if not known */
	uint64_t last_reading;
};

struct cluster_view {
	uint32_t count; /* number of hosts, which have the order of the upstream */
	int32_t primary; /* the index of the primary; -1 if there is none, or if it is not known */
	uint32_t history; /* grows by 1 with each new or restarted primary; 0 if none was seen yet */
	uint64_t begun; /* the number of the reading, of any host, that began last */
	/* the primary of history h is at h % CLUSTER_FORMER_MAX; unused entries have history 0 */
	struct former_primary former[CLUSTER_FORMER_MAX];
	struct host_view hosts[CLUSTER_HOSTS];
};
