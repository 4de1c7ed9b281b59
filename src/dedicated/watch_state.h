/*
 * src/dedicated/watch_state.h - what watch*.c share; see watch.h.
 *
 *   watch.c       which hosts there are
 *   watch_host.c  one list of hosts: when each is asked, and what follows from an answer
 *   watch_sql.c   what it is asked, and reads of the answer. Pure
 *
 * Owns:   the watch its lists of hosts; a list its connections and a reference to the cluster.
 * Always: what a host is used for (use) has one writer, set_use(); a host that was not met is WATCH_AWAY.
 */
#pragma once

#include "base/buf.h"
#include "dedicated/dedicated.h"
#include "dedicated/watch.h"

#include <event2/event_struct.h>

#define TRIAL_COUNT 24 /* transactions of a proof */
#define WATCHED_SETTINGS 16

enum watch_ask { WATCH_MEET, WATCH_READ, WATCH_NUDGE, WATCH_TRY, WATCH_CHECK };

/* Transactions of the primary, with ends by chance. */
struct trial {
	uint64_t xids[TRIAL_COUNT];
	uint32_t bits; /* bit i: the i-th was committed */
	uint64_t begun_us; /* a life that began later is not proved by it; 0: there is none */
	uint64_t position; /* whoever has replayed up to here has replayed all of them; 0: not known yet */
};

enum watch_told { TOLD_NOTHING, TOLD_MARK, TOLD_READING, TOLD_BITS };

struct watch_answer {
	enum watch_told told; /* a reading: is_standby, reading, flushed and timeline are known */
	struct cluster_mark mark;
	uint32_t settings[WATCHED_SETTINGS]; /* their hashes */
	uint64_t block_len, segment_len; /* of the log; 0: not told */
	bool sees_timeline; /* it may be told which timeline a standby receives */
	bool is_standby;
	struct reading reading; /* but for number and begun_us */
	uint64_t flushed; /* of a primary */
	uint32_t timeline; /* that a standby receives; 0: it receives none, or may not say so */
	uint32_t tried; /* of trial.xids */
	struct trial trial;
	uint32_t bits; /* as trial.bits; UINT32_MAX: something else */
};

/* --- watch_sql.c. Each appends a question. --- */

extern const char *const watch_settings[WATCHED_SETTINGS];
void watch_put_meet(struct buf *b);
/* met: what is known of the host; primary: NULL: there is none. */
void watch_put_read(struct buf *b, const struct watch_answer *met, const struct reading *primary);
void watch_put_nudge(struct buf *b);
void watch_put_try(struct buf *b, uint32_t bits);
void watch_put_check(struct buf *b, const struct trial *trial);
void watch_read_row(struct watch_answer *a, const uint8_t *body, size_t len); /* adds to *a what a DataRow says */
/* Returns the position without the header of a page that has nothing else yet: no standby gets further. */
uint64_t watch_strip(const struct watch_answer *a, uint64_t position);

/* --- watch_host.c --- */

struct watched;

struct watch_host {
	struct dedicated conn; /* must be first */
	struct watched *of;
	unsigned index;
	char name[264], zone[CONFIG_NAME_MAX + 1];
	unsigned version; /* the major one of its PostgreSQL */
	enum watch_ask asked; /* last; conn.state says whether the answer is due */
	bool is_silent; /* a standby that has not answered for a moment: see check_silence() */
	bool is_wanted; /* a reading */
	bool is_nudge_due;
	bool is_elsewhere; /* it receives another timeline than the primary's */
	enum watch_use
	    use; /* never WATCH_SILENT; a standby's: never WATCH_NO_PRIMARY, and WATCH_LAG as it was logged */
	struct watch_answer answer, met; /* of the question under way; of WATCH_MEET */
	struct reading reading, last; /* the one under way; the last one, number 0: none in this life */
	uint64_t seen; /* its position when the primary was asked last */
	uint64_t lag_us; /* a standby's, at its last reading */
	uint64_t cost_us[2], cost_since_us; /* the longest that a reading took since then, and in the second before */
	uint64_t overdue_us; /* when its answer was first found to be overdue; 0: it is not */
	uint64_t met_us;
	uint64_t unflushed, unflushed_us; /* a primary's: the first position that it had not flushed; 0: none */
	uint64_t readings;
	uint32_t timeline; /* as in SHOW HOSTS */
};

/* Returns true if it is a standby that replays the primary's log, for all that is known. */
static inline bool
watch_is_proved(const struct watch_host *h)
{
	return h->use == WATCH_USED || h->use == WATCH_LAG;
}

/* A list of hosts. */
struct watched {
	TAILQ_ENTRY(watched) link;
	struct watch *watch;
	struct cluster *cluster;
	char database[CONFIG_NAME_MAX + 1];
	uint64_t max_lag_us, patience_us; /* patience_us: how long a host has for an answer, or its life is over */
	uint64_t half_wait_us; /* half of reads_wait, or a little more: see check_silence() */
	bool is_kept; /* by the present configuration */
	uint32_t count, history;
	struct watch_host of[CLUSTER_HOSTS];
	struct trial trial;
	uint64_t wanted_us, used_us, nudged_us; /* when that was last */
	int timer_fd; /* a timerfd */
	struct event timer; /* it has fired */
};

struct watch {
	struct pool_set *pools;
	struct server_env env; /* dedicated_env */
	struct policy_commons *commons;
	void (*wake)(void *owner);
	void *owner;
	TAILQ_HEAD(, watched) watched;
};

/* Takes the reference to the cluster. Returns NULL without memory or a descriptor. */
struct watched *watched_new(struct watch *w, struct cluster *cluster, uint32_t count);
void watched_free(struct watched *d);
void watched_kick(struct watched *d); /* does what is due, and sets the timer */
