/*
 * tests/unit/test_policy_sim.c - 40,000 random schedules for the pool policy: see policy_sim.h. A failure names its
 * seed; PGWEIR_SIM_SEED=<seed> plays that one again, with every event on stderr. POLICY_SCHEDULES: other than 40,000.
 */
#include "policy_sim.h"
#include "unit.h"

#define SCHEDULES "40000"

Test(pool_sim, all_that_pool_h_promises_holds_at_every_step)
{
	struct sim *s = calloc(1, sizeof(*s));
	const char *seed = getenv("PGWEIR_SIM_SEED"), *schedules = getenv("POLICY_SCHEDULES");
	uint64_t count = strtoull(schedules != NULL ? schedules : SCHEDULES, NULL, 10);

	cr_assert_not_null(s);
	if (seed != NULL) {
		cr_assert(sim_play(s, strtoull(seed, NULL, 10), true), "%s", s->report);
	} else {
		for (uint64_t i = 1; i <= count; i++)
			cr_assert(sim_play(s, i, false), "%s", s->report);
	}
	free(s);
}
