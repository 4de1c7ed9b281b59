/*
 * src/relay/exclusive.h - statements that need a database to themselves: see exclusive.c.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* A client with a server is about to send this Query or Parse. Returns FORWARD. */
enum feature_step exclusive_sql(struct exchange *x, struct request *m);
