/* src/relay/reads_state.h - what the files of reads.h share. */
#pragma once

#include "relay/reads.h"

#include <inttypes.h>

#define LSN "%" PRIX32 "/%" PRIX32
#define LSN_ARGS(n) (uint32_t)((n) >> 32), (uint32_t)(n)
#define LAST_VALUE "last_value" /* a sequence's column */

/* --- reads_marked.c: which requests are marked --- */
/* Takes over what the client's settings say: is_default, and a new position. Returns r->is_default. */
bool reads_apply_settings(struct client_reads *r);
/* Returns true if the message, of a client without a server, is marked and may go to a standby, and writes its BEGIN to
 * r->begin. Else r->route says why not, if it is marked. */
bool reads_is_marked(struct request_walk *w, struct client_reads *r);
/* Returns the SQL that the message has, or its statement, and writes its length in bytes and the traits of it; NULL:
 * it has none. */
const char *reads_sql_of(struct request_walk *w, size_t *len, const struct sql_traits **v);
/* Returns the SQL that a message with this frame has, or runs, and writes its length in bytes, and a Bind's statement;
 * NULL: it has none, or a Bind is of no statement that the client has. have: how much of the body has come. */
const char *reads_sql_of_message(const struct exchange *x, const struct frame *f, const uint8_t *body, size_t have,
				 size_t *len, struct statement **st);
/*
 * Returns true if SQL has what is permitted in a READ ONLY transaction, and on a standby would be without a word
 * nothing, or something else. The rest of what a primary does and a standby doesn't is refused there: then the primary
 * is asked.
 */
bool reads_is_for_primary(const char *sql, size_t len);
/* Returns true if what has come from the message at w->at on, or the rest of its request, may have SQL of either kind,
 * or run it, in its first FORBIDDEN_LOOK_MAX bytes. */
bool reads_mentions_primary(const struct request_walk *w, bool is_one_request);
/* Returns true if the SQL leaves what only the server that ran it has. The client keeps that server, which has to be
 * the primary's: it may write later. */
bool reads_leaves(const struct sql_traits *v);

/* --- reads_wait.c --- */
/* The loop is notified of this cluster from now on. Without memory its timers do, if later. */
void reads_listen(struct exchange_env *env, struct cluster *c);
/* Returns false if the time for it is over. *until_us: 0 when the wait begins. */
bool reads_may_wait(const struct client_reads *r, uint64_t *until_us, uint64_t wait_us);
/* The client is CL_CATCHING until a host has answered: of all, or, as what says, the primary, if a reading of that may
 * end the wait. Returns WALK_WAIT. */
enum walk_result reads_wait_until(struct client_reads *r, uint64_t until_us, enum cluster_wants what);

/* --- reads_replayed.c --- */
/* Returns how many milliseconds the question for the message at w->at, which waits for a standby, may take; 0: it is
 * not to be asked. */
uint32_t reads_await_ms(const struct request_walk *w, const struct client_reads *r);
