/*
 * src/telemetry/slowlog_limit.h - how often the slow-query log may speak: per fingerprint a burst of 5 and then one
 * line a second, and in all so many lines a second. Pure; memory is fixed.
 *
 * A table of 1024 fingerprints. Who has not been seen for longest makes room, and starts anew when seen again.
 */
#ifndef PGWEIR_TELEMETRY_SLOWLOG_LIMIT_H
#define PGWEIR_TELEMETRY_SLOWLOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define SLOWLOG_LIMIT_SETS 128
#define SLOWLOG_LIMIT_WAYS 8

struct slowlog_slot {
	uint64_t key;
	uint64_t seen_us; /* 0: free */
	uint64_t credit_us; /* a line costs a second of it */
	uint64_t suppressed; /* lines held back since the last that was written */
};

struct slowlog_limit {
	uint32_t max_lines_per_second; /* 0: no limit in all */
	uint64_t credit, seen_us; /* of all; a line costs a million */
	struct slowlog_slot slots[SLOWLOG_LIMIT_SETS][SLOWLOG_LIMIT_WAYS];
};

void slowlog_limit_init(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* Keeps what it knows of fingerprints. */
void slowlog_limit_change(struct slowlog_limit *l, uint32_t max_lines_per_second);
/* true: a line may be written; *suppressed were held back before it. false: this one is held back, and counted. */
bool slowlog_limit_take(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t *suppressed);
/* The line was lost after all, with what it had to tell. */
void slowlog_limit_lost(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t suppressed);

#endif
