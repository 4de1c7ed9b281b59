/*
 * tests/unit/test_auth_query_cache.c - how long an answer is used, and what makes it go. Links
 * lookup/auth_query_cache.c alone: time is an argument.
 */
#include "lookup/auth_query_cache.h"
#include "unit.h"

#define S UINT64_C(1000000)
#define TTL (10 * S)
#define NOW (1000 * S)

static struct auth_key
key_of(uint64_t source, const char *user)
{
	struct auth_key key;

	memset(&key, 0, sizeof(key));
	key.source = source;
	snprintf(key.user, sizeof(key.user), "%s", user);
	return key;
}

static void
put(struct auth_cache *cache, uint64_t source, const char *user, const char *secret, uint64_t now_us)
{
	struct auth_key key = key_of(source, user);
	struct auth_answer a = { secret != NULL, secret, secret == NULL ? 0 : strlen(secret), AUTH_VALID_FOR_EVER };

	auth_cache_put(cache, &key, &a, TTL, now_us);
}

static const struct auth_cached *
find(struct auth_cache *cache, uint64_t source, const char *user)
{
	struct auth_key key = key_of(source, user);

	return auth_cache_find(cache, &key);
}

static bool
is_fresh(struct auth_cache *cache, const char *user, uint64_t now_us)
{
	const struct auth_cached *kept = find(cache, 1, user);

	return kept != NULL && auth_cached_is_fresh(kept, now_us);
}

static bool
is_usable(struct auth_cache *cache, const char *user, uint64_t now_us)
{
	const struct auth_cached *kept = find(cache, 1, user);

	return kept != NULL && auth_cached_is_usable(kept, now_us);
}

Test(auth_query_cache, an_answer_lives_as_long_as_it_should)
{
	struct auth_cache *cache = auth_cache_new(42, 10);

	put(cache, 1, "web", "secret", NOW);
	cr_expect_str_eq(find(cache, 1, "web")->secret, "secret");
	cr_expect(is_fresh(cache, "web", NOW));
	cr_expect(is_fresh(cache, "web", NOW + TTL - 1));
	cr_expect_not(is_fresh(cache, "web", NOW + TTL));
	cr_expect(is_usable(cache, "web", NOW + TTL + AUTH_STALE_US - 1));
	cr_expect_not(is_usable(cache, "web", NOW + TTL + AUTH_STALE_US));
	auth_cache_sweep(cache, NOW + TTL + AUTH_STALE_US - 1);
	cr_expect_not_null(find(cache, 1, "web"));
	auth_cache_sweep(cache, NOW + TTL + AUTH_STALE_US);
	cr_expect_null(find(cache, 1, "web"));
	auth_cache_free(cache);
}

Test(auth_query_cache, that_there_is_no_such_user_is_soon_forgotten)
{
	struct auth_cache *cache = auth_cache_new(42, 10);
	struct auth_key key = key_of(1, "short");
	struct auth_answer none = { false, NULL, 0, AUTH_VALID_FOR_EVER };

	put(cache, 1, "nobody", NULL, NOW);
	cr_expect_null(find(cache, 1, "nobody")->secret);
	cr_expect(is_fresh(cache, "nobody", NOW + AUTH_UNKNOWN_US - 1));
	cr_expect_not(is_fresh(cache, "nobody", NOW + AUTH_UNKNOWN_US));
	auth_cache_put(cache, &key, &none, S / 2, NOW); /* a shorter time to live holds for it, too */
	cr_expect_not(is_fresh(cache, "short", NOW + S / 2));
	auth_cache_free(cache);
}

Test(auth_query_cache, doubt_makes_it_ask_anew_but_not_more_than_once_a_second)
{
	struct auth_cache *cache = auth_cache_new(42, 10);
	struct auth_key key = key_of(1, "web");

	auth_cache_expire_answer(cache, &key, NOW); /* of nobody: nothing happens */
	put(cache, 1, "web", "old", NOW);
	auth_cache_expire_answer(cache, &key, NOW + AUTH_DOUBT_AFTER_US - 1);
	cr_expect(is_fresh(cache, "web", NOW + AUTH_DOUBT_AFTER_US - 1), "it is young");
	auth_cache_expire_answer(cache, &key, NOW + AUTH_DOUBT_AFTER_US);
	cr_expect_not(is_fresh(cache, "web", NOW + AUTH_DOUBT_AFTER_US));
	cr_expect(is_usable(cache, "web", NOW + AUTH_DOUBT_AFTER_US), "if PostgreSQL can't be asked");
	auth_cache_expire_answer(cache, &key, NOW + 30 * S);
	cr_expect_not(is_usable(cache, "web", NOW + AUTH_DOUBT_AFTER_US + AUTH_STALE_US),
		      "further doubt does not prolong its life");
	auth_cache_free(cache);
}

Test(auth_query_cache, a_newer_answer_takes_its_place)
{
	struct auth_cache *cache = auth_cache_new(42, 10);
	struct auth_key key = key_of(1, "web");
	struct auth_answer a = { true, "new", 3, 5 };

	put(cache, 1, "web", "old", NOW);
	put(cache, 2, "web", "other", NOW);
	auth_cache_put(cache, &key, &a, TTL, NOW + S);
	cr_expect_str_eq(find(cache, 1, "web")->secret, "new");
	cr_expect_eq(find(cache, 1, "web")->valid_until_us, 5);
	cr_expect_str_eq(find(cache, 2, "web")->secret, "other");
	auth_cache_put(cache, &key, &a, 0, NOW + S); /* nothing is kept, the old one neither */
	cr_expect_null(find(cache, 1, "web"));
	auth_cache_forget(cache, 2);
	cr_expect_null(find(cache, 2, "web"));
	auth_cache_free(cache);
}

Test(auth_query_cache, sources_and_names_are_told_apart)
{
	struct auth_cache *cache = auth_cache_new(42, 10);

	put(cache, 1, "web", "one", NOW);
	put(cache, 2, "web", "two", NOW);
	put(cache, 1, "we", "three", NOW);
	cr_expect_str_eq(find(cache, 1, "web")->secret, "one");
	cr_expect_str_eq(find(cache, 2, "web")->secret, "two");
	cr_expect_str_eq(find(cache, 1, "we")->secret, "three");
	cr_expect_null(find(cache, 2, "we"));
	auth_cache_expire_all(cache, NOW + S);
	cr_expect_not(is_fresh(cache, "web", NOW + S));
	cr_expect(is_usable(cache, "web", NOW + S));
	auth_cache_clear(cache); /* roles have changed */
	cr_expect_null(find(cache, 1, "web"));
	cr_expect_null(find(cache, 2, "web"));
	auth_cache_free(cache);
}

Test(auth_query_cache, the_one_nobody_looked_at_makes_room)
{
	enum { CAP = 100 };
	struct auth_cache *cache = auth_cache_new(42, CAP);
	char name[32];

	for (int i = 0; i < CAP; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		put(cache, 1, name, name, NOW);
	}
	cr_expect_not_null(find(cache, 1, "user0")); /* now it is the newest */
	for (int i = 0; i < CAP - 1; i++) {
		snprintf(name, sizeof(name), "more%d", i);
		put(cache, 1, name, name, NOW);
		snprintf(name, sizeof(name), "user%d", i + 1);
		cr_expect_null(find(cache, 1, name), "one goes for each that comes");
	}
	cr_expect_not_null(find(cache, 1, "user0"));
	for (int i = 0; i < CAP - 1; i++) {
		snprintf(name, sizeof(name), "more%d", i);
		cr_expect_not_null(find(cache, 1, name), "and no more than one");
	}
	auth_cache_free(cache);
}
