#include "base/table.h"

#include <assert.h>

#define CAP_MIN 16u

bool
due_reserve(struct due_heap *h, size_t count)
{
	size_t cap = h->cap < CAP_MIN ? CAP_MIN : h->cap;
	struct due **items;

	while (cap < count)
		cap *= 2;
	if (cap == h->cap)
		return true;
	items = realloc(h->items, cap * sizeof(struct due *));
	if (items == NULL)
		return false;
	h->items = items;
	h->cap = cap;
	return true;
}

void
due_heap_fini(struct due_heap *h)
{
	free(h->items);
	*h = (struct due_heap){ 0 };
}

static void
put(struct due_heap *h, size_t i, struct due *d)
{
	h->items[i] = d;
	d->place = i + 1;
}

/* Moves d to its place after its time has changed, or after d was put at the end or in a removed element's place. */
static void
sift(struct due_heap *h, struct due *d)
{
	size_t i = d->place - 1, child;

	for (; i > 0 && h->items[(i - 1) / 2]->at_us > d->at_us; i = (i - 1) / 2)
		put(h, i, h->items[(i - 1) / 2]);
	while ((child = 2 * i + 1) < h->count) { /* this loop ends at once if d has moved up */
		if (child + 1 < h->count && h->items[child + 1]->at_us < h->items[child]->at_us)
			child++;
		if (h->items[child]->at_us >= d->at_us)
			break;
		put(h, i, h->items[child]);
		i = child;
	}
	put(h, i, d);
}

void
due_set(struct due_heap *h, struct due *d, uint64_t at_us)
{
	d->at_us = at_us;
	if (d->place == 0) {
		assert(h->count < h->cap);
		put(h, h->count++, d);
	}
	assert(h->items[d->place - 1] == d);
	sift(h, d);
}

void
due_remove(struct due_heap *h, struct due *d)
{
	size_t i = d->place - 1;
	struct due *last;

	if (d->place == 0)
		return;
	assert(h->count > i && h->items[i] == d);
	d->place = 0;
	last = h->items[--h->count];
	if (last == d)
		return;
	put(h, i, last);
	sift(h, last);
}
