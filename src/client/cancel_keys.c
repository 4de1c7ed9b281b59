/*
 * src/client/cancel_keys.c - the keys with which clients are cancelled.
 *
 * pgweir makes up each client's secret: 4 bytes, or 32 for clients of protocol 3.2. It makes up the PID, too, unless
 * the client has a server when its login ends, as in session mode, and is sent that server's PID; with peers, pgweir
 * makes up all PIDs (cancel_peer.c). Several clients may have equal PIDs; the secret then tells them apart.
 *
 * One lock guards the whole table. It is taken when a client logs in, is cancelled or leaves, never for a query. Each
 * client is its own entry in the table; its links there are read and written under the lock alone, and its key does not
 * change while the client is in the table.
 */
#include "client/cancel.h"
#include "base/alloc.h"
#include "wire/frame.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>

#define TRIES_MAX 100u /* tries to find a PID that no client has; with peers there are only 16384 PIDs */
#define REST_LEN (CANCEL_SECRET_MAX - CANCEL_SECRET_SHORT)

/* The rest of a long secret, in a block of its own because few clients have one. */
struct long_key {
	struct client *next;
	uint8_t rest[REST_LEN];
};

/* A hash table with 8 bytes per client instead of uthash's 56: nearly all clients have a key, and few are ever looked
 * up by it. The hash of a PID needs no seed, because pgweir or PostgreSQL chooses the PIDs; several clients may have
 * the same. */
struct cancel_keys {
	pthread_mutex_t lock; /* guards the whole struct, and next_of() of each client in it */
	struct client **clients; /* lists that are linked by next_of() */
	uint32_t cap, count; /* cap: 0 or a power of two */
	uint32_t random[64], random_left; /* random numbers that are not used yet */
};

struct cancel_keys *
cancel_keys_new(void)
{
	struct cancel_keys *keys = xcalloc(1, sizeof(*keys));

	pthread_mutex_init(&keys->lock, NULL);
	return keys;
}

void
cancel_keys_free(struct cancel_keys *keys)
{
	if (keys == NULL)
		return;
	pthread_mutex_destroy(&keys->lock);
	OPENSSL_cleanse(keys->random, sizeof(keys->random));
	free(keys->clients);
	free(keys);
}

static struct client **
bucket(const struct cancel_keys *keys, uint32_t pid)
{
	return &keys->clients[(pid * 2654435761u >> 7) & (keys->cap - 1)];
}

static struct client **
next_of(struct client *c)
{
	return c->has_long_key ? &c->long_key->next : &c->key_next;
}

static int
keys_grow(struct cancel_keys *keys)
{
	uint32_t old_cap = keys->cap, cap = old_cap == 0 ? 64 : old_cap * 2;
	struct client **old = keys->clients, **grown = calloc(cap, sizeof(struct client *));

	if (grown == NULL)
		return -1;
	keys->clients = grown;
	keys->cap = cap;
	for (uint32_t i = 0; i < old_cap; i++)
		for (struct client *c = old[i], *next; c != NULL; c = next) {
			struct client **at = bucket(keys, c->x.client_pid);

			next = *next_of(c);
			*next_of(c) = *at;
			*at = c;
		}
	free(old);
	return 0;
}

/* Returns 0, or -1 without memory for a first table. A table that cannot grow is kept, with longer lists. */
static int
make_room(struct cancel_keys *keys)
{
	return keys->count < keys->cap || keys_grow(keys) == 0 || keys->cap > 0 ? 0 : -1;
}

/* Takes random numbers from a stock, because each call of the generator is costly. Wipes the numbers that it takes.
 * Returns 0, or -1 without randomness. */
static int
take_random(struct cancel_keys *keys, uint32_t out[static 2])
{
	uint32_t *stock = keys->random;

	if (keys->random_left < 2) {
		if (RAND_bytes((unsigned char *)stock, sizeof(keys->random)) != 1)
			return -1;
		keys->random_left = sizeof(keys->random) / sizeof(keys->random[0]);
	}
	for (unsigned i = 0; i < 2; i++) {
		out[i] = stock[--keys->random_left];
		stock[keys->random_left] = 0;
	}
	return 0;
}

size_t
cancel_copy_secret(const struct client *c, uint8_t out[static CANCEL_SECRET_MAX])
{
	wire_set_u32(out, c->x.client_secret);
	if (!c->has_long_key)
		return CANCEL_SECRET_SHORT;
	memcpy(out + CANCEL_SECRET_SHORT, c->long_key->rest, REST_LEN);
	return CANCEL_SECRET_MAX;
}

/* Compares the secret in constant time. A secret of the other length never matches. */
static bool
has_key(const struct client *c, uint32_t pid, const uint8_t *secret, size_t len)
{
	uint8_t own[CANCEL_SECRET_MAX];
	bool is_same = cancel_copy_secret(c, own) == len;

	is_same =
	    CRYPTO_memcmp(own, secret, is_same ? len : CANCEL_SECRET_SHORT) == 0 && is_same && c->x.client_pid == pid;
	OPENSSL_cleanse(own, sizeof(own));
	return is_same;
}

/* Called with the lock held. */
static struct client *
find_client(const struct cancel_keys *keys, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client *c;

	if (keys->cap == 0 || pid == 0)
		return NULL;
	for (c = *bucket(keys, pid); c != NULL; c = *next_of(c))
		if (has_key(c, pid, secret, len))
			return c;
	return NULL;
}

