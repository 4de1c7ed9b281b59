#include "sql/skeleton.h"
#include "sql/sql_class.h"

#include <endian.h>

/*
 * The bytes up to the first literal are hashed. If these are too few, some bytes after the first literal are hashed,
 * too, and some after each of the next literals.
 */
#define HASHED_MAX ((size_t)8192)
#define HASHED_ENOUGH 64
#define HASHED_LITERALS 4
#define HASHED_AFTER 16

/* --- literals ---------------------------------------------------------------------------------------------------- */

#ifdef __SSE2__
/* Returns a bit for each of the sixteen bytes at which a number begins or a quote stands. */
static inline unsigned
literal_starts_in(const char *sql, size_t at)
{
	__m128i bytes = sql_load_sixteen(sql + at);
	unsigned digits = sql_digits(bytes), quotes = sql_equal(bytes, '\'');

	if ((digits | quotes) == 0)
		return 0;
	return quotes | (digits & ~((sql_non_word_bytes(bytes) ^ 0xffff) << 1 | (at > 0 && sql_is(sql[at - 1], WORD))));
}
#endif

/* Returns the offset of the first number or quote at or after `at`, or len. Each literal in struct scan_literals begins
 * at such a number or right after such a quote, so SQL that differs only in literals has the same bytes up to there. */
static size_t
next_literal(const char *sql, size_t at, size_t len)
{
#ifdef __SSE2__
	unsigned found;

	for (; len - at >= 16; at += 16)
		if ((found = literal_starts_in(sql, at)) != 0)
			return at + (size_t)__builtin_ctz(found);
	if (at < len && len >= 16) { /* the last sixteen bytes, some of which are read once more */
		found = literal_starts_in(sql, len - 16) >> (16 - (len - at));
		return found != 0 ? at + (size_t)__builtin_ctz(found) : len;
	}
#endif
	while (at < len && sql[at] != '\'' && !(sql_is(sql[at], DIGIT) && (at == 0 || !sql_is(sql[at - 1], WORD))))
		at++;
	return at;
}

/* Returns the quote that ends the string at p, or NULL if no quote does, or if the string's value may matter. */
__attribute__((noinline)) static const char *
string_end_slowly(const char *p, const char *end)
{
	const char *quote = memchr(p, '\'', (size_t)(end - p));

	if (quote == NULL || memchr(p, '\\', (size_t)(quote - p)) != NULL ||
	    scan_path_has_pg_temp(p, (size_t)(quote - p)))
		return NULL;
	return quote;
}

#ifdef __SSE2__
/* Returns a bit for each quote in these bytes of a string; 0 if there is no quote, or if a backslash or an underscore
 * (which pg_temp has) stands before the first quote, so string_end_slowly() must look. */
static inline unsigned
string_end_in(__m128i bytes)
{
	unsigned quotes = sql_equal(bytes, '\'');
	unsigned slow = (unsigned)_mm_movemask_epi8(
	    _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('_'))));

	return (slow & (quotes - 1) & ~quotes) == 0 ? quotes : 0;
}
#endif

static inline const char *
string_end(const char *p, const char *end)
{
#ifdef __SSE2__
	unsigned quotes;

	if (end - p >= 16 && (quotes = string_end_in(sql_load_sixteen(p))) != 0)
		return p + __builtin_ctz(quotes);
#endif
	return string_end_slowly(p, end);
}

static inline const char *
number_end(const char *p, const char *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		unsigned others = sql_digits(sql_load_sixteen(p)) ^ 0xffff;

		if (others != 0)
			return p + __builtin_ctz(others);
	}
#endif
	while (p < end && sql_is(*p, DIGIT))
		p++;
	return p;
}

/* Returns the end of the literal that begins at p; NULL if its value may matter, or if there is no literal. */
static inline const char *
literal_end(const char *p, const char *end)
{
	const char *after;

	if (p[-1] == '\'')
		return string_end(p, end);
	after = number_end(p, end);
	return after > p ? after : NULL;
}

/* --- hashes ------------------------------------------------------------------------------------------------------ */

static uint64_t
hash_of(uint64_t hash, const char *sql, size_t len)
{
	size_t at = 0;

	hash ^= len;
	if (len < 8) {
		for (; at < len; at++)
			hash = skeleton_mix(hash, (uint8_t)sql[at]);
		return hash;
	}
	for (; len - at > 32; at += 32) {
		hash = skeleton_mix(hash, skeleton_read_eight(sql + at));
		hash = skeleton_mix(hash, skeleton_read_eight(sql + at + 8));
		hash = skeleton_mix(hash, skeleton_read_eight(sql + at + 16));
		hash = skeleton_mix(hash, skeleton_read_eight(sql + at + 24));
	}
	for (; len - at > 8; at += 8)
		hash = skeleton_mix(hash, skeleton_read_eight(sql + at));
	return skeleton_mix(hash, skeleton_read_eight(sql + len - 8));
}

/* SQL that differs only in literals, and in the length of its lists, mostly has the same hash. */
uint64_t
skeleton_hash(unsigned options, const char *sql, size_t len)
{
	const char *end = sql + len, *p;
	size_t at = next_literal(sql, 0, len < HASHED_MAX ? len : HASHED_MAX), hashed = at;
	uint64_t hash = hash_of(options << 16, sql, at);

	if (at == 0)
		return 0;
	for (unsigned i = 0; i < HASHED_LITERALS && hashed < HASHED_ENOUGH && at < len; i++) {
		p = literal_end(sql + at + (sql[at] == '\''), end);
		if (p == NULL)
			break;
		at = next_literal(p, p < end && *p == '\'',
				  (size_t)(end - p) < HASHED_ENOUGH ? (size_t)(end - p) : HASHED_ENOUGH);
		if (skeleton_may_separate_values(p, at)) /* perhaps a list, whose length may differ in other SQL */
			break;
		hash = hash_of(hash, p, at < HASHED_AFTER ? at : HASHED_AFTER);
		hashed += at;
		at += (size_t)(p - sql);
	}
	return hash | 1;
}

