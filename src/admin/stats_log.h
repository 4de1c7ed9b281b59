/*
 * src/admin/stats_log.h - a line for the log, now and then, with what goes through: log_stats of PgBouncer.
 */
#pragma once

#include "admin/console_stats.h"
#include "log/log.h"

/* Zeroed is empty. */
struct stats_log {
	uint64_t told_us; /* when the last line was written, or counting began; 0: never */
	struct stats told; /* what all databases had counted then */
};

/* Returns true once in interval_us (0: never): then stats_log_tell() is to be called. */
bool stats_log_is_due(struct stats_log *s, uint64_t interval_us, uint64_t now_us);
/* Writes a line with what went through since the last one. */
void stats_log_tell(struct stats_log *s, const struct database_sum *sums, struct log *log, uint64_t now_us);
