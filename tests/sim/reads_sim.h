/*
 * tests/sim/reads_sim.h - deterministic simulation of reads on standbys: policy/causality.h before a model of a primary
 * and two standbys, their log, and the watch that asks them. All that happens is drawn from a seed.
 *
 *   reads_sim.c       one seed: a storm, then calm; what is printed
 *   reads_model.c     PostgreSQL: a log that may fork, commits that are visible later than they are written, on the
 *                     primary later than on a standby; replay that lags, pauses, and goes back in a crash; promotion
 *   reads_watch.c     the view of the hosts, by readings that take their time
 *   reads_sessions.c  clients, and what must hold for them
 *   runner.c          options, seeds, what has happened
 *
 * Premise, and the watch's part: a standby that leaves the log of the primary is not proved any more.
 */
#pragma once

#include "policy/causality.h"
#include "runner.h"

#define HOSTS 3
#define SESSIONS 5
#define CHANGES 256 /* of one run */
#define RECORDS 4096
#define LIVES 512
#define HISTORIES 256
#define READINGS 1024 /* of one history that are remembered */

struct bits {
	uint64_t word[CHANGES / 64];
};

/* --- PostgreSQL --- */

/* Of the log, which is a tree: what a host has is what lies on the way from its last record to the first. */
struct record {
	uint32_t parent;
	uint64_t position;
	uint64_t next; /* numbers up to here are named in it */
	uint64_t xmax; /* ... and up to here have ended */
	struct bits commits, ended;
};

enum change_state {
	CHANGE_NONE,
	CHANGE_RUNNING,
	CHANGE_WRITTEN, /* its commit is in the log */
	CHANGE_VISIBLE,
	CHANGE_OVER /* rolled back, or gone with its host */
};

struct change {
	enum change_state state;
	uint64_t xid;
	unsigned host;
	uint32_t life, record;
	uint64_t due; /* the step from which on it may go on */
	bool is_session, is_async;
};

struct host {
	bool is_up, is_primary, is_paused;
	uint32_t life; /* never twice the same */
	unsigned source; /* a standby's */
	unsigned timeline;
	uint32_t at; /* the last record that it has inserted or replayed ... */
	uint32_t flushed; /* ... primary: that is on its disk; standby: that it has received */
	uint64_t next, xmax; /* primary */
	struct bits visible; /* primary */
	uint64_t due; /* the step from which on it is up again */
};

/* --- the watch --- */

enum asking { ASKING_NOT, ASKING_BEGUN, ASKING_HALF, ASKING_WHOLE };

struct watch_list {
	uint32_t life; /* of the host that it is connected to; 0: it is not */
	bool is_primary;
	unsigned timeline;
	enum asking asking;
	struct reading reading;
	uint32_t listed_count; /* those of the primary's that a standby is asked about */
	uint64_t listed[CLUSTER_OPEN_MAX];
};

struct history {
	uint32_t life;
	unsigned timeline;
	uint32_t count;
	uint64_t numbers[READINGS], positions[READINGS];
};

struct watch {
	struct cluster_view view;
	struct watch_list hosts[HOSTS];
	uint64_t lives;
	struct history histories[HISTORIES]; /* by number */
};

/* --- clients --- */

enum session_state { SESSION_IDLE, SESSION_WAITING, SESSION_SENT, SESSION_WRITING, SESSION_ANSWERED };
enum wish { WISH_WRITE, WISH_READ_PRIMARY, WISH_READ };

struct session {
	unsigned number;
	struct read_token token;
	struct bits set; /* what it must not miss any more */
	enum session_state state;
	enum wish wish;
	unsigned host; /* it is to run on, or runs on */
	bool is_on_standby;
	uint32_t life; /* of the host, and of the view */
	uint64_t view_life;
	uint64_t since, due; /* steps */
	uint64_t awaited; /* the position that its standby is to replay first, by its own word; 0: none */
	struct bits shown;
	unsigned change; /* what it writes; CHANGES: nothing */
	/* A position from another one. */
	uint64_t given, given_due;
	uint32_t given_history;
	struct bits given_set;
};

struct profile {
	/* In 4096ths of all steps. */
	unsigned commits, lag, slow, crashing, restarting, promoting, pausing, away, noticing, meeting, proving,
	    asking[HOSTS];
	unsigned visible_late, down, reply_late; /* steps at most */
	bool has_async, has_unknown_ends;
};

struct reads_sim {
	struct record records[RECORDS];
	struct change changes[CHANGES];
	struct host hosts[HOSTS];
	uint32_t record_count, life_count,
	    heads[LIVES]; /* heads: the last record that a primary has inserted in a life */
	unsigned change_count;
	unsigned newest; /* the host that was made a primary last */
	struct watch watch;
	struct session sessions[SESSIONS];
	struct profile profile;
	uint64_t seed, random, step;
	bool is_calm;
	unsigned served[SESSIONS];
	unsigned writes, reads, standby_reads, settled, told, false_alarms, excused, given_up, taken, awaited, late;
};

/* reads_sim.c */
#define reads_draw(s) draw_number(&(s)->random)
#define reads_chance(s, of_4096) draw_chance(&(s)->random, of_4096, 4096)
#define reads_below(s, limit) draw_below(&(s)->random, limit)

/* reads_model.c */
static inline bool
bits_has(const struct bits *b, unsigned n)
{
	return (b->word[n / 64] >> n % 64 & 1) != 0;
}
static inline void
bits_add(struct bits *b, unsigned n)
{
	b->word[n / 64] |= UINT64_C(1) << n % 64;
}
void bits_unite(struct bits *b, const struct bits *with);
struct bits bits_without(const struct bits *a, const struct bits *b);
bool bits_is_empty(const struct bits *b);
void model_begin(struct reads_sim *s);
void model_step(struct reads_sim *s);
void model_calm(struct reads_sim *s);
uint64_t model_position(const struct reads_sim *s, uint32_t record);
bool model_has(const struct reads_sim *s, uint32_t record, uint32_t earlier); /* earlier is on the way to record */
uint32_t model_common(const struct reads_sim *s, uint32_t a, uint32_t b);
bool model_has_ended(const struct reads_sim *s, uint32_t record, uint64_t xid);
/* What a snapshot taken now shows. */
struct bits model_shows(const struct reads_sim *s, const struct host *h);
/* Begins a transaction on a primary; returns its number in changes, CHANGES if there is room for none. */
unsigned model_write(struct reads_sim *s, unsigned host, bool is_session);

/* reads_watch.c */
void watch_begin(struct reads_sim *s);
void watch_step(struct reads_sim *s);
void watch_left(struct reads_sim *s, unsigned host); /* it replays another log from now on */

/* reads_sessions.c */
void sessions_step(struct reads_sim *s);
void sessions_calm(struct reads_sim *s);
bool sessions_are_served(const struct reads_sim *s);
