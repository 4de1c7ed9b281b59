#include "pool/pool_database.h"

#include <stdio.h>
#include <stdlib.h>

struct backend_box {
	struct pool_backend b; /* must be first */
	UT_hash_handle hh;
};

struct pool_backend *
pool_backend_find(const struct pool_backends *all, const char *address)
{
	struct backend_box *box;

	TABLE_FIND(all->seed, all->table, address, strlen(address), box);
	return box == NULL ? NULL : &box->b;
}

struct pool_backend *
pool_backend_get(struct pool_backends *all, const char *address)
{
	struct backend_box *box;

	TABLE_FIND(all->seed, all->table, address, strlen(address), box);
	if (box != NULL)
		return &box->b;
	if (HASH_COUNT(all->table) >= BACKENDS_MAX || (box = calloc(1, sizeof(*box))) == NULL)
		return NULL;
	snprintf(box->b.name, sizeof(box->b.name), "%s", address);
	if (!TABLE_ADD(all->seed, all->table, box->b.name, strlen(box->b.name), box)) {
		free(box);
		return NULL;
	}
	box->b.counters.is_up = -1;
	box->b.next = all->first;
	all->first = &box->b;
	return &box->b;
}

void
pool_backends_fini(struct pool_backends *all)
{
	TABLE_FREE(all->table);
	all->first = NULL;
}
