/*
 * src/policy/causality.h - what a client must not fall behind when it reads from standbys, and which host has it. Pure.
 *
 * A client remembers numbers of readings that are still to come (due), and positions once they have (cluster_view.h
 * says what a reading bounds). A number is due from whichever host is asked: of two readings the one with the higher
 * number was begun later.
 *
 * Always: nobody guesses. What is not known yet is CAUSALITY_LATER, and the caller waits or asks the primary.
 */
#pragma once

#include "policy/cluster_view.h"

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
 * Returns the position that this host has to replay before causality_may_read(), which has just said CAUSALITY_LATER,
 * allows a read there; UINT64_MAX if no reading has told it yet. The host itself may be asked when it has replayed that
 * far, and the read be sent behind the question.
 */
uint64_t causality_awaits(const struct read_token *t, const struct cluster_view *v, unsigned host);
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

/* "0/5F21A90", as PostgreSQL reads a pg_lsn: one to eight hexadecimal digits each. Returns false if it is none. */
bool causality_parse(const char *text, uint64_t *position);
