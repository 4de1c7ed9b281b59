/* src/base/query_row.h - what telemetry remembers of statements, and the console shows. */
#ifndef PGWEIR_BASE_QUERY_ROW_H
#define PGWEIR_BASE_QUERY_ROW_H

#include "base/histogram.h"
#include "base/request_report.h"

#include <stdint.h>

/* Statements that differ in literals only, of one database, user and application. Where they are sampled, each sample
 * counts for all that it stands for. */
struct query_row {
	uint64_t fingerprint;
	const char *database, *user, *application, *query; /* query: without its literals */
	uint64_t calls, errors, total_us, max_us, wait_us, rows, bytes_out;
	uint64_t first_wall_us, last_wall_us;
	struct histogram duration; /* histogram_bounds_query */
};

/* One slow, refused or lost request. report->query is what the slow-query log wrote of it; NULL: nothing. */
struct slow_row {
	struct request_report report;
	uint64_t fingerprint;
};

#endif
