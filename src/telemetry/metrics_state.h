/* src/telemetry/metrics_state.h - what metrics*.c share; see metrics.h. */
#ifndef PGWEIR_TELEMETRY_METRICS_STATE_H
#define PGWEIR_TELEMETRY_METRICS_STATE_H

#include "base/buf.h"
#include "base/histogram.h"
#include "telemetry/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * --- metrics_table.c: every family of metrics, as data: its name, its sentence, and where its numbers are.
 *
 * A new counter is a field in counters.h (or snapshot.h) and a row here.
 */
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

/*
 * --- metrics_view.c: A snapshot's pools, databases and backends with their labels, each label set once.
 *
 * Different names can come out as the same label (what is not UTF-8 is replaced, and long names were cut): those are
 * added up, as two samples of the same name and labels would spoil the whole scrape.
 *
 * Borrows: the snapshot. Owns: labels, and the sums.
 */
struct metrics_item {
	char *labels;
	const void *data; /* the snapshot's, or sum */
	void *sum; /* NULL: nothing was added to it */
};

struct metrics_items {
	struct metrics_item *items; /* in order of their labels */
	size_t count;
};

struct metrics_view {
	struct metrics_items pools, databases, backends;
};

void metrics_view_init(struct metrics_view *v, const struct snapshot *s);
void metrics_view_fini(struct metrics_view *v);

/* --- metrics_process.c: what the kernel knows of this process: the process_* metrics. Linux only --- */
/* 0: not known. */
struct metrics_process {
	uint64_t cpu_us;
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds;
};

void metrics_process_read(struct metrics_process *p);

/*
 * --- exposition.c: prometheus' text format 0.0.4, line by line. Knows no metric.
 *
 * Labels are handed about as text: name="value",name="value", already escaped; empty: none.
 */
#define LABELS_MAX 1280 /* with terminator: the longest name of a backend, every byte escaped, and two words */

/* Appends name="value" (any bytes, escaped) to labels; nothing if it does not fit. */
void labels_add(char labels[LABELS_MAX], const char *name, const char *value, size_t value_len);

void exposition_head(struct buf *to, const char *name, const char *type, const char *help);
/* value counts units of 10^-decimals: 1500000 with 6 decimals is 1.5. */
void exposition_sample(struct buf *to, const char *name, const char *labels, uint64_t value, unsigned decimals);
void exposition_histogram(struct buf *to, const char *name, const char *labels, const struct histogram *h,
			  const struct histogram_bounds *bounds);

#endif
