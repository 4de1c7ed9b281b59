/*
 * src/relay/route.h - which host a loan is of, where the settings of a client say that it reads from standbys: called
 * only where reads is not primary.
 *
 * With reads = prefer_standby, each loan of a client that keeps nothing on a server is a standby's, if one is there
 * that lags by reads_max_lag at most, the one with the fewest loans first. A standby is never waited for: the primary's
 * line is the only one. Nothing is promised but the lag, and what writes is refused by PostgreSQL.
 */
#pragma once

#include "relay/walk.h"

/* As pool_borrow(), for the client and the message at w->at: WALK_ON: w->lent is a server, or NULL if it has to wait
 * for the primary's. WALK_WAIT, WALK_OVER: see reads_route(). */
enum walk_result route_borrow(struct request_walk *w, bool is_fast);
