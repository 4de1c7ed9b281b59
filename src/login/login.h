/*
 * src/login/login.h - a client's login, from its first byte to its first ReadyForQuery: what others call.
 */
#pragma once

#include "client/client.h"

extern const struct client_front login_front;
extern const struct admission_ops login_admission_ops;

/* login_welcome.c: called while CL_WELCOME; see exchange_ops. */
void login_granted(struct exchange *x, struct server *srv);
void login_refused(struct exchange *x, const struct fail *why, enum request_failure kind);
void login_server_error(struct exchange *x, const struct error_fields *e);
void login_server_done(struct exchange *x);
void login_server_lost(struct exchange *x, const struct fail *why);
