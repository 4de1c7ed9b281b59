#include "telemetry/snapshot.h"

#include <stdlib.h>
#include <string.h>

const size_t snapshot_row_sizes[] = {
	[SNAPSHOT_POOLS] = sizeof(struct snapshot_pool),       [SNAPSHOT_DATABASES] = sizeof(struct snapshot_database),
	[SNAPSHOT_BACKENDS] = sizeof(struct snapshot_backend), [SNAPSHOT_BUDGETS] = sizeof(struct snapshot_budget),
	[SNAPSHOT_WORKERS] = sizeof(struct snapshot_worker),
};
_Static_assert(offsetof(struct snapshot, worker_count) == offsetof(struct snapshot, of[SNAPSHOT_WORKERS].count),
	       "the same arrays in the same order");

struct snapshot *
snapshot_new(unsigned worker)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->workers = calloc(1, sizeof(*s->workers));
	if (s->workers == NULL) {
		free(s);
		return NULL;
	}
	s->workers[s->worker_count++].number = worker;
	return s;
}

/* Copies an array. The copy of an empty array is allocated, too, so that NULL means that there is no memory. */
static void *
copy_rows(const void *rows, size_t count, size_t size)
{
	void *copy = malloc(count > 0 ? count * size : 1);

	if (copy != NULL && count > 0)
		memcpy(copy, rows, count * size);
	return copy;
}

struct snapshot *
snapshot_copy(const struct snapshot *s)
{
	struct snapshot *copy = copy_rows(s, 1, sizeof(*s));
	bool lacks_one = false;

	if (copy == NULL)
		return NULL;
	/* Parts that were not copied for lack of memory are NULL. */
	for (size_t i = 0; i < SNAPSHOT_KINDS; i++) {
		copy->of[i].rows = copy_rows(s->of[i].rows, s->of[i].count, snapshot_row_sizes[i]);
		lacks_one |= copy->of[i].rows == NULL;
	}
	for (size_t i = 0; copy->databases != NULL && i < copy->database_count; i++) {
		const struct exemplars *e = s->databases[i].exemplars;

		copy->databases[i].exemplars = e == NULL ? NULL : copy_rows(e, 1, sizeof(*e));
		lacks_one |= e != NULL && copy->databases[i].exemplars == NULL;
	}
	if (!lacks_one)
		return copy;
	snapshot_free(copy);
	return NULL;
}

void
snapshot_free(struct snapshot *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->database_count && s->databases != NULL; i++)
		free(s->databases[i].exemplars);
	for (size_t i = 0; i < SNAPSHOT_KINDS; i++)
		free(s->of[i].rows);
	free(s);
}

void
snapshot_pool_add(void *to_pool, const void *from_pool)
{
	struct snapshot_pool *to = to_pool;
	const struct snapshot_pool *from = from_pool;
	uint64_t oldest_us =
	    to->oldest_waiter_us > from->oldest_waiter_us ? to->oldest_waiter_us : from->oldest_waiter_us;

	/* After its names, the row has only numbers. */
	counters_add(to->clients, from->clients, sizeof(*to) - offsetof(struct snapshot_pool, clients));
	to->oldest_waiter_us = oldest_us;
}

void
snapshot_database_add(void *to_database, const void *from_database)
{
	struct snapshot_database *to = to_database;
	const struct snapshot_database *from = from_database;

	to->prepared_client += from->prepared_client;
	to->prepared_server += from->prepared_server;
	counters_add(&to->counters, &from->counters, sizeof(to->counters));
}

void
snapshot_backend_add(void *to_backend, const void *from_backend)
{
	struct backend_counters *t = &((struct snapshot_backend *)to_backend)->counters;
	const struct backend_counters *f = &((const struct snapshot_backend *)from_backend)->counters;

	t->connects += f->connects;
	t->standby_loans += f->standby_loans;
	counters_add(t->connect_failures, f->connect_failures, sizeof(t->connect_failures));
	if (t->last_failure_wall_us < f->last_failure_wall_us)
		t->last_failure_wall_us = f->last_failure_wall_us;
	if (t->up_state < 0 || (f->up_state >= 0 && f->up_state_set_us > t->up_state_set_us) ||
	    (f->up_state_set_us == t->up_state_set_us && f->up_state > t->up_state)) {
		t->up_state = f->up_state;
		t->up_state_set_us = f->up_state_set_us;
	}
	histogram_add(&t->connect_duration, &f->connect_duration);
}
