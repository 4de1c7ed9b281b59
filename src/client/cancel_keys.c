/*
 * src/client/cancel_keys.c - the keys by which clients are cancelled.
 *
 * pgweir makes up each client's secret: 4 bytes, or 32 for clients of protocol 3.2. It makes up the PID, too, unless
 * the client has a server to itself and is sent that server's PID (with peers it always does: see cancel_peer.c);
 * several clients may have equal PIDs, and then the secret decides.
 */
#include "client/cancel.h"

#include "wire/frame.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 100u /* for a PID that nobody has: with peers there are but 16384 */
#define REST_LEN (CANCEL_SECRET_MAX - CANCEL_SECRET_SHORT)

/* Allocated apart from the client, as few have one. */
struct long_key {
	struct client *next;
	uint8_t rest[REST_LEN];
};

/*
 * A hash table with 8 bytes per client in place of uthash's 56: nearly all clients have a key, and few are ever looked
 * up by it. PIDs need no seed, as pgweir or PostgreSQL chooses them; several clients may have the same.
 */
static struct client **
bucket(struct client_env *env, uint32_t pid)
{
	return &env->keyed[(pid * 2654435761u >> 7) & (env->keyed_cap - 1)];
}

static struct client **
next_of(struct client *c)
{
	return c->has_long_key ? &c->long_key->next : &c->key_next;
}

static int
keys_grow(struct client_env *env)
{
	uint32_t old_cap = env->keyed_cap, cap = old_cap == 0 ? 64 : old_cap * 2;
	struct client **old = env->keyed, **grown = calloc(cap, sizeof(struct client *));

	if (grown == NULL)
		return -1;
	env->keyed = grown;
	env->keyed_cap = cap;
	for (uint32_t i = 0; i < old_cap; i++)
		for (struct client *c = old[i], *next; c != NULL; c = next) {
			struct client **at = bucket(env, c->x.told_pid);

			next = *next_of(c);
			*next_of(c) = *at;
			*at = c;
		}
	free(old);
	return 0;
}

/* Takes random numbers from a stock, as each call of the generator is costly; each is used once, then wiped. */
static int
take_random(struct client_env *env, uint32_t out[static 2])
{
	uint32_t *stock = env->random;

	if (env->random_left < 2) {
		if (RAND_bytes((unsigned char *)stock, sizeof(env->random)) != 1)
			return -1;
		env->random_left = sizeof(env->random) / sizeof(env->random[0]);
	}
	for (unsigned i = 0; i < 2; i++) {
		out[i] = stock[--env->random_left];
		stock[env->random_left] = 0;
	}
	return 0;
}

size_t
cancel_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX])
{
	wire_set_u32(out, c->x.told_secret);
	if (!c->has_long_key)
		return CANCEL_SECRET_SHORT;
	memcpy(out + CANCEL_SECRET_SHORT, c->long_key->rest, REST_LEN);
	return CANCEL_SECRET_MAX;
}

/* Compares in constant time. A key of the other length never matches. */
static bool
has_key(const struct client *c, uint32_t pid, const uint8_t *secret, size_t len)
{
	uint8_t own[CANCEL_SECRET_MAX];
	bool is_same = cancel_secret(c, own) == len;

	is_same =
	    CRYPTO_memcmp(own, secret, is_same ? len : CANCEL_SECRET_SHORT) == 0 && is_same && c->x.told_pid == pid;
	OPENSSL_cleanse(own, sizeof(own));
	return is_same;
}

struct client *
cancel_find_key(struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client *c;

	if (env->keyed_cap == 0 || pid == 0)
		return NULL;
	for (c = *bucket(env, pid); c != NULL; c = *next_of(c))
		if (has_key(c, pid, secret, len))
			return c;
	return NULL;
}

struct client *
cancel_find_pid(struct client_env *env, uint32_t pid)
{
	struct client *c, *found = NULL;

	if (env->keyed_cap == 0 || pid < CANCEL_PID_MADE)
		return NULL;
	for (c = *bucket(env, pid); c != NULL; c = *next_of(c)) {
		if (c->x.told_pid == pid && found != NULL)
			return NULL;
		if (c->x.told_pid == pid)
			found = c;
	}
	return found;
}

