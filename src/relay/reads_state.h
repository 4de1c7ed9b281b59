/* src/relay/reads_state.h - the declarations that the files of reads.h share. */
#pragma once

#include "relay/reads.h"

#include <inttypes.h>

#define LSN "%" PRIX32 "/%" PRIX32
#define LSN_ARGS(n) (uint32_t)((n) >> 32), (uint32_t)(n)
#define LAST_VALUE "last_value" /* a column of each sequence */

/* --- reads_marked.c: which requests are marked. --- */
/* Updates r->is_default, and the position that the client must see, from the client's settings. Returns
 * r->is_default. */
bool reads_apply_settings(struct client_reads *r);
/* Returns true if the message, of a client without a server, is marked and may go to a standby, and writes its BEGIN to
 * r->begin. If the message is marked but may not go to a standby, r->route says why. */
bool reads_is_marked(struct request_walk *w, struct client_reads *r);
/* Returns the SQL of the message, or of the statement that it executes, and writes the SQL's length in bytes and its
 * traits. Returns NULL if the message has no SQL. */
const char *reads_sql_of(struct request_walk *w, size_t *len, const struct sql_traits **v);
/* Returns the SQL that a message with this frame contains or executes, and writes the SQL's length in bytes, and a
 * Bind's statement. Returns NULL if there is no SQL, or if a Bind names a statement that the client does not have.
 * have: how many bytes of the body have come. */
const char *reads_sql_of_message(const struct exchange *x, const struct frame *f, const uint8_t *body, size_t have,
				 size_t *len, struct statement **st);
/* Returns true if the SQL has parts that a READ ONLY transaction permits, but that have another effect on a standby, or
 * no effect, without an error. A standby refuses everything else that needs a primary, and the primary is asked
 * then. */
bool reads_is_for_primary(const char *sql, size_t len);
/* Returns true if the first FORBIDDEN_LOOK_MAX bytes from the message at w->at on may contain or execute SQL for which
 * reads_is_for_primary() or reads_keeps_server() is true. If is_one_request, looks no further than the next Sync. */
bool reads_mentions_primary(const struct request_walk *w, bool is_one_request);
/* Returns true if the client would keep its server after this SQL: because the SQL leaves state there, or because it
 * may set pgweir.pin (OWN_PIN). Such a server must be the primary's, because the client may write later. */
bool reads_keeps_server(const struct sql_traits *v, const char *sql, size_t len);

/* --- reads_wait.c --- */
/* Subscribes the loop to this cluster's readings. Without memory the loop gets no notifications; then its timers find
 * the readings later. */
void reads_listen(struct exchange_env *env, struct cluster *c);
/* Returns false if the time for waiting is over. *until_us is the end of the wait: if it is 0, the wait begins now, and
 * this function sets it. */
bool reads_may_wait(const struct client_reads *r, uint64_t *until_us, uint64_t wait_us);
/* Makes the client CL_CATCHING_UP until a host has answered. what: the hosts whose readings may end the wait. Returns
 * WALK_WAIT. */
enum walk_result reads_wait_until(struct client_reads *r, uint64_t until_us, enum cluster_wants what);

/* --- reads_replayed.c --- */
/* Returns for how many ms the standby may be asked to wait for its position, for the message at w->at; 0 if it may not
 * be asked. */
uint32_t reads_await_ms(const struct request_walk *w, const struct client_reads *r);
