/*
 * src/dedicated/questions.h - what pgweir asks PostgreSQL when there is something to ask.
 *
 * --- fate_asker.c: asks the primary what became of transactions whose COMMIT was not answered, on a
 * connection of its own (dedicated.h): one for each pool, opened when there is something to ask, and closed behind the
 * last answer. It counts in no limit, as the connections that it asks about are gone.
 *
 * Owns:   its connection. Borrows: what is asked, until that is answered or cancelled.
 * Always: done is called once for each fate_ask() that is not cancelled, later, from the loop.
 */
#pragma once

#include "pool/pool_set.h"
#include "session/commit_fate.h"

struct fate_asker; /* opaque: fate_asker.c */

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
void fate_asker_free(struct pool *pool); /* no question may be left */

/*
 * --- blocking.c: which processes of PostgreSQL hold the locks that servers wait for: pg_blocking_pids(), asked when
 * somebody in the console wants to know, on a connection opened for that alone (dedicated/dedicated.h).
 *
 * Each worker asks about its own servers: each host that they are busy on gets a question about all of them together;
 * BLOCKING_QUESTIONS_MAX at once, a second each, connecting included. Their connections count in
 * max_server_connections: where that is used up, and no idle one makes room soon, nobody is asked. Answers are good for
 * BLOCKING_FRESH_US.
 *
 * Owns: the questions under way, and the last answers. Borrows: the pools of its worker. Worker 0 has it ask, and
 * reads the answers, while that one stands still.
 */

#define BLOCKING_QUESTIONS_MAX 8
#define BLOCKING_SERVERS_MAX 256 /* that one question is about; of more, the first */
#define BLOCKING_PIDS_MAX 8 /* of one server's blockers */
#define BLOCKING_FRESH_US UINT64_C(1000000)

struct blocking; /* opaque: blocking.c */

struct blocking *blocking_new(struct pool_set *pools);
void blocking_free(struct blocking *b); /* before the pools; NULL is fine */
/* Asks, unless the last answers are fresh or on their way. Returns true if they are on their way. */
bool blocking_ask(struct blocking *b, uint64_t now_us);
bool blocking_is_asking(const struct blocking *b); /* returns true while answers are on their way */
void blocking_tick(struct blocking *b, uint64_t now_us); /* about every 100 ms */
/* Returns how many processes block this server, with their PIDs in pids; -1: not known. */
int blocking_of(const struct blocking *b, const struct server *srv, uint32_t pids[BLOCKING_PIDS_MAX], uint64_t now_us);
