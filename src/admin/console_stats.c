/* src/admin/console_stats.c - see console_stats.h. */
#include "admin/console_stats.h"

#include "base/clock.h"
#include "base/alloc.h"
#include "base/table.h"

#include <stdlib.h>

struct minute {
	const struct pool_database *database;
	uint64_t generation; /* of the database that was there */
	bool is_seen; /* in this minute */
	struct stats begun, average;
	UT_hash_handle hh;
};

struct console_stats {
	struct minute *table; /* by the database's address */
	uint64_t begun_us;
};

struct console_stats *
console_stats_new(uint64_t now_us)
{
	struct console_stats *s = xcalloc(1, sizeof(*s));

	s->begun_us = now_us;
	return s;
}

void
console_stats_free(struct console_stats *s)
{
	struct minute *m, *next;

	if (s == NULL)
		return;
	HASH_ITER(hh, s->table, m, next) {
		HASH_DELETE(hh, s->table, m);
		free(m);
	}
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
stats_total(const struct pool_database *database)
{
	const struct database_counters *c = &database->counters;
	struct stats s;

	s.of[STAT_SERVER_ASSIGNMENTS] = c->server_assignments;
	s.of[STAT_TRANSACTIONS] = sum(c->transactions, TE_COUNT);
	s.of[STAT_QUERIES] = sum(c->queries, QK_COUNT);
	s.of[STAT_RECEIVED] = c->bytes_in[NS_CLIENT];
	s.of[STAT_SENT] = c->bytes_out[NS_CLIENT];
	s.of[STAT_TRANSACTION_TIME] = c->transaction_us;
	s.of[STAT_QUERY_TIME] = c->phase_us[PHASE_SERVER] + c->phase_us[PHASE_STREAM];
	s.of[STAT_WAIT_TIME] = c->phase_us[PHASE_WAIT] + c->phase_us[PHASE_CONNECT];
	s.of[STAT_CLIENT_PARSES] = c->client_parses;
	s.of[STAT_SERVER_PARSES] = c->server_parses;
	s.of[STAT_BINDS] = c->binds;
	s.of[STAT_CLIENT_LOGINS] = c->client_logins;
	return s;
}

void
stats_add(struct stats *to, const struct stats *from)
{
	for (size_t i = 0; i < STATS; i++)
		to->of[i] += from->of[i];
}

struct stats
stats_rates(const struct stats *begun, const struct stats *now, uint64_t took_us)
{
	struct stats d, a;

	for (size_t i = 0; i < STATS; i++) {
		d.of[i] = now->of[i] - begun->of[i];
		a.of[i] = (uint64_t)((double)d.of[i] * (double)US_PER_S / (double)took_us);
	}
	a.of[STAT_TRANSACTION_TIME] =
	    d.of[STAT_TRANSACTIONS] > 0 ? d.of[STAT_TRANSACTION_TIME] / d.of[STAT_TRANSACTIONS] : 0;
	a.of[STAT_QUERY_TIME] = d.of[STAT_QUERIES] > 0 ? d.of[STAT_QUERY_TIME] / d.of[STAT_QUERIES] : 0;
	return a;
}

static struct minute *
minute_of(const struct console_stats *s, const struct pool_database *database)
{
	struct minute *m;

	TABLE_FIND(0, s->table, &database, sizeof(void *), m);
	return m != NULL && m->generation == database->generation ? m : NULL;
}

static struct minute *
minute_add(struct console_stats *s, const struct pool_database *database)
{
	struct minute *m;

	TABLE_FIND(0, s->table, &database, sizeof(void *), m);
	if (m != NULL) { /* of one that is gone */
		HASH_DELETE(hh, s->table, m);
		free(m);
	}
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->database = database;
	m->generation = database->generation;
	if (TABLE_ADD(0, s->table, &m->database, sizeof(void *), m))
		return m;
	free(m);
	return NULL;
}

static void
forget_unseen(struct console_stats *s)
{
	struct minute *m, *next;

	HASH_ITER(hh, s->table, m, next) {
		if (!m->is_seen) {
			HASH_DELETE(hh, s->table, m);
			free(m);
		} else
			m->is_seen = false;
	}
}

void
console_stats_tick(struct console_stats *s, const struct pool_database *databases, uint64_t now_us)
{
	uint64_t took_us = now_us - s->begun_us;

	if (took_us < STATS_PERIOD_US)
		return;
	s->begun_us = now_us;
	for (const struct pool_database *d = databases; d != NULL; d = d->next) {
		struct minute *m = minute_of(s, d);
		struct stats now = stats_total(d);

		if (m == NULL)
			m = minute_add(s, d);
		if (m == NULL)
			continue;
		m->average = stats_rates(&m->begun, &now, took_us);
		m->begun = now;
		m->is_seen = true;
	}
	forget_unseen(s);
}

struct stats
stats_average(const struct console_stats *s, const struct pool_database *database)
{
	const struct minute *m = minute_of(s, database);
	struct stats none = { { 0 } };

	return m != NULL ? m->average : none;
}
