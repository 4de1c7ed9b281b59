/*
 * tests/unit/test_policy_sim.c - 40,000 random schedules for the pool policy, and 5,000 for a pool on several workers:
 * see policy_sim.h. A failure names its seed; PGWEIR_SIM_SEED=<seed> plays that one again, with every event on stderr.
 * POLICY_SCHEDULES: other than 40,000.
 */
#include "policy_sim.h"
#include "unit.h"

#define SCHEDULES "40000"
#define SHARED_SCHEDULES 5000

/* Returns how often a connection was transferred. */
static uint64_t
play(uint64_t count, bool is_shared)
{
	struct sim *s = calloc(1, sizeof(*s));
	const char *seed = getenv("PGWEIR_SIM_SEED");
	uint64_t transfers = 0;

	cr_assert_not_null(s);
	if (seed != NULL) {
		cr_assert(sim_play(s, strtoull(seed, NULL, 10), is_shared, true), "%s", s->report);
		count = 0;
	}
	for (uint64_t i = 1; i <= count; i++) {
		cr_assert(sim_play(s, i, is_shared, false), "%s", s->report);
		transfers += s->transfers;
	}
	free(s);
	return transfers;
}

Test(pool_sim, all_that_pool_h_promises_holds_at_every_step)
{
	const char *schedules = getenv("POLICY_SCHEDULES");

	play(strtoull(schedules != NULL ? schedules : SCHEDULES, NULL, 10), false);
}

Test(policy_shared_sim, all_that_shards_promise_holds_at_every_step)
{
	uint64_t transfers = play(SHARED_SCHEDULES, true);

	cr_assert(getenv("PGWEIR_SIM_SEED") != NULL || transfers > SHARED_SCHEDULES, "the schedules reach too little");
}
