/*
 * src/sql/skeleton.h - a skeleton is SQL without its values, and stands for all SQL that differs only in values.
 *
 * A skeleton has the parts of SQL between the literals whose values don't matter (struct scan_literals). A list of
 * values after IN or VALUES, or in ARRAY[], may have three or more rows that are equal except for their values. Then
 * the skeleton has the parts of two rows, and a mark that any number of equal rows may follow. (Fingerprints ignore the
 * number of rows, too.)
 */
#pragma once

#include "sql/scan.h"

#include <string.h>

/* The bytes that may be read from the beginning of each part of a skeleton, even if the part is shorter. */
#define SKELETON_READABLE 8

/* The SQL between two literals. */
struct sql_part {
	uint16_t len;
	/* the mark: literals per row, if a second row ends before this part and equal rows may follow; else 0 */
	uint16_t row_literals;
};

/* A zeroed skeleton stands for no SQL. */
struct skeleton {
	/* one part before each literal, and one after the last literal; owned, in one allocation with sql */
	struct sql_part *parts;
	char *sql; /* the bytes of all parts, one after another */
	uint16_t literal_count; /* number of literals */
	uint32_t size; /* bytes of the allocation */
};

/* The parts of some SQL, by their offsets. */
struct skeleton_parts {
	size_t count, len; /* number of parts; bytes of all parts */
	struct {
		uint32_t begin; /* the part's offset in the SQL */
		uint16_t len, row_literals; /* as in struct sql_part */
	} at[SCAN_LITERALS_MAX + 1];
};

/* Returns true if k stands for this SQL. k must not begin with a literal. */
bool skeleton_is_like(const struct skeleton *k, const char *sql, size_t len);
/*
 * Returns a hash of the beginning of the SQL, leaving out literals. SQL with the same skeleton nearly always has the
 * same hash. Returns 0 if the SQL begins with a literal. options: a set of enum scan_option.
 */
uint64_t skeleton_hash(unsigned options, const char *sql, size_t len);

/* --- skeleton_parts.c: makes skeletons. --- */

/* Splits literals->sql, of len bytes, into parts. There must be at most SCAN_LITERALS_MAX literals. */
void skeleton_take_apart(struct skeleton_parts *to, const struct scan_literals *literals, size_t len);
/* Makes a skeleton of these parts of sql. A part has at most 65,535 bytes. The caller frees k->parts. Returns false if
 * there is no memory. */
bool skeleton_make(struct skeleton *k, const struct skeleton_parts *parts, const char *sql);
/* Returns true if these bytes, found between two literals, may separate two values of a list. */
bool skeleton_may_separate_values(const char *sql, size_t len);

/* Returns the eight bytes at p as a number. */
static inline uint64_t
skeleton_read_eight(const char *p)
{
	uint64_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

/* Returns the hash with `more` mixed in. The hash has no secret, because a client that makes hashes of SQL collide only
 * causes that SQL to be scanned again. */
static inline uint64_t
skeleton_mix(uint64_t hash, uint64_t more)
{
	return (hash ^ more) * 0x9e3779b97f4a7c15u;
}
