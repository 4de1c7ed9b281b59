/*
 * src/client/cancel.h - CancelRequests, and cancelling by the PID that a client was told.
 */
#ifndef PGWEIR_CLIENT_CANCEL_H
#define PGWEIR_CLIENT_CANCEL_H

#include "client/client.h"

#define CANCEL_PID_MADE 0x40000000u /* from here on pids are made up: no process has one of these */
void cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len);
void cancel_free(struct client *c);
#define CANCEL_SECRET_MAX 32 /* bytes */
/* Gives it a key with this pid (0: a made-up one) and a secret of 4 bytes, or CANCEL_SECRET_MAX. -1: no memory. */
int cancel_register(struct client *c, uint32_t pid, bool is_long);
size_t cancel_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX]); /* its length */
void cancel_unregister(struct client *c);
struct client *cancel_find_pid(struct client_env *env, uint32_t pid); /* whom this made-up pid was told; or NULL */
/* What it runs now is cancelled (or, is_end, it is ended) soon, from the loop. -1: no memory. */
int cancel_later(struct client *target, bool is_end);

/* cancel_sql.c: see exchange_ops.no_such_pid */
bool cancel_no_such_pid(struct server *srv, uint32_t pid);

#endif
