/*
 * src/dedicated/watch_state.h - the structs that watch*.c share; see watch.h.
 *
 *   watch.c       the lists of hosts that are configured
 *   watch_host.c  one list of hosts: when to ask each host, and what follows from an answer
 *   watch_sql.c   the SQL of the questions, and the parser of the answers. Pure
 *
 * Owns:   struct watch owns the lists of hosts; a list (struct watch_list) owns its connections and a reference to its
 *         cluster.
 * Always: only set_use() writes a host's `use`; a host that has not answered WATCH_MEET is WATCH_AWAY.
 */
#pragma once

#include "base/buf.h"
#include "dedicated/dedicated.h"
#include "dedicated/watch.h"

#include <event2/event_struct.h>

#define TRIAL_COUNT 24 /* the number of transactions in a trial */
#define WATCHED_SETTINGS 16

/* The questions to a host. */
enum watch_ask {
	WATCH_MEET, /* asks for the host's identity */
	WATCH_READ, /* asks for a reading */
	WATCH_NUDGE, /* makes a primary write to its log */
	WATCH_TRY, /* makes a primary run the transactions of a trial */
	WATCH_CHECK /* asks how the transactions of a trial have ended */
};

/* Transactions on the primary, each of which commits or rolls back at random. A standby that reports the same results
 * is proved to replay the primary's log. */
struct trial {
	uint64_t xids[TRIAL_COUNT];
	uint32_t bits; /* bit i is set if the i-th transaction was committed */
	uint64_t begun_us; /* when the trial began; 0 if there is none. Proves nothing about lives that begin later */
	/* a standby that has replayed the log up to here has replayed the whole trial; 0 if not known yet */
	uint64_t position;
};

enum watch_answer_kind { TOLD_NOTHING, TOLD_MARK, TOLD_READING, TOLD_BITS };

struct watch_answer {
	enum watch_answer_kind kind; /* with TOLD_READING: is_standby, reading, flushed and timeline are valid */
	struct cluster_mark mark;
	uint32_t settings[WATCHED_SETTINGS]; /* hashes of the values of watch_settings */
	uint64_t block_len, segment_len; /* bytes in a block, and in a segment, of the write-ahead log; 0 if not told */
	bool sees_timeline; /* true if pgweir's role may see which timeline a standby receives */
	bool is_standby;
	struct reading reading; /* all fields are set except number and begun_us */
	uint64_t flushed; /* the position up to which a primary has flushed its log to disk */
	uint32_t timeline; /* the timeline that a standby receives; 0 if none, or if pgweir's role may not see it */
	uint32_t xid_count; /* how many of trial.xids are set */
	struct trial trial;
	uint32_t bits; /* the host's answer to WATCH_CHECK, like trial.bits; UINT32_MAX if there is none */
};

/* --- watch_sql.c. Each watch_put function appends a question. --- */

extern const char *const watch_settings[WATCHED_SETTINGS];
void watch_put_meet(struct buf *b);
/* `met` is the host's answer to WATCH_MEET; `primary` is the primary's last reading, or NULL if there is none. */
void watch_put_read(struct buf *b, const struct watch_answer *met, const struct reading *primary);
void watch_put_nudge(struct buf *b);
void watch_put_try(struct buf *b, uint32_t bits);
void watch_put_check(struct buf *b, const struct trial *trial);
void watch_read_row(struct watch_answer *a, const uint8_t *body, size_t len); /* adds the contents of a DataRow to *a */
/* Returns `position`. If the page that ends there has only a header, returns where the header begins, because standbys
 * replay only up to there. */
uint64_t watch_exclude_header(const struct watch_answer *a, uint64_t position);

/* --- watch_host.c --- */

struct watch_list;

struct watch_host {
	struct dedicated conn; /* must be first */
	struct watch_list *list;
	unsigned index; /* of the host in the list */
	char name[264], zone[CONFIG_NAME_MAX + 1];
	unsigned version; /* the major version of the host's PostgreSQL */
	enum watch_ask asked; /* the last question; conn.state shows if its answer is still due */
	bool is_silent; /* true for a standby whose answer is late; see check_silence() */
	bool is_wanted; /* true if a reading is wanted soon */
	bool is_nudge_due;
	bool has_other_timeline; /* true for a standby that receives another timeline than the primary's */
	/* Set by set_use(): never to WATCH_SILENT (see is_silent), and for a standby never to WATCH_NO_PRIMARY.
	 * WATCH_LAG is as of the last reading. */
	enum watch_host_status use;
	struct watch_answer answer; /* the answer to the question under way */
	struct watch_answer met; /* the answer to the last WATCH_MEET */
	struct reading reading; /* the reading that is under way */
	struct reading last; /* the last answered reading; its number is 0 if the host has answered none in this life */
	uint64_t position_at_primary_read; /* the position of this host when the primary was last asked */
	uint64_t lag_us; /* the lag of a standby at its last reading */
	/* the longest time that a reading took: [0] since cost_since_us, [1] in the second before that */
	uint64_t cost_us[2], cost_since_us;
	uint64_t overdue_us; /* when the answer was first found to be overdue; 0 if no answer is overdue */
	uint64_t met_us; /* when WATCH_MEET or withdraw_proof() last ran; only a later trial can prove the host's log */
	/* unflushed: a position that the primary had not flushed when pgweir read it, at unflushed_us; 0 if none */
	uint64_t unflushed, unflushed_us;
	uint64_t readings; /* how many readings the host has answered */
	uint32_t timeline; /* the timeline that SHOW HOSTS shows */
};

/* Returns true if h is a standby that was proved to replay the primary's log. */
static inline bool
watch_is_proved(const struct watch_host *h)
{
	return h->use == WATCH_USED || h->use == WATCH_LAG;
}

/* A list of hosts. */
struct watch_list {
	TAILQ_ENTRY(watch_list) link;
	struct watch *watch;
	struct cluster *cluster;
	char database[CONFIG_NAME_MAX + 1];
	/* max_lag_us: the longest lag of a standby that serves reads; patience_us: how long answers may take */
	uint64_t max_lag_us, patience_us;
	uint64_t half_wait_us; /* the longest time between two readings of a standby in use: about half of reads_wait */
	bool is_kept; /* true if the present configuration has the list */
	uint32_t count, history; /* count: of hosts; history: cluster_view.history, as last seen */
	struct watch_host hosts[CLUSTER_HOSTS];
	struct trial trial;
	uint64_t wanted_us; /* when a client last wanted a position */
	uint64_t used_us; /* when a standby was last used */
	uint64_t nudged_us; /* when the last WATCH_NUDGE was sent */
	int timer_fd; /* a timerfd, because libevent's own timers are too coarse */
	struct event timer; /* the event for timer_fd */
};

struct watch {
	struct pool_set *pools;
	struct server_env env; /* from dedicated_fill_env() */
	struct policy_commons *commons;
	void (*wake)(void *owner);
	void *owner;
	TAILQ_HEAD(, watch_list) watched;
};

/* Takes over the reference to `cluster`, even on failure. Returns NULL if there is no memory or descriptor. */
struct watch_list *watch_list_new(struct watch *w, struct cluster *cluster, uint32_t count);
void watch_list_free(struct watch_list *d);
void watch_list_run(struct watch_list *d); /* does the work that is due, and sets the timer */
