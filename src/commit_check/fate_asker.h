/*
 * src/commit_check/fate_asker.h - asks the primary what became of transactions whose COMMIT was not answered, on a
 * connection of its own (dedicated/dedicated.h): one for each pool, opened when there is something to ask, and closed
 * behind the last answer. It counts in no limit, as the connections that it asks about are gone.
 *
 * Owns:   its connection. Borrows: what is asked, until that is answered or cancelled.
 * Always: done is called once for each fate_ask() that is not cancelled, later, from the loop.
 */
#pragma once

#include "pool/pool_set.h"
#include "session/commit_fate.h"

struct fate_question {
	/* by the caller: */
	struct cluster_mark cluster; /* where it was to be committed */
	struct commit_mark mark;
	uint32_t pid; /* its backend's */
	uint64_t deadline_us; /* then it is FATE_UNKNOWN */
	void (*done)(struct fate_question *q, enum commit_fate fate, const char *reason);
	/* private: */
	TAILQ_ENTRY(fate_question) line;
	uint64_t next_us;
	uint32_t asked;
	const char *reason; /* why it must be asked again */
};

int fate_ask(struct pool *pool, struct fate_question *q); /* returns 0, or -1 without memory: no callback follows */
void fate_cancel(struct pool *pool, struct fate_question *q); /* no callback follows */
