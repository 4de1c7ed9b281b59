/*
 * src/policy/causality.h - what a client must not fall behind when it reads from standbys, and which host has it. Pure.
 *
 * Positions are bytes in the write-ahead log. Nothing is asked of the connections that clients have: each host is asked
 * on one of pgweir's own (dedicated/watch.h), and an answer is a *reading*. A reading begun after a reply bounds all
 * that the reply has shown or said (docs/architecture.md, "Reads"):
 *
 *   the primary's insert position at t is at or beyond every commit that a snapshot there has seen before t;
 *   a standby in one life that has replayed up to L at t shows every commit up to L in each snapshot after t;
 *   what is visible on the primary stays so, but a commit may be visible on a standby first: hence *settled*.
 *
 * So a client remembers numbers of readings that are still to come (due), and positions once they have. A number is due
 * from whichever host is asked: of two readings the one with the higher number was begun later.
 *
 * Always: nobody guesses. What is not known yet is CAUSALITY_LATER, and the caller waits or asks the primary.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAUSALITY_HOSTS 8u /* of one list of hosts; further ones are never read from */
#define CAUSALITY_OPEN 32u
#define CAUSALITY_PASTS 8u

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
	uint64_t open[CAUSALITY_OPEN]; /* ascending */
};

enum host_role { HOST_AWAY, HOST_PRIMARY, HOST_STANDBY, HOST_OTHER };

struct host_view {
	uint8_t role; /* enum host_role; the same for all of a life */
	bool is_proved; /* a standby of which it is certain that it replays the log of this history */
	bool is_silent; /* a standby that answers too late for anybody to begin anything there */
	uint64_t life; /* never twice the same, of any host; 0: it is away */
	uint64_t begun; /* the number of the reading that was begun last */
	uint64_t lag_us; /* of a standby: age of the newest reading of the primary that it has passed */
	struct reading last; /* ... that was answered last, in this life; number 0: none */
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
	struct past_view past[CAUSALITY_PASTS]; /* by history % CAUSALITY_PASTS; those that have history != 0 */
	struct host_view hosts[CAUSALITY_HOSTS];
};

/* A client's; zeroed: it has seen nothing. */
struct read_token {
	uint64_t
	    primary_due; /* the number of the primary's first reading that covers all it did there; 0: none is due */
	uint64_t position; /* it must not fall behind; of this history */
	uint32_t history; /* it is known to be in: that of the view, when it was last asked whether anything is lost */
	uint8_t host; /* the standby that it has read last ... */
	bool is_unsettled; /* it was shown something on a standby that the primary may not show yet */
	uint64_t life; /* ... and its life; 0: none */
	uint64_t host_due; /* the number of that standby's first reading that covers it; 0: position does */
	uint64_t ceiling; /* private: a position of the primary's that does so, too; 0: none is known */
	uint64_t shown_xmax; /* private: it was shown no transaction from here on; 0: not known */
};

enum causality {
	CAUSALITY_NOW,
	CAUSALITY_LATER, /* a reading that is to come may allow it */
	CAUSALITY_NEVER /* not this host */
};

/*
 * How to ask, for each request: causality_is_lost(), then causality_may_read() or causality_may_write(), under one lock
 * of the view, again at each look. The request runs on a server of the life that the view had then, or it fails. When
 * it has ended, well or not, causality_wrote() or causality_read().
 */

/* A request has ended on the primary, whatever it was; begun: the number of the last begun reading of any host. */
static inline void
causality_wrote(struct read_token *t, uint64_t begun)
{
	t->primary_due = begun + 1;
}

/* The same on a standby that causality_may_read() has allowed; life: the host's then, before the request was sent. */
void causality_read(struct read_token *t, uint64_t begun, unsigned host, uint64_t life);
/*
 * Tells whether this host, a standby, shows all that the client has written or been shown. max_lag_us: standbys that
 * are further behind are not used. Takes over into *t what readings have made known.
 */
enum causality causality_may_read(struct read_token *t, const struct cluster_view *v, unsigned host,
				  uint64_t max_lag_us);
/*
 * Tells whether the primary shows all that the client was shown on a standby (CAUSALITY_NOW: settled), so that a
 * request may run there; CAUSALITY_NOW at once, and without a look at the view, if !is_unsettled. Never
 * CAUSALITY_NEVER. Who goes there all the same, unsettled, leaves is_unsettled as it is.
 */
enum causality causality_may_write(struct read_token *t, const struct cluster_view *v);
/*
 * Returns true, once, if the primary has not, or may not have, what the client has written or been shown: *position is
 * what it had (0: not known), *end up to where the two logs are the same (0: not known). From then on the client is
 * held to what the new primary has. Cheap, and false, while t->history == v->history.
 */
bool causality_is_lost(struct read_token *t, const struct cluster_view *v, uint64_t *position, uint64_t *end);
/*
 * A position from elsewhere that the client is not to fall behind: SET pgweir.min_lsn. due: 1 + the number of the last
 * reading that had begun when it came. CAUSALITY_NEVER: the primary's log had not come so far by then, so it is not a
 * position of this history. Otherwise ask again while it is CAUSALITY_LATER: nothing is taken over before.
 */
enum causality causality_take(struct read_token *t, const struct cluster_view *v, uint64_t position, uint64_t due);

/* "0/5F21A90", as PostgreSQL reads a pg_lsn: one to eight hexadecimal digits on each side. Returns false if it is none.
 */
bool causality_parse(const char *text, size_t len, uint64_t *position);