static bool
is_pid_taken(struct client_env *env, uint32_t pid)
{
	if (env->keyed_cap == 0 || pid < CANCEL_PID_MADE)
		return false;
	for (struct client *c = *bucket(env, pid); c != NULL; c = *next_of(c))
		if (c->x.told_pid == pid)
			return true;
	return false;
}

/* A short secret with its PID may not exist twice; nor may a PID that we made up, as long as there are others. */
static bool
is_taken(struct client_env *env, uint32_t pid, uint32_t secret, unsigned tries)
{
	uint8_t bytes[CANCEL_SECRET_SHORT];

	if (tries < TRIES_MAX && is_pid_taken(env, pid))
		return true;

	wire_set_u32(bytes, secret);
	return cancel_find_key(env, pid, bytes, sizeof(bytes)) != NULL;
}

static struct long_key *
make_long_key(void)
{
	struct long_key *key = calloc(1, sizeof(*key));

	if (key != NULL && RAND_bytes(key->rest, sizeof(key->rest)) != 1) {
		free(key);
		return NULL;
	}
	return key;
}

static void
forget_secret(struct client *c)
{
	if (c->has_long_key) {
		OPENSSL_cleanse(c->long_key, sizeof(*c->long_key));
		free(c->long_key);
	}
	c->has_long_key = false;
	c->key_next = NULL;
}

static void
enter_key(struct client *c, uint32_t pid)
{
	struct client **at = bucket(c->env, pid);

	c->x.told_pid = pid;
	*next_of(c) = *at;
	*at = c;
	c->env->keyed_count++;
}

int
cancel_register(struct client *c, uint32_t pid, bool is_long)
{
	struct client_env *env = c->env;
	uint32_t random[2], made, peer_id = env->x.config->peer_id;
	unsigned tries = 0;

	if (env->keyed_count >= env->keyed_cap && keys_grow(env) < 0 && env->keyed_cap == 0)
		return -1; /* with an old table, longer lists are better than a refusal */
	if (is_long && (c->long_key = make_long_key()) == NULL)
		return -1;
	c->has_long_key = is_long;
	do {
		if (take_random(env, random) < 0) {
			forget_secret(c);
			return -1;
		}
		/*
		 * The PID is positive, as pg_basebackup and others print a signed number, and larger than any process's
		 * own, so that pg_terminate_backend() with it hits nobody else.
		 */
		made = pid != 0 && peer_id == 0 ? pid : (random[0] & 0x7fffffff) | CANCEL_PID_MADE;
		if (peer_id != 0)
			cancel_peer_mark(peer_id, &made, &random[1]);
	} while (made == 0 || is_taken(env, made, random[1], tries++));
	c->x.told_secret = random[1];
	enter_key(c, made);
	return 0;
}

int
cancel_restore(struct client *c, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client_env *env = c->env;

	if (env->keyed_count >= env->keyed_cap && keys_grow(env) < 0 && env->keyed_cap == 0)
		return -1;
	if (pid == 0 || cancel_find_key(env, pid, secret, len) != NULL)
		return -1;
	if (len == CANCEL_SECRET_MAX) {
		if ((c->long_key = make_long_key()) == NULL)
			return -1;
		memcpy(c->long_key->rest, secret + CANCEL_SECRET_SHORT, REST_LEN);
		c->has_long_key = true;
	}
	c->x.told_secret = wire_u32(secret);
	enter_key(c, pid);
	return 0;
}

void
cancel_forget_key(struct client *c)
{
	struct client **at;

	if (c->x.told_pid == 0)
		return;
	for (at = bucket(c->env, c->x.told_pid); *at != c; at = next_of(*at))
		;
	*at = *next_of(c);
	c->env->keyed_count--;
	c->x.told_pid = 0;
	forget_secret(c);
}
