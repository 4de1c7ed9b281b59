/* src/base/request_report.h - what the relay reports about one request that has ended, for the slow-query log and SHOW
 * QUERIES. */
#pragma once

#include "base/counters.h"

#include <stdbool.h>

#define REQUEST_BIND_MAX 2048 /* bytes of a Bind's body that are kept if [slow_query] has parameters = on */
#define REQUEST_TEXT_MAX 16384 /* bytes of query text that are kept while the request runs */

/* The plan that PostgreSQL used for an unnamed statement of a client (statements/keep.h). */
enum plan_choice {
	PLAN_OWN, /* a plan that was made for this execution; also the value for statements that the client has named */
	PLAN_KEPT /* a plan that PostgreSQL keeps, because pgweir has prepared the statement under a name */
};

/* The report of one request. The receiver borrows the report and all its texts for the call. Texts may have any bytes,
 * because clients choose them. */
struct request_report {
	uint64_t wall_us; /* when the request ended, since 1970 */
	uint64_t duration_us, phase_us[PHASE_COUNT]; /* the phases add up to the duration */
	uint64_t threshold_us; /* slow_query_threshold: a request that takes this long is slow */
	const char *event; /* "slow_query", "pool_timeout", "client_gone" ...: docs/slow-log.md */
	const char *database, *user, *application;
	const char *client; /* "10.0.0.7:51514" */
	uint64_t client_id;
	const char *backend; /* "10.0.0.2:5432"; empty if the request had no server */
	uint32_t backend_pid;
	const char *protocol; /* "simple", "extended", "copy" */
	const char *tag; /* the command of the last CommandComplete, such as "SELECT"; empty if there was none */
	uint64_t rows, bytes_in, bytes_out;
	uint32_t statements;
	bool in_transaction;
	const char *sqlstate; /* empty if there was no error */
	uint8_t route; /* enum read_route */
	uint8_t canceled_by; /* enum canceler */
	uint8_t plan; /* enum plan_choice */
	bool is_given_up; /* true if the request has ended without PostgreSQL's answer, or its client has gone */
	const char *query; /* NULL or empty if not known, as for a prepared statement that no longer exists */
	size_t query_len;
	uint64_t fingerprint; /* a hash of query without its literals; 0 if not known */
	unsigned sql_options; /* enum scan_option, by which the client's session reads strings */
	/* up to REQUEST_BIND_MAX bytes of the query's Bind; NULL without a Bind, or if parameters are not logged */
	const uint8_t *bind;
	size_t bind_len;
	bool is_query_cut; /* true if query is truncated */
};

/* counters.c: returns the name of the longest phase: "wait", "server" and so on. If several phases are equally long,
 * "server" comes first, then the order of PHASES. If the longest phase is PHASE_CLIENT and r->event is
 * "backend_lost", returns "backend_lost". */
const char *request_cause(const struct request_report *r);

/* --- statistics of statements, which telemetry keeps and the console shows --- */

/* A row of SHOW QUERIES: statements of one database, user and application that differ only in their literals. If only
 * one in N requests is counted, that request counts as N. */
struct query_row {
	uint64_t fingerprint;
	const char *database, *user, *application; /* borrowed, like query */
	/* mean_us, p95_us and server_share (in thousandths of a percent) are filled in by SHOW QUERIES itself;
	 * plans_kept: calls whose plan was PLAN_KEPT */
	uint64_t calls, errors, total_us, mean_us, p95_us, max_us, phase_us[PHASE_COUNT], server_share, rows, bytes_out,
	    plans_kept;
	uint64_t first_wall_us, last_wall_us;
	const char *query; /* without its literals */
	uint64_t routes[ROUTE_COUNT];
	struct histogram duration; /* its bounds are histogram_bounds_query */
};

/* The last request with a trace ID in one bucket of a histogram. */
struct exemplar {
	char trace_id[33]; /* 32 digits; empty if no such request has come */
	uint64_t value_us, wall_us; /* value_us is the request's duration; wall_us is when the request ended */
};

struct exemplars {
	struct exemplar of[HISTOGRAM_BUCKETS_MAX];
};

/* A sample of /metrics, for SHOW METRICS. name is the name of the metric, with _sum or _count added for a histogram.
 * labels has the form name="value",... or is empty. */
struct metric_sample {
	const char *name, *type, *labels, *value, *help;
};
