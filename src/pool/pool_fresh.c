/* src/pool/pool_fresh.c - see pool_homes.h. The images are copies that are in no store, so any thread may copy them. */
#include "pool/pool_homes.h"

#include "base/alloc.h"
#include "base/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct pool_fresh {
	pthread_mutex_t lock; /* guards the two images */
	struct image *baseline, *welcome;
	_Atomic uint64_t since_us; /* 0: nobody has told anything */
	uint32_t uses; /* under the lock of all */
	UT_hash_handle hh;
	char key[];
};

struct pool_fresh_all {
	pthread_mutex_t lock;
	uint64_t seed;
	struct pool_fresh *table;
};

struct pool_fresh_all *
pool_fresh_all_new(uint64_t seed)
{
	struct pool_fresh_all *all = xcalloc(1, sizeof(*all));

	pthread_mutex_init(&all->lock, NULL);
	all->seed = seed;
	return all;
}

void
pool_fresh_all_free(struct pool_fresh_all *all)
{
	if (all == NULL)
		return;
	pthread_mutex_destroy(&all->lock);
	free(all);
}

struct pool_fresh *
pool_fresh_get(struct pool_fresh_all *all, const void *key, size_t len)
{
	struct pool_fresh *f;

	pthread_mutex_lock(&all->lock);
	TABLE_FIND(all->seed, all->table, key, len, f);
	if (f == NULL && (f = calloc(1, sizeof(*f) + len)) != NULL) {
		memcpy(f->key, key, len);
		pthread_mutex_init(&f->lock, NULL);
		if (!TABLE_ADD(all->seed, all->table, f->key, len, f)) {
			pthread_mutex_destroy(&f->lock);
			free(f);
			f = NULL;
		}
	}
	if (f != NULL)
		f->uses++;
	pthread_mutex_unlock(&all->lock);
	return f;
}

void
pool_fresh_put(struct pool_fresh_all *all, struct pool_fresh *f)
{
	bool is_last;

	if (f == NULL)
		return;
	pthread_mutex_lock(&all->lock);
	is_last = --f->uses == 0;
	if (is_last)
		HASH_DELETE(hh, all->table, f);
	pthread_mutex_unlock(&all->lock);
	if (!is_last)
		return;
	image_unref(f->baseline);
	image_unref(f->welcome);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* Copies both, or none. */
static bool
copy_both(const struct image *baseline, const struct image *welcome, struct image *out[2])
{
	out[0] = image_copy(baseline);
	out[1] = out[0] == NULL ? NULL : image_copy(welcome);
	if (out[1] != NULL)
		return true;
	image_unref(out[0]);
	return false;
}

void
pool_fresh_tell(struct pool_fresh *f, const struct image *baseline, const struct image *welcome, uint64_t since_us)
{
	struct image *copies[2], *old[2];

	if (!copy_both(baseline, welcome, copies))
		return;
	pthread_mutex_lock(&f->lock);
	old[0] = f->baseline;
	old[1] = f->welcome;
	f->baseline = copies[0];
	f->welcome = copies[1];
	f->since_us = since_us;
	pthread_mutex_unlock(&f->lock);
	image_unref(old[0]);
	image_unref(old[1]);
}

bool
pool_fresh_hear(struct pool_fresh *f, struct image_store *store, struct image **baseline, struct image **welcome,
		uint64_t *since_us)
{
	struct image *copies[2];
	bool has_copies;

	if (atomic_load_explicit(&f->since_us, memory_order_relaxed) <= *since_us)
		return false;
	pthread_mutex_lock(&f->lock);
	has_copies = copy_both(f->baseline, f->welcome, copies);
	*since_us = f->since_us;
	pthread_mutex_unlock(&f->lock);
	if (!has_copies)
		return false;
	*baseline = image_adopt(store, copies[0]);
	*welcome = image_adopt(store, copies[1]);
	if (*baseline != NULL && *welcome != NULL)
		return true;
	image_unref(*baseline);
	image_unref(*welcome);
	return false;
}
