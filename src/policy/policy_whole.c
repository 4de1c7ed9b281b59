/* src/policy/policy_whole.c - see policy_whole.h. */
#include "policy/policy_whole.h"

#include "base/table.h"

#include <string.h>

struct policy_whole {
	struct policy_commons *commons;
	uint32_t uses; /* under the lock of the names */
	size_t key_len;
	UT_hash_handle hh;
	char key[];
};

static struct policy_whole *
new_whole(struct policy_commons *all, const void *key, size_t len)
{
	struct policy_whole *w = calloc(1, sizeof(*w) + len);

	if (w == NULL)
		return NULL;
	memcpy(w->key, key, len);
	w->commons = all;
	w->key_len = len;
	if (!TABLE_ADD(all->seed, all->wholes, w->key, len, w)) {
		free(w);
		return NULL;
	}
	return w;
}

struct policy_whole *
policy_whole_get(struct policy_commons *all, const void *key, size_t len)
{
	struct policy_whole *w;

	pthread_mutex_lock(&all->names_lock);
	TABLE_FIND(all->seed, all->wholes, key, len, w);
	if (w == NULL)
		w = new_whole(all, key, len);
	if (w != NULL)
		w->uses++;
	pthread_mutex_unlock(&all->names_lock);
	return w;
}

void
policy_whole_put(struct policy_commons *all, struct policy_whole *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&all->names_lock);
	if (--w->uses == 0) {
		HASH_DELETE(hh, all->wholes, w);
		free(w);
	}
	pthread_mutex_unlock(&all->names_lock);
}

const void *
policy_whole_key(const struct policy_whole *w, size_t *len)
{
	*len = w->key_len;
	return w->key;
}

void
policy_whole_lost(struct policy_conn *conn, struct policy_room *r, uint64_t now_us)
{
	(void)conn, (void)r, (void)now_us;
}