/* --- comparing --------------------------------------------------------------------------------------------------- */

/* A mask for the first len of eight bytes. */
#define FIRST(len) (__BYTE_ORDER == __LITTLE_ENDIAN ? UINT64_MAX >> (64 - 8 * (len)) : UINT64_MAX << (64 - 8 * (len)))
static const uint64_t first_bytes[SKELETON_READABLE + 1] = { 0,	       FIRST(1), FIRST(2), FIRST(3), FIRST(4),
							     FIRST(5), FIRST(6), FIRST(7), FIRST(8) };

/* Returns true if the SQL from p on begins with this part. This is fast for short parts, and most parts are short. */
static inline bool
begins_with(const char *p, const char *end, const char *part, size_t len)
{
	if (len <= SKELETON_READABLE && end - p >= SKELETON_READABLE)
		return ((skeleton_read_eight(p) ^ skeleton_read_eight(part)) & first_bytes[len]) == 0;
	return (size_t)(end - p) >= len && memcmp(p, part, len) == 0;
}

/* Skips numbers of a list, each with `part` before it. Returns a pointer to the first byte that was not skipped; some
 * numbers of the list may be left. */
static const char *
skip_listed_numbers(const char *p, const char *end, const char *part, size_t len)
{
#ifdef __SSE2__
	uint64_t mask = first_bytes[len], sought = skeleton_read_eight(part) & mask;

	while (end - p >= SKELETON_READABLE + 16 && (skeleton_read_eight(p) & mask) == sought) {
		unsigned others = sql_digits(sql_load_sixteen(p + len)) ^ 0xffff;

		if ((others & 1) != 0)
			break;
		p = others != 0 ? p + len + __builtin_ctz(others) : number_end(p + len + 16, end);
	}
#endif
	return p;
}

#define ROW_MAX 16 /* skip_rows() skips only rows that have at most this many parts */

/* Skips rows that have the parts from `first` up to, but not including, `after`; `row` points to their bytes. Returns a
 * pointer to the first byte that was not skipped, right after a literal. Some rows of the list may be left. */
static const char *
skip_rows(const char *p, const char *end, const struct sql_part *first, const struct sql_part *after, const char *row)
{
#ifdef __SSE2__
	struct shape {
		uint64_t mask, sought;
		size_t len;
	} shapes[ROW_MAX], *last = shapes;
	const char *begin, *stop; /* if p is greater, too few bytes are left to compare sixteen at once */

	if (after - first > ROW_MAX || end - p < SKELETON_READABLE + 16)
		return p;
	stop = end - (SKELETON_READABLE + 16);
	for (; first < after; row += first++->len) {
		if (first->len > SKELETON_READABLE)
			return p;
		*last++ = (struct shape){ first_bytes[first->len], skeleton_read_eight(row) & first_bytes[first->len],
					  first->len };
	}
	for (;;) {
		begin = p;
		for (const struct shape *s = shapes; s < last; s++) {
			unsigned stops;

			if (p > stop || (skeleton_read_eight(p) & s->mask) != s->sought)
				return begin;
			p += s->len;
			if (p[-1] == '\'') {
				if ((stops = string_end_in(sql_load_sixteen(p))) != 0)
					p += __builtin_ctz(stops);
				else if ((p = string_end_slowly(p, end)) == NULL)
					return begin;
			} else {
				stops = sql_digits(sql_load_sixteen(p)) ^ 0xffff;
				if (stops == 0 || (stops & 1) != 0)
					return begin;
				p += __builtin_ctz(stops);
			}
		}
	}
#endif
	return p;
}

/* Returns true if another row, or another element of a list, begins at p. */
static inline bool
row_follows(const char *p, const char *end, const char *part, size_t len)
{
	return begins_with(p, end, part, len) && (size_t)(end - p) > len &&
	       (part[len - 1] == '\'' || sql_is(p[len], DIGIT));
}

bool
skeleton_is_like(const struct skeleton *k, const char *sql, size_t len)
{
	const char *end = sql + len, *kept = k->sql, *row = NULL;
	const struct sql_part *part = k->parts, *last = part + k->literal_count, *row_part = NULL;

	for (;; part++) {
		if (part->row_literals != 0) {
			/* The second row begins part->row_literals parts before this part. The position of that row's
			 * bytes is computed only once. */
			if (row_part != part - part->row_literals) {
				row_part = part - part->row_literals;
				row = kept;
				for (const struct sql_part *p = row_part; p < part; p++)
					row -= p->len;
			}
			if (part->row_literals == 1 && row_part->len <= SKELETON_READABLE &&
			    row[row_part->len - 1] != '\'')
				sql = skip_listed_numbers(sql, end, row, row_part->len);
			else
				sql = skip_rows(sql, end, row_part, part, row);
		}
		if (part->row_literals != 0 && row_follows(sql, end, row, row_part->len)) {
			kept = row;
			part = row_part;
		} else if (!begins_with(sql, end, kept, part->len))
			return false;
		sql += part->len;
		kept += part->len;
		if (part == last)
			return sql == end;
		if ((sql = literal_end(sql, end)) == NULL)
			return false;
	}
}
