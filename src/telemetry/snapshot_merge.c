/* src/telemetry/snapshot_merge.c - makes one snapshot of those of all workers. See snapshot.h. */
#include "telemetry/snapshot.h"

#include "base/alloc.h"
#include "base/table.h"

#include <string.h>

/* A kind of rows. A row begins with its names, padded with zeros: its key. */
struct kind {
	size_t size, key_len;
	void (*add)(void *to, const void *from); /* of another pool or database; takes what from owns */
	void (*add_part)(void *to, const void *from); /* of the same one, on another worker */
};

struct item {
	char *row;
	UT_hash_handle hh;
};

/* Rows of one kind, of several snapshots: each key once. */
struct join {
	const struct kind *kind;
	uint64_t seed;
	char *rows;
	struct item *items, *table; /* an item for each row */
	size_t count, named, named_max; /* named: without "_other", which what is beyond named_max is added to */
	uint64_t aggregated;
	bool lacks_one; /* a row was not entered in the table */
};

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The limits are the whole pool's, and each worker tells them. */
static void
add_pool_part(void *to, const void *from)
{
	struct snapshot_pool *t = to;
	const struct snapshot_pool *f = from;
	uint64_t size = larger(t->pool_size, f->pool_size), overflow = larger(t->max_overflow, f->max_overflow);

	snapshot_pool_add(t, f);
	t->pool_size = size;
	t->max_overflow = overflow;
}

/* "_other" has no exemplars. */
static void
add_database(void *to, const void *from)
{
	snapshot_database_add(to, from);
	free(((const struct snapshot_database *)from)->exemplars);
}

/* The newer exemplar of each bucket stays. */
static void
add_database_part(void *to, const void *from)
{
	struct snapshot_database *t = to;
	const struct snapshot_database *f = from;

	snapshot_database_add(t, f);
	if (t->exemplars == NULL) {
		t->exemplars = f->exemplars;
		return;
	}
	for (size_t i = 0; f->exemplars != NULL && i < HISTOGRAM_BUCKETS_MAX; i++)
		if (f->exemplars->of[i].wall_us > t->exemplars->of[i].wall_us)
			t->exemplars->of[i] = f->exemplars->of[i];
	free(f->exemplars);
}

/* The role that was heard on the last login; of two that differ, whoever is up knows. */
static void
add_backend_part(void *to, const void *from)
{
	struct snapshot_backend *t = to;
	const struct snapshot_backend *f = from;

	if (strcmp(t->role, "unknown") == 0 || (t->counters.is_up <= 0 && f->counters.is_up > 0))
		memcpy(t->role, f->role, sizeof(t->role));
	snapshot_backend_add(t, f);
}

static const struct kind pool_kind = { sizeof(struct snapshot_pool), 2 * (size_t)SNAPSHOT_NAME_MAX, snapshot_pool_add,
				       add_pool_part };
static const struct kind database_kind = { sizeof(struct snapshot_database), SNAPSHOT_NAME_MAX, add_database,
					   add_database_part };
static const struct kind backend_kind = { sizeof(struct snapshot_backend), sizeof(((struct snapshot_backend *)0)->name),
					  NULL, add_backend_part };
_Static_assert(offsetof(struct snapshot_pool, user) == SNAPSHOT_NAME_MAX, "a key in one piece");

/* Returns false without memory. */
static bool
begin(struct join *j, const struct kind *kind, size_t rows, size_t named_max, uint64_t seed)
{
	*j = (struct join){ .kind = kind, .seed = seed, .named_max = named_max };
	j->rows = calloc(rows + 1, kind->size);
	j->items = calloc(rows + 1, sizeof(*j->items));
	return j->rows != NULL && j->items != NULL;
}

static char *
find(const struct join *j, const char *key)
{
	const struct item *found;

	TABLE_FIND(j->seed, j->table, key, j->kind->key_len, found);
	return found == NULL ? NULL : found->row;
}

/* Adds a row, of which the first len bytes are these. Returns it. */
static char *
enter(struct join *j, const char *row, size_t len)
{
	struct item *item = &j->items[j->count];

	item->row = j->rows + j->count++ * j->kind->size;
	memcpy(item->row, row, len);
	j->lacks_one |= !TABLE_ADD(j->seed, j->table, item->row, j->kind->key_len, item);
	return item->row;
}

