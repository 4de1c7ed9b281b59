/*
 * tests/unit/test_policy_shared_sim.c - 5,000 random schedules for a pool on several workers: see policy_shared_sim.h.
 * A failure names its seed; PGWEIR_SIM_SEED=<seed> plays that one again, with every event on stderr.
 */
#include "policy_shared_sim.h"
#include "unit.h"

#define SCHEDULES 5000

Test(policy_shared_sim, all_that_shards_promise_holds_at_every_step)
{
	struct wsim *s = calloc(1, sizeof(*s));
	const char *seed = getenv("PGWEIR_SIM_SEED");
	uint64_t transfers = 0;

	cr_assert_not_null(s);
	if (seed != NULL) {
		cr_assert(wsim_play(s, strtoull(seed, NULL, 10), true), "%s", s->report);
	} else {
		for (uint64_t i = 1; i <= SCHEDULES; i++) {
			cr_assert(wsim_play(s, i, false), "%s", s->report);
			transfers += s->transfers;
		}
		cr_assert_gt(transfers, SCHEDULES, "the schedules reach too little");
	}
	free(s);
}
