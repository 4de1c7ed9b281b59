/*
 * src/policy/causality.h - tells which standbys have all that a client has written or been shown. No I/O, no clock.
 *
 * A *reading* is a host's answer to the question how far it is in the write-ahead log (cluster_view.h). A reading
 * *covers* a request that ended before the reading began: every commit that the request made or saw is in the log up to
 * the reading's position. After a request, the client's token has the number of the first reading that will cover the
 * request: that reading is *due*. Once the reading has come, the token has the reading's position instead. Readings of
 * all hosts are numbered together: of two readings, the one with the higher number began later.
 *
 * Always: while too little is known, the result is CAUSALITY_LATER, and the caller waits or uses the primary.
 */
#pragma once

#include "policy/cluster_view.h"

/* The part of the log that a host must have for one client's requests; zeroed at first. */
struct read_token {
	/* the number of the primary's first reading that covers all that the client did there; 0 if none is due */
	uint64_t primary_due;
	uint64_t position; /* the position, in the log of `history`, that a host must have reached */
	uint32_t history; /* the value of cluster_view.history at the last call of causality_take_loss() */
	uint8_t host; /* the standby from which the client has read last */
	bool is_unsettled; /* true if a standby has shown the client something that the primary may not show yet */
	uint64_t life; /* the life (cluster_view.h) of `host` when the client read there; 0 if it has read no standby */
	/* the number of the first reading of `host` that covers all that the client saw on `host`; 0 if `position`
	 * includes all that already */
	uint64_t host_due;
	/* private: a position of the primary that is beyond all that the client saw on `host`; 0 if not known */
	uint64_t ceiling;
	uint64_t shown_xmax; /* private: the client was shown no transaction from this number on; 0 if not known */
};

enum causality {
	CAUSALITY_NOW, /* the request may run on this host */
	CAUSALITY_LATER, /* a later reading may allow the request */
	CAUSALITY_NEVER /* this host must not be used */
};

/*
 * For each request, and again for each retry of the request, the caller calls causality_take_loss(), then
 * causality_check_read() or causality_check_write(), and keeps the view locked in between. The request may run only on
 * a server that was connected in the host's present life. When the request has ended, successfully or not, the caller
 * calls causality_note_write() or causality_note_read().
 */

/* Call when a request of any kind has ended on the primary. begun: cluster_view.begun at that time. */
static inline void
causality_note_write(struct read_token *t, uint64_t begun)
{
	t->primary_due = begun + 1;
}

/* Call when a request has ended on a standby that causality_check_read() allowed. begun: cluster_view.begun at that
 * time. life: the host's life before the request was sent. */
void causality_note_read(struct read_token *t, uint64_t begun, unsigned host, uint64_t life);
/*
 * Returns CAUSALITY_NOW if this host, a standby, shows all that the client has written or been shown; CAUSALITY_NEVER
 * if the standby is silent or not proved, or lags by more than max_lag_us. Updates *t from readings that have come.
 */
enum causality causality_check_read(struct read_token *t, const struct cluster_view *v, unsigned host,
				    uint64_t max_lag_us);
/*
 * Returns the position that this host has to replay before causality_check_read(), which has just returned
 * CAUSALITY_LATER, allows a read there; UINT64_MAX if that position is not known yet. The caller may send the read
 * after a query that the host answers only when it has replayed up to that position.
 */
uint64_t causality_needed_position(const struct read_token *t, const struct cluster_view *v, unsigned host);
/*
 * Returns CAUSALITY_NOW if the client is settled (cluster_view.h), so its request may run on the primary; else
 * CAUSALITY_LATER. Does not look at the view if !t->is_unsettled. If the caller runs the request on the primary in
 * spite of CAUSALITY_LATER, is_unsettled stays true.
 */
enum causality causality_check_write(struct read_token *t, const struct cluster_view *v);
/*
 * Returns true, once, if the primary lacks, or may lack, something that the client has written or been shown. Sets *end
 * to the position up to which the old and the new primary have the same log, and *position to the position that the
 * client had seen beyond *end; each is 0 if not known. From then on, a host needs only the part of the log that the new
 * primary has. While t->history == v->history, the call is cheap and returns false.
 */
bool causality_take_loss(struct read_token *t, const struct cluster_view *v, uint64_t *position, uint64_t *end);
/*
 * Takes over, from SET pgweir.min_lsn, the log position that a host must have reached to answer the client's reads.
 * due: 1 + the number of the last reading that had begun when the position came. Returns CAUSALITY_NEVER if the
 * primary's log had not reached the position at the reading `due`, so the position belongs to another history. Returns
 * CAUSALITY_LATER, with nothing taken over, if neither the reading `due` nor a reading at or beyond the position has
 * come: call again.
 */
enum causality causality_require(struct read_token *t, const struct cluster_view *v, uint64_t position, uint64_t due);

/* Reads "0/5F21A90" as PostgreSQL reads a pg_lsn: two numbers of one to eight hexadecimal digits. Returns false if
 * the text is not a pg_lsn. */
bool causality_parse(const char *text, uint64_t *position);
