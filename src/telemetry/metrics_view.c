/* src/telemetry/metrics_view.c - see metrics_state.h. */

#include "telemetry/metrics_state.h"

#include <stdlib.h>
#include <string.h>

#define NAME_OF(type, field) offsetof(type, field), sizeof(((type *)0)->field)

/* A kind of things that have labels; there are four. */
struct kind {
	size_t size;
	void (*add)(void *to, const void *from); /* NULL: where names were cut to the same text, the first stands */
	struct {
		const char *label; /* NULL: no more */
		size_t at, max; /* the name's place in the thing, and its array's size */
	} names[2];
};

static const struct kind pool_kind = {
	sizeof(struct snapshot_pool),
	snapshot_pool_add,
	{ { "database", NAME_OF(struct snapshot_pool, database) }, { "user", NAME_OF(struct snapshot_pool, user) } },
};
static const struct kind database_kind = { sizeof(struct snapshot_database),
					   snapshot_database_add,
					   { { "database", NAME_OF(struct snapshot_database, name) } } };
static const struct kind backend_kind = { sizeof(struct snapshot_backend),
					  snapshot_backend_add,
					  { { "backend", NAME_OF(struct snapshot_backend, name) } } };

static const struct kind budget_kind = { sizeof(struct snapshot_budget),
					 NULL,
					 { { "backend", NAME_OF(struct snapshot_budget, name) } } };

static int
by_labels(const void *a, const void *b)
{
	return strcmp(((const struct metrics_item *)a)->labels, ((const struct metrics_item *)b)->labels);
}

/* Returns 0, or -1 without memory. */
static int
add_to_item(struct metrics_item *to, const struct metrics_item *from, const struct kind *kind)
{
	if (kind->add == NULL)
		return 0;
	if (to->sum == NULL) {
		to->sum = malloc(kind->size);
		if (to->sum == NULL)
			return -1;
		memcpy(to->sum, to->data, kind->size);
		to->data = to->sum;
	}
	kind->add(to->sum, from->data);
	return 0;
}

static int
collect(struct metrics_items *all, const void *array, size_t count, const struct kind *kind)
{
	size_t kept = 0;
	int result = 0;

	all->items = calloc(count > 0 ? count : 1, sizeof(*all->items));
	if (all->items == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct metrics_item *item = &all->items[i];
		char labels[LABELS_MAX] = "";

		item->data = (const char *)array + i * kind->size;
		for (size_t k = 0; k < 2 && kind->names[k].label != NULL; k++) {
			const char *name = (const char *)item->data + kind->names[k].at;

			exposition_labels_add(labels, kind->names[k].label, name, strnlen(name, kind->names[k].max));
		}
		item->labels = strdup(labels);
		if (item->labels == NULL)
			return -1;
		item->labels_len = strlen(labels);
		all->count++;
	}
	qsort(all->items, all->count, sizeof(*all->items), by_labels);
	/* Items are in order, so equal ones are neighbours. */
	for (size_t i = 1; i < all->count; i++) {
		struct metrics_item *last = &all->items[kept], *item = &all->items[i];

		if (strcmp(last->labels, item->labels) != 0) {
			struct metrics_item moved = *item;

			*item = all->items[++kept]; /* swapped, so that merged items are still freed */
			all->items[kept] = moved;
		} else if (add_to_item(last, item, kind) < 0)
			result = -1;
	}
	for (size_t i = kept + 1; i < all->count; i++)
		free(all->items[i].labels);
	if (all->count > 0)
		all->count = kept + 1;
	return result;
}

int
metrics_view_init(struct metrics_view *v, const struct snapshot *s)
{
	memset(v, 0, sizeof(*v));
	return collect(&v->pools, s->pools, s->pool_count, &pool_kind) < 0 ||
		       collect(&v->databases, s->databases, s->database_count, &database_kind) < 0 ||
		       collect(&v->backends, s->backends, s->backend_count, &backend_kind) < 0 ||
		       collect(&v->budgets, s->budgets, s->budget_count, &budget_kind) < 0
		   ? -1
		   : 0;
}

static void
items_fini(struct metrics_items *all)
{
	for (size_t i = 0; i < all->count; i++) {
		free(all->items[i].labels);
		free(all->items[i].sum);
	}
	free(all->items);
}

void
metrics_view_fini(struct metrics_view *v)
{
	items_fini(&v->pools);
	items_fini(&v->databases);
	items_fini(&v->backends);
	items_fini(&v->budgets);
}
