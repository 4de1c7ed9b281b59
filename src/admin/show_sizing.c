/*
 * src/admin/show_sizing.c - EXPLAIN POOL: how large a pool should be, from what its connections were used for in the
 * last ten to twenty minutes (struct pool_use). docs/sizing.md has the reasons for the figures.
 */
#include "admin/show.h"

#include "base/clock.h"
#include "bouncer/bouncer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_MAX 1400
#define MUCH_IDLE                                                                                                      \
	0.3 /* of the time that connections are lent: then shorter transactions help more than a larger pool */
#define HEADROOM 1.5 /* what bursts need above the average */
#define LONG_ENOUGH_US (60 * US_PER_S) /* to call a pool too large */

/* Over both spans. */
struct use {
	uint64_t span_us, loans, waits, timeouts;
	double in_use, idle, hold_us; /* connections on average; the share of idle in transaction; of a loan */
	uint32_t peak, limit;
};

static struct use
use_of_part(const struct pool *e, uint64_t now_us)
{
	const struct pool_use *last = &e->use[0], *first = e->use[1].since_us != 0 ? &e->use[1] : last;
	uint64_t looks = last->looks, in_use = last->in_use, idle = last->idle_in_transaction;
	struct use u = { .span_us = show_age_us(now_us, first->since_us),
			 .peak = last->peak > first->peak ? last->peak : first->peak,
			 .limit = last->limit };

	if (first != last) {
		looks += first->looks;
		in_use += first->in_use;
		idle += first->idle_in_transaction;
	}
	u.loans = pool_checkouts(e) - first->checkouts;
	u.waits = e->counters.waits - first->waits;
	u.timeouts = e->counters.pool_timeouts - first->timeouts;
	u.in_use = looks > 0 ? (double)in_use / (double)looks : 0;
	u.idle = in_use > 0 ? (double)idle / (double)in_use : 0;
	return u;
}

/* The peaks of parts are not of one moment: together they are what there was at most. */
static struct use
use_of(const struct show_env *env, const struct pool *e, uint64_t now_us)
{
	struct use u = { 0 };
	double idle = 0;

	for (const struct pool *part = e; part != NULL; part = show_next_part(env, e, part)) {
		struct use one = use_of_part(part, now_us);

		u.span_us = one.span_us > u.span_us ? one.span_us : u.span_us;
		u.limit = one.limit > u.limit ? one.limit : u.limit;
		u.loans += one.loans;
		u.waits += one.waits;
		u.timeouts += one.timeouts;
		u.in_use += one.in_use;
		u.peak += one.peak;
		idle += one.idle * one.in_use;
	}
	u.peak = u.peak < u.limit ? u.peak : u.limit;
	u.idle = u.in_use > 0 ? idle / u.in_use : 0;
	u.hold_us = u.loans > 0 ? u.in_use * (double)u.span_us / (double)u.loans : 0;
	return u;
}

/* A sentence, with the names of settings that the file at hand has. */
static void __attribute__((format(printf, 3, 4)))
say(const struct show_env *env, struct rows *rows, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (config_is_pgbouncers(env->clients->x.config))
		bouncer_words(text, sizeof(text));
	show_say(rows, "%s", text);
}

/* At least one. */
static uint32_t
round_up(double connections)
{
	uint32_t n = (uint32_t)connections;

	return n + ((double)n < connections || n == 0);
}

static void
advise(const struct show_env *env, const struct pool *e, const struct use *u, struct rows *rows)
{
	uint32_t needed = round_up(u->in_use * (1 - u->idle) * HEADROOM), size = e->settings.pool_size;
	bool is_short = u->timeouts > 0 || (u->peak > 0 && u->peak >= u->limit && u->waits * 100 > u->loans);

	if (e->settings.pool_mode == POOL_MODE_SESSION)
		say(env, rows,
		    "Advice: in session mode each client keeps a connection; pool_size + max_overflow must be as "
		    "many as are connected at once, or choose pool_mode = transaction.");
	else if (u->peak == 0 && u->loans == 0)
		say(env, rows, "Advice: none; nobody has used it in this time.");
	else if (is_short && u->idle >= MUCH_IDLE)
		say(env, rows,
		    "Advice: shorten transactions instead of enlarging the pool: fewer round trips between "
		    "BEGIN and COMMIT, no other services called there; SHOW HOLDERS has those that idle "
		    "for long, idle_transaction_timeout ends them. Without the idle time the same work "
		    "keeps %.1f connections busy.",
		    u->in_use * (1 - u->idle));
	else if (is_short)
		say(env, rows,
		    "Advice: raise pool_size to about %" PRIu32
		    ", if PostgreSQL has processors to spare; beyond two or "
		    "three active connections for each processor everything gets slower, and faster statements (SHOW "
		    "QUERIES) are what helps.",
		    round_up(u->limit * HEADROOM));
	else if (u->peak * 2 <= size && u->span_us >= LONG_ENOUGH_US)
		say(env, rows,
		    "Advice: it is larger than needed: pool_size = %" PRIu32
		    " would have done. Look again in the busiest hour.",
		    round_up(u->peak * HEADROOM));
	else if (u->in_use > size)
		say(env, rows,
		    "Advice: the average is above pool_size, so connections beyond it are opened and closed all the "
		    "time: raise pool_size to about %" PRIu32 ".",
		    needed > size ? needed : round_up(u->in_use * HEADROOM));
	else
		say(env, rows, "Advice: it fits.");
}

static void
say_pool(const struct show_env *env, const struct pool *e, uint64_t now_us, struct rows *rows)
{
	struct use u = use_of(env, e, now_us);

	say(env, rows,
	    "Pool %s/%s has pool_size = %" PRIu32 " and max_overflow = %" PRIu32 "; these figures are for the last %s.",
	    e->database->name, e->user, e->settings.pool_size, e->settings.max_overflow, duration_of(u.span_us).text);
	say(env, rows, "In use: %.1f connections on average, %" PRIu32 " of %" PRIu32 " at most.", u.in_use, u.peak,
	    u.limit);
	say(env, rows,
	    "Lent %" PRIu64
	    " time%s, for %s on average; %.0f %% of the time that connections were in use their clients "
	    "idled in transactions.",
	    u.loans, u.loans == 1 ? "" : "s", duration_of((uint64_t)u.hold_us).text, u.idle * 100);
	say(env, rows, "Waits for a connection, for one to be opened included: %" PRIu64 "; timed out: %" PRIu64 ".",
	    u.waits, u.timeouts);
	advise(env, e, &u, rows);
}

static void
fill_pool(const struct show_env *env, struct rows *rows)
{
	const char *name = env->command->name;
	bool is_found = false;

	for (const struct pool *e = show_next_pool(env, NULL); e != NULL; e = show_next_pool(env, e))
		if (e->main == NULL && strcmp(e->database->name, name) == 0 && show_next_part(env, e, NULL) == e) {
			is_found = true;
			say_pool(env, e, env->now_us, rows);
		}
	if (!is_found)
		say(env, rows,
		    "Database %s has no pool: nobody has used it since pgweir was started, or not for long. "
		    "SHOW POOLS lists those there are.",
		    name);
}

const struct show answer_pool = { SHOW_COLUMNS(show_sentence_columns), 0, fill_pool, false };
