/* src/telemetry/query_table.c - see query_table.h. */
#include "telemetry/query_table.h"

#include "sql/scan_memory.h"
#include "telemetry/fingerprint.h"
#include "base/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <xxhash.h>

#define NAME_MAX_LEN 128
#define TEXTS_SEEN 1024 /* a power of two */
#define LOOKED_AT 16

struct entry {
	uint64_t key;
	struct query_row row; /* owns its strings */
	UT_hash_handle hh;
	TAILQ_ENTRY(entry) used;
};

struct seen_text {
	uint64_t text, fingerprint;
};

struct query_table {
	uint64_t seed;
	uint32_t rows_max;
	struct entry *entries; /* by key */
	TAILQ_HEAD(used_entries, entry) used; /* the last used first */
	struct seen_text seen[TEXTS_SEEN];
	struct scan_memory like; /* note: the fingerprint of all SQL like it */
};

struct query_table *
query_table_new(uint32_t rows_max, uint64_t seed)
{
	struct query_table *t = xcalloc(1, sizeof(*t));

	t->seed = seed;
	t->rows_max = rows_max;
	TAILQ_INIT(&t->used);
	return t;
}

static void
forget(struct query_table *t, struct entry *e)
{
	HASH_DEL(t->entries, e);
	TAILQ_REMOVE(&t->used, e, used);
	free((void *)(uintptr_t)e->row.database);
	free((void *)(uintptr_t)e->row.user);
	free((void *)(uintptr_t)e->row.application);
	free((void *)(uintptr_t)e->row.query);
	free(e);
}

static struct entry *
least_of_the_old(const struct query_table *t)
{
	struct entry *e = TAILQ_LAST(&t->used, used_entries), *least = e;

	for (unsigned i = 0; i < LOOKED_AT && e != NULL; i++, e = TAILQ_PREV(e, used_entries, used))
		if (e->row.total_us < least->row.total_us)
			least = e;
	return least;
}

void
query_table_reset(struct query_table *t)
{
	struct entry *e;

	while ((e = TAILQ_FIRST(&t->used)) != NULL)
		forget(t, e);
}

void
query_table_free(struct query_table *t)
{
	if (t == NULL)
		return;
	query_table_reset(t);
	free(t);
}

void
query_table_set_max(struct query_table *t, uint32_t rows_max)
{
	t->rows_max = rows_max;
	while (HASH_COUNT(t->entries) > rows_max)
		forget(t, least_of_the_old(t));
}

static uint64_t
hash_name(const char *name, uint64_t so_far)
{
	return XXH3_64bits_withSeed(name, strnlen(name, NAME_MAX_LEN), so_far);
}

static uint64_t
key_of(const struct query_table *t, const struct request_report *r, uint64_t fingerprint)
{
	return hash_name(r->application, hash_name(r->user, hash_name(r->database, fingerprint ^ t->seed)));
}

/* The fingerprint of its SQL; if text is not empty then, the SQL was read, and that is what it said. */
static uint64_t
find_fingerprint(struct query_table *t, const struct request_report *r, char text[static QUERY_TEXT_MAX])
{
	uint64_t hash = XXH3_64bits_withSeed(r->query, r->query_len, t->seed + r->sql_options);
	struct seen_text *seen = &t->seen[hash & (TEXTS_SEEN - 1)];
	struct scanned_sql *like;
	struct fingerprint fp;
	struct scan scan;

	text[0] = '\0';
	if (seen->text == hash)
		return seen->fingerprint;
	like = r->query_len < FINGERPRINT_INPUT_MAX
		   ? scan_remembered(&t->like, &scan, r->sql_options, r->query, r->query_len)
		   : NULL;
	if (like != NULL && like->note != 0)
		return like->note;
	fingerprint_sql(r->query, r->query_len, r->sql_options, text, QUERY_TEXT_MAX, &fp);
	if (like != NULL)
		like->note = fp.hash;
	*seen = (struct seen_text){ hash, fp.hash };
	return fp.hash;
}

static char *
copy_name(const char *name)
{
	size_t len = strnlen(name, NAME_MAX_LEN);
	char *copy = xmalloc(len + 1);

	memcpy(copy, name, len);
	copy[len] = '\0';
	return copy;
}

static struct entry *
make(struct query_table *t, uint64_t key, const struct request_report *r, uint64_t fingerprint, char *text)
{
	struct entry *e = xcalloc(1, sizeof(*e));
	struct fingerprint fp;

	if (text[0] == '\0')
		fingerprint_sql(r->query, r->query_len, r->sql_options, text, QUERY_TEXT_MAX, &fp);
	if (HASH_COUNT(t->entries) >= t->rows_max)
		forget(t, least_of_the_old(t));
	e->key = key;
	e->row = (struct query_row){ .fingerprint = fingerprint,
				     .database = copy_name(r->database),
				     .user = copy_name(r->user),
				     .application = copy_name(r->application),
				     .query = xstrdup(text),
				     .first_wall_us = r->wall_us };
	TABLE_ADD(0, t->entries, &e->key, sizeof(e->key), e);
	TAILQ_INSERT_HEAD(&t->used, e, used);
	return e;
}

static void
add_up(struct query_row *row, const struct request_report *r, uint32_t weight)
{
	row->calls += weight;
	row->errors += r->is_given_up || (r->sqlstate != NULL && r->sqlstate[0] != '\0') ? weight : 0;
	row->total_us += weight * r->duration_us;
	row->wait_us += weight * (r->phase_us[PHASE_WAIT] + r->phase_us[PHASE_CONNECT]);
	row->rows += weight * r->rows;
	row->bytes_out += weight * r->bytes_out;
	if (row->max_us < r->duration_us)
		row->max_us = r->duration_us;
	row->last_wall_us = r->wall_us;
	histogram_observe_many_us(&row->duration, &histogram_bounds_query, r->duration_us, weight);
}

void
query_table_add(struct query_table *t, const struct request_report *report, uint32_t weight)
{
	char text[QUERY_TEXT_MAX];
	uint64_t fingerprint, key;
	struct entry *e;

	if (report->query == NULL || t->rows_max == 0)
		return;
	fingerprint = find_fingerprint(t, report, text);
	key = key_of(t, report, fingerprint);
	TABLE_FIND(0, t->entries, &key, sizeof(key), e);
	if (e == NULL)
		e = make(t, key, report, fingerprint, text);
	else if (e != TAILQ_FIRST(&t->used)) {
		TAILQ_REMOVE(&t->used, e, used);
		TAILQ_INSERT_HEAD(&t->used, e, used);
	}
	add_up(&e->row, report, weight);
}

void
query_table_each(const struct query_table *t, void (*row)(const struct query_row *row, void *arg), void *arg)
{
	const struct entry *e;

	TAILQ_FOREACH(e, &t->used, used)
		row(&e->row, arg);
}
