/* src/lookup/verifier_cache.c - see verifier_cache.h. Clients can't fill the table: keys are names of known users. */
#include "lookup/verifier_cache.h"
#include "net/helpers.h"
#include "base/alloc.h"
#include "base/table.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define SALT_LEN 16
#define FINGERPRINT_LEN 32 /* HMAC-SHA-256 */

TAILQ_HEAD(waiter_queue, verifier_waiter);

/* The work and its input belong to a thread until the work is done; waiters and entry belong to the event loop. */
struct verifier_derivation {
	struct work work; /* must be first */
	char *password;
	struct scram_verifier verifier; /* has only salt and iterations until the work is done */
	struct fail why;
	int result;
	struct waiter_queue waiters;
	struct entry *entry; /* NULL if the result will not be kept */
};

struct entry {
	UT_hash_handle hh;
	uint8_t fingerprint[FINGERPRINT_LEN]; /* of the password, which is not kept here */
	struct scram_verifier verifier; /* verifier.iterations is set from the beginning */
	struct verifier_derivation *derivation; /* NULL if verifier is complete */
	char user[];
};

struct verifier_cache {
	struct helpers *helpers;
	struct inbox *inbox;
	uint8_t fingerprint_key[FINGERPRINT_LEN];
	uint64_t seed;
	struct entry *table;
};

