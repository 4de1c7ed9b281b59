/* src/admin/show_sorted.c - pools and databases in the order of their names. See show.h. */
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
by_line(const void *a, const void *b)
{
	struct policy_counts left, right;

	policy_get_counts((*(struct pool *const *)a)->policy, &left);
	policy_get_counts((*(struct pool *const *)b)->policy, &right);
	if (left.waiting != right.waiting)
		return left.waiting > right.waiting ? -1 : 1;
	return by_name(a, b);
}

/* Yields an array of a list's items in this order, with a NULL behind them; the caller frees it. */
#define IN_ORDER(rows, first, next, order)                                                                             \
	({                                                                                                             \
		size_t count = 0;                                                                                      \
		__typeof__(first) *sorted;                                                                             \
		for (__typeof__(first) item = first; item != NULL; item = next)                                        \
			count++;                                                                                       \
		sorted = rows_scratch(rows, count + 1, sizeof(*sorted));                                               \
		count = 0;                                                                                             \
		for (__typeof__(first) item = first; sorted != NULL && item != NULL; item = next)                      \
			sorted[count++] = item;                                                                        \
		if (sorted != NULL)                                                                                    \
			qsort(sorted, count, sizeof(*sorted), order);                                                  \
		sorted;                                                                                                \
	})

struct pool **
show_sorted_pools(const struct show_env *env, struct rows *rows)
{
	return IN_ORDER(rows, show_next_pool(env, NULL), show_next_pool(env, item), by_name);
}

struct pool **
show_sorted_pools_by_line(const struct show_env *env, struct rows *rows)
{
	return IN_ORDER(rows, show_next_pool(env, NULL), show_next_pool(env, item), by_line);
}

struct database_sum *
show_database_sums(const struct show_env *env, struct rows *rows)
{
	struct database_sum *sums = database_sums(env->host->crew);

	if (sums == NULL)
		rows->out->is_broken = true;
	return sums;
}
