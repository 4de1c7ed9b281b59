#include "base/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

unsigned
table_hash(uint64_t seed, const void *key, size_t len)
{
	return (unsigned)XXH3_64bits_withSeed(key, len, seed);
}

void *
table_move_to_end(void *first, UT_hash_handle *item)
{
	UT_hash_table *t = item->tbl;

	if (item->next == NULL)
		return first;
	HH_FROM_ELMT(t, item->next)->prev = item->prev;
	if (item->prev != NULL)
		HH_FROM_ELMT(t, item->prev)->next = item->next;
	else
		first = item->next;
	item->prev = ELMT_FROM_HH(t, t->tail);
	item->next = NULL;
	t->tail->next = ELMT_FROM_HH(t, item);
	t->tail = item;
	return first;
}
