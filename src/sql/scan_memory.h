/*
 * src/sql/scan_memory.h - remembers what SQL was found to do, whatever its numbers and strings are.
 *
 * BEGIN and COMMIT come over and over, and so do most statements, with other values in them. The scan itself
 * tells which values don't matter (struct scan_literals). The SQL around them is kept; SQL that equals it there, and
 * has values of the same kind between, would be scanned to the same end: the scanner is in the same state before each
 * of its bytes (skeleton.h). Short SQL is compared as it stands.
 *
 * A table of fixed size, in sets of few places, whose texts take SCAN_MEMORY_BYTES at most. SQL is kept in its set when
 * its like is scanned twice within a few scans there, so that SQL that hardly ever comes again costs a hash and no
 * copy. SQL that collides costs a scan. Besides, SCAN_MEMORY_SAME texts that came twice, byte for byte, are kept with
 * their values, and found by a few of their bytes. Pure. Owns: the texts.
 */
#pragma once

#include "sql/skeleton.h"

#define SCAN_MEMORY_SETS 2048 /* a power of two */
#define SCAN_MEMORY_PLACES 4 /* in each, and scans that it knows of */
#define SCAN_MEMORY_SHORTEST 4
#define SCAN_MEMORY_LONGEST 8192 /* bytes of SQL without those values; and of texts with them */
#define SCAN_MEMORY_BYTES (2 * 1024 * 1024u)
#define SCAN_MEMORY_SAME 64 /* a power of two */

/* Zeroed: it remembers nothing. */
struct scan_memory {
	uint32_t bytes; /* of all texts without their values, and what is between */
	uint32_t same_bytes; /* of texts with their values */
	uint32_t hand; /* the place that is next to go where these are too many */
	uint32_t kept, count; /* how much SQL is kept; how often any was */
	struct scan_memory_set {
		uint64_t scanned[SCAN_MEMORY_PLACES]; /* hashes of what was scanned last */
		unsigned next, next_scanned; /* the place that is used next */
		struct scanned_sql {
			uint64_t hash; /* 0: no SQL is kept */
			uint64_t fingerprint; /* the caller's, of all SQL like this; 0: not known yet */
			struct sql_risk risk; /* the caller's, too; zeroed at first */
			uint32_t flags, hints;
			uint8_t first, options;
			uint16_t short_len; /* of SQL that is kept as it stands; else 0 */
			uint32_t number; /* of the memory's count */
			struct skeleton skeleton;
		} places[SCAN_MEMORY_PLACES];
	} sets[SCAN_MEMORY_SETS];
	struct same_sql {
		uint64_t key; /* of SQL that was last found slowly; 0: none was */
		size_t len;
		char *sql; /* NULL: it came once; owned */
		struct scanned_sql *like;
		uint32_t number; /* of like, if that still is what this text is like */
	} same[SCAN_MEMORY_SAME];
};

void scan_memory_fini(struct scan_memory *m); /* it is as at first then */
/*
 * As scan_text(), but reads SQL that it remembers no further. The opaque part of *s is set only if the SQL was scanned;
 * nobody needs it after that. Returns what is kept of SQL like this, or NULL; lives until the next call.
 */
struct scanned_sql *scan_remembered(struct scan_memory *m, struct scan *s, unsigned options, const char *sql,
				    size_t len);
