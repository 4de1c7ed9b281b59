/*
 * src/telemetry/query_table.h - what statements cost, added up by fingerprint, database, user and application: SHOW
 * QUERIES.
 *
 * All loops share it. Its lock is held for as long as it takes to add up a row, or to copy the rows for who reads them.
 * To read SQL is expensive, and done without the lock: each loop has a reader, which finds the fingerprints of texts
 * that it has seen lately by a hash of the text, and those of SQL with other values in it by scan_memory.h.
 *
 * Size and memory are fixed (about 1.5 kB a row at most, 100 kB a reader). When it is full, a row that was not used for
 * long makes room: of the sixteen that are oldest, the one with the least time.
 */
#pragma once

#include "base/request_report.h"

#define QUERY_TEXT_MAX 1024 /* bytes of SQL that are kept of a row */

struct query_table; /* opaque: query_table.c */
struct query_reader; /* opaque: query_table.c */

struct query_table *query_table_new(uint32_t rows_max, uint64_t seed);
void query_table_free(struct query_table *t);
void query_table_set_max(struct query_table *t, uint32_t rows_max); /* 0: it remembers nothing */
void query_table_reset(struct query_table *t);

/* Makes a reader, which one thread at a time may use; it borrows the table. */
struct query_reader *query_reader_new(struct query_table *t);
void query_reader_free(struct query_reader *r);
/* Counts a request that stands for weight of its like. Does nothing if its SQL is not known. */
void query_reader_add(struct query_reader *r, const struct request_report *report, uint32_t weight);
/* Returns how long its like took on the average, apart from waiting for a server; 0: that is not known. */
uint64_t query_reader_mean_us(struct query_reader *r, const struct request_report *report);

/* Calls read once, with a copy of all rows, the one that was used last first; read may change their order.
 * Returns 0, or -1 without memory. */
int query_table_read(struct query_table *t, void (*read)(struct query_row *rows, size_t count, void *arg), void *arg);
