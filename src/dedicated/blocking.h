/*
 * src/dedicated/blocking.h - finds the processes of PostgreSQL that hold the locks for which pgweir's servers wait.
 * When a user of the console asks for these processes, pgweir calls pg_blocking_pids() on a connection that is opened
 * for this question alone (dedicated/dedicated.h). The question follows the chain of blockers, also through processes
 * that are not pgweir's.
 *
 * Each worker asks about its own servers. Each host on which its servers are busy gets one question about all of these
 * servers. At most BLOCKING_QUESTIONS_MAX questions run at once, and each may take one second, including the time to
 * connect. The connections count in max_server_connections: if this limit is reached, and no idle connection makes room
 * soon, the question is not asked. Answers are used for BLOCKING_FRESH_US.
 *
 * Owns:    the questions under way, and the last answers.
 * Borrows: the pools of its worker. Worker 0 starts the questions and reads the answers while the worker that has the
 * pools is halted.
 */
#pragma once

#include "pool/pool_set.h"

#define BLOCKING_QUESTIONS_MAX 8
#define BLOCKING_SERVERS_MAX 256 /* the most servers that one question is about; further servers are left out */
#define BLOCKING_PIDS_MAX 8 /* the most blockers of one server that are kept */
#define BLOCKING_FRESH_US UINT64_C(1000000)

struct blocking; /* opaque: blocking.c */

struct blocking *blocking_new(struct pool_set *pools);
void blocking_free(struct blocking *b); /* call before the pools are freed; b may be NULL */
/* Asks, unless the last answers are still used or questions are under way. Returns true if questions are under way. */
bool blocking_ask(struct blocking *b, uint64_t now_us);
bool blocking_is_asking(const struct blocking *b); /* returns true while questions are under way */
void blocking_tick(struct blocking *b, uint64_t now_us); /* about every 100 ms */
/* Returns how many processes block the backend `pid` of the host at this address, and writes their PIDs to pids (0 for
 * a prepared transaction). Returns -1 if no fresh answer has `pid`. Answers have busy servers, and those blockers that
 * are themselves blocked. */
int blocking_get_blockers(const struct blocking *b, const char *address, uint32_t pid, uint32_t pids[BLOCKING_PIDS_MAX],
			  uint64_t now_us);
