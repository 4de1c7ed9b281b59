/*
 * src/admission/admission_table.h - what is remembered of those who come to the door, by one kind of key (an address, a
 * user's name, a database's): how many connections are there, how fast they come, how often they failed. Pure: no I/O,
 * no clock.
 *
 * Owns:   its entries. One that is held (connections count in it) stays where it is until it is released.
 * Bounds: at most idle_max entries that nobody holds: the one not seen for longest makes room, so that a flood of keys
 *         costs nobody who is here his count. Those held are as many as there are connections, at most.
 * Always: an entry that has nothing to tell any more (no connection, full credit, no failure) is dropped in time.
 */
#ifndef PGWEIR_ADMISSION_ADMISSION_TABLE_H
#define PGWEIR_ADMISSION_ADMISSION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define DOOR_KEY_MAX 64 /* bytes; longer keys are cut */
#define DOOR_IDLE_MAX 65536
#define DOOR_FADE_US UINT64_C(60000000) /* failures are forgotten so long after the last was answered */

struct door_table; /* opaque: admission/admission_table.c */

struct door_entry {
	TAILQ_ENTRY(door_entry) idle; /* while held is 0 */
	uint64_t credit_ns; /* of a second: a login at rate r costs a second / r */
	uint64_t credit_us; /* when that was true */
	uint64_t failure_ends_us; /* 0, or when its failures are forgotten */
	uint32_t failures;
	uint32_t held; /* connections that count here */
	uint32_t waiting; /* failed logins of it whose answer is held back */
	uint8_t key[DOOR_KEY_MAX];
};

/* seed: random, so that peers can't choose their buckets. NULL: no memory. */
struct door_table *door_table_new(uint64_t seed, uint32_t idle_max);
void door_table_free(struct door_table *t); /* also of entries that are held; NULL is fine */
/* Made where there is none; NULL: no memory. Valid until the next get, release or sweep unless it is held. */
struct door_entry *door_table_get(struct door_table *t, const void *key, size_t key_len, uint64_t now_us);
struct door_entry *door_table_find(const struct door_table *t, const void *key, size_t key_len); /* NULL: none */
void door_table_sweep(struct door_table *t, uint64_t now_us); /* drops a bounded number of what has nothing to tell */
uint32_t door_table_count(const struct door_table *t);

void door_entry_hold(struct door_table *t, struct door_entry *e);
void door_entry_release(struct door_table *t, struct door_entry *e, uint64_t now_us);

/* rate: logins per second, and that many at once after a second of none; 0: no limit. has looks, take pays. */
bool door_entry_has_credit(struct door_entry *e, uint32_t rate, uint64_t now_us);
void door_entry_take_credit(struct door_entry *e, uint32_t rate, uint64_t now_us);

/* One more failed: how long its answer is to wait, base_us for the first, twice as long for each further one. */
uint64_t door_entry_failed(struct door_entry *e, uint64_t base_us, uint64_t max_us, uint64_t now_us);
void door_entry_forgive(struct door_entry *e, uint32_t failures); /* so many of them, or all there are */

#endif
