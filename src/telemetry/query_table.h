/*
 * src/telemetry/query_table.h - what statements cost, added up by fingerprint, database, user and application: SHOW
 * QUERIES.
 *
 * Size and memory are fixed (about 1.5 kB a row at most). When it is full, a row that was not used for long makes room:
 * of the sixteen that are oldest, the one with the least time. To read SQL is expensive, so the fingerprints of texts
 * that were seen lately are found by a hash of the text, and those of SQL with other values in it by scan_memory.h.
 */
#ifndef PGWEIR_TELEMETRY_QUERY_TABLE_H
#define PGWEIR_TELEMETRY_QUERY_TABLE_H

#include "base/query_row.h"

#include <stddef.h>
#include <stdint.h>

#define QUERY_TEXT_MAX 1024 /* bytes of SQL that are kept of a row */

struct query_table; /* opaque: query_table.c */

struct query_table *query_table_new(uint32_t rows_max, uint64_t seed);
void query_table_free(struct query_table *t);
void query_table_set_max(struct query_table *t, uint32_t rows_max); /* 0: it remembers nothing */
void query_table_reset(struct query_table *t);
/* A request that stands for weight of its like. Does nothing if its SQL is not known. */
void query_table_add(struct query_table *t, const struct request_report *report, uint32_t weight);
/* The row used last comes first. */
void query_table_each(const struct query_table *t, void (*row)(const struct query_row *row, void *arg), void *arg);

#endif
