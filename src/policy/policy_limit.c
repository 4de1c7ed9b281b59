/* src/policy/policy_limit.c - see policy_limit.h. */
#include "policy/policy_limit.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

struct pool_limit {
	struct pool_budget *budget;
	uint32_t uses;
	UT_hash_handle hh;
	char key[]; /* kind, then the name */
};

struct pool_limit *
pool_limit_get(struct pool_limits *all, char kind, const char *name, size_t len)
{
	char *key = xasprintf("%c%.*s", kind, (int)len, name);
	struct pool_limit *l;

	TABLE_FIND(all->seed, all->table, key, strlen(key), l);
	if (l == NULL) {
		l = xcalloc(1, sizeof(*l) + strlen(key) + 1);
		memcpy(l->key, key, strlen(key) + 1);
		l->budget = pool_budget_new(0);
		TABLE_ADD(all->seed, all->table, l->key, strlen(l->key), l);
	}
	free(key);
	l->uses++;
	return l;
}

void
pool_limit_put(struct pool_limits *all, struct pool_limit *l)
{
	if (l == NULL || --l->uses > 0)
		return;
	HASH_DELETE(hh, all->table, l);
	pool_budget_free(l->budget);
	free(l);
}

struct pool_budget *
pool_limit_budget(const struct pool_limit *l)
{
	return l == NULL ? NULL : l->budget;
}
