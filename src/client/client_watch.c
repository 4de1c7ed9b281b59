/* src/client/client_watch.c - see client.h: what an operator should read in the log before users call. */
#include "client/client.h"
#include "client/client_log.h"

#include "base/clock.h"
#include "base/duration.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdio.h>

#define TOLD_EVERY_US (10 * US_PER_S)
#define HOLDERS_TOLD 3
#define QUERY_TOLD_MAX 200 /* characters */

/* What the holders of a pool's connections do. */
struct holders {
	const struct server *longest[HOLDERS_TOLD]; /* who holds longest comes first; NULL: there are no more */
	uint32_t running, in_transaction, kept; /* kept: between transactions, by sessions and pins */
};

static void
note_longest(struct holders *h, const struct server *srv)
{
	for (unsigned i = 0; i < HOLDERS_TOLD; i++) {
		const struct server *other = h->longest[i];

		if (other != NULL && other->loan.lent_us <= srv->loan.lent_us)
			continue;
		h->longest[i] = srv;
		if (other == NULL)
			return;
		srv = other;
	}
}

static struct holders
count_holders(const struct pool_entry *entry)
{
	struct holders h = { 0 };
	const struct server *srv;

	TAILQ_FOREACH(srv, &entry->servers, all)
	{
		if (srv->borrower == NULL)
			continue;
		if (srv->ledger.count > 0)
			h.running++;
		else if (srv->tx != 'I')
			h.in_transaction++;
		else
			h.kept++;
		note_longest(&h, srv);
	}
	return h;
}

static const char *
doing(const struct server *srv)
{
	if (srv->ledger.count > 0)
		return "running a query";
	return srv->tx != 'I' ? "idle in a transaction" : "between transactions";
}

/* Its last statement, without literals, where the slow-query log may show it. */
static void
say_query(const struct client_env *env, const struct loan *loan, char out[static QUERY_TOLD_MAX])
{
	out[0] = '\0';
	if (loan->text_len > 0 && env->x.config->slow_text != SLOW_TEXT_NONE)
		env->normalize((const char *)loan->text, loan->text_len, out, QUERY_TOLD_MAX);
}

static void
say_longest(const struct client_env *env, const struct holders *h, uint64_t now_us, char *out, size_t cap)
{
	char words[CLIENT_WORDS_MAX], query[QUERY_TOLD_MAX];
	struct client_about about;
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < HOLDERS_TOLD && h->longest[i] != NULL && len < cap; i++) {
		const struct server *srv = h->longest[i];

		client_about(srv->borrower, &about);
		client_words(&about, words, sizeof(words));
		say_query(env, &srv->loan, query);
		len += (size_t)snprintf(out + len, cap - len, "%s for %s, by %s, %s%s%s", i == 0 ? "; longest," : ";",
					duration_of(now_us - srv->loan.lent_us).text, words, doing(srv),
					query[0] != '\0' ? ": " : "", query);
	}
}

static void
tell_exhausted(const struct client_env *env, const struct pool_entry *entry, uint64_t timed_out, uint64_t now_us)
{
	const struct log_about about = { .event = "pool_exhausted",
					 .database = entry->database->name,
					 .user = entry->user,
					 .reason = "pool_timeout",
					 .duration_us = entry->settings.pool_timeout_us };
	struct holders h = count_holders(entry);
	struct pool_counts counts;
	char longest[HOLDERS_TOLD * (CLIENT_WORDS_MAX / 2 + QUERY_TOLD_MAX)];

	pool_get_counts(entry->policy, &counts);
	say_longest(env, &h, now_us, longest, sizeof(longest));
	log_event(env->x.log, LOG_LEVEL_WARNING, &about,
		  "pool %s/%s is exhausted: %" PRIu64 " client%s waited %s in vain (pool_timeout), %" PRIu32
		  " still wait; %" PRIu32 " of %" PRIu32 " connections are lent: %" PRIu32 " run queries, %" PRIu32
		  " idle in transactions, %" PRIu32 " kept between them%s",
		  entry->database->name, entry->user, timed_out, timed_out == 1 ? "" : "s",
		  duration_of(entry->settings.pool_timeout_us).text, counts.waiting, counts.lent,
		  entry->settings.pool_size + entry->settings.max_overflow, h.running, h.in_transaction, h.kept,
		  longest);
}

static void
watch_timeouts(const struct client_env *env, struct pool_entry *entry, uint64_t now_us)
{
	uint64_t timed_out = entry->counters.pool_timeouts - entry->timeouts_told;

	if (timed_out == 0 || (entry->timeouts_told_us != 0 && now_us - entry->timeouts_told_us < TOLD_EVERY_US))
		return;
	tell_exhausted(env, entry, timed_out, now_us);
	entry->timeouts_told = entry->counters.pool_timeouts;
	entry->timeouts_told_us = now_us;
}

static void
tell_transaction(const struct client_env *env, const struct server *srv, const char *event, uint64_t since_us,
		 uint64_t now_us)
{
	struct client_about about;
	char words[CLIENT_WORDS_MAX];

	client_about(srv->borrower, &about);
	client_words(&about, words, sizeof(words));
	about.log.event = event;
	about.log.duration_us = now_us - since_us;
	about.log.server_id = srv->id;
	about.log.server = srv->address;
	log_event(env->x.log, LOG_LEVEL_WARNING, &about.log,
		  "%s: its transaction has been %s for %s; it is %s on server %" PRIu64 " (%s, pid %" PRIu32 ")", words,
		  since_us == srv->loan.tx_started_us ? "open" : "idle", duration_of(about.log.duration_us).text,
		  doing(srv), srv->id, srv->address, srv->pid);
}

/* Each is logged once: told_us is the one that was. */
static void
watch_since(const struct client_env *env, const struct server *srv, const char *event, uint64_t since_us,
	    uint64_t *told_us, uint64_t limit_us, uint64_t now_us)
{
	if (limit_us == 0 || since_us == 0 || *told_us == since_us || now_us < since_us || now_us - since_us < limit_us)
		return;
	*told_us = since_us;
	tell_transaction(env, srv, event, since_us, now_us);
}

static void
watch_transactions(const struct client_env *env, struct server *srv, uint64_t now_us)
{
	const struct config *config = env->x.config;
	const struct exchange *x = srv->borrower;
	struct loan *loan = &srv->loan;

	if (x == NULL || x->srv != srv || !exchange_is_ready(x) || x->replication != 0)
		return;
	watch_since(env, srv, "long_transaction", loan->tx_started_us, &loan->long_told_us,
		    config->log_long_transaction_us, now_us);
	if (srv->tx != 'I' && srv->ledger.count == 0)
		watch_since(env, srv, "idle_transaction", loan->idle_in_tx_us, &loan->idle_told_us,
			    config->log_idle_transaction_us, now_us);
}

void
clients_watch_pool(const struct client_env *env, struct pool_entry *entry, uint64_t now_us)
{
	struct server *srv;

	watch_timeouts(env, entry, now_us);
	TAILQ_FOREACH(srv, &entry->servers, all)
	watch_transactions(env, srv, now_us);
}
