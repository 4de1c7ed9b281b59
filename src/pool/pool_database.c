#include "pool/pool_database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATABASE_KEY_MAX (1 + CONFIG_DATABASE_MAX + 1)

struct database_box {
	struct pool_database d; /* must be first */
	UT_hash_handle hh;
	char key[DATABASE_KEY_MAX]; /* 't' or 'd', then the name */
};

static void
database_put_key(char key[static DATABASE_KEY_MAX], bool is_of_tenant, const char *name)
{
	snprintf(key, DATABASE_KEY_MAX, "%c%s", is_of_tenant ? 't' : 'd', name);
}

static struct database_box *
database_find(const struct pool_databases *all, bool is_of_tenant, const char *name)
{
	struct database_box *box;
	char key[DATABASE_KEY_MAX];

	database_put_key(key, is_of_tenant, name);
	TABLE_FIND(all->seed, all->table, key, strlen(key), box);
	return box;
}

struct pool_database *
pool_database_find(const struct pool_databases *all, const char *name)
{
	struct database_box *box = database_find(all, false, name);

	if (box == NULL)
		box = database_find(all, true, name);
	return box == NULL ? NULL : &box->d;
}

struct pool_database *
pool_database_get(struct pool_databases *all, const struct config *config, const char *name)
{
	bool is_of_tenant = config_tenant_len(config, name) > 0;
	struct database_box *box = database_find(all, is_of_tenant, name);
	struct pool_database *d;

	if (box != NULL)
		return &box->d;
	box = calloc(1, sizeof(*box));
	if (box == NULL)
		return NULL;
	d = &box->d;
	database_put_key(box->key, is_of_tenant, name);
	if (!TABLE_ADD(all->seed, all->table, box->key, strlen(box->key), box)) {
		free(box);
		return NULL;
	}
	d->is_of_tenant = is_of_tenant;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->next = all->first;
	if (d->next != NULL)
		d->next->before = d;
	return all->first = d;
}

static void
free_one(struct pool_databases *all, struct pool_database *d)
{
	struct database_box *box = (struct database_box *)d;

	*(d->before != NULL ? &d->before->next : &all->first) = d->next;
	if (d->next != NULL)
		d->next->before = d->before;
	HASH_DELETE(hh, all->table, box);
	code_store_put(all->codes, d->code);
	free(d->exemplars);
	free(box);
}

void
pool_database_forget(struct pool_databases *all, const struct config *config, struct pool_database *d)
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
