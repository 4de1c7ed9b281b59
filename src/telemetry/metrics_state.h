/*
 * src/telemetry/metrics_state.h - declarations that metrics*.c share; see snapshot.h.
 *
 * Borrows: struct exposition_series borrows its name and labels.
 * Always:  no two samples of a family have the same labels.
 */
#pragma once

#include "base/histogram.h"
#include "telemetry/snapshot.h"

/*
 * --- metrics_table.c: a table of all metrics. A family (Prometheus' word) is a metric with all its samples. Each row
 * has a family's name, its help text, and where its numbers are.
 *
 * A new counter needs a field in counters.h (or snapshot.h) and a row in this table.
 */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* The objects that a family's numbers are about. A family has a sample for each object or, if it has labels, for each
 * object and each combination of the labels' values. */
enum metric_scope {
	OF_POOL = SNAPSHOT_POOLS,
	OF_DATABASE = SNAPSHOT_DATABASES,
	OF_BACKEND = SNAPSHOT_BACKENDS,
	OF_BUDGET = SNAPSHOT_BUDGETS,
	OF_WORKER = SNAPSHOT_WORKERS,
	OF_ALL, /* numbers of struct snapshot itself */
	OF_PROCESS, /* numbers of struct metrics_process */
	OF_MODULE /* numbers of a module: config/module.h */
};

/* Families whose numbers metrics.c computes. All others are NOT_SPECIAL: their numbers are at metric_family.at. */
enum metric_special { NOT_SPECIAL, SPECIAL_BUILD_INFO, SPECIAL_STATE, SPECIAL_CLIENTS, SPECIAL_BACKEND_UP };

/* A label of a family whose numbers are an array. The label's value for number i is values[i]. */
struct metric_label {
	const char *name;
	const char *const *values; /* values[i] is NULL if number i is not shown */
	size_t count;
};

/* Makes a metric_label from its name and its values. */
#define LABEL(name, ...)                                                                                               \
	(&(const struct metric_label){ name, (const char *const[]){ __VA_ARGS__ },                                     \
				       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *) })

struct metric_family {
	const char *name;
	/* the name in OpenMetrics, where a gauge x and a counter x_total may not both exist; NULL if it is `name` */
	const char *openmetrics_name;
	enum metric_type type;
	enum metric_scope scope;
	enum metric_special special;
	size_t at; /* offset of the first uint64_t or histogram in the scope's struct */
	/* the labels for the first and second dimension of an array of numbers or histograms; NULL if not an array */
	const struct metric_label *label, *second_label;
	const char *other_labels; /* names of further labels of a special family */
	unsigned decimals; /* see exposition_sample(): 6 to show a number in microseconds as seconds */
	bool has_exemplars; /* true for the histogram of snapshot_database.exemplars */
	bool skips_zeros; /* true if samples that are 0 are left out, because most of an array is 0 */
	const struct histogram_bounds *bounds;
	const char *help;
};

extern const struct metric_family metric_families[];
extern const size_t metric_family_count;

/* The numbers of the process_* metrics, which the kernel keeps. Each is 0 if not known. */
struct metrics_process {
	uint64_t cpu_us;
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds;
};

/*
 * --- exposition.c: writes lines of Prometheus' text format 0.0.4, or of OpenMetrics 1.0.0. Knows no particular metric.
 *
 * A scrape may have tens of thousands of lines that share most of their parts. So each part is made once, and a line is
 * put together from a series (a name and labels), up to two further labels, and a number.
 *
 * Labels are passed as an escaped string, name="value",name="value", which may be empty.
 */
#define LABELS_MAX 1280 /* bytes, with the terminator: fits the longest backend's name, escaped, and two labels */
#define LABEL_MAX 96
#define LABEL_VALUES_MAX ERROR_CLASSES_MAX

/* Appends name="value" to labels, or nothing if this does not fit. Escapes value, which may have any bytes. */
void exposition_labels_add(char labels[LABELS_MAX], const char *name, const char *value, size_t value_len);

/* The beginning of a sample's line. Borrows both texts. */
struct exposition_series {
	const char *name, *labels;
	size_t name_len, labels_len;
};

/* A further label of a sample, already escaped. */
struct exposition_label {
	char text[LABEL_MAX]; /* label="value" */
	size_t len;
};

/* The labels le="..." of a histogram's buckets. */
struct exposition_bounds {
	struct exposition_label le[HISTOGRAM_BUCKETS_MAX]; /* the last is +Inf */
	size_t count; /* number of labels, +Inf included */
};

struct exposition_series exposition_make_series(const char *name, const char *labels);
void exposition_label_set(struct exposition_label *w, const char *label, const char *value);
void exposition_bounds_set(struct exposition_bounds *b, const struct histogram_bounds *bounds);

/* Appends the lines before a family's samples, such as # HELP and # TYPE. */
void exposition_head(struct buf *to, enum exposition_format format, const char *name, const char *type,
		     const char *help);
void exposition_end(struct buf *to, enum exposition_format format); /* appends OpenMetrics' last line, # EOF */
/* Appends a sample. The last `decimals` digits of value come after the decimal point: 1500000 with 6 decimals is 1.5.
 * `one` and `two` are further labels, and may be NULL. */
void exposition_sample(struct buf *to, const struct exposition_series *series, const struct exposition_label *one,
		       const struct exposition_label *two, uint64_t value, unsigned decimals);
/* Appends the samples of a histogram. `label` and exemplars may be NULL; in the text format, exemplars must be NULL. */
void exposition_histogram(struct buf *to, const struct exposition_series *series, const struct exposition_label *label,
			  const struct histogram *h, const struct exposition_bounds *bounds,
			  const struct exemplars *exemplars);