/* Called with the lock held. Returns how many clients were sent this made-up PID, and sets *one to any of them. */
static unsigned
count_pid(const struct cancel_keys *keys, uint32_t pid, struct client **one)
{
	unsigned count = 0;

	if (keys->cap == 0 || pid < CANCEL_PID_MADE)
		return 0;
	for (struct client *c = *bucket(keys, pid); c != NULL; c = *next_of(c))
		if (c->x.client_pid == pid) {
			*one = c;
			count++;
		}
	return count;
}

/* Returns c if it is a client of this worker; else NULL, because another worker may free its client at any moment. */
static struct client *
keep_if_own(struct client *c, const struct client_env *env)
{
	return c != NULL && c->env == env ? c : NULL;
}

struct client *
cancel_find_client(struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client *c;

	pthread_mutex_lock(&env->keys->lock);
	c = keep_if_own(find_client(env->keys, pid, secret, len), env);
	pthread_mutex_unlock(&env->keys->lock);
	return c;
}

struct client_env *
cancel_find_env(const struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client_env *worker;
	const struct client *c;

	pthread_mutex_lock(&env->keys->lock);
	c = find_client(env->keys, pid, secret, len);
	worker = c != NULL ? c->env : NULL;
	pthread_mutex_unlock(&env->keys->lock);
	return worker;
}

size_t
cancel_copy_secret_of_pid(const struct client *asker, uint32_t pid, uint8_t out[static CANCEL_SECRET_MAX])
{
	struct cancel_keys *keys = asker->env->keys;
	struct client *c;
	size_t len = 0;

	pthread_mutex_lock(&keys->lock);
	/* A client has its pool as long as it has its key. */
	if (count_pid(keys, pid, &c) == 1 && pool_is_same(c->x.pool, asker->x.pool))
		len = cancel_copy_secret(c, out);
	pthread_mutex_unlock(&keys->lock);
	return len;
}

/* Returns true if a client has this PID and short secret. In the first TRIES_MAX tries, also returns true if any client
 * has this PID and the PID is made up. */
static bool
is_taken(const struct cancel_keys *keys, uint32_t pid, uint32_t secret, unsigned tries)
{
	uint8_t bytes[CANCEL_SECRET_SHORT];
	struct client *one;

	if (tries < TRIES_MAX && count_pid(keys, pid, &one) > 0)
		return true;
	wire_set_u32(bytes, secret);
	return find_client(keys, pid, bytes, sizeof(bytes)) != NULL;
}

/* Gives the client the rest of a long secret: a copy of rest, or random bytes if rest is NULL. Returns 0, or -1 without
 * memory or randomness. */
static int
give_long_key(struct client *c, const uint8_t *rest)
{
	struct long_key *key = calloc(1, sizeof(*key));

	if (key == NULL || (rest == NULL && RAND_bytes(key->rest, sizeof(key->rest)) != 1)) {
		free(key);
		return -1;
	}
	if (rest != NULL)
		memcpy(key->rest, rest, REST_LEN);
	c->long_key = key;
	c->has_long_key = true;
	return 0;
}

/* Wipes and frees a long secret. The client must not be in the table. */
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

/* Called with the lock held. */
static void
enter_key(struct cancel_keys *keys, struct client *c, uint32_t pid, uint32_t secret)
{
	struct client **at = bucket(keys, pid);

	c->x.client_pid = pid;
	c->x.client_secret = secret;
	*next_of(c) = *at;
	*at = c;
	keys->count++;
}

/* Called with the lock held. */
static int
enter_new_key(struct cancel_keys *keys, struct client *c, uint32_t pid)
{
	uint32_t random[2], made, peer_id = c->env->x.config->peer_id;
	unsigned tries = 0;

	if (make_room(keys) < 0)
		return -1;
	do {
		if (take_random(keys, random) < 0)
			return -1;
		/* A made-up PID is positive, because pg_basebackup and others print a signed number, and larger than
		 * the PID of any process, so pg_terminate_backend() with such a PID hits no backend. */
		made = pid != 0 && peer_id == 0 ? pid : (random[0] & 0x7fffffff) | CANCEL_PID_MADE;
		if (peer_id != 0)
			cancel_peer_mark(peer_id, &made, &random[1]);
	} while (made == 0 || is_taken(keys, made, random[1], tries++));
	enter_key(keys, c, made, random[1]);
	return 0;
}

int
cancel_register(struct client *c, uint32_t pid, bool is_long)
{
	struct cancel_keys *keys = c->env->keys;
	int result;

	if (is_long && give_long_key(c, NULL) < 0)
		return -1;
	pthread_mutex_lock(&keys->lock);
	result = enter_new_key(keys, c, pid);
	pthread_mutex_unlock(&keys->lock);
	if (result < 0)
		forget_secret(c);
	return result;
}

int
cancel_restore(struct client *c, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct cancel_keys *keys = c->env->keys;
	bool is_free;

	if (len == CANCEL_SECRET_MAX && give_long_key(c, secret + CANCEL_SECRET_SHORT) < 0)
		return -1;
	pthread_mutex_lock(&keys->lock);
	is_free = pid != 0 && find_client(keys, pid, secret, len) == NULL && make_room(keys) == 0;
	if (is_free)
		enter_key(keys, c, pid, wire_u32(secret));
	pthread_mutex_unlock(&keys->lock);
	if (!is_free)
		forget_secret(c);
	return is_free ? 0 : -1;
}

void
cancel_forget_key(struct client *c)
{
	struct cancel_keys *keys = c->env->keys;
	struct client **at;

	if (c->x.client_pid == 0)
		return;
	pthread_mutex_lock(&keys->lock);
	for (at = bucket(keys, c->x.client_pid); *at != c; at = next_of(*at))
		;
	*at = *next_of(c);
	keys->count--;
	pthread_mutex_unlock(&keys->lock);
	c->x.client_pid = 0;
	forget_secret(c);
}
