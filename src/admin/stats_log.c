#include "admin/console_stats.h"

#include <inttypes.h>

/* In PgBouncer's words in any format: there are tools that read it. */
static void
put_line(struct log *log, const struct stats *s)
{
	const uint64_t *of = s->of;

	log_info(log,
		 "stats: %" PRIu64 " xacts/s, %" PRIu64 " queries/s, %" PRIu64 " client parses/s, %" PRIu64
		 " server parses/s, %" PRIu64 " binds/s, in %" PRIu64 " B/s, out %" PRIu64 " B/s, xact %" PRIu64
		 " us, query %" PRIu64 " us, wait %" PRIu64 " us",
		 of[STAT_TRANSACTIONS], of[STAT_QUERIES], of[STAT_CLIENT_PARSES], of[STAT_SERVER_PARSES],
		 of[STAT_BINDS], of[STAT_RECEIVED], of[STAT_SENT], of[STAT_TRANSACTION_TIME], of[STAT_QUERY_TIME],
		 of[STAT_WAIT_TIME]);
}

bool
stats_log_is_due(struct stats_log *s, uint64_t interval_us, uint64_t now_us)
{
	if (interval_us == 0)
		s->told_us = 0;
	return interval_us > 0 && (s->told_us == 0 || now_us - s->told_us >= interval_us);
}

void
stats_log_tell(struct stats_log *s, const struct database_sum *sums, struct log *log, uint64_t now_us)
{
	struct stats now = { { 0 } }, from = s->told, rates;

	for (; sums->name != NULL; sums++) {
		struct stats of_one = stats_total(&sums->counters);

		stats_add(&now, &of_one);
	}
	for (size_t i = 0; i < STATS; i++) /* a database that is gone has taken its counts along */
		if (now.of[i] < from.of[i])
			from.of[i] = now.of[i];
	if (s->told_us != 0) {
		rates = stats_rates(&from, &now, now_us - s->told_us);
		put_line(log, &rates);
	}
	s->told = now;
	s->told_us = now_us;
}
