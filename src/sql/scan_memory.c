#include "sql/scan_memory.h"
#include "sql/sql_class.h"

#include <stdlib.h>
#include <string.h>

#define HASHED_MAX ((size_t)SCAN_MEMORY_LONGEST) /* bytes at its beginning that tell SQL apart */
#define SHORT_LEN 16 /* SQL up to this is remembered as it stands */

static uint64_t
eight(const char *p)
{
	uint64_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

static uint32_t
four(const char *p)
{
	uint32_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

/* Returns where the first digit or quote from at on is, or len, which is more than 16. */
static inline size_t
next_digit_or_quote(const char *sql, size_t at, size_t len)
{
#ifdef __SSE2__
	unsigned found;

	for (; len - at >= 16; at += 16)
		if ((found = sql_digits_and(sql_sixteen(sql + at), '\'')) != 0)
			return at + (size_t)__builtin_ctz(found);
	found = sql_digits_and(sql_sixteen(sql + len - 16), '\'') >> (16 - (len - at));
	return found != 0 ? at + (size_t)__builtin_ctz(found) : len;
#else
	while (at < len && sql[at] != '\'' && !sql_is(sql[at], DIGIT))
		at++;
	return at;
#endif
}

/*
 * Returns how many bytes there are before the first number or quote: at most, all. SQL that differs only in what
 * scan_literals names has the same bytes there.
 */
static inline size_t
beginning_of(const char *sql, size_t len)
{
	size_t at = next_digit_or_quote(sql, 0, len);

	while (at < len && sql[at] != '\'' && at > 0 && sql_is(sql[at - 1], WORD))
		at = next_digit_or_quote(sql, at + 1, len);
	return at;
}

/* Clients choose the SQL: whoever makes it collide has SQL scanned, as all SQL once was. */
static uint64_t
mix(uint64_t hash, uint64_t more)
{
	return (hash ^ more) * 0x9e3779b97f4a7c15u;
}

static uint64_t
hash_of(unsigned options, const char *sql, size_t len)
{
	uint64_t hash = options << 16 | len;

	if (len < 8)
		return mix(hash, (uint64_t)four(sql) << 32 | four(sql + len - 4));
	for (size_t at = 0; len - at > 8; at += 8)
		hash = mix(hash, eight(sql + at));
	return mix(hash, eight(sql + len - 8));
}

/* Returns the quote that ends the string which begins at p, or NULL: it may matter. */
__attribute__((noinline)) static const char *
string_end(const char *p, const char *end)
{
	const char *quote = memchr(p, '\'', (size_t)(end - p));

	if (quote == NULL || memchr(p, '\\', (size_t)(quote - p)) != NULL ||
	    scan_bytes_name_pg_temp(p, (size_t)(quote - p)))
		return NULL;
	return quote;
}

/* Returns the end of the literal that begins at p, or NULL: it may matter. */
static const char *
literal_end(const char *p, const char *end)
{
	const char *begin = p;

	if (p[-1] == '\'')
		return string_end(p, end);
	while (p < end && sql_is(*p, DIGIT))
		p++;
	return p > begin ? p : NULL;
}

/* Most parts are short. */
static inline bool
is_same(const char *a, const char *b, size_t len)
{
	if (len > 16)
		return memcmp(a, b, len) == 0;
	if (len >= 8)
		return eight(a) == eight(b) && eight(a + len - 8) == eight(b + len - 8);
	if (len >= 4)
		return four(a) == four(b) && four(a + len - 4) == four(b + len - 4);
	return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

static bool
is_like(const struct scanned_sql *k, const char *sql, size_t len)
{
	const char *end = sql + len, *kept = k->sql;

	for (unsigned i = 0;; i++) {
		size_t part = k->parts[i];

		if ((size_t)(end - sql) < part || !is_same(sql, kept, part))
			return false;
		sql += part;
		kept += part;
		if (i == k->literals)
			return sql == end;
		if ((sql = literal_end(sql, end)) == NULL)
			return false;
	}
}

static void
forget(struct scan_memory *m, struct scanned_sql *k)
{
	m->bytes -= k->size;
	free(k->parts);
	*k = (struct scanned_sql){ 0 };
}

void
scan_memory_fini(struct scan_memory *m)
{
	for (size_t i = 0; i < SCAN_MEMORY_SETS; i++)
		for (size_t place = 0; place < SCAN_MEMORY_PLACES; place++)
			free(m->sets[i].places[place].parts);
	memset(m, 0, sizeof(*m));
}

/* Makes room for so many bytes, which there is if nothing else is kept. */
static void
make_room(struct scan_memory *m, size_t size)
{
	for (; m->bytes + size > SCAN_MEMORY_BYTES; m->hand++)
		forget(m,
		       &m->sets[m->hand / SCAN_MEMORY_PLACES % SCAN_MEMORY_SETS].places[m->hand % SCAN_MEMORY_PLACES]);
}

/* Returns NULL without memory. */
static struct scanned_sql *
keep(struct scan_memory *m, struct scan_memory_set *set, const struct scan *s, uint64_t hash, unsigned options,
     const struct scan_literals *literals, size_t len)
{
	struct scanned_sql *k = &set->places[set->next++ % SCAN_MEMORY_PLACES];
	const char *from = literals->sql, *end = from + len;
	size_t size = (literals->count + 1) * sizeof(*k->parts) + len - literals->len;
	char *to;

	forget(m, k);
	make_room(m, size);
	if ((k->parts = malloc(size)) == NULL)
		return NULL;
	to = k->sql = (char *)&k->parts[literals->count + 1];
	for (size_t i = 0; i <= literals->count; i++) {
		const char *part_end = i < literals->count ? literals->at[i].begin : end;

		k->parts[i] = (uint16_t)(part_end - from);
		memcpy(to, from, k->parts[i]);
		to += k->parts[i];
		from = i < literals->count ? literals->at[i].end : end;
	}
	m->bytes += (uint32_t)size;
	k->size = (uint32_t)size;
	k->hash = hash;
	k->flags = s->flags;
	k->hints = s->hints;
	k->first = (uint8_t)s->first;
	k->options = (uint8_t)options;
	k->literals = (uint16_t)literals->count;
	return k;
}

/* Returns true if SQL like this was scanned lately in this set; notes that it was now. */
static bool
was_scanned(struct scan_memory_set *set, uint64_t hash)
{
	for (unsigned i = 0; i < SCAN_MEMORY_PLACES; i++)
		if (set->scanned[i] == hash)
			return true;
	set->scanned[set->next_scanned++ % SCAN_MEMORY_PLACES] = hash;
	return false;
}

__attribute__((noinline)) static struct scanned_sql *
scan_and_keep(struct scan_memory *m, struct scan_memory_set *set, struct scan *s, uint64_t hash, unsigned options,
	      const char *sql, size_t len)
{
	struct scan_literals literals;

	scan_text_literals(s, options, sql, len, &literals);
	if (len <= SHORT_LEN)
		literals.count = literals.len = 0;
	/* Kept is what stands for all SQL that differs in literals alone: where SQL does not end, nobody knows them. */
	if (!was_scanned(set, mix(hash, literals.count << 32 | (len - literals.len))) || s->name_count > 0 ||
	    literals.count > SCAN_LITERALS_MAX || len - literals.len > SCAN_MEMORY_LONGEST ||
	    (s->flags == SCAN_ALL && literals.count > 0))
		return NULL;
	return keep(m, set, s, hash, options, &literals, len);
}

static struct scanned_sql *
recall(struct scan *s, struct scanned_sql *k)
{
	s->flags = k->flags;
	s->hints = k->hints;
	s->first = k->first;
	s->name_count = 0;
	return k;
}

__attribute__((noinline)) static struct scanned_sql *
remembered_by_beginning(struct scan_memory *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	size_t hashed_len = len < SCAN_MEMORY_SHORTEST ? len : beginning_of(sql, len < HASHED_MAX ? len : HASHED_MAX);
	struct scan_memory_set *set;
	uint64_t hash;

	if (hashed_len < SCAN_MEMORY_SHORTEST) {
		scan_text(s, options, sql, len);
		return NULL;
	}
	hash = hash_of(options, sql, hashed_len);
	set = &m->sets[(hash >> 32) % SCAN_MEMORY_SETS];
	for (struct scanned_sql *k = set->places; k < set->places + SCAN_MEMORY_PLACES; k++)
		if (k->hash == hash && k->options == options && is_like(k, sql, len))
			return recall(s, k);
	return scan_and_keep(m, set, s, hash, options, sql, len);
}

struct scanned_sql *
scan_remembered(struct scan_memory *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	struct scan_memory_set *set;
	uint64_t hash;

	if (len < SCAN_MEMORY_SHORTEST || len > SHORT_LEN)
		return remembered_by_beginning(m, s, options, sql, len);
	/* BEGIN, COMMIT and the like are found without a call. */
	hash = hash_of(options, sql, len);
	set = &m->sets[(hash >> 32) % SCAN_MEMORY_SETS];
	for (struct scanned_sql *k = set->places; k < set->places + SCAN_MEMORY_PLACES; k++)
		if (k->hash == hash && k->options == options && k->literals == 0 && k->parts[0] == len &&
		    is_same(sql, k->sql, len))
			return recall(s, k);
	return scan_and_keep(m, set, s, hash, options, sql, len);
}
