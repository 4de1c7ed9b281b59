/*
 * src/sql/scan_memory.h - a cache of scan results, in which SQL that differs only in numbers and strings has one entry.
 *
 * BEGIN and COMMIT come over and over, and so do most statements, with other values in them. The scan says which
 * literals don't matter (struct scan_literals); an entry has the SQL around these literals, which is a skeleton
 * (skeleton.h). Other SQL with the same skeleton, and literals of the same kinds, gets the entry's result, because the
 * scanner would be in the same state before each byte around the literals. Short SQL is compared byte for byte.
 *
 * The memory is a set-associative table of fixed size, whose skeletons take SCAN_MEMORY_BYTES at most. A hash of the
 * SQL chooses the set. An entry is made when similar SQL is scanned for the second time within a few scans in the set,
 * so SQL that hardly ever comes again costs a hash and no copy. If the hashes of two texts collide, that costs a scan.
 * In addition, SCAN_MEMORY_EXACT texts that came twice are kept with their literals, and found by a hash of some bytes.
 * The functions are pure.
 *
 * Owns: the texts.
 */
#pragma once

#include "sql/skeleton.h"

#define SCAN_MEMORY_SETS 2048 /* a power of two */
#define SCAN_MEMORY_PLACES 4 /* entries in each set, and also hashes of the last scans */
#define SCAN_MEMORY_SQL_MIN 4
#define SCAN_MEMORY_SQL_MAX 8192 /* bytes of a skeleton; bytes of a text that is kept with its literals */
#define SCAN_MEMORY_BYTES (2 * 1024 * 1024u)
#define SCAN_MEMORY_EXACT 64 /* a power of two */

/* A memory that is zeroed remembers nothing. */
struct scan_memory {
	uint32_t bytes; /* bytes that all skeletons own */
	uint32_t exact_bytes; /* bytes of the texts in exact[] */
	uint32_t hand; /* the next entry to be freed if the skeletons take too many bytes */
	uint32_t entry_count; /* the number of entries now */
	uint32_t made_count; /* how many entries were ever made */
	struct scan_memory_set {
		uint64_t scanned[SCAN_MEMORY_PLACES]; /* hashes of the last SQL that was scanned in this set */
		unsigned next, next_scanned; /* the indexes in places[] and scanned[] that are used next */
		struct scanned_sql {
			uint64_t hash; /* 0 if the entry is empty */
			/* the caller's: the fingerprint of all SQL with this skeleton; 0 if not known yet */
			uint64_t fingerprint;
			struct sql_risk risk; /* the caller's; zeroed at first */
			uint32_t flags, hints;
			uint8_t first, options;
			uint16_t short_len; /* length of SQL that is compared byte for byte; 0 for other SQL */
			uint32_t number; /* the memory's made_count when the entry was made */
			struct skeleton skeleton;
		} places[SCAN_MEMORY_PLACES];
	} sets[SCAN_MEMORY_SETS];
	struct exact_sql {
		uint64_t key; /* hash of the last SQL that fell into this slot and was not in it; 0 if there was none */
		size_t len;
		char *sql; /* the text, owned; NULL if it came only once */
		struct scanned_sql *entry; /* the entry whose result the text gets */
		uint32_t number; /* entry->number when the text was kept; 0 if no text is kept */
	} exact[SCAN_MEMORY_EXACT];
};

void scan_memory_fini(struct scan_memory *m); /* frees all that it owns and zeroes the memory */
/*
 * Does what scan_text() does, but does not scan SQL that it remembers. The opaque part of *s is set only if the SQL was
 * scanned; callers do not need it afterwards. Returns the entry for this SQL, or NULL if there is none; the entry lives
 * until the next call.
 */
struct scanned_sql *scan_cached(struct scan_memory *m, struct scan *s, unsigned options, const char *sql, size_t len);
