/* src/pool/pool_database.c - see pool_database.h. */
#include "pool/pool_database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	struct pool_database *d;

	for (d = all->first; d != NULL; d = d->next)
		if (d->is_of_tenant == is_of_tenant && strcmp(d->name, name) == 0)
			return d;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->is_of_tenant = is_of_tenant;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->born = ++all->last_born;
	join_siblings(all, d);
	d->next = all->first;
	all->first = d;
	return d;
}

static void
free_one(struct pool_databases *all, struct pool_database *d)
{
	struct pool_database **at = &all->first, *before = d;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	while (before->sibling != d)
		before = before->sibling;
	before->sibling = d->sibling;
	free(d);
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
	while (all->first != NULL) {
		struct pool_database *d = all->first;

		all->first = d->next;
		free(d);
	}
}

uint32_t
pool_database_clients(const struct pool_database *d)
{
	uint32_t clients = d->clients;

	for (const struct pool_database *other = d->sibling; other != d; other = other->sibling)
		clients += other->clients;
	return clients;
}
