/*
 * src/sql/scan_memory.h - remembers what short SQL was found to do: BEGIN, COMMIT and "SELECT 1" come over and over.
 *
 * A table of fixed size. SQL is kept in it when the same comes twice in a row at its place, so that SQL with values in
 * it, which hardly ever comes again, costs a hash and no copy. SQL that collides costs a scan. Pure.
 */
#ifndef PGWEIR_SQL_SCAN_MEMORY_H
#define PGWEIR_SQL_SCAN_MEMORY_H

#include "sql/scan.h"

#define SCAN_MEMORY_PLACES 64
#define SCAN_MEMORY_SHORTEST 4
#define SCAN_MEMORY_LONGEST 48

/* Zeroed: it remembers nothing. */
struct scan_memory {
	struct scanned_sql {
		uint32_t seen; /* the hash of what came here last */
		uint32_t flags, hints;
		uint8_t first, options, len; /* len: of the SQL that is kept; 0: none is */
		char sql[SCAN_MEMORY_LONGEST];
	} places[SCAN_MEMORY_PLACES];
};

/*
 * As scan_text(), but reads SQL that it remembers no further. What is opaque in *s is set only if the SQL was scanned;
 * nobody needs it after that.
 */
void scan_remembered(struct scan_memory *m, struct scan *s, unsigned options, const char *sql, size_t len);

#endif
