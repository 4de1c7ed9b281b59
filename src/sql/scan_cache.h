/*
 * src/sql/scan_cache.h - a cache of scan results, in which SQL that differs only in numbers and strings has one entry.
 *
 * Most statements come over and over, each time with other values. The scan lists the literals whose values don't
 * matter (struct scan_literals). An entry has the rest of the SQL, which is called a skeleton (skeleton.h). SQL with
 * the same skeleton, and literals of the same kinds, gets the entry's result, because the scan would be in the same
 * state before each byte of the skeleton. Short SQL (BEGIN, COMMIT) is compared byte for byte.
 *
 * The cache is a table of fixed size, in sets of SCAN_CACHE_PLACES entries. A hash of the SQL chooses the set. Each set
 * remembers the hashes of the last SQL scanned there. An entry is made when one of these hashes comes again, so SQL
 * that seldom comes costs only a hash, and is not copied. If the hashes of two texts collide, one of them is scanned
 * again. In addition, up to SCAN_CACHE_EXACT texts that came twice are kept with their literals, and found by a hash of
 * some of their bytes. The functions do no I/O.
 *
 * Owns: the skeletons and the texts.
 */
#pragma once

#include "sql/skeleton.h"

#define SCAN_CACHE_SETS 2048 /* a power of two */
#define SCAN_CACHE_PLACES 4 /* entries, and remembered hashes, in each set */
#define SCAN_CACHE_SQL_MIN 4 /* shorter SQL has no entry */
#define SCAN_CACHE_SQL_MAX 8192 /* the most bytes of a skeleton, and of a text that is kept with its literals */
#define SCAN_CACHE_BYTES (2 * 1024 * 1024u) /* the most bytes of all skeletons */
#define SCAN_CACHE_EXACT 64 /* a power of two */

/* A zeroed cache is empty. */
struct scan_cache {
	uint32_t bytes; /* bytes of all skeletons */
	uint32_t exact_bytes; /* bytes of the texts in exact[] */
	uint32_t hand; /* the index, over all sets, of the entry that is freed next if `bytes` is too large */
	uint32_t entry_count; /* the number of entries now */
	uint32_t made_count; /* how many entries were ever made */
	struct scan_cache_set {
		uint64_t scanned[SCAN_CACHE_PLACES]; /* hashes of the SQL that was last scanned in this set */
		unsigned next, next_scanned; /* the indexes in places[] and scanned[] to write next */
		struct scanned_sql {
			uint64_t hash; /* 0 if the entry is empty */
			/* for the caller: the fingerprint of all SQL with this skeleton; 0 at first */
			uint64_t fingerprint;
			struct sql_risk risk; /* for the caller; zeroed at first */
			uint32_t flags, hints; /* as in struct scan */
			uint8_t first, options; /* first: as in struct scan; options: those of the scan */
			uint16_t short_len; /* the SQL's length if it is compared byte for byte, else 0 */
			uint32_t number; /* the cache's made_count when the entry was made */
			struct skeleton skeleton;
		} places[SCAN_CACHE_PLACES];
	} sets[SCAN_CACHE_SETS];
	struct exact_sql {
		/* hash of the SQL that last used this slot; 0 if none has. `sql` may be an earlier text. Only SQL that
		 * has an entry uses slots. */
		uint64_t key;
		size_t len; /* bytes of sql */
		char *sql; /* the text, owned; NULL until a text of this slot has come twice */
		struct scanned_sql *entry; /* the entry that has the text's result */
		/* entry->number when `sql` was kept; if entry->number differs now, the entry is about other SQL */
		uint32_t number;
	} exact[SCAN_CACHE_EXACT];
};

void scan_cache_fini(struct scan_cache *m); /* frees all that the cache owns, and zeroes the cache */
/*
 * Does what scan_text() does, unless the SQL has an entry: then sets only flags, hints, first and name_count of *s.
 * Returns the SQL's entry, which is valid until the next call, or NULL if the SQL has none.
 */
struct scanned_sql *scan_text_cached(struct scan_cache *m, struct scan *s, unsigned options, const char *sql,
				     size_t len);
