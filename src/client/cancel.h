/*
 * src/client/cancel.h - CancelRequests, and cancelling by the PID that a client was sent.
 */
#ifndef PGWEIR_CLIENT_CANCEL_H
#define PGWEIR_CLIENT_CANCEL_H

#include "client/client.h"

#define CANCEL_PID_MADE 0x40000000u /* from here on pids are made up: no process has one of these */
void cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len);
void cancel_free(struct client *c);
#define CANCEL_SECRET_MAX 32 /* bytes */
/* Gives the client a key with this PID (0: a made-up one) and a secret of 4 bytes, or CANCEL_SECRET_MAX if is_long.
 * Returns 0, or -1 without memory or randomness. */
int cancel_register(struct client *c, uint32_t pid, bool is_long);
size_t cancel_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX]); /* returns its length */
void cancel_unregister(struct client *c);
struct client *cancel_find_pid(struct client_env *env,
			       uint32_t pid); /* the client that was sent this made-up PID, or NULL */
/* Soon, from the loop, cancels what the target runs now (or ends it, if is_end). Returns 0, or -1 without memory. */
int cancel_later(struct client *target, bool is_end);

/* cancel_sql.c: see exchange_ops.no_such_pid */
bool cancel_no_such_pid(struct server *srv, uint32_t pid);

#endif
