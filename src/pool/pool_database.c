#include "pool/pool_database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pool_database *
find(const struct pool_databases *all, bool is_of_tenant, const char *name)
{
	char key[sizeof(((struct pool_database *)0)->key)];
	struct pool_database *d;

	snprintf(key, sizeof(key), "%c%s", is_of_tenant ? 't' : 'd', name);
	TABLE_FIND(all->seed, all->table, key, strlen(key), d);
	return d;
}

struct pool_database *
pool_database_find(const struct pool_databases *all, const char *name)
{
	struct pool_database *d = find(all, false, name);

	return d != NULL ? d : find(all, true, name);
}

struct pool_database *
pool_database_get_or_create(struct pool_databases *all, const struct config *config, const char *name)
{
	bool is_of_tenant = config_tenant_len(config, name) > 0;
	struct pool_database *d = find(all, is_of_tenant, name);

	if (d != NULL || (d = calloc(1, sizeof(*d))) == NULL)
		return d;
	snprintf(d->key, sizeof(d->key), "%c%s", is_of_tenant ? 't' : 'd', name);
	if (!TABLE_ADD(all->seed, all->table, d->key, strlen(d->key), d)) {
		free(d);
		return NULL;
	}
	d->is_of_tenant = is_of_tenant;
	d->next = all->first;
	if (d->next != NULL)
		d->next->prev_database = d;
	return all->first = d;
}

static void
free_one(struct pool_databases *all, struct pool_database *d)
{
	*(d->prev_database != NULL ? &d->prev_database->next : &all->first) = d->next;
	if (d->next != NULL)
		d->next->prev_database = d->prev_database;
	HASH_DELETE(hh, all->table, d);
	code_store_unref(all->codes, d->code);
	free(d->exemplars);
	free(d);
}

void
pool_database_forget_if_unneeded(struct pool_databases *all, const struct config *config, struct pool_database *d)
{
	const struct config_scope *scope = config_find_database(config, d->name);

	if (!d->is_paused && !d->is_disabled && (scope == NULL || d->is_of_tenant || strcmp(scope->name, d->name) != 0))
		free_one(all, d);
}

void
pool_databases_fini(struct pool_databases *all)
{
	while (all->first != NULL)
		free_one(all, all->first);
}
