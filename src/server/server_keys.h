/*
 * src/server/server_keys.h - a thread derives SCRAM keys from a password, for a login that waits for them.
 *
 * Owns:   copies of the password and the salt, and the keys; all wiped. It frees itself when the thread is done.
 */
#ifndef PGWEIR_SERVER_SERVER_KEYS_H
#define PGWEIR_SERVER_SERVER_KEYS_H

#include "auth/scram.h"

struct server_keys; /* opaque; one derivation */
struct workers;

/* Called once, from the loop, with the keys (borrowed), or NULL and *why. */
typedef void (*server_keys_done)(const struct scram_keys *keys, const struct fail *why, void *arg);

/* Calls done later, unless abandoned. Returns NULL with *why set if too much work waits. */
struct server_keys *server_keys_derive(struct workers *workers, const char *password, const uint8_t *salt,
				       size_t salt_len, uint32_t iterations, server_keys_done done, void *arg,
				       struct fail *why);
void server_keys_abandon(struct server_keys *k); /* done is not called; NULL is fine */

#endif
