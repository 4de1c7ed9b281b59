#include "admin/console_stats.h"
#include "client/client.h"

#include <stdlib.h>
#include <string.h>

static size_t
count_databases(struct client_env *const *client_envs)
{
	size_t n = 0;

	for (; *client_envs != NULL; client_envs++)
		for (struct pool_database *d = pool_set_databases((*client_envs)->x.pools); d != NULL; d = d->next)
			n++;
	return n;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(struct pool_database *const *)a)->name, (*(struct pool_database *const *)b)->name);
}

/* Returns all workers' databases in the order of their names, or NULL without memory. */
static struct pool_database **
list_sorted(struct client_env *const *client_envs, size_t count)
{
	struct pool_database **list = malloc((count + 1) * sizeof(struct pool_database *));
	size_t n = 0;

	if (list == NULL)
		return NULL;
	for (; *client_envs != NULL; client_envs++)
		for (struct pool_database *d = pool_set_databases((*client_envs)->x.pools); d != NULL; d = d->next)
			list[n++] = d;
	qsort(list, count, sizeof(struct pool_database *), by_name);
	return list;
}

static uint64_t
asked_us(const struct pool_database *d)
{
	return d->code == NULL ? 0 : d->code->answer_asked_us;
}

struct database_sum *
database_sums(struct client_env *const *client_envs)
{
	size_t count = count_databases(client_envs), n = 0;
	struct pool_database **list = list_sorted(client_envs, count);
	struct database_sum *sums = list == NULL ? NULL : calloc(count + 1, sizeof(*sums));

	for (size_t i = 0; sums != NULL && i < count; i++) {
		struct database_sum *to;

		if (n == 0 || strcmp(sums[n - 1].name, list[i]->name) != 0) {
			sums[n].name = list[i]->name;
			sums[n++].code_source = list[i];
		}
		to = &sums[n - 1];
		counters_add(&to->counters, &list[i]->counters, sizeof(to->counters));
		if (asked_us(list[i]) > asked_us(to->code_source))
			to->code_source = list[i];
	}
	free(list);
	return sums;
}
