/*
 * src/admission/admission_table.h - what is remembered of those who connect, by one kind of key (an address, a
 * user's name, a database's): how many connections are there, how fast they come, how often they failed. Pure: no I/O,
 * no clock.
 *
 * Owns:   its entries. One that is held (connections count in it) stays where it is until it is released.
 * Bounds: at most idle_max entries that nobody holds: the one not seen for longest makes room, so that a flood of keys
 *         costs nobody who is here his count. Those held are as many as there are connections, at most.
 * Always: an entry that has nothing to tell any more (no connection, all tokens, no failure) is dropped in time.
 */
#ifndef PGWEIR_ADMISSION_ADMISSION_TABLE_H
#define PGWEIR_ADMISSION_ADMISSION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define ADMISSION_KEY_MAX 64 /* bytes; longer keys are cut */
#define ADMISSION_IDLE_MAX 65536
#define ADMISSION_FADE_US UINT64_C(60000000) /* failures are forgotten so long after the last was answered */

struct admission_table; /* opaque: admission/admission_table.c */

struct admission_entry {
	TAILQ_ENTRY(admission_entry) idle; /* while held is 0 */
	uint64_t token_ns; /* at most a second: a login at rate r takes a second / r of it */
	uint64_t token_us; /* when that was true */
	uint64_t failure_ends_us; /* 0, or when its failures are forgotten */
	uint32_t failures;
	uint32_t held; /* connections that count here */
	uint32_t waiting; /* failed logins of it whose answer is held back */
	uint8_t key_len;
	uint8_t key[ADMISSION_KEY_MAX];
};

/* seed: random, so that peers can't choose their buckets. NULL: no memory. */
struct admission_table *admission_table_new(uint64_t seed, uint32_t idle_max);
void admission_table_free(struct admission_table *t); /* also of entries that are held; NULL is fine */
/* Made where there is none; NULL: no memory. Valid until the next get, release or sweep unless it is held. */
struct admission_entry *admission_table_get(struct admission_table *t, const void *key, size_t key_len,
					    uint64_t now_us);
struct admission_entry *admission_table_find(const struct admission_table *t, const void *key,
					     size_t key_len); /* NULL: none */
void admission_table_sweep(struct admission_table *t,
			   uint64_t now_us); /* drops a bounded number of what has nothing to tell */
uint32_t admission_table_count(const struct admission_table *t);

void admission_entry_hold(struct admission_table *t, struct admission_entry *e);
void admission_entry_release(struct admission_table *t, struct admission_entry *e, uint64_t now_us);

/* rate: logins per second, and that many at once after a second of none; 0: no limit. has looks, take pays. */
bool admission_entry_has_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);
void admission_entry_take_token(struct admission_entry *e, uint32_t rate, uint64_t now_us);

/* One more failed: how long its answer is to wait, base_us for the first, twice as long for each further one. */
uint64_t admission_entry_failed(struct admission_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us);
void admission_entry_forgive(struct admission_entry *e, uint32_t failures); /* so many of them, or all there are */

#endif
