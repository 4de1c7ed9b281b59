/*
 * src/client/cancel.c - CancelRequests (protocol chapter, "Canceling Requests in Progress").
 *
 * A client's secret is ours. So is its pid, made up, where its server changes from one transaction to the next; a
 * client that has a server to itself is told that one's, and may then meet others with the same: the secret decides. It
 * has 4 bytes, or 32 for clients that speak protocol 3.2; the first four are its hash as well. A cancel reaches only
 * the query that runs for that client now: the server is not lent to anybody else before PostgreSQL has taken it. The
 * asking connection gets no reply bytes; it is closed when the cancel is done, so that the caller can wait for that.
 */
#include "client/client.h"
#include "client/listen.h"

#include "base/clock.h"
#include "wire/frame.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define CANCEL_TIMEOUT_US 10000000u
#define RETRY_US 2000u
#define RETRIES_MAX 500u
#define LOOK_AGAIN_US 1000u
#define SHORT_LEN 4u
#define REST_LEN (CANCEL_SECRET_MAX - SHORT_LEN)

/* Apart from the client, as most have none. */
struct long_key {
	struct client *next;
	uint8_t rest[REST_LEN];
};

struct client_cancel {
	struct client *c; /* NULL: it closed its connection and waits no more */
	struct event *again; /* not NULL: try_cancel is due */
	uint32_t pid, retries;
	uint8_t secret[CANCEL_SECRET_MAX];
	size_t secret_len;
	bool has_looked; /* and found nothing to cancel */
};

static struct client **
bucket(struct client_env *env, uint32_t pid, uint32_t secret)
{
	return &env->keyed[(pid * 2654435761u ^ secret) & (env->keyed_cap - 1)];
}

static struct client **
next_of(struct client *c)
{
	return c->has_long_key ? &c->long_key->next : &c->key_next;
}

static int
grow(struct client_env *env)
{
	uint32_t old_cap = env->keyed_cap, cap = old_cap == 0 ? 64 : old_cap * 2;
	struct client **old = env->keyed, **grown = calloc(cap, sizeof(struct client *));

	if (grown == NULL)
		return -1;
	env->keyed = grown;
	env->keyed_cap = cap;
	for (uint32_t i = 0; i < old_cap; i++)
		for (struct client *c = old[i], *next; c != NULL; c = next) {
			struct client **at = bucket(env, c->cancel_pid, c->cancel_secret);

			next = *next_of(c);
			*next_of(c) = *at;
			*at = c;
		}
	free(old);
	return 0;
}

/* From a stock, as each call of the generator has a cost of its own; used once, then wiped. */
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
	wire_set_u32(out, c->cancel_secret);
	if (!c->has_long_key)
		return SHORT_LEN;
	memcpy(out + SHORT_LEN, c->long_key->rest, REST_LEN);
	return CANCEL_SECRET_MAX;
}

/* In the same time whatever of a secret is wrong. The other length is another secret. */
static bool
has_key(const struct client *c, uint32_t pid, const uint8_t *secret, size_t len)
{
	uint8_t own[CANCEL_SECRET_MAX];
	bool is_same = cancel_secret(c, own) == len;

	is_same = CRYPTO_memcmp(own, secret, is_same ? len : SHORT_LEN) == 0 && is_same && c->cancel_pid == pid;
	OPENSSL_cleanse(own, sizeof(own));
	return is_same;
}

/* secret: of 4 bytes, or CANCEL_SECRET_MAX. */
static struct client *
find(struct client_env *env, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client *c;

	if (env->keyed_cap == 0 || pid == 0)
		return NULL;
	for (c = *bucket(env, pid, wire_u32(secret)); c != NULL; c = *next_of(c))
		if (has_key(c, pid, secret, len))
			return c;
	return NULL;
}

