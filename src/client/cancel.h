/*
 * src/client/cancel.h - handles CancelRequests, and pg_cancel_backend() with the PID of a client.
 *
 * A client's key is the PID and the secret that pgweir has sent to the client in BackendKeyData. The asker is the
 * client that sends a CancelRequest with this key, or calls pg_cancel_backend() with this PID.
 */
#pragma once

#include "client/client.h"

#define CANCEL_PID_MADE 0x40000000u /* the lowest made-up PID; no process has a PID this high */
/* Takes a CancelRequest from c, the asker. Cancels the request of the client that has this PID and key, or passes the
 * CancelRequest on to the pgweir process that the PID names. c is closed when the cancel is over. */
void cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len);
/* Does what cancel_begin() does, for a CancelRequest that another process of this pgweir has received. number is not 0.
 * Calls env->on_far_cancel_over(number) when the cancel is over, during this call or later. */
void cancel_begin_far(struct client_env *env, uint64_t number, uint32_t pid, const uint8_t *key, size_t key_len);
/* Call on the main worker when `worker` does not answer. Ends the cancels that are still in the inbox of `worker`. */
void cancel_give_up(struct client_env *worker);
/* Closes the asker, whose key was passed to another process (on_unknown_cancel_key()). is_known is true if that process
 * has answered, false if no answer can come any more. */
void cancel_end_forwarded(struct client *asker, bool is_known);
/* Call when c is closed. Makes the key of c invalid, and ends the cancels of its requests. */
void cancel_client_closed(struct client *c);
/* Makes the event loop cancel the target's request. by: the party that wants the cancel. Does nothing if the target is
 * idle, or if enough cancels already wait for the target. Returns 0, or -1 if out of memory. */
int cancel_later(struct client *target, enum canceler by);
/*
 * Handles the asker's call of pg_cancel_backend(pid), if no process of PostgreSQL has this PID. (pgAdmin does this, and
 * Knex after a query's timeout.) If pgweir has sent the PID to just one client, and that client is in the asker's pool
 * (with the same user), cancels its request. Returns true if the cancel has begun, or if that client is idle.
 */
bool cancel_by_pid(struct exchange *asker, uint32_t pid);

/* --- cancel_keys.c --- */
#define CANCEL_SECRET_SHORT 4u /* bytes of a secret in protocol 3.0 */
#define CANCEL_SECRET_MAX 32 /* bytes of a secret in protocol 3.2 */
/* Makes the table of the keys of all workers' clients. The functions below may be called on all workers at the same
 * time, each for its own clients. */
struct cancel_keys *cancel_keys_new(void);
void cancel_keys_free(struct cancel_keys *keys); /* called once all clients are gone; keys may be NULL */
/* Gives the client a key: this PID, or a made-up PID if pid is 0 or the setting peer_id is set; and a secret of
 * CANCEL_SECRET_MAX bytes if is_long, else of CANCEL_SECRET_SHORT. Returns 0, or -1 if out of memory or randomness. */
int cancel_register(struct client *c, uint32_t pid, bool is_long);
/* Gives the client the key that an earlier pgweir process has sent it. Returns 0, or -1 if out of memory, if pid is 0,
 * or if another client has that key. */
int cancel_restore(struct client *c, uint32_t pid, const uint8_t *secret, size_t len);
void cancel_forget_key(struct client *c); /* does nothing if the client has no key */
/* Copies the client's secret to out. Returns its length, CANCEL_SECRET_SHORT or CANCEL_SECRET_MAX. */
size_t cancel_copy_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX]);
/* Returns this worker's client with this key, or NULL. len is CANCEL_SECRET_SHORT or CANCEL_SECRET_MAX. */
struct client *cancel_find_client(struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len);
/* Returns the env of the worker that has the client with this key, or NULL if no client has the key. */
struct client_env *cancel_find_env(const struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len);
/* If just one client, on any worker, was sent this made-up PID, and that client is in the asker's pool, copies the
 * client's secret to out, and returns the secret's length. Otherwise returns 0. */
size_t cancel_copy_secret_of_pid(const struct client *asker, uint32_t pid, uint8_t out[static CANCEL_SECRET_MAX]);

/* --- cancel_peer.c: CancelRequests for clients of other processes (the setting peers) --- */
uint32_t cancel_peer_of(uint32_t pid); /* returns the peer_id in a PID */
/* Puts this process's peer_id into a PID, and the initial hop count into the secret. */
void cancel_peer_mark(uint32_t id, uint32_t *pid, uint32_t *secret);
/* Resets the hop count in a secret to the initial value, which the client's own secret has. */
void cancel_peer_reset_hops(uint8_t *secret);
/* Passes the CancelRequest on to a peer, and closes the asker when the peer is done. secret has CANCEL_SECRET_SHORT to
 * CANCEL_SECRET_MAX bytes. Returns CR_PASSED_ON, or the reason why the request was not passed on; the caller then
 * closes the asker. */
enum cancel_result cancel_pass_on(struct client *asker, uint32_t pid, const uint8_t *secret, size_t len);
/* Returns how many CancelRequests are being passed on to this peer. */
uint32_t cancel_count_passing(const struct client_env *env, uint32_t peer_id);
