/*
 * src/admission/admission_table.h - what is remembered by one kind of key (addresses, users or databases): how many
 * connections there are, how fast they come, how often they failed. Pure: no I/O, no clock.
 *
 * Owns:   its entries. A held entry (connections count in it) stays in place until it is released.
 * Bounds: at most idle_max entries that nobody holds; the one not seen for longest makes room, so a flood of keys can't
 *         reset the counts of those who are connected. There are at most as many held entries as connections.
 * Always: an entry that equals a new one (no connection, all tokens, no failure) is dropped in time.
 */
#pragma once

#include "base/table.h"

#include <sys/queue.h>
#include <sys/socket.h>

#define ADMISSION_KEY_MAX 64 /* bytes; longer keys are cut */
#define ADMISSION_IDLE_MAX 65536
#define ADMISSION_FADE_US UINT64_C(60000000) /* failures are forgotten so long after the last was answered */

struct admission_table; /* opaque: admission/admission_table.c */

struct admission_entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(admission_entry) idle; /* while held is 0 */
	uint64_t token_ns; /* at most a second: a login at rate r takes 1/r seconds of it */
	uint64_t token_us; /* the time of which token_ns is true */
	uint64_t failure_ends_us; /* when its failures are forgotten, or 0 */
	uint32_t failures;
	uint32_t held; /* connections that count here */
	uint32_t waiting; /* its failed logins whose answer is delayed */
	uint8_t key_len;
	uint8_t key[ADMISSION_KEY_MAX];
};

/* seed: random, so that peers can't choose their buckets. */
struct admission_table *admission_table_new(uint64_t seed, uint32_t idle_max);
void admission_table_free(struct admission_table *t); /* frees held entries, too; NULL is fine */
/* Returns the key's entry, a new one if need be, or NULL without memory. Unless it is held, it is valid until the
 * next get, release or sweep. */
struct admission_entry *admission_table_get(struct admission_table *t, const void *key, size_t key_len,
					    uint64_t now_us);
struct admission_entry *admission_table_find(const struct admission_table *t, const void *key,
					     size_t key_len); /* NULL: none */
void admission_table_sweep(struct admission_table *t,
			   uint64_t now_us); /* drops a bounded number of entries that equal new ones */

#define ADMISSION_ADDRESS_KEY_MAX 8
/* Writes the part of an IPv4 or IPv6 address that counts, and returns its length. Every customer has an IPv6
 * /64 at least. */
size_t admission_address_key(const struct sockaddr *peer, uint8_t key[static ADMISSION_ADDRESS_KEY_MAX]);

void admission_entry_hold(struct admission_table *t, struct admission_entry *e);
void admission_entry_release(struct admission_table *t, struct admission_entry *e, uint64_t now_us);

/* rate: logins per second, and as many at once after a second without any; 0: no limit. */
bool admission_entry_has_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);
void admission_entry_take_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);

/* Counts a failure. Returns the delay of its answer: base_us for the first, twice as much for each further one. */
uint64_t admission_entry_failed(struct admission_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us);
void admission_entry_forgive(struct admission_entry *e, uint32_t failures); /* takes back at most this many */
