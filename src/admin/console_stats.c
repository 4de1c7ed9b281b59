#include "admin/console_stats.h"
#include "base/clock.h"
#include "base/alloc.h"
#include "base/table.h"

#include <inttypes.h>

struct database_minute {
	bool is_seen; /* true if the sums have the database; used only within console_stats_renew() */
	/* begin_totals: the totals when this minute began; last_counts: the counts that the previous minute added */
	struct stats begin_totals, last_counts;
	UT_hash_handle hh;
	char name[]; /* the database's name */
};

struct console_stats {
	struct database_minute *table; /* by the database's name */
	uint64_t seed, begun_us, took_us; /* took_us: the length of the last full minute; 0 if there was none */
};

struct console_stats *
console_stats_new(uint64_t seed, uint64_t now_us)
{
	struct console_stats *s = xcalloc(1, sizeof(*s));

	s->seed = seed;
	s->begun_us = now_us;
	return s;
}

void
console_stats_free(struct console_stats *s)
{
	if (s == NULL)
		return;
	TABLE_FREE(s->table);
	free(s);
}

static uint64_t
sum(const uint64_t *counts, size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += counts[i];
	return total;
}

struct stats
stats_total(const struct database_counters *c)
{
	struct stats s;

	s.of[STAT_SERVER_ASSIGNMENTS] = c->server_assignments;
	s.of[STAT_TRANSACTIONS] = sum(c->transactions, TE_COUNT);
	s.of[STAT_QUERIES] = sum(c->queries, QK_COUNT);
	s.of[STAT_RECEIVED] = c->bytes_in[NS_CLIENT];
	s.of[STAT_SENT] = c->bytes_out[NS_CLIENT];
	s.of[STAT_TRANSACTION_TIME] = histogram_sum_us(&c->transaction_duration);
	s.of[STAT_QUERY_TIME] = c->phase_us[PHASE_SERVER] + c->phase_us[PHASE_STREAM];
	s.of[STAT_WAIT_TIME] = c->phase_us[PHASE_WAIT] + c->phase_us[PHASE_CONNECT];
	s.of[STAT_CLIENT_PARSES] = c->client_parses;
	s.of[STAT_SERVER_PARSES] = c->server_parses;
	s.of[STAT_BINDS] = c->binds;
	s.of[STAT_CLIENT_LOGINS] = c->client_logins;
	return s;
}

/* Returns the count (STAT_...) by which a sum is divided for its average, or STATS if the average is per second. */
static unsigned
divisor_of(unsigned stat)
{
	switch (stat) {
	case STAT_TRANSACTION_TIME:
		return STAT_TRANSACTIONS;
	case STAT_QUERY_TIME:
		return STAT_QUERIES;
	case STAT_WAIT_TIME:
		return STAT_SERVER_ASSIGNMENTS;
	default:
		return STATS;
	}
}

/* Returns now - begun, count by count. A count may have become smaller: when a worker's last pool of a database is
 * freed, the worker forgets the database's counts, unless the database has a section of its own. */
static struct stats
difference(const struct stats *begun, const struct stats *now)
{
	struct stats d;

	for (size_t i = 0; i < STATS; i++)
		d.of[i] = now->of[i] > begun->of[i] ? now->of[i] - begun->of[i] : 0;
	return d;
}

static struct stats
averages(const struct stats *counted, uint64_t took_us)
{
	struct stats a = { { 0 } };

	for (unsigned i = 0; took_us > 0 && i < STATS; i++) {
		unsigned per = divisor_of(i);

		if (per == STATS)
			a.of[i] = (uint64_t)((double)counted->of[i] * (double)US_PER_S / (double)took_us);
		else
			a.of[i] = counted->of[per] > 0 ? counted->of[i] / counted->of[per] : 0;
	}
	return a;
}

static struct database_minute *
find_minute(const struct console_stats *s, const char *database)
{
	struct database_minute *m;

	TABLE_FIND(s->seed, s->table, database, strlen(database), m);
	return m;
}

bool
console_stats_is_due(const struct console_stats *s, uint64_t now_us)
{
	return now_us - s->begun_us >= STATS_PERIOD_US;
}

void
console_stats_renew(struct console_stats *s, const struct database_sum *sums, uint64_t now_us)
{
	struct database_minute *entry, *next;

	s->took_us = now_us - s->begun_us;
	s->begun_us = now_us;
	for (; sums->name != NULL; sums++) {
		struct database_minute *m = find_minute(s, sums->name);
		struct stats now = stats_total(&sums->counters);

		if (m == NULL && (m = TABLE_ADD_NEW(s->seed, s->table, name, sums->name, strlen(sums->name))) == NULL)
			continue;
		m->last_counts = difference(&m->begin_totals, &now);
		m->begin_totals = now;
		m->is_seen = true;
	}
	HASH_ITER(hh, s->table, entry, next) {
		if (!entry->is_seen) {
			HASH_DELETE(hh, s->table, entry);
			free(entry);
		} else
			entry->is_seen = false;
	}
}

struct stats
stats_minute(const struct console_stats *s, const char *database)
{
	const struct database_minute *m = find_minute(s, database);

	return m != NULL ? m->last_counts : (struct stats){ { 0 } };
}

struct stats
stats_average(const struct console_stats *s, const struct stats *minute)
{
	return averages(minute, s->took_us);
}

bool
stats_log_check_due(struct stats_log *s, uint64_t interval_us, uint64_t now_us)
{
	if (interval_us == 0)
		s->logged_us = 0;
	return interval_us > 0 && (s->logged_us == 0 || now_us - s->logged_us >= interval_us);
}

void
stats_log_write(struct stats_log *s, const struct database_sum *sums, bool has_client_logins, struct log *log,
		uint64_t now_us)
{
	struct stats now = { { 0 } }, counted, rates;
	char logins[48] = "";

	for (; sums->name != NULL; sums++) {
		struct stats of_one = stats_total(&sums->counters);

		counters_add(&now, &of_one, sizeof(now));
	}
	if (s->logged_us != 0) {
		const uint64_t *of = rates.of;

		counted = difference(&s->logged_totals, &now);
		rates = averages(&counted, now_us - s->logged_us);
		if (has_client_logins)
			snprintf(logins, sizeof(logins), ", %" PRIu64 " client logins/s", of[STAT_CLIENT_LOGINS]);
		/* Whatever the log's format, this line has PgBouncer's words, because tools read the line. */
		log_info(log,
			 "stats: %" PRIu64 " xacts/s, %" PRIu64 " queries/s, %" PRIu64 " client parses/s, %" PRIu64
			 " server parses/s, %" PRIu64 " binds/s%s, in %" PRIu64 " B/s, out %" PRIu64
			 " B/s, xact %" PRIu64 " us, query %" PRIu64 " us, wait %" PRIu64 " us",
			 of[STAT_TRANSACTIONS], of[STAT_QUERIES], of[STAT_CLIENT_PARSES], of[STAT_SERVER_PARSES],
			 of[STAT_BINDS], logins, of[STAT_RECEIVED], of[STAT_SENT], of[STAT_TRANSACTION_TIME],
			 of[STAT_QUERY_TIME], of[STAT_WAIT_TIME]);
	}
	s->logged_totals = now;
	s->logged_us = now_us;
}
