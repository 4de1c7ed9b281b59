#include "policy/policy_budget.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

struct policy_limit {
	struct policy_budget *budget;
	uint32_t uses;
	UT_hash_handle hh;
	char key[]; /* kind, then the name */
};

/* Returns made, which is added, or the one of this name that is there; NULL without memory. */
static struct policy_limit *
find_or_add(struct policy_commons *all, struct policy_limit *made, size_t key_len)
{
	struct policy_limit *l;

	TABLE_FIND(all->seed, all->limits, made->key, key_len, l);
	if (l == NULL && made->budget != NULL && TABLE_ADD(all->seed, all->limits, made->key, key_len, made))
		l = made;
	if (l != NULL)
		l->uses++;
	return l;
}

struct policy_limit *
policy_limit_get(struct policy_commons *all, char kind, const char *name, size_t len)
{
	struct policy_limit *made = calloc(1, sizeof(*made) + len + 1), *l;

	if (made == NULL)
		return NULL;
	made->key[0] = kind;
	memcpy(made->key + 1, name, len);
	made->budget = policy_budget_new(0);
	pthread_mutex_lock(&all->names_lock);
	l = find_or_add(all, made, len + 1);
	pthread_mutex_unlock(&all->names_lock);
	if (l != made) {
		policy_budget_free(made->budget);
		free(made);
	}
	return l;
}

void
policy_limit_put(struct policy_commons *all, struct policy_limit *l)
{
	bool is_unused;

	if (l == NULL)
		return;
	pthread_mutex_lock(&all->names_lock);
	is_unused = --l->uses == 0;
	if (is_unused)
		HASH_DELETE(hh, all->limits, l);
	pthread_mutex_unlock(&all->names_lock);
	if (!is_unused)
		return;
	policy_budget_free(l->budget);
	free(l);
}

struct policy_budget *
policy_limit_budget(const struct policy_limit *l)
{
	return l == NULL ? NULL : l->budget;
}