/* A short one must not be there twice; 32 bytes from the generator never are. */
static bool
is_taken(struct client_env *env, uint32_t pid, uint32_t secret)
{
	uint8_t bytes[SHORT_LEN];

	wire_set_u32(bytes, secret);
	return find(env, pid, bytes, sizeof(bytes)) != NULL;
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

int
cancel_register(struct client *c, uint32_t pid, bool is_long)
{
	struct client_env *env = c->env;
	struct client **at;
	uint32_t random[2], made;

	if (env->keyed_count >= env->keyed_cap && grow(env) < 0 && env->keyed_cap == 0)
		return -1; /* else: rather longer lists than a refusal */
	if (is_long && (c->long_key = make_long_key()) == NULL)
		return -1;
	c->has_long_key = is_long;
	do {
		if (take_random(env, random) < 0) {
			forget_secret(c);
			return -1;
		}
		/*
		 * Positive: pg_basebackup and others print it as a signed number. And larger than any process has:
		 * pg_terminate_backend() of what the client was told must not hit somebody.
		 */
		made = pid != 0 ? pid : (random[0] & 0x7fffffff) | 0x40000000;
	} while (made == 0 || is_taken(env, made, random[1]));
	c->cancel_pid = made;
	c->cancel_secret = random[1];
	at = bucket(env, made, random[1]);
	*next_of(c) = *at;
	*at = c;
	env->keyed_count++;
	return 0;
}

void
cancel_unregister(struct client *c)
{
	struct client **at;

	if (c->cancel_pid == 0)
		return;
	for (at = bucket(c->env, c->cancel_pid, c->cancel_secret); *at != c; at = next_of(*at))
		;
	*at = *next_of(c);
	c->env->keyed_count--;
	c->cancel_pid = 0;
	forget_secret(c);
}

void
cancel_free(struct client *c)
{
	struct client_cancel *cancel = c->cancel;

	if (cancel == NULL)
		return;
	cancel->c = NULL;
	if (cancel->again == NULL)
		return; /* on_sent is still to come */
	event_free(cancel->again);
	free(cancel);
	c->cancel = NULL;
}

static void try_cancel(struct client *c);

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct client_cancel *cancel = arg;

	(void)fd;
	(void)what;
	event_free(cancel->again);
	cancel->again = NULL;
	*cancel->c->env->now_us = clock_now_us();
	try_cancel(cancel->c);
}

static int
call_again(struct client_cancel *cancel, suseconds_t us)
{
	struct timeval tv = { 0, us };

	cancel->again = event_new(cancel->c->env->base, -1, 0, on_again, cancel);
	if (cancel->again != NULL && event_add(cancel->again, &tv) == 0)
		return 0;
	if (cancel->again != NULL)
		event_free(cancel->again);
	cancel->again = NULL;
	return -1;
}

static void
on_sent(bool sent, void *arg)
{
	struct client_cancel *cancel = arg;

	if (cancel->c != NULL) {
		cancel->c->env->counters->cancels[sent ? CR_SENT : CR_FAILED]++;
		cancel->c->cancel = NULL;
		client_close(cancel->c, NULL);
	}
	free(cancel);
}

static void
over(struct client *c, enum cancel_result result)
{
	c->env->counters->cancels[result]++;
	free(c->cancel);
	c->cancel = NULL;
	client_close(c, NULL);
}

/* What runs on the server now is ours (settings on their way): a moment later it will be the client's. */
static void
try_later(struct client *c)
{
	if (c->cancel->retries++ >= RETRIES_MAX || call_again(c->cancel, RETRY_US) < 0)
		over(c, CR_FAILED);
}

/*
 * Nothing runs. Its query, sent before the cancel, may be among what the loop has still to read: a new connection can
 * come first.
 */
static void
look_again(struct client *c)
{
	if (c->cancel->has_looked || call_again(c->cancel, LOOK_AGAIN_US) < 0)
		over(c, CR_NO_QUERY);
	else
		c->cancel->has_looked = true;
}

/* A request of our own, with its Sync. What goes within the client's (OWED_TO_STATEMENT) is answered with that. */
static bool
is_ours(const struct owed *o)
{
	return o->to == OWED_TO_IMAGE || o->to == OWED_TO_PROBE || o->to == OWED_TO_PREPARE;
}

static void
try_cancel(struct client *c)
{
	struct client_env *env = c->env;
	struct client *target = find(env, c->cancel->pid, c->cancel->secret, c->cancel->secret_len);
	struct server *srv;

	srv = target == NULL ? NULL : target->srv;
	if (target == NULL)
		over(c, CR_WRONG_KEY);
	else if (target->ticket.is_waiting && target->state == CL_READY) {
		relay_cancel_wait(target);
		over(c, CR_SENT);
	} else if (listen_is_waiting(target) && target->state == CL_READY) {
		listen_cancel(target);
		over(c, CR_SENT);
	} else if (srv == NULL || target->state != CL_READY || (srv->ledger.count == 0 && !target->is_held))
		look_again(c);
	else if (srv->ledger.count == 0 || is_ours(ledger_head(&srv->ledger)))
		try_later(c);
	else if (server_cancel(srv, CANCEL_TIMEOUT_US, on_sent, c->cancel) < 0)
		over(c, CR_FAILED);
}

void
cancel_begin(struct client *c, uint32_t pid, const uint8_t *key, size_t key_len)
{
	c->env->login_count--;
	c->env->cancel_count++;
	c->state = CL_CANCEL;
	c->cancel = NULL;
	if (key_len != SHORT_LEN && key_len != CANCEL_SECRET_MAX) {
		over(c, CR_WRONG_KEY);
		return;
	}
	if ((c->cancel = calloc(1, sizeof(*c->cancel))) == NULL) {
		over(c, CR_FAILED);
		return;
	}
	c->cancel->c = c;
	c->cancel->pid = pid;
	memcpy(c->cancel->secret, key, key_len);
	c->cancel->secret_len = key_len;
	try_cancel(c);
}
