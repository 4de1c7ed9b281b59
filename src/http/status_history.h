/*
 * src/http/status_history.h - the last five minutes, second by second, for the charts of the status page. Kept by
 * the metrics thread, so that the charts are full when the page is opened.
 *
 * Pure. A sample is what was counted between two snapshots, over all databases and pools; counters that have become
 * smaller (a database was removed from the configuration) count as 0.
 */
#pragma once

#include "base/buf.h"
#include "telemetry/snapshot.h"

#define HISTORY_SAMPLES 300
#define HISTORY_EVERY_US (1000 * 1000)

struct history_counts {
	uint64_t requests, failed, errors, slow, bytes, phase_us[PHASE_COUNT];
	struct histogram query, wait, lag;
};

struct history_sample {
	uint64_t wall_us, span_us;
	struct history_counts n; /* between this snapshot and the one before */
	uint64_t clients;
	struct snapshot_totals now; /* at this moment */
};

struct history {
	struct history_sample samples[HISTORY_SAMPLES]; /* a ring */
	size_t count, next;
	struct history_counts before;
	uint64_t before_us; /* when that was; 0: never */
};

/* Adds a sample, if the last one is old enough. wall_us: the time of day when s was taken. */
void history_add(struct history *h, const struct snapshot *s, uint64_t wall_us);
/* Appends the samples of the last seconds as a JSON array of objects, the oldest first: rates per second, times in ms.
 */
void history_put(const struct history *h, unsigned seconds, struct buf *to);
