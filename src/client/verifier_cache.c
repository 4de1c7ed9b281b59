/* src/client/verifier_cache.c - see verifier_cache.h. Names in it are those of users_file, not of peers. */
#include "client/verifier_cache.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define uthash_fatal(msg) abort()
#include <uthash.h>

struct kept {
	UT_hash_handle hh;
	struct scram_verifier verifier;
	char user[];
};

struct verifier_cache {
	struct kept *table;
};

struct verifier_cache *
verifier_cache_new(void)
{
	return calloc(1, sizeof(struct verifier_cache));
}

void
verifier_cache_clear(struct verifier_cache *cache)
{
	struct kept *k, *next;

	HASH_ITER(hh, cache->table, k, next)
	{
		HASH_DELETE(hh, cache->table, k);
		OPENSSL_cleanse(&k->verifier, sizeof(k->verifier));
		free(k);
	}
}

void
verifier_cache_free(struct verifier_cache *cache)
{
	if (cache == NULL)
		return;
	verifier_cache_clear(cache);
	free(cache);
}

int
verifier_cache_get(struct verifier_cache *cache, const char *user, const char *password, struct scram_verifier *out,
		   struct fail *why)
{
	size_t len = strlen(user);
	uint8_t salt[16];
	struct kept *k;

	HASH_FIND(hh, cache->table, user, (unsigned)len, k);
	if (k == NULL) {
		k = calloc(1, sizeof(*k) + len + 1);
		if (k == NULL || RAND_bytes(salt, sizeof(salt)) != 1 ||
		    scram_verifier_from_password(password, salt, sizeof(salt), 4096, &k->verifier, why) < 0) {
			free(k);
			return fail_set(why, "53200", "no memory for a login");
		}
		memcpy(k->user, user, len + 1);
		HASH_ADD_KEYPTR(hh, cache->table, k->user, (unsigned)len, k);
	}
	*out = k->verifier;
	return 0;
}
