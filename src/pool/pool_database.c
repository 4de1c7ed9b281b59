/* src/pool/pool_database.c - see pool_database.h. */
#include "pool/pool_database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits_withSeed((key), (len), all->seed))
#define uthash_fatal(msg) abort()
#include <uthash.h>

struct database_box {
	struct pool_database d; /* first */
	UT_hash_handle hh;
	char key[1 + CONFIG_DATABASE_MAX + 1]; /* 't' or 'd', then its name */
};

/* Into the ring of its tenant's. */
static void
join_siblings(struct pool_databases *all, struct pool_database *d)
{
	size_t len = strcspn(d->name, "/") + 1;
	struct pool_database *other = d->is_of_tenant ? all->first : NULL;

	while (other != NULL && !(other->is_of_tenant && strncmp(other->name, d->name, len) == 0))
		other = other->next;
	d->sibling = d;
	if (other != NULL) {
		d->sibling = other->sibling;
		other->sibling = d;
	}
}

struct pool_database *
pool_database_get(struct pool_databases *all, const struct config *config, const char *name)
{
	bool is_of_tenant = config_tenant_len(config, name) > 0;
	struct database_box *box;
	char key[sizeof(box->key)];
	struct pool_database *d;

	snprintf(key, sizeof(key), "%c%s", is_of_tenant ? 't' : 'd', name);
	HASH_FIND_STR(all->table, key, box);
	if (box != NULL)
		return &box->d;
	box = calloc(1, sizeof(*box));
	if (box == NULL)
		return NULL;
	memcpy(box->key, key, sizeof(key));
	HASH_ADD_STR(all->table, key, box);
	d = &box->d;
	d->is_of_tenant = is_of_tenant;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->born = ++all->last_born;
	join_siblings(all, d);
	d->next = all->first;
	if (d->next != NULL)
		d->next->before = d;
	all->first = d;
	return d;
}

static void
free_one(struct pool_databases *all, struct pool_database *d)
{
	struct database_box *box = (struct database_box *)d;
	struct pool_database *before = d;

	*(d->before != NULL ? &d->before->next : &all->first) = d->next;
	if (d->next != NULL)
		d->next->before = d->before;
	while (before->sibling != d)
		before = before->sibling;
	before->sibling = d->sibling;
	HASH_DELETE(hh, all->table, box);
	database_code_fini(&d->code);
	free(box);
}

void
pool_database_forget(struct pool_databases *all, const struct config *config, struct pool_database *d)
{
	const struct config_scope *scope = config_find_database(config, d->name);

	if (!d->is_paused && (scope == NULL || d->is_of_tenant || strcmp(scope->name, d->name) != 0))
		free_one(all, d);
}

void
pool_databases_fini(struct pool_databases *all)
{
	while (all->first != NULL)
		free_one(all, all->first);
}

uint32_t
pool_database_clients(const struct pool_database *d)
{
	uint32_t clients = d->clients;

	for (const struct pool_database *other = d->sibling; other != d; other = other->sibling)
		clients += other->clients;
	return clients;
}
