/*
 * src/sql/skeleton.h - SQL without its values. A skeleton stands for all SQL that differs only in values.
 *
 * A skeleton has the parts of SQL between the literals that don't matter (struct scan_literals). After IN or VALUES, or
 * in ARRAY[], there may be a list of values. If the list consists of three or more rows that look alike, and nothing
 * else, the skeleton has the parts of two rows, and a mark that any number of rows may follow. (Fingerprints ignore the
 * number of rows, too.) The functions are pure.
 */
#pragma once

#include "sql/scan.h"

#include <string.h>

#define SKELETON_READABLE 8 /* bytes that can be read from the beginning of each part, even of a shorter part */

/* The SQL between two literals. */
struct sql_part {
	uint16_t len;
	/* literals in a row, if the literal before this part ends the second of two equal rows that more may follow;
	 * else 0 */
	uint16_t row_literals;
};

/* A skeleton that is zeroed stands for no SQL. */
struct skeleton {
	/* one part before each literal, and one after the last; owned, in one allocation with sql */
	struct sql_part *parts;
	char *sql; /* lies after the parts: all of the SQL but the literals */
	uint16_t literals;
	uint32_t size; /* bytes that parts owns */
};

/* The parts of some SQL, with their places. */
struct skeleton_parts {
	size_t count, len; /* len: bytes of all parts */
	struct {
		uint32_t begin;
		uint16_t len, row_literals;
	} at[SCAN_LITERALS_MAX + 1];
};

/* Returns true if k stands for this SQL. k must not begin with a literal. */
bool skeleton_is_like(const struct skeleton *k, const char *sql, size_t len);
/*
 * Returns a hash of the beginning of SQL. SQL of the same skeleton mostly has the same hash. Returns 0 if the SQL
 * begins with a literal.
 */
uint64_t skeleton_hash(unsigned options, const char *sql, size_t len);

/*
 * --- skeleton_parts.c: makes skeletons.
 *
 * Splits SQL of len bytes into parts. `literals` must hold all of its literals that don't matter.
 */
void skeleton_take_apart(struct skeleton_parts *to, const struct scan_literals *literals, size_t len);
/*
 * Makes a skeleton of these parts of SQL, which have 65,535 bytes at most; the caller frees k->parts. Returns false
 * without memory.
 */
bool skeleton_make(struct skeleton *k, const struct skeleton_parts *parts, const char *sql);
/* Returns true if these bytes, which stand between two literals, may stand between two values of a list. */
bool skeleton_parts_values(const char *sql, size_t len);

static inline uint64_t
skeleton_eight(const char *p)
{
	uint64_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

/* Mixes more into the hash, which needs no secret: if clients make SQL collide, it only has to be scanned. */
static inline uint64_t
skeleton_mix(uint64_t hash, uint64_t more)
{
	return (hash ^ more) * 0x9e3779b97f4a7c15u;
}
