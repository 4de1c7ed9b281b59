/*
 * src/session/commit_fate.h - what has become of a transaction whose COMMIT was sent and never answered: the questions
 * to PostgreSQL, and the judgement. Pure.
 *
 * pg_xact_status() alone would be wrong where it matters. When PostgreSQL crashes, or a standby is promoted, the end of
 * the write-ahead log may be lost, and with it all trace of a transaction; then its number is given to another one,
 * which may have committed. So with the transaction's number goes a position in the log: all that the transaction wrote
 * lies before it, and its commit behind it. Where the log was kept up to that position, the number is still this
 * transaction's; where it was not, the commit is lost for certain. Where a log was cut is what
 * pg_last_wal_replay_lsn() says after a recovery: the end of the last record that was replayed. After a crash the
 * checkpoint that follows right there tells even without that position which numbers had been given.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which server this is, and which of its lives; 0 for what it does not know. */
struct cluster_mark {
	uint64_t system_id; /* from initdb; the same on standbys */
	uint64_t started_us; /* when it was started, by its own clock */
	uint64_t replayed; /* a position in the log: where its last recovery ended */
	uint64_t received; /* not 0: since it was started it has been a standby that streams */
	uint32_t timeline;
	bool is_standby;
};

/*
 * The lives of servers that were seen lately: several may lie between a transaction and the answer, each with a
 * recovery of its own. Zeroed at first.
 */
#define LIVES_MAX 32u
struct cluster_lives {
	struct cluster_mark seen[LIVES_MAX];
	unsigned count, next; /* seen[next] is replaced next */
};
void cluster_lives_add(struct cluster_lives *lives, const struct cluster_mark *life);
/* Returns true if the same primary has run on: no recovery has cut its log, and a number is still the transaction's. */
bool cluster_mark_is_same(const struct cluster_mark *a, const struct cluster_mark *b);
/* Returns up to where these primaries have the same log, at least: lives are others that were seen. 0: it is not known;
 * UINT64_MAX: now has all that then ever had. */
uint64_t cluster_lives_common_end(const struct cluster_mark *then, const struct cluster_mark *now,
				  const struct cluster_lives *lives);

/* A transaction that was about to be committed. */
struct commit_mark {
	uint64_t xid; /* 0: unknown */
	uint64_t lsn; /* it was in progress when the log had come that far */
	bool is_final; /* nothing of it but its COMMIT came after that */
};

enum xact_status { XACT_UNKNOWN, XACT_IN_PROGRESS, XACT_COMMITTED, XACT_ABORTED };

/* A server's answer about a transaction. */
struct fate_answer {
	struct cluster_mark cluster;
	uint64_t checkpoint; /* a position in the log: its last checkpoint's ... */
	uint64_t next_xid; /* ... and the number that it would have given next at that time */
	uint64_t xmax; /* every number from here on is not given yet, or its transaction is not over */
	enum xact_status status;
};

enum commit_fate {
	FATE_AGAIN, /* not decided yet: ask again */
	FATE_COMMITTED,
	FATE_ROLLED_BACK,
	FATE_UNKNOWN /* it can't be known any more */
};

/* The question that cluster_mark_read() reads the answer to. It needs PostgreSQL 13, and fails in older ones. */
extern const char cluster_ask[];
/* Asked within a transaction; fate_read_mark() reads the answer. It can't fail in one that has not failed. */
extern const char fate_ask_mark[];
/*
 * Appends the question of what has become of it, without a terminator; fate_read_answer() reads the answer. timeline:
 * of the server that it ran on. There the answer "committed" waits for the synchronous standbys, as the COMMIT did.
 */
void fate_ask_status(struct buf *sql, uint64_t xid, uint32_t timeline);
/* Appends SQL that ends its backend, if that waits in this transaction for its client; without a terminator. */
void fate_ask_end(struct buf *sql, uint64_t xid, uint32_t pid);

/* Each reads the body of a whole DataRow. Returns false if it is not what was asked for. */
bool cluster_mark_read(const uint8_t *body, size_t len, struct cluster_mark *out);
bool fate_read_mark(const uint8_t *body, size_t len, struct commit_mark *out); /* xid 0: nothing was written */
bool fate_read_answer(const uint8_t *body, size_t len, struct fate_answer *out);

/*
 * then: the server that it ran on; lives: others that were seen; *reason: why, in a few words, for the log. No
 * FATE_COMMITTED and no FATE_ROLLED_BACK is a guess, provided that no life has passed unseen between the two servers.
 */
enum commit_fate fate_judge(const struct cluster_mark *then, const struct commit_mark *mark,
			    const struct fate_answer *now, const struct cluster_lives *lives, const char **reason);
