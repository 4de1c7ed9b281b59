/*
 * src/commit_check/fate_asker.h - asks the primary what became of transactions whose COMMIT was not answered, on a
 * connection of its own (dedicated/dedicated.h). A pool has at most one such connection, opened for the first question
 * and closed after the last answer. The connection counts in no limit, because the connections of the transactions are
 * gone.
 *
 * Owns:   its connection. Borrows: the questions, until they are answered or cancelled.
 * Always: done() is called from the loop, once for each fate_ask() that is not cancelled, after fate_ask() has
 *         returned.
 */
#pragma once

#include "pool/pool_set.h"
#include "session/commit_fate.h"

struct fate_question {
	/* Set by the caller. */
	struct cluster_mark cluster; /* the cluster in which the transaction was to be committed */
	struct commit_mark mark;
	uint32_t pid; /* the PID of the transaction's backend */
	uint64_t deadline_us; /* without an answer by then, the fate is FATE_UNKNOWN */
	void (*done)(struct fate_question *q, enum commit_fate fate, const char *reason);
	/* Private. */
	TAILQ_ENTRY(fate_question) link;
	uint64_t next_us; /* when to ask next */
	uint32_t asked; /* how often the question was asked */
	const char *reason; /* why the question must be asked again */
};

int fate_ask(struct pool *pool, struct fate_question *q); /* returns 0, or -1 without memory; then done is not called */
void fate_cancel(struct pool *pool, struct fate_question *q); /* done is not called any more */
