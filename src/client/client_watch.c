/* src/client/client_watch.c - see client.h: log lines that an operator should read before users call. */
#include "client/client.h"
#include "base/clock.h"
#include "base/escape.h"
#include "exchange/holder.h"
#include "exchange/report.h"
#include "policy/policy_shared.h"
#include "pool/pool.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_EVERY_US (10 * US_PER_S)
#define HOLDERS_LOGGED 3
#define LONGEST_TEXT_MAX (HOLDERS_LOGGED * (CLIENT_WORDS_MAX / 2 + CLIENT_USE_TEXT_MAX))

/* Requests of one shard of a pool that have timed out (pool_timeout) since the last log line about such requests. */
struct timeouts {
	uint64_t count, logged_us;
	/* The fields below show the moment of the last of these timeouts. */
	uint64_t last_us, last_wall_us;
	uint32_t in_use, limit, uses[SERVER_USES];
	char longest_holders[LONGEST_TEXT_MAX];
	char detail[FAIL_TEXT_MAX], hint[FAIL_TEXT_MAX]; /* DETAIL and HINT of the client's error */
};

static bool
is_lent_longer(const struct server *a, const struct server *b)
{
	return a->loan.lent_us != b->loan.lent_us ? a->loan.lent_us < b->loan.lent_us : a->id < b->id;
}

/* Returns the server that has been lent longest, among the servers that the pool's clients wait for and that were lent
 * later than `before`; NULL if there is none. */
static const struct server *
find_next_longest(const struct pool *pool, const struct server *before)
{
	const struct server *srv = NULL, *found = NULL;

	while ((srv = holder_next(pool, srv)) != NULL)
		if ((before == NULL || is_lent_longer(before, srv)) && (found == NULL || is_lent_longer(srv, found)))
			found = srv;
	return found;
}

static void
write_longest(const struct pool *pool, uint64_t now_us, char *out, size_t cap)
{
	char does[CLIENT_USE_TEXT_MAX];
	struct client_about about;
	uint64_t since_us;
	size_t len = 0;
	const struct server *srv = find_next_longest(pool, NULL);

	out[0] = '\0';
	for (unsigned i = 0; i < HOLDERS_LOGGED && srv != NULL && len < cap; i++, srv = find_next_longest(pool, srv)) {
		client_describe(srv->borrower, &about);
		client_describe_use(srv->borrower, srv, pool_use_of(srv, &since_us), does);
		len += (size_t)snprintf(out + len, cap - len, "%s%s, by %s, %s", i == 0 ? "" : "; for ",
					duration_format(now_us - srv->loan.lent_us).text, about.words, does);
	}
}

/* Counts the timeout, and records the present uses of servers, which may have ended when the line is logged. */
void
client_note_timeout(struct exchange *x, const struct fail *why)
{
	struct pool *pool = x->pool;
	struct timeouts *t = pool->timeouts != NULL ? pool->timeouts : calloc(1, sizeof(*t));
	uint64_t now_us = *x->env->now_us, since_us;
	const struct server *srv;

	if (t == NULL)
		return;
	pool->timeouts = t;
	t->count++;
	pool->is_watched = true;
	pool_use_activate(pool);
	if (t->last_us == now_us)
		return; /* if many clients time out at once, the first of these calls has recorded the uses */
	t->last_us = now_us;
	t->last_wall_us = clock_wall_us();
	t->in_use = policy_count_busy(pool->policy);
	t->limit = pool->settings.pool_size + pool->settings.max_overflow;
	memset(t->uses, 0, sizeof(t->uses));
	TAILQ_FOREACH(srv, &pool->servers, all)
		if (pool_server_is_lent(srv))
			t->uses[pool_use_of(srv, &since_us)]++;
	write_longest(pool, now_us, t->longest_holders, sizeof(t->longest_holders));
	snprintf(t->detail, sizeof(t->detail), "%s", why->detail);
	snprintf(t->hint, sizeof(t->hint), "%s", why->hint);
}

/* Writes "is exhausted", or "was exhausted until 23:48:24 UTC" if no client waits and none has timed out within 1 s. */
static void
write_since_when(const struct timeouts *t, uint32_t waiting, uint64_t now_us, char *out, size_t cap)
{
	char time[BASE_TIMESTAMP_LEN];

	if (waiting > 0 || now_us - t->last_us < US_PER_S) {
		snprintf(out, cap, "is exhausted");
		return;
	}
	base_timestamp_text(t->last_wall_us, time);
	snprintf(out, cap, "was exhausted until %.8s UTC", strchr(time, ' ') + 1);
}

/* Logs the timeouts. A pool that has connections left, or could open some, is not exhausted; the line then has the
 * details of the error that the clients got. */
