/*
 * src/telemetry/query_table.h - costs of statements, added up by fingerprint, database, user and application: SHOW
 * QUERIES.
 *
 * All workers share the table. Its lock is held only while a row is added up, or while the rows are copied for a
 * reader. If a report has no fingerprint (exchange/report.h), the SQL must be read first, which is expensive and is
 * done without the lock.
 *
 * Size and memory are fixed (about 1.5 kB a row at most). When the table is full, a new row replaces an old one: of the
 * sixteen rows that have not been used for longest, the one with the least total time.
 */
#pragma once

#include "base/request_report.h"

#define QUERY_TEXT_MAX 1024 /* bytes of SQL that are kept for a row */

struct query_table; /* opaque: query_table.c */

struct query_table *query_table_new(uint32_t rows_max, uint64_t seed);
void query_table_free(struct query_table *t);
void query_table_set_max(struct query_table *t, uint32_t rows_max); /* with 0, the table keeps nothing */
void query_table_reset(struct query_table *t);

/* Counts a request that stands for weight requests like it. Does nothing if its SQL is not known. */
void query_table_add(struct query_table *t, const struct request_report *report, uint32_t weight);
/* Returns the average time of requests like this one, without waits for a server, or 0 if not known. */
uint64_t query_table_mean_us(struct query_table *t, const struct request_report *report);

/* Calls read once with a copy of all rows, the most recently used first; read may change their order. Returns 0, or -1
 * without memory. */
int query_table_read(struct query_table *t, void (*read)(struct query_row *rows, size_t count, void *arg), void *arg);
