#include "telemetry/query_table.h"
#include "sql/scan_memory.h"
#include "telemetry/fingerprint.h"
#include "base/alloc.h"
#include "base/table.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <xxhash.h>

#define NAME_MAX_LEN 128
#define TEXTS_SEEN 1024 /* a power of two */
#define LOOKED_AT 16

/* The strings of a row, one behind the other; they never change. */
struct row_texts {
	uint32_t refs; /* under the table's lock */
	char bytes[];
};

struct entry {
	uint64_t key;
	struct query_row row;
	struct row_texts *texts;
	UT_hash_handle hh; /* in order of use */
};

struct query_table {
	uint64_t seed;
	_Atomic uint32_t rows_max;
	pthread_mutex_t lock; /* guards the fields below */
	struct entry *entries; /* by key */
};

struct seen_text {
	uint64_t text, fingerprint;
};

struct query_reader {
	struct query_table *table;
	struct seen_text seen[TEXTS_SEEN];
	struct scan_memory like; /* note: the fingerprint of all SQL like it */
};

struct query_table *
query_table_new(uint32_t rows_max, uint64_t seed)
{
	struct query_table *t = xcalloc(1, sizeof(*t));

	t->seed = seed;
	atomic_init(&t->rows_max, rows_max);
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

struct query_reader *
query_reader_new(struct query_table *t)
{
	struct query_reader *r = xcalloc(1, sizeof(*r));

	r->table = t;
	return r;
}

void
query_reader_free(struct query_reader *r)
{
	if (r != NULL)
		scan_memory_fini(&r->like);
	free(r);
}

/* --- under the table's lock --- */

static void
unref_texts(struct row_texts *texts)
{
	assert(texts->refs > 0);
	if (--texts->refs == 0)
		free(texts);
}

static void
forget(struct query_table *t, struct entry *e)
{
	HASH_DEL(t->entries, e);
	unref_texts(e->texts);
	free(e);
}

static struct entry *
least_of_the_old(const struct query_table *t)
{
	struct entry *e = t->entries, *least = e;

	for (unsigned i = 0; i < LOOKED_AT && e != NULL; i++, e = e->hh.next)
		if (e->row.total_us < least->row.total_us)
			least = e;
	return least;
}

static void
forget_all(struct query_table *t)
{
	while (t->entries != NULL)
		forget(t, t->entries);
}

static struct entry *
find(struct query_table *t, uint64_t key)
{
	struct entry *e;

	TABLE_FIND(0, t->entries, &key, sizeof(key), e);
	if (e != NULL)
		TABLE_USE(t->entries, e);
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
	row->routes[r->route] += weight;
	if (row->max_us < r->duration_us)
		row->max_us = r->duration_us;
	row->last_wall_us = r->wall_us;
	histogram_observe_many_us(&row->duration, &histogram_bounds_query, r->duration_us, weight);
}

/* --- the whole --- */

void
query_table_reset(struct query_table *t)
{
	pthread_mutex_lock(&t->lock);
	forget_all(t);
	pthread_mutex_unlock(&t->lock);
}

void
query_table_free(struct query_table *t)
{
	if (t == NULL)
		return;
	forget_all(t);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void
query_table_set_max(struct query_table *t, uint32_t rows_max)
{
	pthread_mutex_lock(&t->lock);
	t->rows_max = rows_max;
	while (HASH_COUNT(t->entries) > rows_max)
		forget(t, least_of_the_old(t));
	pthread_mutex_unlock(&t->lock);
}

int
query_table_read(struct query_table *t, void (*read)(struct query_row *rows, size_t count, void *arg), void *arg)
{
	struct row_texts **texts;
	struct query_row *rows;
	size_t n, at;

	pthread_mutex_lock(&t->lock);
	n = at = HASH_COUNT(t->entries);
	rows = reallocarray(NULL, n + 1, sizeof(*rows));
	texts = reallocarray(NULL, n + 1, sizeof(struct row_texts *));
	if (rows == NULL || texts == NULL) {
		pthread_mutex_unlock(&t->lock);
		free(rows);
		free(texts);
		return -1;
	}
	for (const struct entry *e = t->entries; e != NULL; e = e->hh.next) {
		rows[--at] = e->row;
		texts[at] = e->texts;
		texts[at]->refs++;
	}
	pthread_mutex_unlock(&t->lock);
	read(rows, n, arg);
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++)
		unref_texts(texts[i]);
	pthread_mutex_unlock(&t->lock);
	free(rows);
	free(texts);
	return 0;
}

/* --- a request --- */

static uint64_t
hash_name(const char *name, uint64_t so_far)
{
	return XXH3_64bits_withSeed(name, strnlen(name, NAME_MAX_LEN), so_far);
}

/* The fingerprint of its SQL; if text is not empty then, the SQL was read, and that is what it said. */
static uint64_t
find_fingerprint(struct query_reader *reader, const struct request_report *r, char text[static QUERY_TEXT_MAX])
{
	uint64_t hash = XXH3_64bits_withSeed(r->query, r->query_len, reader->table->seed + r->sql_options);
	struct seen_text *seen = &reader->seen[hash & (TEXTS_SEEN - 1)];
	struct scanned_sql *like;
	struct fingerprint fp;
	struct scan scan;

	text[0] = '\0';
	if (seen->text == hash)
		return seen->fingerprint;
	like = r->query_len < FINGERPRINT_INPUT_MAX
		   ? scan_remembered(&reader->like, &scan, r->sql_options, r->query, r->query_len)
		   : NULL;
	if (like != NULL && like->note != 0)
		return like->note;
	fingerprint_sql(r->query, r->query_len, r->sql_options, false, text, QUERY_TEXT_MAX, &fp);
	if (like != NULL)
		like->note = fp.hash;
	*seen = (struct seen_text){ hash, fp.hash };
	return fp.hash;
}

/* Adds a copy of text at *at, cut to this many bytes. */
static const char *
put_text(char **at, const char *text, size_t max)
{
	char *copy = *at;
	size_t len = strnlen(text, max);

	memcpy(copy, text, len);
	copy[len] = '\0';
	*at += len + 1;
	return copy;
}

/* Returns NULL without memory. */
static struct entry *
make(uint64_t key, const struct request_report *r, uint64_t fingerprint, char *text)
{
	struct entry *e = calloc(1, sizeof(*e));
	struct fingerprint fp;
	char *at;

	if (e == NULL)
		return NULL;
	if (text[0] == '\0')
		fingerprint_sql(r->query, r->query_len, r->sql_options, false, text, QUERY_TEXT_MAX, &fp);
	e->texts = malloc(sizeof(*e->texts) + strnlen(r->database, NAME_MAX_LEN) + strnlen(r->user, NAME_MAX_LEN) +
			  strnlen(r->application, NAME_MAX_LEN) + strlen(text) + 4);
	if (e->texts == NULL) {
		free(e);
		return NULL;
	}
	e->texts->refs = 1;
	e->key = key;
	at = e->texts->bytes;
	e->row = (struct query_row){ .fingerprint = fingerprint, .first_wall_us = r->wall_us };
	e->row.database = put_text(&at, r->database, NAME_MAX_LEN);
	e->row.user = put_text(&at, r->user, NAME_MAX_LEN);
	e->row.application = put_text(&at, r->application, NAME_MAX_LEN);
	e->row.query = put_text(&at, text, QUERY_TEXT_MAX);
	return e;
}

static uint64_t
key_of(const struct query_table *t, const struct request_report *report, uint64_t fingerprint)
{
	return hash_name(report->application,
			 hash_name(report->user, hash_name(report->database, fingerprint ^ t->seed)));
}

uint64_t
query_reader_mean_us(struct query_reader *r, const struct request_report *report)
{
	struct query_table *t = r->table;
	char text[QUERY_TEXT_MAX];
	uint64_t key, mean_us = 0;
	const struct entry *e;

	if (report->query == NULL || t->rows_max == 0)
		return 0;
	key = key_of(t, report, find_fingerprint(r, report, text));
	pthread_mutex_lock(&t->lock);
	TABLE_FIND(0, t->entries, &key, sizeof(key), e);
	if (e != NULL && e->row.calls > 0)
		mean_us = (e->row.total_us - e->row.wait_us) / e->row.calls;
	pthread_mutex_unlock(&t->lock);
	return mean_us;
}

void
query_reader_add(struct query_reader *r, const struct request_report *report, uint32_t weight)
{
	struct query_table *t = r->table;
	char text[QUERY_TEXT_MAX];
	uint64_t fingerprint, key;
	struct entry *made = NULL, *e;

	if (report->query == NULL || t->rows_max == 0)
		return;
	fingerprint = find_fingerprint(r, report, text);
	key = key_of(t, report, fingerprint);
	pthread_mutex_lock(&t->lock);
	e = find(t, key);
	if (e == NULL) {
		pthread_mutex_unlock(&t->lock);
		made = make(key, report, fingerprint, text);
		if (made == NULL)
			return;
		/* Another thread may have entered such a row meanwhile, or have made the table's size 0. */
		pthread_mutex_lock(&t->lock);
		e = find(t, key);
		if (e == NULL && t->rows_max > 0) {
			if (HASH_COUNT(t->entries) >= t->rows_max)
				forget(t, least_of_the_old(t));
			e = TABLE_ADD(0, t->entries, &made->key, sizeof(made->key), made) ? made : NULL;
		}
	}
	if (e != NULL)
		add_up(&e->row, report, weight);
	pthread_mutex_unlock(&t->lock);
	if (made != NULL && e != made) {
		free(made->texts);
		free(made);
	}
}
