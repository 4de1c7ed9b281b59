/* tests/unit/test_due.c - what is due first. Links base/due.c. */
#include "base/table.h"
#include "unit.h"

#define ITEMS 200u

static uint64_t
next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 40;
}

Test(due, the_first_is_the_one_that_a_walk_finds)
{
	struct due_heap h = { 0 };
	struct due items[ITEMS] = { 0 };
	uint64_t random = 1;

	cr_assert_null(due_first(&h));
	cr_assert(due_reserve(&h, ITEMS));
	for (unsigned step = 0; step < 20000; step++) {
		struct due *d = &items[next(&random) % ITEMS], *least = NULL;
		uint64_t least_us = UINT64_MAX;

		if (next(&random) % 3 == 0)
			due_remove(&h, d);
		else
			due_set(&h, d, next(&random) % 1000);
		for (unsigned i = 0; i < ITEMS; i++)
			if (items[i].place != 0 && items[i].at_us < least_us) {
				least = &items[i];
				least_us = items[i].at_us;
			}
		cr_assert_eq(due_first(&h) == NULL, least == NULL);
		cr_assert(least == NULL || due_first(&h)->at_us == least_us, "step %u", step);
	}
	due_heap_fini(&h);
}
