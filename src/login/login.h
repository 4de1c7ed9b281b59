/* src/login/login.h - a client's login, from its first byte to its first ReadyForQuery, for other folders. */
#pragma once

#include "client/client.h"

extern const struct client_login_ops login_ops;
extern const struct admission_ops login_admission_ops;

/* In login_transfer.c. Called on the main worker for clients that are still in the inbox of the worker `sent_to`. Takes
 * back and refuses clients that have waited too long (worker_until_us). If `all`, takes back the others, too, and sends
 * each to another shard of its pool, or again to `sent_to` if there is no other shard. */
void login_take_back(struct client_env *main_env, struct client_env *sent_to, bool all);

/* In login_welcome.c. Functions of exchange_ops for clients in CL_WELCOME and CL_WELCOME_IN_LINE. */
void login_granted(struct exchange *x, struct server *srv);
void login_not_granted(struct exchange *x, const struct fail *why, enum request_failure kind);
void login_server_error(struct exchange *x, const struct error_fields *e);
void login_server_done(struct exchange *x);
void login_server_lost(struct exchange *x, const struct fail *why);
