/* src/admin/show_sorted.c - pools by name or by the length of their queues, and sums of databases. See show.h. */
#include "admin/show.h"

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
by_queue(const void *a, const void *b)
{
	struct policy_counts left, right;

	policy_get_counts((*(struct pool *const *)a)->policy, &left);
	policy_get_counts((*(struct pool *const *)b)->policy, &right);
	if (left.waiting != right.waiting)
		return left.waiting > right.waiting ? -1 : 1;
	return by_name(a, b);
}

struct pool **
show_sorted_pools(const struct show_env *env, struct rows *rows, bool is_by_queue)
{
	struct pool **sorted;
	size_t count = 0;

	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool))
		count++;
	sorted = rows_alloc_scratch(rows, count + 1, sizeof(struct pool *));
	if (sorted == NULL)
		return NULL;
	count = 0;
	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool))
		if (pool->main == NULL)
			sorted[count++] = pool;
	qsort(sorted, count, sizeof(struct pool *), is_by_queue ? by_queue : by_name);
	return sorted;
}

struct database_sum *
show_database_sums(const struct show_env *env, struct rows *rows)
{
	struct database_sum *sums = database_sums(env->host->client_envs);

	rows->out->is_broken |= sums == NULL;
	return sums;
}
