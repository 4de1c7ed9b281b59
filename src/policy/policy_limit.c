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
	struct policy_limit *made = calloc(1, sizeof(*made) + len + 1), *l;

	if (made == NULL)
		return NULL;
	made->key[0] = kind;
	memcpy(made->key + 1, name, len);
	TABLE_FIND(all->seed, all->table, made->key, len + 1, l);
	if (l == NULL && (made->budget = policy_budget_new(0)) != NULL &&
	    TABLE_ADD(all->seed, all->table, made->key, len + 1, made))
		l = made;
	if (l != made) {
		policy_budget_free(made->budget);
		free(made);
	}
	if (l != NULL)
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
