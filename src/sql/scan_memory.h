/*
 * src/sql/scan_memory.h - a cache of scan results, in which SQL that differs only in numbers and strings has one entry.
 *
 * BEGIN and COMMIT come over and over, and so do most statements, with other values in them. The scan says which
 * literals don't matter (struct scan_literals). An entry has the SQL around these literals, which is called a skeleton
 * (skeleton.h). SQL with the same skeleton, and literals of the same kinds, gets the entry's result, because the scan
 * would be in the same state before each byte around the literals. Short SQL is compared byte for byte.
 *
 * The cache is a table of fixed size, in sets of SCAN_MEMORY_PLACES entries. A hash of the SQL chooses the set. The
 * skeletons have at most SCAN_MEMORY_BYTES. An entry is made when similar SQL is scanned for the second time within a
 * few scans in the set, so SQL that seldom comes again costs only a hash, and is not copied. If the hashes of two texts
 * collide, that costs only a scan. In addition, SCAN_MEMORY_EXACT texts that came twice are kept with their literals,
 * and found by a hash of some of their bytes. The functions are pure.
 *
 * Owns: the skeletons and the texts.
 */
#pragma once

#include "sql/skeleton.h"

#define SCAN_MEMORY_SETS 2048 /* a power of two */
#define SCAN_MEMORY_PLACES 4 /* entries in each set; and hashes of the last scans, too */
#define SCAN_MEMORY_SQL_MIN 4
#define SCAN_MEMORY_SQL_MAX 8192 /* the most bytes of a skeleton, and of a text that is kept with its literals */
#define SCAN_MEMORY_BYTES (2 * 1024 * 1024u)
#define SCAN_MEMORY_EXACT 64 /* a power of two */

/* Zeroed, the cache is empty. */
struct scan_memory {
	uint32_t bytes; /* bytes that all skeletons own */
	uint32_t exact_bytes; /* bytes of the texts in exact[] */
	uint32_t hand; /* the number of the entry that is freed next if the skeletons have too many bytes */
	uint32_t entry_count; /* the number of entries now */
	uint32_t made_count; /* how many entries were ever made */
	struct scan_memory_set {
		uint64_t scanned[SCAN_MEMORY_PLACES]; /* hashes of the last SQL that was scanned in this set */
		unsigned next, next_scanned; /* the indexes in places[] and scanned[] that are used next */
		struct scanned_sql {
			uint64_t hash; /* 0 if the entry is empty */
			uint64_t fingerprint; /* for the caller: that of all SQL with this skeleton; 0 at first */
			struct sql_risk risk; /* for the caller; zeroed at first */
			uint32_t flags, hints; /* as in struct scan */
			uint8_t first, options; /* as in struct scan; the options of the scan */
			uint16_t short_len; /* length of SQL that is compared byte for byte; 0 for other SQL */
			uint32_t number; /* the cache's made_count when the entry was made */
			struct skeleton skeleton;
		} places[SCAN_MEMORY_PLACES];
	} sets[SCAN_MEMORY_SETS];
	struct exact_sql {
		uint64_t key; /* hash of the last SQL that belongs into this slot, but was not kept here; 0 if none */
		size_t len; /* bytes of sql */
		char *sql; /* the text, owned; NULL if no text has come here twice yet */
		struct scanned_sql *entry; /* the entry that has the text's result */
		uint32_t number; /* entry->number when the text was kept; 0 if sql has no text */
	} exact[SCAN_MEMORY_EXACT];
};

void scan_memory_fini(struct scan_memory *m); /* frees all that the cache owns, and zeroes the cache */
/*
 * Does what scan_text() does, but scans only SQL that has no entry. Otherwise sets only flags, hints, first and
 * name_count of *s. Returns the SQL's entry, which is valid until the next call; NULL if the SQL has none.
 */
struct scanned_sql *scan_cached(struct scan_memory *m, struct scan *s, unsigned options, const char *sql, size_t len);
