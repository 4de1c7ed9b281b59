/*
 * src/commit_check/fate_asker.h - asks the primary what became of transactions whose COMMIT was not answered. Each pool
 * has at most one connection for these questions (dedicated/dedicated.h), which is opened for the first question and
 * closed after the last answer. This connection counts in no limit, because the transactions' connections are gone.
 *
 * Owns:   its connection. Borrows: the questions, until they are answered or cancelled.
 * Always: done() is called from the event loop, after fate_ask() has returned, once for each question not cancelled.
 */
#pragma once

#include "pool/pool_set.h"
#include "session/commit_fate.h"

struct fate_question {
	/* The next five fields are set by the caller. */
	struct cluster_mark cluster; /* the cluster in which the transaction has run */
	struct commit_mark mark;
	uint32_t pid; /* the PID of the transaction's backend */
	uint64_t deadline_us; /* without an answer by this time, the fate is FATE_UNKNOWN */
	void (*done)(struct fate_question *q, enum commit_fate fate, const char *reason);
	/* The other fields are for fate_asker.c only. */
	TAILQ_ENTRY(fate_question) link;
	uint64_t next_us; /* when to ask next */
	uint32_t ask_count; /* how many times the question was asked */
	const char *reason; /* why the last answer decided nothing, for done(); NULL before the first answer */
};

/* Returns 0, or -1 if there is no memory. After -1, done() is not called. */
int fate_ask(struct pool *pool, struct fate_question *q);
void fate_cancel(struct pool *pool, struct fate_question *q); /* done() is not called after this */
