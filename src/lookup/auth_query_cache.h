/*
 * src/lookup/auth_query_cache.h - a cache of auth_query's answers. Pure: no I/O, time is an argument.
 *
 * An answer is fresh until it expires. It expires after the time to live, sooner if there is no such user, and at once
 * if a client's proof did not match the answer (the password may have been changed). While PostgreSQL can't be asked,
 * an expired answer may be used for another AUTH_STALE_US; then it is dropped. When roles have changed, all answers are
 * dropped.
 *
 * Owns:   its entries, wiped when they go. The hash is seeded, because names come from peers.
 * Always: at most cap entries; a new one replaces the least recently used one.
 */
#pragma once

#include "base/fail.h"
#include "config/config.h"

/*
 * --- auth_query_answer.c: reads the row that auth_query returned. Pure; every byte is hostile.
 *
 * A single column is the secret. Two columns are name and secret, as in PgBouncer's queries; the name must be the
 * user's, or NULL. A third column is the time at which the secret expires: seconds since 1970 in decimal, infinity, or
 * NULL.
 */
#define AUTH_SECRET_MAX 1024 /* bytes; PostgreSQL's own secrets have about 135 */
#define AUTH_VALID_FOR_EVER INT64_MAX

struct auth_answer {
	bool is_user; /* there is such a user */
	const char *secret; /* points into the row, not terminated; NULL if no password logs in */
	size_t secret_len;
	int64_t valid_until_us; /* since 1970; the secret is valid up to and including this moment */
};

/* Reads the body of a DataRow (protocol chapter, "Message Formats"). Returns 0, or -1 with *why set. */
int auth_answer_read(const uint8_t *body, size_t len, const char *user, struct auth_answer *out, struct fail *why);

/* --- auth_query_cache.c --- */
#define AUTH_STALE_US UINT64_C(60000000)
#define AUTH_UNKNOWN_US UINT64_C(2000000) /* short, so that a user who was just created can log in soon */
/* auth_cache_doubt() ignores younger answers, so failing logins cause at most one query a second */
#define AUTH_DOUBT_AFTER_US UINT64_C(1000000)

struct auth_cache; /* opaque */

/* The user that a question is about, and the source that answers it. Zero it before it is filled. If role is not empty,
 * the question is whether the user is a member of that role; the cached "secret" is then only a marker. */
struct auth_key {
	uint64_t source;
	char user[CONFIG_NAME_MAX + 1], role[CONFIG_NAME_MAX + 1];
};

struct auth_kept {
	bool is_user;
	const char *secret; /* NULL if there is no such user, or the user has none */
	int64_t valid_until_us; /* see struct auth_answer */
	uint64_t asked_us, expires_us;
};

struct auth_cache *auth_cache_new(uint64_t seed, size_t cap);
void auth_cache_free(struct auth_cache *cache); /* cache may be NULL */
/* Returns the last answer, fresh or not, or NULL. Valid until the next call that changes the cache. */
const struct auth_kept *auth_cache_find(struct auth_cache *cache, const struct auth_key *key);
/* Replaces an older answer. If ttl_us is 0, nothing is kept. */
void auth_cache_put(struct auth_cache *cache, const struct auth_key *key, const struct auth_answer *answer,
		    uint64_t ttl_us, uint64_t now_us);
void auth_cache_doubt(struct auth_cache *cache, const struct auth_key *key, uint64_t now_us); /* a proof failed */
void auth_cache_expire(struct auth_cache *cache, uint64_t now_us); /* from now on no entry is fresh */
/* Drops all answers because roles have changed, even those that could be used while PostgreSQL can't be asked. */
void auth_cache_clear(struct auth_cache *cache);
void auth_cache_forget(struct auth_cache *cache, uint64_t source);
void auth_cache_sweep(struct auth_cache *cache, uint64_t now_us); /* drops entries that are no longer usable */

bool auth_kept_is_fresh(const struct auth_kept *kept, uint64_t now_us);
/* returns true if the answer may be used while PostgreSQL can't be asked */
bool auth_kept_is_usable(const struct auth_kept *kept, uint64_t now_us);
