#include "pool/pool.h"

#include <stdlib.h>

struct startup_image {
	const struct image *key;
	struct image *raw, *resolved;
	UT_hash_handle hh; /* in order of use */
};

static struct startup_image *
startup_find(const struct pool_startups *all, const struct image *raw)
{
	struct startup_image *s;

	TABLE_FIND(all->seed, all->table, &raw, sizeof(void *), s);
	return s;
}

static void
startup_free(struct startup_image *s)
{
	image_unref(s->raw);
	image_unref(s->resolved);
	free(s);
}

static void
startup_drop(struct pool_startups *all, struct startup_image *s)
{
	HASH_DELETE(hh, all->table, s);
	startup_free(s);
}

struct image *
pool_startup_find(struct pool_startups *all, const struct image *raw)
{
	struct startup_image *s = startup_find(all, raw);

	if (s == NULL)
		return NULL;
	TABLE_USE(all->table, s);
	return s->resolved;
}

int
pool_startup_learn(struct pool_startups *all, struct image *raw, struct image *resolved)
{
	struct startup_image *s = calloc(1, sizeof(*s)), *old = startup_find(all, raw);

	if (s == NULL)
		return -1;
	s->key = s->raw = image_ref(raw);
	s->resolved = image_ref(resolved);
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
pool_startup_forget_all(struct pool_startups *all)
{
	while (all->table != NULL)
		startup_drop(all, all->table);
}
