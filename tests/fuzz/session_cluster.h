/*
 * tests/fuzz/session_cluster.h - what outlives the connections to the fake PostgreSQL: its write-ahead log, its
 * transactions, and who has written what. The token (session_text.h) of an INSERT, UPDATE or DELETE is the row.
 *
 * A crash, or a failover, cuts the log somewhere behind the last commit that anybody was told of; the numbers of
 * transactions that are lost with it are given again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session/commit_fate.h"

#define CLUSTER_XACTS_MAX 2048u
#define CLUSTER_WRITES_MAX 2048u
#define CLUSTER_FIRST_XID 1000u
#define CLUSTER_FIRST_LSN 64u /* 0 is no position */
#define CLUSTER_TOKENS_MAX 2048u /* of one client */

struct fake_conn;

enum cluster_xact { XACT_OPEN, XACT_DONE, XACT_UNDONE };

struct cluster_write {
	uint32_t xid, sequence; /* xid 0: it was undone by ROLLBACK TO */
	char letter;
};

/* Zeroed at first, but for lsn and told, which are CLUSTER_FIRST_LSN. */
struct fake_cluster {
	uint64_t lsn; /* where the log ends */
	uint64_t told; /* commits up to here may have been told */
	uint64_t replayed, received, checkpoint; /* as of its last recovery; 0: there was none */
	uint64_t checkpoint_xid, started_us;
	uint32_t timeline, xid_count;
	struct {
		uint64_t begun, ended; /* positions */
		enum cluster_xact is;
	} xacts[CLUSTER_XACTS_MAX]; /* CLUSTER_FIRST_XID is the first */
	struct cluster_write writes[CLUSTER_WRITES_MAX];
	size_t write_count;
};

/* A statement that writes has run, in c's transaction. */
void cluster_write(struct fake_conn *c, const char *tokens);
void cluster_undo(struct fake_conn *c, size_t from); /* ROLLBACK TO: its writes from this one on */
void cluster_end(struct fake_conn *c, bool is_commit); /* c's transaction, if it has written */
/* The answer to one of commit_check's questions. False: this SQL, which is pgweir's, is none. */
bool cluster_answer(struct fake_conn *c, const char *sql);
/*
 * No connection is left. keep: of 256, how much of the log that nobody was told of is kept. Then others, who are not
 * pgweir's clients, commit that many transactions.
 */
void cluster_crash(struct fake_cluster *l, bool is_failover, unsigned keep, unsigned others, uint64_t now_us);
/* True if life, as pgweir was told of it, is what has come of the last recovery. */
bool cluster_is_life(const struct fake_cluster *l, const struct cluster_mark *life);
/* How often each of a client's tokens was written by a transaction that is committed. */
void cluster_count(const struct fake_cluster *l, char letter, uint8_t counts[static CLUSTER_TOKENS_MAX]);
