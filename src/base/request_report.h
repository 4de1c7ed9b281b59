/* src/base/request_report.h - the relay's report about one request that has ended, for the slow-query log and SHOW
 * QUERIES. */
#pragma once

#include "base/counters.h"

#include <stdbool.h>

#define REQUEST_BIND_MAX 2048 /* bytes of a Bind's body, with slow_query parameters = on */
#define REQUEST_TEXT_MAX 16384 /* bytes of query text that are kept while it runs */

/* How PostgreSQL came by the plan of a statement that its client had sent unnamed (statements/keep.h). */
enum plan_choice {
	PLAN_OWN, /* it made one for this use, or the statement has a name */
	PLAN_KEPT /* it had one, of a statement that pgweir has prepared */
};

/* Borrowed for the length of a call. Strings may have any bytes that a client sent. Times are in microseconds. */
struct request_report {
	uint64_t wall_us; /* when it ended */
	uint64_t duration_us, phase_us[PHASE_COUNT]; /* the phases add up to the duration */
	uint64_t threshold_us;
	const char *event; /* "slow_query", "pool_timeout", "client_gone" ...: docs/slow-log.md */
	const char *database, *user, *application;
	const char *client; /* "10.0.0.7:51514" */
	uint64_t client_id;
	const char *backend; /* "10.0.0.2:5432"; empty: it had no server */
	uint32_t backend_pid;
	const char *protocol; /* "simple", "extended", "copy" */
	const char *tag; /* the first words of the last CommandComplete, "SELECT"; empty: there was none */
	uint64_t rows, bytes_in, bytes_out;
	uint32_t statements;
	bool in_transaction;
	const char *sqlstate; /* empty: no error */
	uint8_t route; /* enum read_route */
	uint8_t canceled_by; /* enum canceler */
	uint8_t plan; /* enum plan_choice */
	bool is_given_up; /* PostgreSQL has not answered it, or nobody was there to hear the answer */
	const char *query; /* NULL: unknown (a prepared statement that is gone) */
	size_t query_len;
	uint64_t fingerprint; /* of query; 0: not known */
	unsigned sql_options; /* enum scan_option: how its session reads strings */
	const uint8_t
	    *bind; /* body of the Bind that query ran with, perhaps cut; NULL: there was none, or it is not wanted */
	size_t bind_len;
	bool is_query_cut; /* query is truncated */
};

/* counters.c: returns the name of the longest phase: "wait", "server", ... Among equals the server is named. If
 * that is the client's, and it is the server that was lost: "backend_lost". */
const char *request_cause(const struct request_report *r);

/* --- what telemetry remembers of statements, and the console shows --- */

/* Statements that differ in literals only, of one database, user and application. Where they are sampled, each sample
 * counts for all that it stands for. */
struct query_row {
	/* The columns of SHOW QUERIES, which fills in mean_us, p95_us and server_share (0.001 %). */
	uint64_t fingerprint;
	const char *database, *user, *application; /* borrowed, as query */
	uint64_t calls, errors, total_us, mean_us, p95_us, max_us, phase_us[PHASE_COUNT], server_share, rows, bytes_out,
	    plans_kept; /* those of calls whose plan was PLAN_KEPT */
	uint64_t first_wall_us, last_wall_us;
	const char *query; /* without its literals */
	uint64_t routes[ROUTE_COUNT];
	struct histogram duration; /* histogram_bounds_query */
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
