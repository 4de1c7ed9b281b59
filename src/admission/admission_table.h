/*
 * src/admission/admission_table.h - a table of addresses, of users or of databases, which counts the connections, the
 * rate of logins and the failed logins of each. Each entry's key is an address, a user or a database. Does no I/O; the
 * time is an argument.
 *
 * Owns:   its entries. An entry is held while connections count in it, and is then neither moved nor freed.
 * Bounds: at most idle_max entries are not held; a further one replaces the least recently used of them. So a flood of
 *         keys can't reset the counts of connected clients. There are no more held entries than connections.
 * Always: an entry that is not held, and has the values of a new entry, is dropped sooner or later.
 */
#pragma once

#include "base/table.h"

#include <sys/queue.h>
#include <sys/socket.h>

#define ADMISSION_KEY_MAX 64 /* bytes; longer keys are cut */
#define ADMISSION_IDLE_MAX 65536
#define ADMISSION_FADE_US UINT64_C(60000000) /* failures are forgotten this long after the answer to the last one */

struct admission_table; /* opaque: admission/admission_table.c */

struct admission_entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(admission_entry) idle; /* in the table's idle list; valid while held is 0 */
	/* A token bucket of time, for up to one second. At a limit of r logins per second, each login takes 1/r s. */
	uint64_t credit_ns;
	uint64_t refilled_us; /* when credit_ns was last refilled */
	uint64_t failures_forgotten_us; /* when the failures are forgotten; 0 if there are none */
	uint32_t failures; /* failed logins that are not forgotten yet */
	uint32_t held; /* how many connections count in this entry */
	uint32_t waiting; /* failed logins whose answers are delayed */
	uint8_t key_len;
	uint8_t key[ADMISSION_KEY_MAX];
};

/* seed must be random, so that clients can't choose keys with the same hash. */
struct admission_table *admission_table_new(uint64_t seed, uint32_t idle_max);
void admission_table_free(struct admission_table *t); /* frees held entries, too; t may be NULL */
/* Returns the entry of this key; makes one if there is none. Returns NULL if there is no memory. An entry that is not
 * held lives until the next call of this function, admission_table_sweep() or admission_entry_release(). */
struct admission_entry *admission_table_find_or_add(struct admission_table *t, const void *key, size_t key_len,
						    uint64_t now_us);
/* Returns the entry of this key, or NULL if there is none. */
struct admission_entry *admission_table_find(const struct admission_table *t, const void *key, size_t key_len);
/* Drops a limited number of entries that are not held and equal new entries. */
void admission_table_sweep(struct admission_table *t, uint64_t now_us);

#define ADMISSION_ADDRESS_KEY_MAX 8
/* Writes the key of an address, and returns the key's length. The key is the IPv4 address, or the first 64 bits of the
 * IPv6 address, because each customer of a provider has at least a /64. */
size_t admission_address_key(const struct sockaddr *peer, uint8_t key[static ADMISSION_ADDRESS_KEY_MAX]);

/* Counts a connection in an entry. */
void admission_entry_hold(struct admission_table *t, struct admission_entry *e);
void admission_entry_release(struct admission_table *t, struct admission_entry *e,
			     uint64_t now_us); /* undoes admission_entry_hold() */

/* Returns true if the rate allows a login now. `rate` is in logins per second; 0 means no limit. After a second without
 * logins, `rate` logins may come at once. */
bool admission_entry_has_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);
/* counts a login at this rate */
void admission_entry_take_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);

/* Counts a failed login. Returns for how many microseconds to delay the answer: base_us for the first failure, doubled
 * for each further failure, and at most max_us. */
uint64_t admission_entry_count_failure(struct admission_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us);
void admission_entry_forgive(struct admission_entry *e, uint32_t failures); /* forgets at most this many failures */
