/* src/base/request_report.h - the relay's report about one request that has ended, for the slow-query log and SHOW
 * QUERIES. */
#pragma once

#include "base/counters.h"

#include <stdbool.h>

#define REQUEST_BIND_MAX 2048 /* bytes of a Bind's body, with slow_query parameters = on */
#define REQUEST_TEXT_MAX 16384 /* bytes of query text that are kept while the request runs */

/* The plan that PostgreSQL used for a statement which its client had sent unnamed (statements/keep.h). */
enum plan_choice {
	PLAN_OWN, /* a plan that was made for this use; also the value for statements that the client named */
	PLAN_KEPT /* the plan that PostgreSQL keeps for a statement that pgweir has prepared under a name */
};

/* The report of one request. Borrowed for the length of a call. Strings may have any bytes that a client sent. Times
 * are in microseconds. */
struct request_report {
	uint64_t wall_us; /* when the request ended */
	uint64_t duration_us, phase_us[PHASE_COUNT]; /* the phases add up to the duration */
	uint64_t threshold_us;
	const char *event; /* "slow_query", "pool_timeout", "client_gone" ...: docs/slow-log.md */
	const char *database, *user, *application;
	const char *client; /* "10.0.0.7:51514" */
	uint64_t client_id;
	const char *backend; /* "10.0.0.2:5432"; empty if the request had no server */
	uint32_t backend_pid;
	const char *protocol; /* "simple", "extended", "copy" */
	const char *tag; /* the first words of the last CommandComplete, "SELECT"; empty if there was none */
	uint64_t rows, bytes_in, bytes_out;
	uint32_t statements;
	bool in_transaction;
	const char *sqlstate; /* empty if there was no error */
	uint8_t route; /* enum read_route */
	uint8_t canceled_by; /* enum canceler */
	uint8_t plan; /* enum plan_choice */
	bool is_given_up; /* PostgreSQL did not answer the request, or the client had gone */
	const char *query; /* NULL if unknown (a prepared statement that is gone) */
	size_t query_len;
	uint64_t fingerprint; /* of query; 0 if not known */
	unsigned sql_options; /* enum scan_option: how the client's session reads strings */
	/* the body of the query's Bind, perhaps truncated; NULL if there was no Bind, or it is not wanted */
	const uint8_t *bind;
	size_t bind_len;
	bool is_query_cut; /* query is truncated */
};

/* counters.c: returns the name of the longest phase: "wait", "server" and so on. If several phases are the longest,
 * returns the server's if it is among them, otherwise the first. If the longest phase is the client's, but the server
 * was lost, returns "backend_lost". */
const char *request_cause(const struct request_report *r);

/* --- statistics of statements, which telemetry keeps and the console shows --- */

/* Statements of one database, user and application that differ only in literals. If statements are sampled, each sample
 * is counted as many times as it stands for. */
struct query_row {
	/* The columns of SHOW QUERIES. The command itself fills in mean_us, p95_us and server_share (in thousandths of
	 * a percent). */
	uint64_t fingerprint;
	const char *database, *user, *application; /* borrowed, as is query */
	uint64_t calls, errors, total_us, mean_us, p95_us, max_us, phase_us[PHASE_COUNT], server_share, rows, bytes_out,
	    plans_kept; /* calls whose plan was PLAN_KEPT */
	uint64_t first_wall_us, last_wall_us;
	const char *query; /* without its literals */
	uint64_t routes[ROUTE_COUNT];
	struct histogram duration; /* its bounds are histogram_bounds_query */
};

/* The last request with a trace in one bucket of a histogram. */
struct exemplar {
	char trace_id[33]; /* 32 digits; empty if there is none */
	uint64_t value_us, wall_us;
};

struct exemplars {
	struct exemplar of[HISTOGRAM_BUCKETS_MAX];
};

/* A number of /metrics, for SHOW METRICS. name is the family's, with _sum or _count added for a histogram. labels has
 * the form name="value",... or is empty. */
struct metric_sample {
	const char *name, *type, *labels, *value, *help;
};
