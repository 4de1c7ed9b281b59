/*
 * src/telemetry/query_table.h - for SHOW QUERIES: statements' costs by fingerprint, database, user and application.
 *
 * All workers share the table. A lock is held only while a report is added to its row, or while the rows are copied for
 * a reader. A missing fingerprint (exchange/report.h) is computed without the lock, because that is slow.
 *
 * The number of rows is limited, and a row takes at most about 1.5 kB. When the table is full, a new row replaces an
 * old one: of the sixteen least recently used rows, the one with the least total time.
 */
#pragma once

#include "base/request_report.h"

#define QUERY_TEXT_MAX 1024 /* bytes of SQL that are kept for a row */

struct query_table; /* opaque: query_table.c */

struct query_table *query_table_new(uint32_t rows_max, uint64_t seed);
void query_table_free(struct query_table *t);
void query_table_set_max(struct query_table *t, uint32_t rows_max); /* with 0, the table keeps nothing */
void query_table_reset(struct query_table *t); /* removes all rows */

/* Counts a request `weight` times. Does nothing if the request's SQL is not known. */
void query_table_add(struct query_table *t, const struct request_report *report, uint32_t weight);
/* Returns the average duration of the requests in this request's row, less the waits for a server; 0 if not known. */
uint64_t query_table_mean_served_us(struct query_table *t, const struct request_report *report);

/* Calls read() once with a copy of all rows, the most recently used first. read() may sort the copy. Returns 0, or -1
 * if there is no memory. */
int query_table_read(struct query_table *t, void (*read)(struct query_row *rows, size_t count, void *arg), void *arg);
