#include "telemetry/query_table.h"
#include "telemetry/fingerprint.h"
#include "base/alloc.h"
#include "base/table.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <xxhash.h>

#define NAME_MAX_LEN 128
#define OLDEST_COMPARED 16

/* The strings of a row, one after the other; they never change. */
struct row_texts {
	uint32_t refs; /* used under the table's lock */
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

struct query_table *
query_table_new(uint32_t rows_max, uint64_t seed)
{
	struct query_table *t = xcalloc(1, sizeof(*t));

	t->seed = seed;
	atomic_init(&t->rows_max, rows_max);
	pthread_mutex_init(&t->lock, NULL);
	return t;
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

	for (unsigned i = 0; i < OLDEST_COMPARED && e != NULL; i++, e = e->hh.next)
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
find_and_touch(struct query_table *t, uint64_t key)
{
	struct entry *e;

	TABLE_FIND(0, t->entries, &key, sizeof(key), e);
	if (e != NULL)
		TABLE_MOVE_TO_END(t->entries, e);
	return e;
}

static void
add_up(struct query_row *row, const struct request_report *r, uint32_t weight)
{
	row->calls += weight;
	row->errors += r->is_given_up || (r->sqlstate != NULL && r->sqlstate[0] != '\0') ? weight : 0;
	row->total_us += weight * r->duration_us;
	for (size_t i = 0; i < PHASE_COUNT; i++)
		row->phase_us[i] += weight * r->phase_us[i];
	row->rows += weight * r->rows;
	row->bytes_out += weight * r->bytes_out;
	row->plans_kept += r->plan == PLAN_KEPT ? weight : 0;
	row->routes[r->route] += weight;
	if (row->max_us < r->duration_us)
		row->max_us = r->duration_us;
	row->last_wall_us = r->wall_us;
	histogram_observe_many_us(&row->duration, &histogram_bounds_query, r->duration_us, weight);
}

/* --- the whole table --- */

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
hash_of_name(const char *name, uint64_t so_far)
{
	return XXH3_64bits_withSeed(name, strnlen(name, NAME_MAX_LEN), so_far);
}

/* Returns the fingerprint of the report's SQL. If the SQL had to be read, text gets the SQL's normal form; else text
 * becomes empty. */
static uint64_t
find_fingerprint(const struct request_report *r, char text[static QUERY_TEXT_MAX])
{
	text[0] = '\0';
	return r->fingerprint != 0
		   ? r->fingerprint
		   : fingerprint_normalize(r->query, r->query_len, r->sql_options, text, QUERY_TEXT_MAX);
}

/* Writes a copy of text, truncated to `max` bytes, to *at. Returns the copy, and moves *at past the copy. */
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

/* Makes an entry. Returns NULL if there is no memory. */
static struct entry *
make_entry(uint64_t key, const struct request_report *r, uint64_t fingerprint, char *text)
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
	return hash_of_name(report->application,
			    hash_of_name(report->user, hash_of_name(report->database, fingerprint ^ t->seed)));
}

uint64_t
query_table_mean_served_us(struct query_table *t, const struct request_report *report)
{
	char text[QUERY_TEXT_MAX];
	uint64_t key, mean_us = 0;
	const struct entry *e;

	if (report->query == NULL || t->rows_max == 0)
		return 0;
	key = key_of(t, report, find_fingerprint(report, text));
	pthread_mutex_lock(&t->lock);
	TABLE_FIND(0, t->entries, &key, sizeof(key), e);
	if (e != NULL && e->row.calls > 0)
		mean_us =
		    (e->row.total_us - e->row.phase_us[PHASE_WAIT] - e->row.phase_us[PHASE_CONNECT]) / e->row.calls;
	pthread_mutex_unlock(&t->lock);
	return mean_us;
}

void
query_table_add(struct query_table *t, const struct request_report *report, uint32_t weight)
{
	char text[QUERY_TEXT_MAX];
	uint64_t fingerprint, key;
	struct entry *made = NULL, *e;

	if (report->query == NULL || t->rows_max == 0)
		return;
	fingerprint = find_fingerprint(report, text);
	key = key_of(t, report, fingerprint);
	pthread_mutex_lock(&t->lock);
	e = find_and_touch(t, key);
	if (e == NULL) {
		pthread_mutex_unlock(&t->lock);
		made = make_entry(key, report, fingerprint, text);
		if (made == NULL)
			return;
		/* Another thread may have added the same row meanwhile, or have set the table's size to 0. */
		pthread_mutex_lock(&t->lock);
		e = find_and_touch(t, key);
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
