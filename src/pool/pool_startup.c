#include "pool/pool.h"

#include <stdlib.h>

struct startup_gucs {
	const struct gucs *key;
	struct gucs *raw, *resolved;
	UT_hash_handle hh; /* in order of use */
};

static struct startup_gucs *
startup_find(const struct pool_startups *all, const struct gucs *raw)
{
	struct startup_gucs *s;

	TABLE_FIND(all->seed, all->table, &raw, sizeof(void *), s);
	return s;
}

static void
startup_free(struct startup_gucs *s)
{
	gucs_unref(s->raw);
	gucs_unref(s->resolved);
	free(s);
}

static void
startup_drop(struct pool_startups *all, struct startup_gucs *s)
{
	HASH_DELETE(hh, all->table, s);
	startup_free(s);
}

struct gucs *
pool_startups_find(struct pool_startups *all, const struct gucs *raw)
{
	struct startup_gucs *s = startup_find(all, raw);

	if (s == NULL)
		return NULL;
	TABLE_MOVE_TO_END(all->table, s);
	return s->resolved;
}

int
pool_startups_learn(struct pool_startups *all, struct gucs *raw, struct gucs *resolved)
{
	struct startup_gucs *s = calloc(1, sizeof(*s)), *old = startup_find(all, raw);

	if (s == NULL)
		return -1;
	s->key = s->raw = gucs_ref(raw);
	s->resolved = gucs_ref(resolved);
	if (old != NULL)
		startup_drop(all, old);
	else if (HASH_COUNT(all->table) >= STARTUPS_MAX)
		startup_drop(all, all->table);
	if (TABLE_ADD(all->seed, all->table, &s->key, sizeof(void *), s))
		return 0;
	startup_free(s);
	return -1;
}

void
pool_startups_forget_all(struct pool_startups *all)
{
	while (all->table != NULL)
		startup_drop(all, all->table);
}
