/*
 * src/dedicated/blocking.h - which processes of PostgreSQL hold the locks that servers wait for: pg_blocking_pids(),
 * asked when a user of the console wants to know, on a connection opened for that alone (dedicated/dedicated.h).
 *
 * Each worker asks about its own servers: each host that they are busy on gets a question about all of them together;
 * BLOCKING_QUESTIONS_MAX at once, a second each, connecting included. Their connections count in
 * max_server_connections: where that is used up, and no idle connection makes room soon, no question is asked. Answers
 * are good for BLOCKING_FRESH_US.
 *
 * Owns: the questions under way, and the last answers. Borrows: the pools of its worker. Worker 0 has it ask, and
 * reads the answers, while that one stands still.
 */
#pragma once

#include "pool/pool_set.h"

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
