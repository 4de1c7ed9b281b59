/* src/policy/policy_limit.c - see policy_limit.h. */
#include "policy/policy_limit.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

struct policy_limit {
	struct policy_budget *budget;
	uint32_t uses;
	UT_hash_handle hh;
	char key[]; /* kind, then the name */
};

struct policy_limit *
policy_limit_get(struct policy_limits *all, char kind, const char *name, size_t len)
{
	char *key = xasprintf("%c%.*s", kind, (int)len, name);
	struct policy_limit *l;

	TABLE_FIND(all->seed, all->table, key, strlen(key), l);
	if (l == NULL) {
		l = xcalloc(1, sizeof(*l) + strlen(key) + 1);
		memcpy(l->key, key, strlen(key) + 1);
		l->budget = policy_budget_new(0);
		TABLE_ADD(all->seed, all->table, l->key, strlen(l->key), l);
	}
	free(key);
	l->uses++;
	return l;
}

void
policy_limit_put(struct policy_limits *all, struct policy_limit *l)
{
	if (l == NULL || --l->uses > 0)
		return;
	HASH_DELETE(hh, all->table, l);
	policy_budget_free(l->budget);
	free(l);
}

struct policy_budget *
policy_limit_budget(const struct policy_limit *l)
{
	return l == NULL ? NULL : l->budget;
}
