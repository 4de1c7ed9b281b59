/* src/base/request_report.h - what the relay tells of one finished request: for the slow-query log. */
#ifndef PGWEIR_BASE_REQUEST_REPORT_H
#define PGWEIR_BASE_REQUEST_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_TEXT_MAX 16384 /* bytes of query text that are kept while it runs */

/* Borrowed for the length of a call. Texts may hold any bytes a client sent. Times in microseconds. */
struct request_report {
	uint64_t wall_us; /* when it ended */
	uint64_t duration_us, wait_us, server_us, stream_us, client_write_us;
	uint64_t threshold_us;
	const char *event; /* "slow_query", "pool_timeout", "query_timeout", "backend_lost", "sampled_query" */
	const char *database, *user, *application;
	const char *client; /* "10.0.0.7:51514" */
	uint64_t client_id;
	const char *backend; /* "10.0.0.2:5432"; empty: none was assigned */
	uint32_t backend_pid;
	const char *protocol; /* "simple", "extended", "copy" */
	const char *tag; /* last CommandComplete's first word(s), "SELECT"; empty if none */
	uint64_t rows, bytes_in, bytes_out;
	uint32_t statements;
	bool in_transaction;
	const char *sqlstate; /* empty: no error */
	const char *query; /* may be NULL: unknown (a prepared statement that is gone) */
	size_t query_len;
	bool is_query_cut; /* the request's text was longer than what was kept */
};

#endif
