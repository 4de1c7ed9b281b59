/* src/telemetry/snapshot_merge.c - makes one snapshot from those of all workers. See snapshot.h. */
#include "telemetry/snapshot.h"
#include "base/alloc.h"
#include "base/table.h"

/* A kind of rows. A row begins with its key: its names, padded with zeros, or its number. */
struct kind {
	size_t key_len;
	/* adds a row that gets no row of its own to "_other"; takes over what `from` owns */
	void (*add_to_other)(void *to, const void *from);
	/* adds another worker's row with the same key; NULL if only one worker has rows of this kind */
	void (*add_part)(void *to, const void *from);
};

struct item {
	char *row;
	UT_hash_handle hh;
};

/* Rows of one kind from several snapshots, one row for each key. */
struct join {
	const struct kind *kind;
	size_t size; /* size of a row */
	uint64_t seed;
	char *rows;
	struct item *items, *table; /* an item for each row */
	/* named_count leaves out "_other", to which rows beyond named_max are added */
	size_t count, named_count, named_max;
	uint64_t aggregated;
	bool lacks_row; /* a row could not be entered in `table` */
};

static uint64_t
larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The limits are not added up, because each worker reports those of the whole pool. */
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

/* Adds a database to "_other", which has no exemplars. */
static void
add_database_to_other(void *to, const void *from)
{
	snapshot_database_add(to, from);
	free(((const struct snapshot_database *)from)->exemplars);
}

/* Keeps the newer exemplar of each bucket. */
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

/* Each worker reports the role of its last login. A known role replaces "unknown"; otherwise, the role of a worker for
 * which the backend is up counts. */
static void
add_backend_part(void *to, const void *from)
{
	struct snapshot_backend *t = to;
	const struct snapshot_backend *f = from;

	if (strcmp(t->role, "unknown") == 0 || (t->counters.up_state <= 0 && f->counters.up_state > 0))
		memcpy(t->role, f->role, sizeof(t->role));
	snapshot_backend_add(t, f);
}

static const struct kind kinds[SNAPSHOT_KINDS] = {
	[SNAPSHOT_POOLS] = { 2 * (size_t)SNAPSHOT_NAME_MAX, snapshot_pool_add, add_pool_part },
	[SNAPSHOT_DATABASES] = { SNAPSHOT_NAME_MAX, add_database_to_other, add_database_part },
	[SNAPSHOT_BACKENDS] = { sizeof(((struct snapshot_backend *)0)->name), NULL, add_backend_part },
	[SNAPSHOT_BUDGETS] = { sizeof(((struct snapshot_budget *)0)->name), NULL, NULL },
	[SNAPSHOT_WORKERS] = { sizeof(((struct snapshot_worker *)0)->number), NULL, NULL },
};
_Static_assert(offsetof(struct snapshot_pool, user) == SNAPSHOT_NAME_MAX, "a key in one piece");

static char *
find(const struct join *j, const char *key)
{
	const struct item *found;

	TABLE_FIND(j->seed, j->table, key, j->kind->key_len, found);
	return found == NULL ? NULL : found->row;
}

/* Adds a row that begins with these len bytes. Returns the row. */
static char *
add_row(struct join *j, const char *row, size_t len)
{
	struct item *item = &j->items[j->count];

	item->row = j->rows + j->count++ * j->size;
	memcpy(item->row, row, len);
	j->lacks_row |= !TABLE_ADD(j->seed, j->table, item->row, j->kind->key_len, item);
	return item->row;
}

/* Takes over the rows of one snapshot. */
static void
take_rows(struct join *j, char *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *row = rows + i * j->size;
		const char other[2 * SNAPSHOT_NAME_MAX] = {
			[0] = '_', 'o', 't', 'h', 'e', 'r', [SNAPSHOT_NAME_MAX] = '_', 'o', 't', 'h', 'e', 'r'
		};
		size_t key_len = j->kind->key_len;
		bool is_other = j->kind->add_to_other != NULL && memcmp(row, other, key_len) == 0;
		char *to = find(j, row);

		if (to == NULL && !is_other && j->named_count == j->named_max) {
			to = find(j, other);
			j->kind->add_to_other(to != NULL ? to : add_row(j, other, key_len), row);
			j->aggregated++;
		} else if (to == NULL) {
			add_row(j, row, j->size);
			j->named_count += !is_other;
		} else if (is_other) {
			j->kind->add_to_other(to, row);
		} else if (j->kind->add_part != NULL) {
			j->kind->add_part(to, row);
		}
	}
}

/* Merges all rows of one kind into the first part. Returns false if there is no memory. */
static bool
join_rows(struct snapshot **parts, size_t count, enum snapshot_kind k, size_t pools_max, uint64_t seed)
{
	const struct kind *kind = &kinds[k];
	struct join j = { .kind = kind,
			  .size = snapshot_row_sizes[k],
			  .seed = seed,
			  .named_max = kind->add_to_other != NULL ? pools_max : SIZE_MAX };
	size_t rows = 1;

	for (size_t i = 0; i < count; i++)
		rows += parts[i]->of[k].count;
	j.rows = calloc(rows, j.size);
	j.items = calloc(rows, sizeof(*j.items));
	if (j.rows == NULL || j.items == NULL) {
		free(j.rows);
		free(j.items);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		take_rows(&j, parts[i]->of[k].rows, parts[i]->of[k].count);
		free(parts[i]->of[k].rows);
		parts[i]->of[k].rows = NULL;
		parts[i]->of[k].count = 0;
	}
	HASH_CLEAR(hh, j.table);
	free(j.items);
	parts[0]->of[k].rows = j.rows;
	parts[0]->of[k].count = j.count;
	if (k == SNAPSHOT_POOLS)
		parts[0]->pools_aggregated += j.aggregated;
	return !j.lacks_row;
}

/* Adds up the numbers that are not in rows; taken_us becomes the latest. */
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
}

struct snapshot *
snapshot_merge(struct snapshot **parts, size_t count, size_t pools_max, uint64_t seed)
{
	struct snapshot *all = parts[0];
	bool lacks_row = false;

	if (count == 1)
		return all;
	for (enum snapshot_kind k = 0; k < SNAPSHOT_KINDS; k++)
		lacks_row |= !join_rows(parts, count, k, pools_max, seed);
	for (size_t i = 1; i < count; i++) {
		add_numbers(all, parts[i]);
		snapshot_free(parts[i]);
	}
	if (!lacks_row)
		return all;
	snapshot_free(all);
	return NULL;
}
