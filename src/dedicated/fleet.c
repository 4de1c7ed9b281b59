/* src/dedicated/fleet.c - the budgets of this process: which there are, and what is known of each. See fleet.h. */
#include "dedicated/fleet.h"

#include "base/alloc.h"

#include <stdlib.h>

struct fleet {
	struct pool_set *pools;
};

struct fleet *
fleet_new(struct pool_set *pools, struct policy_commons *commons, void (*wake)(void *owner), void *owner)
{
	struct fleet *f = xcalloc(1, sizeof(*f));

	(void)commons;
	(void)wake;
	(void)owner;
	f->pools = pools;
	return f;
}

void
fleet_free(struct fleet *f)
{
	free(f);
}

void
fleet_configure(struct fleet *f, struct config *config, struct users *users, struct tls_store *tls, uint64_t now_us)
{
	(void)f;
	(void)config;
	(void)users;
	(void)tls;
	(void)now_us;
}

void
fleet_hear(struct fleet *f, uint64_t now_us)
{
	(void)f;
	(void)now_us;
}

void
fleet_tick(struct fleet *f, uint64_t now_us)
{
	(void)f;
	(void)now_us;
}

void
fleet_each(const struct fleet *f, void (*row)(const struct fleet_budget *b, void *arg), void *arg)
{
	(void)f;
	(void)row;
	(void)arg;
}
