/* src/login/login.h - a client's login, from its first byte to its first ReadyForQuery: declarations for other
 * folders. */
#pragma once

#include "client/client.h"

extern const struct client_front login_front;
extern const struct admission_ops login_admission_ops;

/* login_transfer.c, on the main worker: looks after clients that were sent to the worker `sent_to`, if that worker has
 * not read the notes about these clients yet. Takes back and refuses clients that have waited for pool_timeout, or
 * longer than login_timeout. If `all` is true, takes back the other clients as well, and sends each to another shard of
 * its pool, or to `sent_to` once more if the pool has no other shard. */
void login_take_back(struct client_env *main_worker, struct client_env *sent_to, bool all);

/* login_welcome.c: called for clients in CL_WELCOME; see exchange_ops. */
void login_granted(struct exchange *x, struct server *srv);
void login_refused(struct exchange *x, const struct fail *why, enum request_failure kind);
void login_server_error(struct exchange *x, const struct error_fields *e);
void login_server_done(struct exchange *x);
void login_server_lost(struct exchange *x, const struct fail *why);