/* Takes the rows of one snapshot; the array is freed. */
static void
take_all(struct join *j, void *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *row = (char *)rows + i * j->kind->size;
		const char other[2 * SNAPSHOT_NAME_MAX] = {
			[0] = '_', 'o', 't', 'h', 'e', 'r', [SNAPSHOT_NAME_MAX] = '_', 'o', 't', 'h', 'e', 'r'
		};
		size_t key_len = j->kind->key_len;
		bool is_other = j->kind->add != NULL && memcmp(row, other, key_len) == 0;
		char *to = find(j, row);

		if (to == NULL && !is_other && j->named == j->named_max) {
			to = find(j, other);
			j->kind->add(to != NULL ? to : enter(j, other, key_len), row);
			j->aggregated++;
		} else if (to == NULL) {
			enter(j, row, j->kind->size);
			j->named += !is_other;
		} else if (is_other) {
			j->kind->add(to, row);
		} else {
			j->kind->add_part(to, row);
		}
	}
	free(rows);
}

/* Returns the rows, and their number in *count. */
static void *
end(struct join *j, size_t *count)
{
	HASH_CLEAR(hh, j->table);
	free(j->items);
	*count = j->count;
	return j->rows;
}

static void
give_up(struct join *j)
{
	free(j->items);
	free(j->rows);
}

/* Adds the sums that are not in rows, and the workers, for which there is room. */
static void
add_numbers(struct snapshot *to, const struct snapshot *from)
{
	to->taken_us = larger(to->taken_us, from->taken_us);
	to->clients_total_now += from->clients_total_now;
	to->login_clients += from->login_clients;
	to->cancel_clients += from->cancel_clients;
	counters_add(&to->process, &from->process, sizeof(to->process));
	to->statement_cache_bytes += from->statement_cache_bytes;
	to->buffer_bytes_client += from->buffer_bytes_client;
	to->buffer_bytes_server += from->buffer_bytes_server;
	to->pools_aggregated += from->pools_aggregated;
	memcpy(to->workers + to->worker_count, from->workers, from->worker_count * sizeof(*to->workers));
	to->worker_count += from->worker_count;
}

struct snapshot *
snapshot_merge(struct snapshot **parts, size_t count, size_t pools_max, uint64_t seed)
{
	struct snapshot *all = parts[0];
	struct join pools = { 0 }, databases = { 0 }, backends = { 0 };
	size_t pool_rows = 0, database_rows = 0, backend_rows = 0, worker_count = 0;
	void *workers;

	if (count == 1)
		return all;
	for (size_t i = 0; i < count; i++) {
		worker_count += parts[i]->worker_count;
		pool_rows += parts[i]->pool_count;
		database_rows += parts[i]->database_count;
		backend_rows += parts[i]->backend_count;
	}
	workers = reallocarray(all->workers, worker_count, sizeof(*all->workers));
	all->workers = workers != NULL ? workers : all->workers;
	if (workers == NULL || !begin(&pools, &pool_kind, pool_rows, pools_max, seed) ||
	    !begin(&databases, &database_kind, database_rows, pools_max, seed) ||
	    !begin(&backends, &backend_kind, backend_rows, SIZE_MAX, seed)) {
		for (size_t i = 0; i < count; i++)
			snapshot_free(parts[i]);
		give_up(&pools);
		give_up(&databases);
		give_up(&backends);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		struct snapshot *part = parts[i];

		take_all(&pools, part->pools, part->pool_count);
		take_all(&databases, part->databases, part->database_count);
		take_all(&backends, part->backends, part->backend_count);
		if (i > 0) {
			add_numbers(all, part);
			free(part->budgets);
			free(part->workers);
			free(part);
		}
	}
	all->pools = end(&pools, &all->pool_count);
	all->databases = end(&databases, &all->database_count);
	all->backends = end(&backends, &all->backend_count);
	all->pools_aggregated += pools.aggregated;
	if (!pools.lacks_one && !databases.lacks_one && !backends.lacks_one)
		return all;
	snapshot_free(all);
	return NULL;
}
