/*
 * src/lookup/auth_query_cache.h - a cache of auth_query's answers. Does no I/O; the time is an argument.
 *
 * An answer is fresh until it expires: after auth_query_ttl, or after at most AUTH_UNKNOWN_US if it has no secret. A
 * wrong proof makes an answer expire at once (unless it is very new), because the password may have been changed. While
 * PostgreSQL can't be asked, an expired answer may be used for AUTH_STALE_US more. Then it is dropped. All answers are
 * dropped when roles have changed.
 *
 * Owns:   its entries, which are wiped when they are freed. The hash is seeded, because clients choose the names.
 * Always: there are at most `cap` entries; a new entry beyond these replaces the least recently used one.
 */
#pragma once

#include "base/fail.h"
#include "config/config.h"

/*
 * --- auth_query_answer.c: reads the row that auth_query returned. Does no I/O; the row is not trusted.
 *
 * A row with one column has only the secret. Two columns are name and secret, as in PgBouncer's queries; the name must
 * be the user's, or NULL. A third column is the time at which the secret expires: seconds since 1970 in decimal,
 * infinity, -infinity, or NULL (which means infinity).
 */
#define AUTH_SECRET_MAX 1024 /* bytes; PostgreSQL's own secrets have about 135 */
#define AUTH_VALID_FOR_EVER INT64_MAX

struct auth_answer {
	bool is_user; /* there is such a user */
	const char *secret; /* points into the row, not terminated; NULL if the secret is NULL or empty */
	size_t secret_len;
	int64_t valid_until_us; /* microseconds since 1970; the last moment at which the secret is valid */
};

/* Reads the body of a DataRow (protocol chapter, "Message Formats"). Returns 0, or -1 with *why set. */
int auth_answer_read(const uint8_t *body, size_t len, const char *user, struct auth_answer *out, struct fail *why);

/* --- auth_query_cache.c --- */
#define AUTH_STALE_US UINT64_C(60000000)
#define AUTH_UNKNOWN_US UINT64_C(2000000) /* short, so that a new user can log in soon */
/* a wrong proof does not make a younger answer expire, so a user's failing logins cause at most one query a second */
#define AUTH_DOUBT_AFTER_US UINT64_C(1000000)

struct auth_cache; /* opaque */

/* The question that an entry answers: the user's secret or, if role is not empty, whether the user is a member of that
 * role. All bytes are hashed, so a key is zeroed before it is filled in. */
struct auth_key {
	uint64_t source; /* auth_source.id of the source that answers */
	char user[CONFIG_NAME_MAX + 1], role[CONFIG_NAME_MAX + 1];
};

/* An answer in the cache. */
struct auth_cached {
	bool is_user;
	/* NULL if there is no secret. For a question about a role, any text means that the user is a member. */
	const char *secret;
	int64_t valid_until_us; /* microseconds since 1970, as in struct auth_answer */
	uint64_t answer_came_us, expires_us; /* when the answer came, and until when it is fresh */
};

struct auth_cache *auth_cache_new(uint64_t seed, size_t cap);
void auth_cache_free(struct auth_cache *cache); /* cache may be NULL */
/* Returns the last answer, fresh or expired, or NULL. It is valid until the next call that changes the cache. */
const struct auth_cached *auth_cache_find(struct auth_cache *cache, const struct auth_key *key);
/* Drops the old answer, and keeps a copy of the new one, fresh for ttl_us. If ttl_us is 0, keeps nothing. */
void auth_cache_put(struct auth_cache *cache, const struct auth_key *key, const struct auth_answer *answer,
		    uint64_t ttl_us, uint64_t now_us);
/* Called after a wrong proof: makes the answer expire, unless it is younger than AUTH_DOUBT_AFTER_US. */
void auth_cache_expire_answer(struct auth_cache *cache, const struct auth_key *key, uint64_t now_us);
void auth_cache_expire_all(struct auth_cache *cache, uint64_t now_us); /* makes all answers expire */
/* Drops all answers, so that none can be used even while PostgreSQL can't be asked. Called when roles have changed. */
void auth_cache_clear(struct auth_cache *cache);
void auth_cache_forget(struct auth_cache *cache, uint64_t source); /* drops all answers of a source */
void auth_cache_sweep(struct auth_cache *cache, uint64_t now_us); /* drops answers that are no longer usable */

bool auth_cached_is_fresh(const struct auth_cached *kept, uint64_t now_us);
/* Returns true if the answer may be used while PostgreSQL can't be asked. */
bool auth_cached_is_usable(const struct auth_cached *kept, uint64_t now_us);
