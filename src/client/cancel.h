/* src/client/cancel.h - CancelRequests, and pg_cancel_backend() with the PID that a client was sent. */
#pragma once

#include "client/client.h"

#define CANCEL_PID_MADE 0x40000000u /* PIDs from here on are made up; no process has such a PID */
/* Cancels the request of the client that has this PID and key, or passes the CancelRequest on to the process that the
 * PID names. c has sent it, and is closed when that is done. */
void cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len);
/* Like cancel_begin(), for a cancel request that came to another process of this pgweir. Calls
 * env->on_far_cancel_over(number) when the cancel is over: within this call or later. number must not be 0. */
void cancel_begin_far(struct client_env *env, uint64_t number, uint32_t pid, const uint8_t *key, size_t key_len);
/* Call on the main worker if `worker` does not answer: gives up the cancels sent to `worker` that it has not read yet.
 */
void cancel_give_up(struct client_env *worker);
void cancel_over(struct client *asker, bool is_known); /* the other process has answered: is_known if it has the key */
/* called when c is closed: forgets its key and ends the cancels of its requests */
void cancel_client_closed(struct client *c);
/* Cancels the request that the target is running. The cancel happens later, from the loop. by: the asker. Returns 0, or
 * -1 without memory. */
int cancel_later(struct client *target, enum canceler by);
/*
 * Handles pg_cancel_backend() with a PID that no process of PostgreSQL has. A client may
 * cancel another client of its own pool, so of the same user, by the PID that pgweir sent to that client. Knex (on a
 * query's timeout) and pgAdmin do this.
 * Returns true if there is such a client and its cancel has begun.
 */
bool cancel_by_pid(struct exchange *asker, uint32_t pid);

/* --- cancel_keys.c --- */
#define CANCEL_SECRET_SHORT 4u /* in bytes, like CANCEL_SECRET_MAX */
#define CANCEL_SECRET_MAX 32
/* Holds the keys of all loops' clients. All functions below may be called from several threads, each for its own
 * clients. */
struct cancel_keys *cancel_keys_new(void);
void cancel_keys_free(struct cancel_keys *keys); /* call it once all clients are gone; keys may be NULL */
/* Gives the client a key with this PID, or with a made-up PID if pid is 0, and a secret of 4 bytes, or of
 * CANCEL_SECRET_MAX if is_long. Returns 0, or -1 without memory or randomness. */
int cancel_register(struct client *c, uint32_t pid, bool is_long);
/* Gives the client the key that another process of pgweir had sent to this client. Returns 0, or -1 without memory or
 * if another client has that key. */
int cancel_restore(struct client *c, uint32_t pid, const uint8_t *secret, size_t len);
void cancel_forget_key(struct client *c); /* does nothing if the client has no key */
size_t cancel_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX]); /* returns its length */
/* Returns this loop's client with this key, or NULL. len: CANCEL_SECRET_SHORT or CANCEL_SECRET_MAX. */
struct client *cancel_find_key(struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len);
/* Returns the env of the client with this key, on any worker, or NULL if no client has the key. */
struct client_env *cancel_find_env(const struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len);
/* Copies the secret of the only client, on any worker, that was sent this made-up PID, if it belongs to the asker's
 * pool. Returns the secret's length, or 0 if there is no such client. */
size_t cancel_secret_of_pid(const struct client *asker, uint32_t pid, uint8_t out[static CANCEL_SECRET_MAX]);

/* --- cancel_peer.c: cancel requests for clients of other processes --- */
uint32_t cancel_peer_of(uint32_t pid); /* the peer_id in a PID */
void cancel_peer_mark(uint32_t id, uint32_t *pid, uint32_t *secret); /* puts the peer's id into a PID and secret */
/* Restores, in a request that peers may have passed on, the secret that the client was sent. */
void cancel_peer_reset_hops(uint8_t *secret);
/* Passes the request on and closes the asker when that is done. secret has 4 to CANCEL_SECRET_MAX bytes. Returns
 * CR_PASSED_ON, or the reason why the request was not passed on; the caller then closes the asker. */
enum cancel_result cancel_pass_on(struct client *asker, uint32_t pid, const uint8_t *secret, size_t len);
/* returns how many requests are being passed on to this peer */
uint32_t cancel_count_passing(const struct client_env *env, uint32_t peer_id);
