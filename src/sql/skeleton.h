/*
 * src/sql/skeleton.h - SQL without its values: what stands for all SQL that differs in numbers and strings alone.
 *
 * The parts of SQL between the literals that don't matter (struct scan_literals). Where a list of values begins, behind
 * IN and VALUES and in ARRAY[], and consists of three rows that look alike at least, and of nothing else, there are the
 * parts of two, and a sign that more may follow: fingerprints make no difference either. Pure.
 */
#pragma once

#include "sql/scan.h"

#include <string.h>

#define SKELETON_READABLE 8 /* so many bytes may be read where a part begins, however short it is */

/* SQL between two literals. */
struct sql_part {
	uint16_t len;
	uint16_t
	    back; /* the literal before it ends the second of equal rows of so many literals: more may follow; or 0 */
};

/* Zeroed: of no SQL. */
struct skeleton {
	struct sql_part *parts; /* one before each literal, and one behind the last; owned, and so is */
	char *sql; /* behind them: all but the literals */
	uint16_t literals;
	uint32_t size; /* bytes of what parts owns */
};

/* The parts of SQL, with their places. */
struct skeleton_parts {
	size_t count, len; /* len: bytes of all */
	struct {
		uint32_t begin;
		uint16_t len, back;
	} at[SCAN_LITERALS_MAX + 1];
};

/* k must not begin with a literal. */
bool skeleton_is_like(const struct skeleton *k, const char *sql, size_t len);
/* Hashes the beginning of SQL: what is like the same skeleton mostly has the same hash. 0: it begins with a literal. */
uint64_t skeleton_hash(unsigned options, const char *sql, size_t len);

/*
 * --- skeleton_parts.c: makes skeletons.
 *
 * Takes SQL of so many bytes apart, all of whose literals are noted.
 */
void skeleton_take_apart(struct skeleton_parts *to, const struct scan_literals *literals, size_t len);
/* Makes a skeleton of these parts of SQL, of at most 65,535 bytes; free(parts) ends it. Returns false without memory.
 */
bool skeleton_make(struct skeleton *k, const struct skeleton_parts *parts, const char *sql);
/* Returns true if nothing but values may be in what these bytes part. */
bool skeleton_parts_values(const char *sql, size_t len);

static inline uint64_t
skeleton_eight(const char *p)
{
	uint64_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

/* Clients choose the SQL: whoever makes it collide has SQL scanned, as all SQL once was. */
static inline uint64_t
skeleton_mix(uint64_t hash, uint64_t more)
{
	return (hash ^ more) * 0x9e3779b97f4a7c15u;
}
