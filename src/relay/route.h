/*
 * src/relay/route.h - which host a loan is of, where the settings of a client say that it reads from standbys: called
 * only where reads is not primary.
 *
 * With reads = prefer_standby, each loan of a client that keeps nothing on a server is a standby's, if one is there
 * that lags by reads_max_lag at most, the one with the fewest loans first. A standby is never waited for: the primary's
 * line is the only one. Nothing is promised but the lag, and what writes is refused by PostgreSQL.
 */
#pragma once

#include "exchange/exchange.h"

/* x, which has no server, needs one, and its ticket is ready. Returns one of a standby, lent to it; NULL: the primary's
 * is due. */
struct server *route_borrow(struct exchange *x);
