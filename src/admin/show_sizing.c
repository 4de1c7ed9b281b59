/*
 * src/admin/show_sizing.c - EXPLAIN POOL: advises how large a pool should be, by the use of its connections in the last
 * twenty minutes at most (policy/policy_use.h). docs/sizing.md has the reasons for the figures.
 */
#include "admin/show.h"
#include "client/clients.h"
#include "base/clock.h"
#include "policy/policy_shared.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* If PostgreSQL is idle for more than this fraction of the time that connections are lent, reducing that waste helps
 * more than a larger pool. */
#define WASTE_MUCH 0.3
#define HEADROOM 1.5 /* because of bursts, advice is for this many times the connections in use */
#define LONG_ENOUGH_US (60 * US_PER_S) /* the shortest time after which a pool is called too large */
#define QUEUES_SAID 3
#define MANY_UNNAMED 1000 /* this many requests are enough for advice on keep_plans */
/* a client that has owed its next message, or left replies unread, for this long is named even if no client waits */
#define STUCK_US (1 * US_PER_S)

/* Computes sizes from the use of all shards of a pool. Adds to *closes how many of the pool's connections were closed
 * because of unknown code. */
static struct policy_sizing
compute_sizing(const struct show_env *env, const struct pool *pool, uint64_t *closes)
{
	struct policy_use all = { 0 };
	uint32_t shards = 0;

	for (const struct pool *shard = pool; shard != NULL; shard = show_next_shard(env, pool, shard), shards++) {
		const struct policy_use_sample sample = pool_use_take_sample(shard);
		struct policy_use use = shard->use;

		policy_use_record_sample(&use, &sample, env->now_us);
		policy_use_add(&all, &use);
		*closes += shard->counters.recycles[RR_UNKNOWN_CODE];
	}
	return policy_use_compute_sizing(&all, shards);
}

static double
percent_of(const struct policy_sizing *u, enum server_use of)
{
	return u->in_use > 0 ? u->in_use_by_party[of] / u->in_use * 100 : 0;
}

/* Rounds up, to at least one. */
static uint32_t
round_up(double connections)
{
	uint32_t n = (uint32_t)connections;

	return n + ((double)n < connections || n == 0);
}

/* Advises on a pool that is too small although PostgreSQL is at work: a larger pool, unless more connections only slow
 * PostgreSQL down. */
static void
advise_more(const struct show_env *env, const struct policy_sizing *u, struct rows *rows)
{
	uint32_t least = round_up(u->enough), most = round_up(u->enough_most);
	char up_to[80] = "";

	if (policy_use_is_slowed(u)) {
		show_line(env, rows,
			  "Advice: not a larger pool: with more connections in use PostgreSQL takes longer for each "
			  "loan, and "
			  "does little more. Faster statements (SHOW QUERIES), fewer locks or more processors are what "
			  "helps.");
		return;
	}
	if (most > least)
		snprintf(up_to, sizeof(up_to), ", in steps up to %" PRIu32 " where clients wait for each answer", most);
	show_line(env, rows,
		  "Advice: raise pool_size to about %" PRIu32
		  "%s, if PostgreSQL has processors to spare; beyond two or "
		  "three active connections for each processor everything gets slower, and faster statements (SHOW "
		  "QUERIES) are what helps.",
		  least, up_to);
}

