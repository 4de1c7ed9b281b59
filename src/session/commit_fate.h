/*
 * src/session/commit_fate.h - finds out what became of a transaction whose COMMIT was sent and never answered. Here are
 * the questions to PostgreSQL, and the judgement. The functions are pure.
 *
 * pg_xact_status() alone would be wrong where it matters. When PostgreSQL crashes, or a standby is promoted, the end of
 * the write-ahead log may be lost, and with it all trace of a transaction; the transaction's number is then given to
 * another one, which may have committed. So a position in the log is remembered with the number: everything that the
 * transaction wrote lies before the position, and the commit record after it. If the log still reaches the position,
 * the number is still this transaction's; if not, the commit is lost for certain. pg_last_wal_replay_lsn() tells where
 * a log was cut: after a recovery, it is the end of the last record that was replayed. After a crash, PostgreSQL writes
 * a checkpoint right after that record, which tells which numbers had been given, even if the position is not known.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Identifies a server, and one of its lives: the time from one start to the next. A field is 0 if it is not known. */
struct cluster_mark {
	uint64_t system_id; /* from initdb; standbys have the same */
	uint64_t started_us; /* when the server was started, by its own clock */
	uint64_t replayed; /* the position in the log where its last recovery ended */
	uint64_t received; /* not 0 if the server has been a streaming standby since it was started */
	uint32_t timeline;
	bool is_standby;
};

/* The lives of servers that were seen lately. Several may lie between a transaction and the answer about it, each with
 * a recovery of its own. Zeroed at first. */
#define LIVES_MAX 32u
struct cluster_lives {
	struct cluster_mark seen[LIVES_MAX];
	unsigned count, next; /* next: the index in seen that is replaced next */
};
void cluster_lives_add(struct cluster_lives *lives, const struct cluster_mark *life);
/* Returns true if a and b are one life: no recovery has cut the log, so numbers mean the same transactions. */
bool cluster_mark_is_same(const struct cluster_mark *a, const struct cluster_mark *b);
/* Returns a position up to which the primaries `then` and `now` certainly have the same log; 0 if none is known;
 * UINT64_MAX if `now` has all of the log that `then` ever had. lives: other lives that were seen. */
uint64_t cluster_lives_common_end(const struct cluster_mark *then, const struct cluster_mark *now,
				  const struct cluster_lives *lives);

/* A transaction that was about to commit. */
struct commit_mark {
	uint64_t xid; /* 0 if unknown */
	uint64_t lsn; /* the log's end at some time while the transaction was in progress */
	bool is_final; /* at lsn, the transaction had written all but its COMMIT */
};

enum xact_status { XACT_UNKNOWN, XACT_IN_PROGRESS, XACT_COMMITTED, XACT_ABORTED };

/* A server's answer about a transaction. */
struct fate_answer {
	struct cluster_mark cluster;
	uint64_t checkpoint; /* the log position of the server's last checkpoint */
	uint64_t next_xid; /* the number that the server would have given next at that checkpoint */
	uint64_t xmax; /* each number from here on is not given yet, or its transaction is in progress */
	enum xact_status status;
};

enum commit_fate {
	FATE_AGAIN, /* not decided yet: ask again */
	FATE_COMMITTED,
	FATE_ROLLED_BACK,
	FATE_UNKNOWN /* no answer can be found any more */
};

/* The question whose answer cluster_mark_read() reads. It needs PostgreSQL 13, and fails in older versions. */
extern const char cluster_ask[];
/* The question whose answer fate_read_mark() reads. Within a transaction that has not failed, it can't fail. */
extern const char fate_ask_mark[];
/* Appends the question what became of the transaction, without a terminator; fate_read_answer() reads the answer.
 * timeline: the timeline of the server on which the transaction ran. If the server that is asked is on this timeline,
 * the answer "committed" waits for the synchronous standbys, as the COMMIT did. */
void fate_ask_status(struct buf *sql, uint64_t xid, uint32_t timeline);
/* Appends SQL, without a terminator, that ends the transaction's backend if the backend waits for its client within the
 * transaction. */
void fate_ask_end(struct buf *sql, uint64_t xid, uint32_t pid);

/* The functions below read the body of a whole DataRow. They return false if it is not the answer they expect. */
bool cluster_mark_read(const uint8_t *body, size_t len, struct cluster_mark *out);
/* out->xid is 0 if nothing was written */
bool fate_read_mark(const uint8_t *body, size_t len, struct commit_mark *out);
bool fate_read_answer(const uint8_t *body, size_t len, struct fate_answer *out);

/* Judges the transaction by the answer `now`. then: the server on which the transaction ran. lives: other lives that
 * were seen. *reason is set to a few words for the log. FATE_COMMITTED and FATE_ROLLED_BACK are certain if no life
 * between `then` and `now` has passed unseen. */
enum commit_fate fate_judge(const struct cluster_mark *then, const struct commit_mark *mark,
			    const struct fate_answer *now, const struct cluster_lives *lives, const char **reason);
