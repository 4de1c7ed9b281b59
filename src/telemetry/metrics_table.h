/*
 * src/telemetry/metrics_table.h - every family of metrics, as data: its name, its sentence, and where its numbers are.
 *
 * A new counter is a field in counters.h (or snapshot.h) and a row here.
 */
#ifndef PGWEIR_TELEMETRY_METRICS_TABLE_H
#define PGWEIR_TELEMETRY_METRICS_TABLE_H

#include "base/histogram.h"

#include <stdbool.h>
#include <stddef.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Whose numbers: one sample, or one per word, for each of these. */
enum metric_scope { OF_ALL, OF_LOOP, OF_POOL, OF_DATABASE, OF_BACKEND, OF_SYSTEM };

/* Rows whose numbers are not simply there; metrics.c knows how to get at them. */
enum metric_special {
	NOT_SPECIAL,
	SPECIAL_BUILD_INFO,
	SPECIAL_STATE,
	SPECIAL_RELOAD_OK,
	SPECIAL_CLIENTS,
	SPECIAL_BACKEND_UP
};

/* A label whose values are the indices of an array. */
struct metric_words {
	const char *label;
	const char *const *names; /* NULL: not shown */
	size_t count;
};

struct metric_family {
	const char *name;
	enum metric_type type;
	enum metric_scope scope;
	enum metric_special special;
	size_t at; /* its first uint64_t, or its histogram, in the scope's struct */
	const struct metric_words *words, *more_words; /* an array by words; [words][more_words] */
	const char *other_labels; /* of special rows */
	unsigned decimals; /* 6: counted in microseconds, shown in seconds */
	bool skips_zeros; /* an array that is mostly empty */
	const struct histogram_bounds *bounds;
	const char *help;
};

extern const struct metric_family metric_families[];
extern const size_t metric_family_count;

#endif