static void
advise(const struct show_env *env, const struct pool *pool, const struct policy_sizing *u, struct rows *rows)
{
	uint32_t needed = round_up(u->in_use_by_party[USE_RUNNING] * HEADROOM), size = pool->settings.pool_size;
	bool is_short = u->peak > 0 && u->peak >= u->limit && (u->timeouts > 0 || u->waits * 100 > u->loans);

	if (pool->settings.pool_mode == POOL_MODE_SESSION)
		show_line(env, rows,
			  "Advice: in session mode each client keeps a connection; pool_size + max_overflow must be as "
			  "many as are connected at once, or choose pool_mode = transaction.");
	else if (u->peak == 0 && u->loans == 0 && u->timeouts == 0)
		show_line(env, rows, "Advice: none; it was not used in this time.");
	else if (is_short && u->in_use_by_party[USE_RUNNING] <= u->in_use * (1 - WASTE_MUCH))
		show_line(
		    env, rows,
		    "Advice: shorten what clients do with a connection instead of enlarging the pool: %sfewer round "
		    "trips between BEGIN and COMMIT, no other services called there, results read at once, no session "
		    "state that pins. SHOW HOLDERS lists the clients that keep a connection for long; "
		    "idle_transaction_timeout, query_timeout and client_idle_timeout limit that time. Without this "
		    "idle time the same work would need %.1f connections.",
		    u->in_use_by_party[USE_IDLE] > u->in_use * WASTE_MUCH && pool->settings.begin == BEGIN_SENT &&
			    pool->settings.session_state == SESSION_TRACK
			? "begin = deferred, which lends a connection only at the first statement after BEGIN; "
			: "",
		    u->in_use_by_party[USE_RUNNING]);
	else if (is_short)
		advise_more(env, u, rows);
	else if (u->timeouts > 0)
		show_line(
		    env, rows,
		    "Advice: not a larger pool; requests timed out though it was not full, as no more connections "
		    "could be opened. SHOW EVENTS LIKE '%%timed out%%' has the reason.");
	else if (u->peak * 2 <= size && u->span_us >= LONG_ENOUGH_US)
		show_line(env, rows,
			  "Advice: it is larger than needed: pool_size = %" PRIu32
			  " would have done. Look again in the busiest hour.",
			  round_up(u->peak * HEADROOM));
	else if (u->in_use > size)
		show_line(
		    env, rows,
		    "Advice: the average is above pool_size, so connections beyond it are opened and closed all the "
		    "time: raise pool_size to about %" PRIu32 ".",
		    needed > size ? needed : round_up(u->in_use * HEADROOM));
	else
		show_line(env, rows, "Advice: none; the size is right.");
}

/* Returns the client that has waited longest for a connection of the pool. If no client waits for one, returns the
 * client that has waited longest for room in a limit that the pool counts in; NULL if there is no such client. */
static const struct client *
find_first_in_queue(const struct show_env *env, const struct pool *pool)
{
	const struct client *c, *first = NULL;

	for (c = clients_walk(env->host->client_envs, NULL); c != NULL; c = clients_walk(env->host->client_envs, c)) {
		int nearer;

		if (c->x.waiter.waits == WAITS_NOT || !policy_may_get_place_of(c->x.pool->policy, pool->policy))
			continue;
		nearer = first == NULL ? 1 : pool_is_same(c->x.pool, pool) - pool_is_same(first->x.pool, pool);
		if (nearer > 0 || (nearer == 0 && c->x.waiter.since_us < first->x.waiter.since_us))
			first = c;
	}
	return first;
}

/* Explains how many connections would be in use without a limit, and whether PostgreSQL then gets slower. */
static void
say_demand(const struct show_env *env, const struct policy_sizing *u, struct rows *rows)
{
	if (u->unlimited_most > u->in_use + 0.05)
		show_line(
		    env, rows,
		    "Without a limit %.1f would have been in use on average (%.1f requests a second, %.1f ms each), or "
		    "up to %.1f if clients send nothing while they wait.",
		    u->unlimited, u->per_second, u->hold_us / US_PER_MS, u->unlimited_most);
	if (u->few.busy > 0 && u->few.server_us > 0)
		show_line(env, rows,
			  "With about %.0f connections in use, PostgreSQL took %.1f times as long per loan as with "
			  "about %.0f "
			  "(if the statements were the same).",
			  u->many.busy, u->many.server_us / u->few.server_us, u->few.busy);
}

