#include "seal/role_settings.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ROLE_NAME_MAX 63u /* bytes of a name that PostgreSQL keeps */

struct role_version {
	uint64_t role_hash; /* a hash of the role's name in hexadecimal */
	uint64_t version;
};

int
role_settings_add(struct role_settings *all, const char *role_hex, const char *version)
{
	uint64_t number = (uint64_t)strtoll(version, NULL, 10);
	struct role_version *more;

	if (role_hex[0] == '\0') {
		all->of_all = number;
		return 0;
	}
	if (all->count == ROLE_SETTINGS_MAX)
		return 0;
	if (all->count == all->room) {
		more = realloc(all->versions, (2 * (size_t)all->room + 16) * sizeof(*more));
		if (more == NULL)
			return -1;
		all->versions = more;
		all->room = 2 * all->room + 16;
	}
	all->versions[all->count] = (struct role_version){ XXH3_64bits(role_hex, strlen(role_hex)), number };
	all->sum_of_hashes += XXH3_64bits(&all->versions[all->count++], sizeof(*all->versions));
	return 0;
}

static int
by_role(const void *a, const void *b)
{
	const struct role_version *x = a, *y = b;

	return (x->role_hash > y->role_hash) - (x->role_hash < y->role_hash);
}

void
role_settings_sort(struct role_settings *all)
{
	if (all->count > 0)
		qsort(all->versions, all->count, sizeof(*all->versions), by_role);
}

uint64_t
role_settings_version(const struct role_settings *all, const char *role)
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * ROLE_NAME_MAX];
	size_t len = strnlen(role, ROLE_NAME_MAX);
	const struct role_version *found = NULL;
	uint64_t both[2] = { all->of_all, 0 }, version;
	struct role_version key = { 0 };

	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[(uint8_t)role[i] >> 4];
		hex[2 * i + 1] = digits[(uint8_t)role[i] & 15];
	}
	key.role_hash = XXH3_64bits(hex, 2 * len);
	if (all->count > 0)
		found = bsearch(&key, all->versions, all->count, sizeof(key), by_role);
	both[1] = found == NULL ? 0 : found->version;
	version = XXH3_64bits(both, sizeof(both));
	return version < 2 ? 2 : version;
}

uint64_t
role_settings_hash(const struct role_settings *all)
{
	uint64_t both[2] = { all->of_all, all->sum_of_hashes };

	return XXH3_64bits(both, sizeof(both)) | 1;
}

void
role_settings_fini(struct role_settings *all)
{
	free(all->versions);
	memset(all, 0, sizeof(*all));
}
