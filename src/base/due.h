/*
 * src/base/due.h - what is due first: a binary heap, so that whoever has many things to do at given times touches only
 * those that are due.
 *
 * Owns: the list of items, not these.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due {
	uint64_t at_us;
	size_t place; /* in the heap, from 1; 0: it is not there */
};

/* Zeroed, it is empty. */
struct due_heap {
	struct due **items;
	size_t count, cap;
};

bool due_reserve(struct due_heap *h, size_t count); /* for so many items; false: no memory */
void due_free(struct due_heap *h); /* the list alone */
/* d: due at that time from now on, whether or not it was there. There is room for it. */
void due_set(struct due_heap *h, struct due *d, uint64_t at_us);
void due_remove(struct due_heap *h, struct due *d); /* fine if it is not there */
static inline struct due *
due_first(const struct due_heap *h)
{
	return h->count == 0 ? NULL : h->items[0];
}
