/*
 * src/sql/scan_memory.h - remembers the results of scanning SQL, whatever its numbers and strings are.
 *
 * BEGIN and COMMIT come over and over, and so do most statements, with other values in them. The scan itself says which
 * literals don't matter (struct scan_literals). The SQL around them is kept. SQL that equals the kept SQL around its
 * literals, and has literals of the same kind in the same places, would be scanned with the same result: the scanner is
 * in the same state before each of its bytes (skeleton.h). Short SQL is compared as it stands.
 *
 * The memory is a table of fixed size, in sets of a few places, whose texts take SCAN_MEMORY_BYTES at most. SQL is kept
 * in its set when similar SQL is scanned twice within a few scans there, so SQL that hardly ever comes again costs a
 * hash and no copy. SQL that collides costs a scan. In addition, SCAN_MEMORY_SAME texts that came twice, byte for byte,
 * are kept with their values, and found by a few of their bytes. The functions are pure.
 *
 * Owns: the texts.
 */
#pragma once

#include "sql/skeleton.h"

#define SCAN_MEMORY_SETS 2048 /* a power of two */
#define SCAN_MEMORY_PLACES 4 /* in each set: places for SQL, and hashes of the last scans */
#define SCAN_MEMORY_SHORTEST 4
#define SCAN_MEMORY_LONGEST 8192 /* bytes of SQL without the literals that don't matter; bytes of a text with them */
#define SCAN_MEMORY_BYTES (2 * 1024 * 1024u)
#define SCAN_MEMORY_SAME 64 /* a power of two */

/* A memory that is zeroed remembers nothing. */
struct scan_memory {
	uint32_t bytes; /* bytes that all skeletons own */
	uint32_t same_bytes; /* bytes of the texts with their literals */
	uint32_t hand; /* the next place to be emptied if the texts take too many bytes */
	uint32_t kept, count; /* kept: how much SQL is kept now; count: how often SQL was kept */
	struct scan_memory_set {
		uint64_t scanned[SCAN_MEMORY_PLACES]; /* hashes of the SQL that was scanned last */
		unsigned next, next_scanned; /* the places that are used next */
		struct scanned_sql {
			uint64_t hash; /* 0 if no SQL is kept */
			uint64_t fingerprint; /* the caller's, of all SQL like this; 0 if it is not known yet */
			struct sql_risk risk; /* the caller's, too; zeroed at first */
			uint32_t flags, hints;
			uint8_t first, options;
			uint16_t short_len; /* length of SQL that is kept as it stands; 0 for other SQL */
			uint32_t number; /* the memory's count when the SQL was kept */
			struct skeleton skeleton;
		} places[SCAN_MEMORY_PLACES];
	} sets[SCAN_MEMORY_SETS];
	struct same_sql {
		uint64_t key; /* of the SQL that was last found by the slow way; 0 if there was none */
		size_t len;
		char *sql; /* owned; NULL if the SQL came once */
		struct scanned_sql *like;
		uint32_t number; /* like->number when the text was found to be like it; 0 if no text is kept */
	} same[SCAN_MEMORY_SAME];
};

void scan_memory_fini(struct scan_memory *m); /* frees the texts; the memory is then as at first */
/*
 * Does what scan_text() does, but does not scan SQL that it remembers. The opaque part of *s is set only if the SQL was
 * scanned; callers do not need it afterwards. Returns the entry of SQL like this, or NULL; the entry lives until the
 * next call.
 */
struct scanned_sql *scan_remembered(struct scan_memory *m, struct scan *s, unsigned options, const char *sql,
				    size_t len);
