/*
 * src/client/cancel.c - CancelRequests (protocol chapter, "Canceling Requests in Progress").
 *
 * A client's secret is ours. So is its pid, made up, where its server changes from one transaction to the next; a
 * client that has a server to itself is told that one's, and may then meet others with the same: the secret decides. A
 * cancel reaches only the query that runs for that client now: the server is not lent to anybody else before PostgreSQL
 * has taken it. The asking connection gets no reply bytes; it is closed when the cancel is done, so that the caller can
 * wait for that.
 */
#include "client/client.h"
#include "client/listen.h"

#include "base/clock.h"
#include "wire/frame.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define CANCEL_TIMEOUT_US 10000000u
#define RETRY_US 2000u
#define RETRIES_MAX 500u
#define LOOK_AGAIN_US 1000u

struct client_cancel {
	struct client *c; /* NULL: it closed its connection and waits no more */
	struct event *again; /* not NULL: try_cancel is due */
	uint32_t pid, secret, retries;
	bool has_looked; /* and found nothing to cancel */
};

static struct client **
bucket(struct client_env *env, uint32_t pid, uint32_t secret)
{
	return &env->keyed[(pid * 2654435761u ^ secret) & (env->keyed_cap - 1)];
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

			next = c->key_next;
			c->key_next = *at;
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

/* In the same time whatever is wrong with it. */
static struct client *
find(struct client_env *env, uint32_t pid, uint32_t secret)
{
	uint8_t want[8], got[8];
	struct client *c;

	if (env->keyed_cap == 0 || pid == 0)
		return NULL;
	wire_set_u32(got, pid);
	wire_set_u32(got + 4, secret);
	for (c = *bucket(env, pid, secret); c != NULL; c = c->key_next) {
		wire_set_u32(want, c->cancel_pid);
		wire_set_u32(want + 4, c->cancel_secret);
		if (CRYPTO_memcmp(want, got, sizeof(want)) == 0)
			return c;
	}
	return NULL;
}

int
cancel_register(struct client *c, uint32_t pid)
{
	struct client_env *env = c->env;
	struct client **at;
	uint32_t random[2], made;

	if (env->keyed_count >= env->keyed_cap && grow(env) < 0 && env->keyed_cap == 0)
		return -1; /* else: rather longer lists than a refusal */
	do {
		if (take_random(env, random) < 0)
			return -1;
		/*
		 * Positive: pg_basebackup and others print it as a signed number. And larger than any process has:
		 * pg_terminate_backend() of what the client was told must not hit somebody.
		 */
		made = pid != 0 ? pid : (random[0] & 0x7fffffff) | 0x40000000;
	} while (made == 0 || find(env, made, random[1]) != NULL);
	c->cancel_pid = made;
	c->cancel_secret = random[1];
	at = bucket(env, made, random[1]);
	c->key_next = *at;
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
	for (at = bucket(c->env, c->cancel_pid, c->cancel_secret); *at != c; at = &(*at)->key_next)
		;
	*at = c->key_next;
	c->env->keyed_count--;
	c->cancel_pid = 0;
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
	struct client *target = find(env, c->cancel->pid, c->cancel->secret);
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
	c->cancel = key_len == 4 ? calloc(1, sizeof(*c->cancel)) : NULL;
	if (c->cancel == NULL) {
		over(c, key_len == 4 ? CR_FAILED : CR_WRONG_KEY);
		return;
	}
	c->cancel->c = c;
	c->cancel->pid = pid;
	c->cancel->secret = wire_u32(key);
	try_cancel(c);
}
