/* src/relay/reads_state.h - the declarations that the files of reads.h share. */
#pragma once

#include "relay/reads.h"

#include <inttypes.h>

#define LSN "%" PRIX32 "/%" PRIX32
#define LSN_ARGS(n) (uint32_t)((n) >> 32), (uint32_t)(n)
#define LAST_VALUE "last_value" /* a column that each sequence has */

/* --- reads_marked.c: finds out which requests are marked (reads.h). --- */
/* Updates r->is_default and r->min_lsn from the client's settings. Returns r->is_default. */
bool reads_apply_settings(struct client_reads *r);
/* Decides if the message at w->at, of a client without a server, is marked. If so, copies the BEGIN, if there is one,
 * to r->begin. Returns true if the message is marked and may go to a standby. If it is marked but may not, sets
 * r->route to the reason. */
bool reads_route_marked(struct request_walk *w, struct client_reads *r);
/* Returns the SQL of w->m, or of the statement that a Bind in w->m binds; sets *len to the SQL's length in bytes, and
 * *v to its traits. Returns NULL if there is no SQL. */
const char *reads_sql_of(struct request_walk *w, size_t *len, const struct sql_traits **v);
/* Does the same for a message with this frame. For a Bind, also sets *st to the statement. Returns NULL if there is no
 * SQL, or if a Bind names a statement that the client does not have. have: how many bytes of the body have come. */
const char *reads_sql_of_message(const struct exchange *x, const struct frame *f, const uint8_t *body, size_t have,
				 size_t *len, struct statement **st);
/* Returns true if the SQL must go to the primary although a standby would not refuse it: a READ ONLY transaction
 * permits it, and a standby would run it, but with another effect or none. */
bool reads_is_for_primary(const char *sql, size_t len);
/* Returns true if messages from w->at on may have or execute SQL for which reads_is_for_primary() or
 * reads_keeps_server() is true. Looks at most at PRIMARY_SEARCH_MAX bytes; if is_one_request, only up to a Sync. */
bool reads_may_need_primary(const struct request_walk *w, bool is_one_request);
/* Returns true if the client would keep its server after this SQL, because the SQL leaves state in the session or may
 * set pgweir.pin (OWN_PIN). That server should be the primary's, because the client may write later. */
bool reads_keeps_server(const struct sql_traits *v, const char *sql, size_t len);

/* --- reads_wait.c --- */
/* From now on, the loop is notified if a host of this cluster falls silent, and, while cluster_set_waiting(true) holds,
 * of positions. If there is no memory, the loop is not notified, and its timers find the positions later. */
void reads_listen(struct exchange_env *env, struct cluster *c);
/* Returns true while the wait that ends at *until_us goes on. If *until_us is 0, first begins a wait of wait_us. */
bool reads_start_or_continue_wait(const struct client_reads *r, uint64_t *until_us, uint64_t wait_us);
/* Makes the client CL_CATCHING_UP until the next notification, or 1 ms; it then tries again, until the caller finds
 * that until_us is over. what: the hosts that matter, or CLUSTER_STANDBYS unless the primary may end the wait. Returns
 * WALK_WAIT. */
enum walk_result reads_wait_until(struct client_reads *r, uint64_t until_us, enum cluster_wants what);

/* --- reads_replayed.c --- */
/* Returns how many ms a standby may be asked to wait for a position before it runs the message at w->at; 0 if a standby
 * must not be asked. */
uint32_t reads_await_ms(const struct request_walk *w, const struct client_reads *r);
