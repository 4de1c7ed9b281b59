/* src/client/cancel.h - CancelRequests, and pg_cancel_backend() with the PID that a client was sent. */
#pragma once

#include "client/client.h"

#define CANCEL_PID_MADE 0x40000000u /* from here on pids are made up: no process has one of these */
void cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len);
/* The same for one that came to another process of this pgweir: env->on_far_cancel_over(number) is called when it is
 * over, from within or later. Only a number other than 0. */
void cancel_begin_far(struct client_env *env, uint64_t number, uint32_t pid, const uint8_t *key, size_t key_len);
/* On the main worker: this worker does not answer. Requests on their way there that it has not read of are given up. */
void cancel_give_up(struct client_env *worker);
void cancel_over(struct client *asker, bool is_known); /* the answer from another process has come */
void cancel_unregister(struct client *c); /* it goes: its key is forgotten, and what was to cancel it ends */
/* Soon, from the loop, cancels what the target runs now, as by wants it. Returns 0, or -1 without memory. */
int cancel_later(struct client *target, enum canceler by);
/*
 * pg_cancel_backend() with this PID, which no process of PostgreSQL's has. As Knex (a query's timeout) and pgAdmin do,
 * a client cancels one of its own pool, that is of the same user, by the PID that this was sent. Returns true if there
 * is one, and its cancel is on its way.
 */
bool cancel_by_pid(struct exchange *asker, uint32_t pid);

/* --- cancel_keys.c --- */
#define CANCEL_SECRET_SHORT 4u /* bytes, as CANCEL_SECRET_MAX */
#define CANCEL_SECRET_MAX 32
/* The keys of all loops' clients. Everything below may be called from several threads, each with clients of its own. */
struct cancel_keys *cancel_keys_new(void);
void cancel_keys_free(struct cancel_keys *keys); /* once all clients are gone; NULL is fine */
/* Gives the client a key with this PID (0: a made-up one) and a secret of 4 bytes, or CANCEL_SECRET_MAX if is_long.
 * Returns 0, or -1 without memory or randomness. */
int cancel_register(struct client *c, uint32_t pid, bool is_long);
/* Gives it the key that it was sent by another process. Returns 0, or -1: no memory, or somebody has it. */
int cancel_restore(struct client *c, uint32_t pid, const uint8_t *secret, size_t len);
void cancel_forget_key(struct client *c); /* fine if it has none */
size_t cancel_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX]); /* returns its length */
/* Returns this loop's client with this key, or NULL. len: CANCEL_SECRET_SHORT or CANCEL_SECRET_MAX. */
struct client *cancel_find_key(struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len);
/* Returns the env of the client with this key, on whatever worker; NULL: nobody has it. */
struct client_env *cancel_find_worker(const struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len);
/* Copies the secret of the one client of the asker's pool, on whatever worker, that was sent this made-up PID. Returns
 * its length, or 0. */
size_t cancel_secret_of_pid(const struct client *asker, uint32_t pid, uint8_t out[static CANCEL_SECRET_MAX]);

/* --- cancel_peer.c: cancel requests for clients of other processes --- */
uint32_t cancel_peer_of(uint32_t pid); /* the peer_id in a PID */
void cancel_peer_mark(uint32_t id, uint32_t *pid, uint32_t *secret); /* makes a key one of this peer's */
/* Makes the secret of a request that peers may have passed on what the client was sent. */
void cancel_peer_reset_hops(uint8_t *secret);
/* Passes the request on; the asker is closed when that is done. secret: at least 4 bytes, at most CANCEL_SECRET_MAX.
 * Returns CR_PASSED_ON; or else why not, and the asker is still to be closed. */
enum cancel_result cancel_pass_on(struct client *asker, uint32_t pid, const uint8_t *secret, size_t len);
uint32_t cancel_count_passed(const struct client_env *env, uint32_t peer_id); /* how many are under way */