static void
log_timeouts(const struct client_env *env, const struct pool *pool, uint64_t now_us)
{
	const struct timeouts *t = pool->timeouts;
	bool is_full = t->in_use >= t->limit;
	bool is_session = pool->settings.pool_mode == POOL_MODE_SESSION;
	const uint32_t *uses = t->uses;
	uint32_t waiting = policy_queue_length(pool->policy);
	char since_when[64], waited[128], where[32] = "";

	const struct log_field fields[] = { { "timed_out", NULL, t->count },
					    { "waiting", NULL, waiting },
					    { "in_use", NULL, t->in_use },
					    { "limit", NULL, t->limit },
					    { "running", NULL, uses[USE_RUNNING] },
					    { "waiting_for_client", NULL, uses[USE_CLIENT] },
					    { "idle_in_transaction", NULL, uses[USE_IDLE] },
					    { "pinned", NULL, uses[USE_KEPT] },
					    { "holders", t->longest_holders, 0 },
					    { NULL, NULL, 0 } };
	const struct log_about about = { .event = is_full ? "pool_exhausted" : "pool_timeout",
					 .database = pool->database->name,
					 .user = pool->user,
					 .reason = "pool_timeout",
					 .duration_us = pool->settings.pool_timeout_us,
					 .more = fields };

	snprintf(waited, sizeof(waited), "%" PRIu64 " request%s timed out after %s (pool_timeout)", t->count,
		 t->count == 1 ? "" : "s", duration_format(pool->settings.pool_timeout_us).text);
	if (policy_is_shard(pool->policy))
		snprintf(where, sizeof(where), "on worker %" PRIu32 " ", env->number);
	write_since_when(t, waiting, now_us, since_when, sizeof(since_when));
	if (is_full)
		log_event(env->x.log, LOG_LEVEL_WARNING, &about,
			  "pool %s/%s %s: %s, %" PRIu32 " still waiting; %" PRIu32 " of %" PRIu32
			  " connections in use: %s%" PRIu32 " running, %" PRIu32 " waiting for the client, %" PRIu32
			  " idle in transaction, %" PRIu32 " %s%s%s; hint: %s",
			  pool->database->name, pool->user, since_when, waited, waiting, t->in_use, t->limit, where,
			  uses[USE_RUNNING], uses[USE_CLIENT], uses[USE_IDLE], uses[USE_KEPT],
			  holder_word(USE_KEPT, is_session), t->longest_holders[0] != '\0' ? "; longest, for " : "",
			  t->longest_holders, t->hint);
	else
		log_event(env->x.log, LOG_LEVEL_WARNING, &about, "pool %s/%s: %s, %" PRIu32 " still waiting. %s %s%s%s",
			  pool->database->name, pool->user, waited, waiting, t->detail, t->hint,
			  t->longest_holders[0] != '\0' ? " Longest, for " : "", t->longest_holders);
}

/* Logs the transaction once, after limit_us, and once more after each reload. word: "open" or "idle". */
static void
watch_since(const struct client *c, const char *event, const char *word, uint64_t since_us, uint64_t limit_us,
	    uint64_t now_us)
{
	const struct server *srv = c->x.srv;
	struct client_about about;
	uint64_t rests_us;
	char where[SERVER_ADDRESS_MAX + 96] = "without a server";

	if (limit_us == 0 || since_us == 0 || now_us < since_us + limit_us || c->env->watched_us >= since_us + limit_us)
		return;
	client_describe(c, &about);
	about.log.event = event;
	about.log.duration_us = now_us - since_us;
	if (srv != NULL) {
		about.log.server_id = srv->id;
		about.log.server = srv->address;
		snprintf(where, sizeof(where), "%s on server %" PRIu64 " (%s, pid %" PRIu32 ")",
			 holder_word(pool_use_of(srv, &rests_us), c->x.is_session), srv->id, srv->address, srv->pid);
	}
	log_event(c->env->x.log, LOG_LEVEL_WARNING, &about.log, "%s: its transaction has been %s for %s; it is %s",
		  about.words, word, duration_format(about.log.duration_us).text, where);
}

void
client_watch(const struct client *c, uint64_t now_us)
{
	const struct config *config = c->env->x.config;
	bool is_between_requests = c->x.srv == NULL || c->x.srv->loan.clock.since_us == 0;

	watch_since(c, "long_transaction", "open", c->x.tx_started_us, config->log_long_transaction_us, now_us);
	watch_since(c, "idle_transaction", "idle", is_between_requests ? report_idle_since(&c->x) : 0,
		    config->log_idle_transaction_us, now_us);
}

void
client_watch_pool(const struct client_env *env, struct pool *pool, uint64_t now_us)
{
	struct timeouts *t = pool->timeouts;
	struct server *srv;

	if (t != NULL && (t->count == 0 || t->logged_us == 0 || now_us - t->logged_us >= LOG_EVERY_US)) {
		pool->is_watched = false;
		if (t->count > 0) {
			log_timeouts(env, pool, now_us);
			t->count = 0;
			t->logged_us = now_us;
		}
	}
	TAILQ_FOREACH(srv, &pool->servers, all) {
		const struct exchange *x = srv->borrower;

		if (x != NULL && x->srv == srv && exchange_is_relayed(x) && x->replication == 0)
			client_watch(client_of(x), now_us);
	}
}
