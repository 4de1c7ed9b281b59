/*
 * src/admin/stats_log.h - a line for the log, now and then, with what goes through: log_stats of PgBouncer.
 */
#ifndef PGWEIR_ADMIN_STATS_LOG_H
#define PGWEIR_ADMIN_STATS_LOG_H

#include "admin/console_stats.h"
#include "log/log.h"

/* Zeroed is empty. */
struct stats_log {
	uint64_t told_us; /* when the last line was written, or counting began; 0: never */
	struct stats told; /* what all databases had counted then */
};

/* Once in interval_us (0: never) writes a line with what went through since the last one. */
void stats_log_tick(struct stats_log *s, const struct pool_database *databases, struct log *log, uint64_t interval_us,
		    uint64_t now_us);

#endif
