/*
 * src/telemetry/metrics_state.h - declarations that metrics*.c share; see snapshot.h.
 *
 * Borrows: a series borrows its name and labels.
 * Always:  no two samples of a family have the same labels.
 */
#pragma once

#include "base/histogram.h"
#include "telemetry/snapshot.h"

/*
 * --- metrics_table.c: every family of metrics as data: its name, its help, and the place of its numbers.
 *
 * A new counter is a field in counters.h (or snapshot.h) and a row here.
 */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Owners of a family's numbers. A family has a sample for each owner or, if it has labels of its own, for each owner
 * and combination of these labels' values. */
enum metric_scope {
	OF_POOL = SNAPSHOT_POOLS,
	OF_DATABASE = SNAPSHOT_DATABASES,
	OF_BACKEND = SNAPSHOT_BACKENDS,
	OF_BUDGET = SNAPSHOT_BUDGETS,
	OF_LOOP = SNAPSHOT_WORKERS,
	OF_ALL,
	OF_SYSTEM,
	OF_MODULE /* numbers of a module: config/module.h */
};

/* Rows whose numbers must be computed, by metrics.c. */
enum metric_special { NOT_SPECIAL, SPECIAL_BUILD_INFO, SPECIAL_STATE, SPECIAL_CLIENTS, SPECIAL_BACKEND_UP };

/* A label; value i of the label belongs to number i of an array. */
struct metric_label {
	const char *name;
	const char *const *values; /* a value is NULL if its number is not shown */
	size_t count;
};

/* Makes a metric_label from its name and its values. */
#define LABEL(name, ...)                                                                                               \
	(&(const struct metric_label){ name, (const char *const[]){ __VA_ARGS__ },                                     \
				       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *) })

struct metric_family {
	const char *name;
	/* name in OpenMetrics, where a gauge x and a counter x_total would be one family; NULL if it is the same */
	const char *openmetrics_name;
	enum metric_type type;
	enum metric_scope scope;
	enum metric_special special;
	size_t at; /* offset of its first uint64_t or histogram in the scope's struct */
	/* set if the numbers or histograms are an array, indexed by the values of label, or of label and second_label;
	 * NULL otherwise */
	const struct metric_label *label, *second_label;
	const char *other_labels; /* the labels of special rows */
	unsigned decimals; /* with 6, counted in microseconds and shown in seconds */
	bool has_exemplars; /* snapshot_database.exemplars belong to this histogram */
	bool skips_zeros; /* leaves out samples that are 0; for an array that is mostly empty */
	const struct histogram_bounds *bounds;
	const char *help;
};

extern const struct metric_family metric_families[];
extern const size_t metric_family_count;

/* The kernel's numbers for this process: the process_* metrics. Linux only. Each is 0 if not known. */
struct metrics_process {
	uint64_t cpu_us;
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds;
};

/*
 * --- exposition.c: Prometheus' text format 0.0.4, or OpenMetrics 1.0.0, line by line. This file knows no metric.
 *
 * A scrape has tens of thousands of lines that differ in little, so each part is made once. A line is then put together
 * by copying, without printf, from a series (the name and the labels of its owner), further labels and a number.
 *
 * Labels are passed as a string: name="value",name="value", already escaped; it may be empty.
 */
#define LABELS_MAX 1280 /* bytes with terminator: the longest name of a backend, every byte escaped, and two labels */
#define LABEL_MAX 96
#define LABEL_VALUES_MAX ERROR_CLASSES_MAX

/* Appends name="value" (any bytes, escaped) to labels; appends nothing if it does not fit. */
void exposition_labels_add(char labels[LABELS_MAX], const char *name, const char *value, size_t value_len);

/* The beginning of samples: name and labels. Borrows both texts. */
struct exposition_series {
	const char *name, *labels;
	size_t name_len, labels_len;
};

/* A further label of a sample, already escaped. */
struct exposition_label {
	char text[LABEL_MAX]; /* label="value" */
	size_t len;
};

/* The le labels of all buckets of a family's histograms. */
struct exposition_bounds {
	struct exposition_label le[HISTOGRAM_BUCKETS_MAX]; /* the last is +Inf */
	size_t count; /* number of labels, +Inf included */
};

struct exposition_series exposition_series(const char *name, const char *labels);
void exposition_label_set(struct exposition_label *w, const char *label, const char *value);
void exposition_bounds_set(struct exposition_bounds *b, const struct histogram_bounds *bounds);

void exposition_head(struct buf *to, enum exposition_format format, const char *name, const char *type,
		     const char *help);
void exposition_end(struct buf *to, enum exposition_format format);
/* Appends a sample. value counts units of 10^-decimals: 1500000 with 6 decimals is 1.5. one and two may be NULL. */
void exposition_sample(struct buf *to, const struct exposition_series *series, const struct exposition_label *one,
		       const struct exposition_label *two, uint64_t value, unsigned decimals);
/* Appends a histogram. label may be NULL. exemplars: NULL if there are none, and always in the text format. */
void exposition_histogram(struct buf *to, const struct exposition_series *series, const struct exposition_label *label,
			  const struct histogram *h, const struct exposition_bounds *bounds,
			  const struct exemplars *exemplars);
