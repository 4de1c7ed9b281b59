#include "pool/pool_database.h"

#include <stdio.h>
#include <stdlib.h>

struct pool_backend *
pool_backend_find(const struct pool_backends *all, const char *address)
{
	struct pool_backend *b;

	TABLE_FIND(all->seed, all->table, address, strlen(address), b);
	return b;
}

struct pool_backend *
pool_backend_get_or_create(struct pool_backends *all, const char *address)
{
	struct pool_backend *b = pool_backend_find(all, address);

	if (b != NULL)
		return b;
	if (HASH_COUNT(all->table) >= BACKENDS_MAX || (b = calloc(1, sizeof(*b))) == NULL)
		return NULL;
	snprintf(b->name, sizeof(b->name), "%s", address);
	if (!TABLE_ADD(all->seed, all->table, b->name, strlen(b->name), b)) {
		free(b);
		return NULL;
	}
	b->counters.up_state = -1;
	b->next = all->first;
	return all->first = b;
}

void
pool_backends_fini(struct pool_backends *all)
{
	TABLE_FREE(all->table);
	all->first = NULL;
}