static void
free_entry(struct entry *k)
{
	if (k != NULL)
		OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

static void
remove_entry(struct verifier_cache *cache, struct entry *k)
{
	HASH_DELETE(hh, cache->table, k);
	if (k->derivation != NULL)
		k->derivation->entry = NULL;
	free_entry(k);
}

struct verifier_cache *
verifier_cache_new(struct helpers *helpers, struct inbox *inbox)
{
	struct verifier_cache *cache = xcalloc(1, sizeof(*cache));

	if (RAND_bytes(cache->fingerprint_key, FINGERPRINT_LEN) != 1 ||
	    RAND_bytes((unsigned char *)&cache->seed, sizeof(cache->seed)) != 1) {
		free(cache);
		return NULL;
	}
	cache->helpers = helpers;
	cache->inbox = inbox;
	return cache;
}

void
verifier_cache_clear(struct verifier_cache *cache)
{
	struct entry *k, *next;

	HASH_ITER(hh, cache->table, k, next)
		remove_entry(cache, k);
}

void
verifier_cache_free(struct verifier_cache *cache)
{
	if (cache == NULL)
		return;
	verifier_cache_clear(cache);
	OPENSSL_cleanse(cache, sizeof(*cache));
	free(cache);
}

static int
take_fingerprint(const struct verifier_cache *cache, const char *password, uint8_t out[FINGERPRINT_LEN])
{
	return HMAC(EVP_sha256(), cache->fingerprint_key, FINGERPRINT_LEN, (const uint8_t *)password, strlen(password),
		    out, NULL) == NULL
		   ? -1
		   : 0;
}

static bool
is_made_from(const struct verifier_cache *cache, const struct entry *k, const char *password, uint32_t iterations)
{
	uint8_t fingerprint[FINGERPRINT_LEN];

	return k->verifier.iterations == iterations && take_fingerprint(cache, password, fingerprint) == 0 &&
	       CRYPTO_memcmp(k->fingerprint, fingerprint, FINGERPRINT_LEN) == 0;
}

const struct scram_verifier *
verifier_cache_find(const struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations)
{
	struct entry *k;

	TABLE_FIND(cache->seed, cache->table, user, strlen(user), k);
	return k != NULL && k->derivation == NULL && is_made_from(cache, k, password, iterations) ? &k->verifier : NULL;
}

static void
free_derivation(struct verifier_derivation *d)
{
	if (d == NULL)
		return;
	secret_free(d->password);
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
}

/* Runs on a thread of cache->helpers. */
static void
verifier_derive(struct work *w)
{
	struct verifier_derivation *d = (struct verifier_derivation *)w;
	struct scram_verifier made;

	d->result = scram_verifier_from_password(d->password, d->verifier.salt, d->verifier.salt_len,
						 d->verifier.iterations, &made, &d->why);
	if (d->result == 0)
		d->verifier = made;
	OPENSSL_cleanse(&made, sizeof(made));
}

static void
on_derived(struct work *w)
{
	struct verifier_derivation *d = (struct verifier_derivation *)w;
	struct verifier_waiter *t;

	if (d->entry != NULL) {
		d->entry->derivation = NULL;
		d->entry->verifier = d->verifier;
		if (d->result < 0) /* no login asks for 0 iterations, so the next login derives again */
			d->entry->verifier.iterations = 0;
	}
	while ((t = TAILQ_FIRST(&d->waiters)) != NULL) {
		TAILQ_REMOVE(&d->waiters, t, link);
		t->waits_for = NULL;
		t->done(d->result == 0 ? &d->verifier : NULL, &d->why, t->arg);
	}
	free_derivation(d);
}

/* Copies the password and makes a salt. The caller sets the entry. */
static struct verifier_derivation *
new_derivation(const char *password, uint32_t iterations)
{
	struct verifier_derivation *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->password = strdup(password);
	if (d->password == NULL || RAND_bytes(d->verifier.salt, SALT_LEN) != 1) {
		free_derivation(d);
		return NULL;
	}
	d->work.run = verifier_derive;
	d->work.done = on_derived;
	d->verifier.salt_len = SALT_LEN;
	d->verifier.iterations = iterations;
	d->result = fail_set(&d->why, "57P01", "pgweir is shutting down"); /* the result if the work never runs */
	TAILQ_INIT(&d->waiters);
	return d;
}

static struct entry *
new_entry(const struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations)
{
	size_t len = strlen(user);
	struct entry *k = calloc(1, sizeof(*k) + len + 1);

	if (k == NULL)
		return NULL;
	if (take_fingerprint(cache, password, k->fingerprint) < 0) {
		free_entry(k);
		return NULL;
	}
	memcpy(k->user, user, len + 1);
	k->verifier.iterations = iterations;
	return k;
}

static void
wait_for(struct verifier_derivation *d, struct verifier_waiter *waiter)
{
	waiter->waits_for = d;
	TAILQ_INSERT_TAIL(&d->waiters, waiter, link);
}

static int
derivation_begin(struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations,
		 struct verifier_waiter *waiter, struct fail *why)
{
	struct entry *k = new_entry(cache, user, password, iterations);
	struct verifier_derivation *d = new_derivation(password, iterations);

	if (k == NULL || d == NULL)
		fail_memory(why, "a login");
	else if (helpers_submit(cache->helpers, cache->inbox, &d->work, WORK_BEGUN) < 0)
		fail_set(why, "53300", "too many logins at once");
	else {
		if (TABLE_ADD(cache->seed, cache->table, k->user, strlen(k->user), k)) {
			d->entry = k;
			k->derivation = d;
		} else
			free_entry(k);
		wait_for(d, waiter);
		return 0;
	}
	free_derivation(d);
	free_entry(k);
	return -1;
}

int
verifier_cache_derive(struct verifier_cache *cache, const char *user, const char *password, uint32_t iterations,
		      struct verifier_waiter *waiter, struct fail *why)
{
	struct entry *k;

	TABLE_FIND(cache->seed, cache->table, user, strlen(user), k);
	if (k != NULL && k->derivation != NULL && is_made_from(cache, k, password, iterations)) {
		wait_for(k->derivation, waiter);
		return 0;
	}
	if (k != NULL) /* made from another password or iteration count, or failed */
		remove_entry(cache, k);
	return derivation_begin(cache, user, password, iterations, waiter, why);
}

void
verifier_cache_abandon(void *arg)
{
	struct verifier_waiter *waiter = arg;

	if (waiter->waits_for == NULL)
		return;
	TAILQ_REMOVE(&waiter->waits_for->waiters, waiter, link);
	waiter->waits_for = NULL;
}
