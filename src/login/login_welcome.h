/*
 * src/login/login_welcome.h - what a client that is authenticated gets before its first ReadyForQuery.
 */
#pragma once

#include "login/login_state.h"

/* login_welcome.c */
void login_welcome(struct client *c); /* call it once authenticated, with x.pool set */
void login_log(struct client *c);
/* Sends ParameterStatus, BackendKeyData and ReadyForQuery in one write. Takes image. */
void login_finish(struct client *c, struct image *image, const struct image *welcome);

/* login_replication.c */
const char *replication_database(const struct client *c);
void replication_welcome(struct client *c);
void replication_tick(struct client *c, uint64_t now_us); /* about every 100 ms, while it has no server */