static void
say_pool(const struct show_env *env, const struct pool *pool, const struct holding *list, struct rows *rows)
{
	uint64_t closes = 0;
	struct policy_sizing u = compute_sizing(env, pool, &closes);
	const struct client *first = find_first_in_queue(env, pool);
	uint64_t stuck_us = env->now_us > STUCK_US ? env->now_us - STUCK_US : 0;

	show_line(env, rows,
		  "Pool %s/%s has pool_size = %" PRIu32 " and max_overflow = %" PRIu32
		  "; these figures are for the last %s.",
		  pool->database->name, pool->user, pool->settings.pool_size, pool->settings.max_overflow,
		  duration_format(u.span_us).text);
	show_line(env, rows,
		  "In use: %.1f connections on average, %" PRIu32 " or fewer for 95 %% of the time, %" PRIu32
		  " of %" PRIu32 " at most.",
		  u.in_use, u.at_95, u.peak, u.limit);
	show_line(env, rows,
		  "Lent %" PRIu64
		  " time%s, for %s on average; of the time that connections were in use %.0f %% went by "
		  "idle in transaction, %.0f %% waiting for the client, %.0f %% between transactions.",
		  u.loans, u.loans == 1 ? "" : "s", duration_format((uint64_t)u.hold_us).text, percent_of(&u, USE_IDLE),
		  percent_of(&u, USE_CLIENT), percent_of(&u, USE_KEPT));
	show_line(env, rows,
		  "Waits for a connection (including waits for a new one to open): %" PRIu64
		  ", of %s on average; timed out: %" PRIu64 ".",
		  u.waits, duration_format((uint64_t)u.wait_us).text, u.timeouts);
	if (pool->settings.pool_mode != POOL_MODE_SESSION)
		say_demand(env, &u, rows);
	if (closes > 0)
		show_line(env, rows,
			  "Closed since the start because code may leave session state behind: %" PRIu64
			  " connections, of late mostly because of %s; if that leaves nothing behind, declare it in "
			  "harmless_code.",
			  closes,
			  pool_code_most_blamed(pool->code)->closes > 0 ? pool_code_most_blamed(pool->code)->why
									: "code of SHOW DATABASE_CODE");
	/* If something other than a larger pool would help at present, the advice says so, as EXPLAIN WAIT does.
	 * Otherwise the advice follows from the use of the pool. */
	if (!(first != NULL ? show_explain_wait(env, first, list, rows)
			    : show_explain_usage(env, pool, list, stuck_us, "Advice", rows)))
		advise(env, pool, &u, rows);
}

/* Explains the longest queues, with the sentences of EXPLAIN WAIT about the first client in each. */
static void
say_queues(const struct show_env *env, const struct holding *list, struct rows *rows)
{
	struct pool **pools = show_sorted_pools(env, rows, true);
	const struct client *first;

	for (size_t i = 0; i < QUEUES_SAID && pools != NULL && pools[i] != NULL; i++)
		if ((first = find_first_in_queue(env, pools[i])) != NULL && first->x.pool == pools[i])
			show_explain_wait(env, first, list, rows);
	free(pools);
}

/*
 * Says how many of the database's requests ran with a plan that PostgreSQL had kept because of keep_plans. If none did,
 * but at least MANY_UNNAMED requests and more than half of all had an unnamed statement, says that, because PostgreSQL
 * plans such a statement anew each time. Each Bind of a named statement counts as one request with a named statement.
 */
static void
say_plans(const struct show_env *env, const char *name, struct rows *rows)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		const struct database_counters *c = &d->counters;
		uint64_t extended = c->queries[QK_EXTENDED], unnamed = extended > c->binds ? extended - c->binds : 0;

		if (strcmp(d->name, name) != 0)
			continue;
		if (c->plans_kept > 0)
			show_line(env, rows,
				  "Plans: of %" PRIu64 " requests by the extended protocol since the start, %" PRIu64
				  " ran with a plan that PostgreSQL had, thanks to keep_plans.",
				  extended, c->plans_kept);
		else if (unnamed >= MANY_UNNAMED && unnamed * 2 > c->requests)
			show_line(env, rows,
				  "Plans: %.0f %% of all requests since the start had an unnamed statement, which "
				  "PostgreSQL plans anew each time; if the same statements come again and "
				  "again, with keep_plans = on PostgreSQL keeps their plans.",
				  (double)unnamed * 100 / (double)c->requests);
	}
	free(sums);
}

SHOW(answer_pool, show_sentence_columns, OF_ALL_WITH_BLOCKERS)
{
	const char *name = env->command->name;
	struct holding *list = show_holdings(env, rows);
	bool is_found = list == NULL || !env->command->has_name;

	if (list != NULL && !env->command->has_name)
		say_queues(env, list, rows);
	for (const struct pool *pool = is_found ? NULL : show_next_pool(env, NULL); pool != NULL;
	     pool = show_next_pool(env, pool))
		if (pool->main == NULL && strcmp(pool->database->name, name) == 0 &&
		    show_next_shard(env, pool, NULL) == pool) {
			is_found = true;
			say_pool(env, pool, list, rows);
		}
	if (is_found && env->command->has_name)
		say_plans(env, name, rows);
	if (!is_found)
		show_line(env, rows,
			  "Database %s has no pool: nobody has used it since pgweir was started, or for a while. "
			  "SHOW POOLS lists those there are.",
			  name);
	free(list);
}
