#include "sql/scan_cache.h"

#include <stdlib.h>

#define SHORT_LEN 16 /* bytes; SQL up to this length is compared byte for byte */

static uint32_t
read_four(const char *p)
{
	uint32_t bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

/* Returns true if the len bytes at a and at b are equal. len is from SCAN_CACHE_SQL_MIN to SHORT_LEN. */
static inline bool
is_same_short(const char *a, const char *b, size_t len)
{
	if (len >= 8)
		return skeleton_read_eight(a) == skeleton_read_eight(b) &&
		       skeleton_read_eight(a + len - 8) == skeleton_read_eight(b + len - 8);
	return read_four(a) == read_four(b) && read_four(a + len - 4) == read_four(b + len - 4);
}

static void
forget(struct scan_cache *m, struct scanned_sql *k)
{
	m->entry_count -= k->skeleton.parts != NULL;
	m->bytes -= k->skeleton.size;
	free(k->skeleton.parts);
	*k = (struct scanned_sql){ 0 };
}

void
scan_cache_fini(struct scan_cache *m)
{
	for (size_t i = 0; i < SCAN_CACHE_SETS; i++)
		for (size_t place = 0; place < SCAN_CACHE_PLACES; place++)
			free(m->sets[i].places[place].skeleton.parts);
	for (size_t i = 0; i < SCAN_CACHE_EXACT; i++)
		free(m->exact[i].sql);
	memset(m, 0, sizeof(*m));
}

/* Frees entries until size bytes fit. In the worst case it frees all entries; then size bytes always fit. */
static void
make_room(struct scan_cache *m, size_t size)
{
	for (; m->bytes + size > SCAN_CACHE_BYTES; m->hand++)
		forget(m, &m->sets[m->hand / SCAN_CACHE_PLACES % SCAN_CACHE_SETS].places[m->hand % SCAN_CACHE_PLACES]);
}

/* Makes an entry with the scan's result for SQL with these parts. Returns NULL if there is no memory. */
static struct scanned_sql *
keep(struct scan_cache *m, struct scan_cache_set *set, const struct scan *s, uint64_t hash, unsigned options,
     const char *sql, const struct skeleton_parts *parts)
{
	struct scanned_sql *k = &set->places[set->next++ % SCAN_CACHE_PLACES];
	struct skeleton made;

	if (!skeleton_make(&made, parts, sql))
		return NULL;
	forget(m, k);
	make_room(m, made.size);
	m->bytes += made.size;
	m->entry_count++;
	k->skeleton = made;
	k->number = ++m->made_count;
	k->hash = hash;
	k->flags = s->flags;
	k->hints = s->hints;
	k->first = (uint8_t)s->first;
	k->options = (uint8_t)options;
	k->short_len = made.literal_count == 0 && parts->len <= SHORT_LEN ? (uint16_t)parts->len : 0;
	return k;
}

/* Returns true if SQL with this hash was scanned lately in this set. Otherwise notes the hash and returns false. */
static bool
check_and_note(struct scan_cache_set *set, uint64_t hash)
{
	for (unsigned i = 0; i < SCAN_CACHE_PLACES; i++)
		if (set->scanned[i] == hash)
			return true;
	set->scanned[set->next_scanned++ % SCAN_CACHE_PLACES] = hash;
	return false;
}

__attribute__((noinline)) static struct scanned_sql *
scan_and_keep(struct scan_cache *m, struct scan_cache_set *set, struct scan *s, uint64_t hash, unsigned options,
	      const char *sql, size_t len)
{
	struct scan_literals literals;
	struct skeleton_parts parts;

	scan_text_literals(s, options, sql, len, &literals);
	if (len <= SHORT_LEN)
		literals.count = 0;
	/* An entry holds no names of custom settings, and stands for all SQL that differs in literals only. If the SQL
	 * does not end properly, its literals are not known. */
	if (s->name_count > 0 || literals.count > SCAN_LITERALS_MAX || (s->flags == SCAN_ALL && literals.count > 0))
		return NULL;
	skeleton_take_apart(&parts, &literals, len);
	if (parts.len > SCAN_CACHE_SQL_MAX || !check_and_note(set, skeleton_mix(hash, parts.count << 32 | parts.len)))
		return NULL;
	return keep(m, set, s, hash, options, sql, &parts);
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

/* --- the same text ----------------------------------------------------------------------------------------------- */

/* Hashes a few bytes of sql. Sets *key to the hash, and returns the slot that the hash chooses. */
static struct exact_sql *
find_exact_slot(struct scan_cache *m, const char *sql, size_t len, uint64_t *key)
{
	uint64_t hash = skeleton_mix(len, skeleton_read_eight(sql + len - 8));

	hash = skeleton_mix(hash, skeleton_read_eight(sql + len - 16));
	hash = skeleton_mix(hash, skeleton_read_eight(sql + len / 2));
	hash = skeleton_mix(hash, skeleton_read_eight(sql + len / 4));
	*key = hash | 1;
	return &m->exact[hash >> 32 & (SCAN_CACHE_EXACT - 1)];
}

/* Call this for sql that has the entry k. Keeps the text if the last SQL in this slot had the same key. */
static void
note_exact(struct scan_cache *m, struct exact_sql *to, uint64_t key, const char *sql, size_t len, struct scanned_sql *k)
{
	bool is_same_len = to->sql != NULL && to->len == len;

	if (to->key == key && !is_same_len) {
		m->exact_bytes -= to->sql != NULL ? (uint32_t)to->len : 0;
		free(to->sql);
		to->sql = malloc(len);
		m->exact_bytes += to->sql != NULL ? (uint32_t)len : 0;
		to->len = len;
	}
	if (to->key == key && to->sql != NULL) {
		memcpy(to->sql, sql, len);
		to->entry = k;
		to->number = k->number;
	} else
		to->number = 0;
	to->key = key;
}

__attribute__((noinline)) static struct scanned_sql *
scan_by_skeleton(struct scan_cache *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	uint64_t hash = skeleton_hash(options, sql, len);
	struct scan_cache_set *set = &m->sets[(hash >> 32) % SCAN_CACHE_SETS];

	if (hash == 0) {
		scan_text(s, options, sql, len);
		return NULL;
	}
	for (struct scanned_sql *k = set->places; k < set->places + SCAN_CACHE_PLACES; k++)
		if (k->hash == hash && k->options == options && skeleton_is_like(&k->skeleton, sql, len))
			return recall(s, k);
	return scan_and_keep(m, set, s, hash, options, sql, len);
}

__attribute__((noinline)) static struct scanned_sql *
scan_by_text(struct scan_cache *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	uint64_t key;
	struct exact_sql *exact = find_exact_slot(m, sql, len, &key);
	struct scanned_sql *k = exact->entry;

	if (exact->key == key && exact->number != 0 && exact->number == k->number && k->options == options &&
	    exact->len == len && memcmp(exact->sql, sql, len) == 0)
		return recall(s, k);
	k = scan_by_skeleton(m, s, options, sql, len);
	if (k != NULL)
		note_exact(m, exact, key, sql, len, k);
	return k;
}

__attribute__((noinline)) static struct scanned_sql *
scan_other_length(struct scan_cache *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	if (len > SHORT_LEN)
		return len <= SCAN_CACHE_SQL_MAX ? scan_by_text(m, s, options, sql, len)
						 : scan_by_skeleton(m, s, options, sql, len);
	scan_text(s, options, sql, len);
	return NULL;
}

struct scanned_sql *
scan_text_cached(struct scan_cache *m, struct scan *s, unsigned options, const char *sql, size_t len)
{
	struct scan_cache_set *set;
	uint64_t hash;

	if (len < SCAN_CACHE_SQL_MIN || len > SHORT_LEN)
		return scan_other_length(m, s, options, sql, len);
	/* Short SQL (BEGIN, COMMIT) is looked up here, without a call of another function. */
	hash = skeleton_mix(options << 16 | len, len < 8 ? (uint64_t)read_four(sql) << 32 | read_four(sql + len - 4)
							 : skeleton_read_eight(sql));
	hash = (len < 8 ? hash : skeleton_mix(hash, skeleton_read_eight(sql + len - 8))) | 1;
	set = &m->sets[(hash >> 32) % SCAN_CACHE_SETS];
	for (struct scanned_sql *k = set->places; k < set->places + SCAN_CACHE_PLACES; k++)
		if (k->hash == hash && k->options == options && k->short_len == len &&
		    is_same_short(sql, k->skeleton.sql, len))
			return recall(s, k);
	return scan_and_keep(m, set, s, hash, options, sql, len);
}
