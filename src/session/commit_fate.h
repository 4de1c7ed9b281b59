/*
 * src/session/commit_fate.h - finds out what became of a transaction whose COMMIT was sent and never answered: makes
 * the questions to PostgreSQL, and judges the answers. The functions do no I/O.
 *
 * pg_xact_status() alone would give wrong answers when they matter most. When PostgreSQL crashes, or a standby is
 * promoted, the end of the write-ahead log may be lost, with all trace of a transaction. PostgreSQL then gives the
 * transaction's number to another transaction, which may commit. So pgweir remembers the number together with a
 * position in the log. All that the transaction wrote lies before the position, and its commit record after the
 * position. If the server's log still reaches the position, the number still belongs to this transaction; if not, the
 * commit is certainly lost. pg_last_wal_replay_lsn() tells where a log was cut off: after a recovery, it returns the
 * end of the last record that was replayed. After a crash, PostgreSQL writes a checkpoint right after that record. The
 * checkpoint tells which numbers were given before, even if pgweir knows no position.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Identifies a server and one of its *lives*, each of which lasts from one start to the next. Unknown fields are 0. */
struct cluster_mark {
	uint64_t system_id; /* made by initdb; a primary and its standbys have the same */
	uint64_t started_us; /* when the server was started, by its own clock */
	uint64_t replayed; /* the log position where the server's last recovery ended */
	uint64_t received; /* not 0 if the server has been a streaming standby since it was started */
	uint32_t timeline;
	bool is_standby;
};

/* The lives of primaries that were seen lately. Several lives, each begun by a recovery, may lie between a transaction
 * and the answer about it. Zeroed at first. */
#define LIVES_MAX 32u
struct cluster_lives {
	struct cluster_mark seen[LIVES_MAX];
	unsigned count, next; /* how many lives `seen` has; the index of the life that is replaced next */
};
void cluster_lives_add(struct cluster_lives *lives, const struct cluster_mark *life); /* ignores standbys */
/* Returns true if equal transaction IDs mean the same transaction in a and b: no recovery between them cut the log. */
bool cluster_mark_is_same(const struct cluster_mark *a, const struct cluster_mark *b);
/* Returns a position up to which the primaries `then` and `now` certainly have the same log; 0 if none is known;
 * UINT64_MAX if `now` has all the log that `then` ever had. lives: other lives that were seen. */
uint64_t cluster_lives_common_end(const struct cluster_mark *then, const struct cluster_mark *now,
				  const struct cluster_lives *lives);

/* A transaction that was about to commit. */
struct commit_mark {
	uint64_t xid; /* 0 if unknown */
	uint64_t lsn; /* where the log ended at some time during the transaction */
	bool is_final; /* all that the transaction wrote, except its COMMIT, lies before lsn */
};

enum xact_status { XACT_UNKNOWN, XACT_IN_PROGRESS, XACT_COMMITTED, XACT_ABORTED };

/* A server's answer about a transaction. */
struct fate_answer {
	struct cluster_mark cluster;
	uint64_t checkpoint; /* the log position of the server's last checkpoint */
	uint64_t next_xid; /* the number that the next transaction would have got at that checkpoint */
	uint64_t xmax; /* all transactions that have ended have lower numbers */
	enum xact_status status;
};

enum commit_fate {
	FATE_AGAIN, /* not decided yet: ask again */
	FATE_COMMITTED,
	FATE_ROLLED_BACK,
	FATE_UNKNOWN /* no answer can be found any more */
};

/* The SQL that asks for a server's cluster_mark; cluster_mark_read() reads the answer. Fails before PostgreSQL 13. */
extern const char cluster_question[];
/* The SQL that asks for the mark of the transaction in which it runs; fate_read_mark() reads the answer. Fails only if
 * the transaction has failed before. */
extern const char fate_mark_question[];
/* Appends SQL, without a terminator, that asks what became of the transaction xid; fate_read_answer() reads the answer.
 * timeline: the timeline of the server on which the transaction ran. If the server that is asked is on this timeline,
 * it answers "committed" only when the synchronous standbys have confirmed the commit. */
void fate_put_status_question(struct buf *sql, uint64_t xid, uint32_t timeline);
/* Appends SQL, without a terminator, that ends backend `pid` if it waits for its client within transaction `xid`. */
void fate_put_end(struct buf *sql, uint64_t xid, uint32_t pid);

/* The next functions read a whole DataRow's body into *out. They return false if the row answers another question. */
bool cluster_mark_read(const uint8_t *body, size_t len, struct cluster_mark *out);
bool fate_read_mark(const uint8_t *body, size_t len, struct commit_mark *out);
bool fate_read_answer(const uint8_t *body, size_t len, struct fate_answer *out);

/* Judges the transaction *mark by the answer `now`. then: the server on which the transaction ran. lives: other lives
 * that were seen. Sets *reason to a few words for the log. FATE_COMMITTED and FATE_ROLLED_BACK are certain if `lives`
 * has all lives between `then` and `now`. */
enum commit_fate fate_judge(const struct cluster_mark *then, const struct commit_mark *mark,
			    const struct fate_answer *now, const struct cluster_lives *lives, const char **reason);
