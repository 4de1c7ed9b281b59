/*
 * src/policy/causality.h - tells which standbys have all that a client has written or been shown. Pure.
 *
 * A client remembers the numbers of readings that are still to come (*due*). When these readings have come, it
 * remembers their positions instead (cluster_view.h says what a reading bounds). Readings of all hosts are numbered
 * together: of two readings, the one with the higher number was begun later.
 *
 * Always: as long as something is unknown, the answer is CAUSALITY_LATER, and the caller waits or asks the primary.
 */
#pragma once

#include "policy/cluster_view.h"

/* Tells how much one client has written and been shown; zeroed if nothing. */
struct read_token {
	/* the number of the primary's first reading that covers all that the client did there; 0 if none is due */
	uint64_t primary_due;
	uint64_t position; /* the log position of `history` that a host must have reached */
	uint32_t history; /* the view's history when causality_is_lost() was last asked */
	uint8_t host; /* the standby that the client has read last */
	bool is_unsettled; /* true if a standby has shown the client something that the primary may not show yet */
	uint64_t life; /* the life of `host` when the client read there; 0 if the client has read no standby */
	/* the number of the first reading of `host` that covers all that the client saw there; 0 if `position` covers
	 * that */
	uint64_t host_due;
	/* private: a position of the primary that covers all that the client saw on `host`; 0 if not known */
	uint64_t ceiling;
	uint64_t shown_xmax; /* private: no transaction from this number on was shown to the client; 0 if not known */
};

enum causality {
	CAUSALITY_NOW,
	CAUSALITY_LATER, /* a later reading may allow the request */
	CAUSALITY_NEVER /* this host must not be used */
};

/*
 * For each request, and again for each retry of the request, the caller asks causality_is_lost(), then
 * causality_may_read() or causality_may_write(), without unlocking the view in between. The request must run on a
 * server that was connected in the host's present life, or fail. When the request has ended, successfully or not, the
 * caller reports causality_wrote() or causality_note_read().
 */

/* A request of any kind has ended on the primary. begun: the number of the reading that was begun last, of any host. */
static inline void
causality_wrote(struct read_token *t, uint64_t begun)
{
	t->primary_due = begun + 1;
}

/* A request has ended on a standby that causality_may_read() allowed. begun: as for causality_wrote(). life: the
 * host's life before the request was sent. */
void causality_note_read(struct read_token *t, uint64_t begun, unsigned host, uint64_t life);
/*
 * Tells whether this host, a standby, shows all that the client has written or been shown. Standbys with a lag of more
 * than max_lag_us are refused. Updates *t from readings that have come.
 */
enum causality causality_may_read(struct read_token *t, const struct cluster_view *v, unsigned host,
				  uint64_t max_lag_us);
/*
 * Returns the position that this host has to replay before causality_may_read(), which has just returned
 * CAUSALITY_LATER, allows a read there; UINT64_MAX if that position is not known yet. The caller may ask the host
 * itself to answer when it has replayed that far, and send the read after that question.
 */
uint64_t causality_needed_position(const struct read_token *t, const struct cluster_view *v, unsigned host);
/*
 * Returns CAUSALITY_NOW (settled) if the primary shows all that the client was shown on a standby, so a request may run
 * there; else CAUSALITY_LATER. Does not look at the view if !t->is_unsettled. A request that runs on the primary
 * although CAUSALITY_LATER was returned leaves is_unsettled as it is.
 */
enum causality causality_may_write(struct read_token *t, const struct cluster_view *v);
/*
 * Returns true, once, if the primary lacks, or may lack, something that the client has written or been shown. *position
 * is set to the position that the client had seen, *end to the position up to which the logs of the old and the new
 * primary are the same; each is 0 if not known. From then on, hosts need to have only what the new primary has. While
 * t->history == v->history, the call is cheap and returns false.
 */
bool causality_is_lost(struct read_token *t, const struct cluster_view *v, uint64_t *position, uint64_t *end);
/*
 * Takes over a log position, from SET pgweir.min_lsn, that a host must have reached to answer the client's reads. due:
 * 1 + the number of the last reading that had begun when the position came. Returns CAUSALITY_NEVER if the primary's
 * log had not reached the position by then: the position belongs to another history. With CAUSALITY_LATER nothing was
 * taken over, and the caller asks again.
 */
enum causality causality_take(struct read_token *t, const struct cluster_view *v, uint64_t position, uint64_t due);

/* Reads "0/5F21A90" as PostgreSQL reads a pg_lsn: two numbers of one to eight hexadecimal digits. Returns false if
 * the text is not a pg_lsn. */
bool causality_parse(const char *text, uint64_t *position);
