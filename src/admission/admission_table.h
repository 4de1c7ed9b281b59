/*
 * src/admission/admission_table.h - the counts of one kind of key (addresses, users or databases): how many connections
 * there are, how fast they come, how often they have failed to log in. Pure: no I/O, no clock.
 *
 * Owns:   its entries. A held entry (one in which connections count) keeps its address until it is released.
 * Bounds: at most idle_max entries are not held; beyond, the one that was not seen for longest is dropped. So a flood
 *         of keys can't reset the counts of connected clients. There are at most as many held entries as connections.
 * Always: an entry that equals a new one (no connection, all tokens, no failure) is dropped sooner or later.
 */
#pragma once

#include "base/table.h"

#include <sys/queue.h>
#include <sys/socket.h>

#define ADMISSION_KEY_MAX 64 /* bytes; longer keys are cut */
#define ADMISSION_IDLE_MAX 65536
#define ADMISSION_FADE_US UINT64_C(60000000) /* failures are forgotten this long after the last one's answer */

struct admission_table; /* opaque: admission/admission_table.c */

struct admission_entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(admission_entry) idle; /* in the table's idle list while held is 0 */
	/* token bucket, in ns of login time, at most a second: at a rate of r a second, a login takes 1/r seconds out
	 * of it */
	uint64_t token_ns;
	uint64_t refilled_us; /* when token_ns was last refilled */
	uint64_t failure_ends_us; /* when the failures are forgotten; 0 if there are none */
	uint32_t failures;
	uint32_t held; /* the number of connections that count here */
	uint32_t waiting; /* failed logins whose answer is delayed */
	uint8_t key_len;
	uint8_t key[ADMISSION_KEY_MAX];
};

/* seed: random, so that peers can't predict their keys' hash buckets. */
struct admission_table *admission_table_new(uint64_t seed, uint32_t idle_max);
void admission_table_free(struct admission_table *t); /* frees held entries, too; t may be NULL */
/* Returns the key's entry, made if need be, or NULL without memory. An entry that is not held is valid until the next
 * get, release or sweep. */
struct admission_entry *admission_table_get(struct admission_table *t, const void *key, size_t key_len,
					    uint64_t now_us);
/* returns NULL if there is none */
struct admission_entry *admission_table_find(const struct admission_table *t, const void *key, size_t key_len);
/* drops a bounded number of entries that equal new ones */
void admission_table_sweep(struct admission_table *t, uint64_t now_us);

#define ADMISSION_ADDRESS_KEY_MAX 8
/* Writes the part of an IPv4 or IPv6 address that counts, and returns its length. Of an IPv6 address the first 64 bits
 * count, because each customer has at least a /64. */
size_t admission_address_key(const struct sockaddr *peer, uint8_t key[static ADMISSION_ADDRESS_KEY_MAX]);

void admission_entry_hold(struct admission_table *t, struct admission_entry *e);
void admission_entry_release(struct admission_table *t, struct admission_entry *e, uint64_t now_us);

/* Returns true if a login may proceed. rate: logins per second, all of which may come at once after a second without a
 * login; 0 for no limit. */
bool admission_entry_has_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);
void admission_entry_take_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);

/* Counts a failure. Returns the delay of its answer: base_us for the first failure, and twice as much for each further
 * one. */
uint64_t admission_entry_failed(struct admission_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us);
void admission_entry_forgive(struct admission_entry *e, uint32_t failures); /* forgives at most this many failures */
