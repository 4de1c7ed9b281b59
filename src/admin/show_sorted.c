/* src/admin/show_sorted.c - pools and databases in the order of their names. See show.h. */
#include "admin/show.h"
#include "client/clients.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static int
by_name(const void *a, const void *b)
{
	const struct pool *left = *(struct pool *const *)a, *right = *(struct pool *const *)b;
	int order = strcmp(left->database->name, right->database->name);

	return order != 0 ? order : strcmp(left->user, right->user);
}

static int
by_line(const void *a, const void *b)
{
	struct policy_counts left, right;

	policy_get_counts((*(struct pool *const *)a)->policy, &left);
	policy_get_counts((*(struct pool *const *)b)->policy, &right);
	if (left.waiting != right.waiting)
		return left.waiting > right.waiting ? -1 : 1;
	return by_name(a, b);
}

static struct pool **
pools_in_order(const struct show_env *env, int (*order)(const void *a, const void *b))
{
	struct pool *first = pool_set_first(env->clients->x.pools), **sorted;
	size_t count = 0;

	for (const struct pool *e = first; e != NULL; e = e->next)
		count++;
	sorted = xcalloc(count + 1, sizeof(*sorted));
	count = 0;
	for (struct pool *e = first; e != NULL; e = e->next)
		sorted[count++] = e;
	qsort(sorted, count, sizeof(*sorted), order);
	return sorted;
}

struct pool **
show_sorted_pools(const struct show_env *env)
{
	return pools_in_order(env, by_name);
}

struct pool **
show_sorted_pools_by_line(const struct show_env *env)
{
	return pools_in_order(env, by_line);
}

static int
by_database(const void *a, const void *b)
{
	return strcmp((*(struct pool_database *const *)a)->name, (*(struct pool_database *const *)b)->name);
}

struct pool_database **
show_sorted_databases(const struct show_env *env)
{
	struct pool_database *first = pool_set_databases(env->clients->x.pools), **sorted;
	size_t count = 0;

	for (const struct pool_database *d = first; d != NULL; d = d->next)
		count++;
	sorted = xcalloc(count + 1, sizeof(*sorted));
	count = 0;
	for (struct pool_database *d = first; d != NULL; d = d->next)
		sorted[count++] = d;
	qsort(sorted, count, sizeof(*sorted), by_database);
	return sorted;
}
