/* src/base/query_row.h - what telemetry remembers of statements, and the console shows. */
#pragma once

#include "base/histogram.h"
#include "base/request_report.h"

#include <stdint.h>

/* Statements that differ in literals only, of one database, user and application. Where they are sampled, each sample
 * counts for all that it stands for. */
struct query_row {
	uint64_t fingerprint;
	const char *database, *user, *application, *query; /* borrowed; query: without its literals */
	uint64_t calls, errors, total_us, max_us, wait_us, rows, bytes_out;
	uint64_t first_wall_us, last_wall_us;
	struct histogram duration; /* histogram_bounds_query */
};

/* A slow, refused or lost request. report.query is its text as in the slow-query log; NULL: it was not logged. */
struct slow_row {
	struct request_report report;
	uint64_t fingerprint;
};

/* For each bucket of a histogram, the trace of the request that fell into it last, if it had one. */
struct exemplar {
	char trace_id[33]; /* 32 digits; empty: none */
	uint64_t value_us, wall_us;
};

struct exemplars {
	struct exemplar of[HISTOGRAM_BUCKETS_MAX];
};

/* A number of /metrics, for SHOW METRICS. name: the family's; a histogram's samples end in _sum and _count. labels:
 * as exposed, name="value",... or empty. */
struct metric_sample {
	const char *name, *type, *labels, *value, *help;
};
