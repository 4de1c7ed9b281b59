/* src/pool/pool_startup.c - see pool_startup.h. */
#include "pool/pool_startup.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits_withSeed((key), (len), all->seed))
#include "base/alloc.h"
#define uthash_fatal(msg) abort()
#include <uthash.h>

struct startup_image {
	const struct image *key;
	struct image *raw, *resolved;
	UT_hash_handle hh; /* in order of use: the first is the least recently used */
};

static struct startup_image *
startup_find(const struct pool_startups *all, const struct image *raw)
{
	struct startup_image *s;

	HASH_FIND_PTR(all->table, &raw, s);
	return s;
}

static void
put_last(struct pool_startups *all, struct startup_image *s)
{
	HASH_ADD_PTR(all->table, key, s);
}

static void
startup_drop(struct pool_startups *all, struct startup_image *s)
{
	HASH_DELETE(hh, all->table, s);
	image_unref(s->raw);
	image_unref(s->resolved);
	free(s);
}

struct image *
pool_startup_find(struct pool_startups *all, const struct image *raw)
{
	struct startup_image *s = startup_find(all, raw);

	if (s == NULL)
		return NULL;
	if (s->hh.next != NULL) {
		HASH_DELETE(hh, all->table, s);
		put_last(all, s);
	}
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
	put_last(all, s);
	return 0;
}

void
pool_startup_forget_all(struct pool_startups *all)
{
	while (all->table != NULL)
		startup_drop(all, all->table);
}
