/* src/telemetry/metrics_view.c - see metrics_state.h. */

#include "telemetry/metrics_state.h"

#include <stdlib.h>
#include <string.h>

/* A kind of things that have labels; there are three. */
struct kind {
	size_t size;
	void (*label)(char labels[LABELS_MAX], const void *data);
	void (*add)(void *to, const void *from);
};

static void
label_pool(char labels[LABELS_MAX], const void *data)
{
	const struct snapshot_pool *p = data;

	exposition_labels_add(labels, "database", p->database, strnlen(p->database, sizeof(p->database)));
	exposition_labels_add(labels, "user", p->user, strnlen(p->user, sizeof(p->user)));
}

static void
label_database(char labels[LABELS_MAX], const void *data)
{
	const struct snapshot_database *d = data;

	exposition_labels_add(labels, "database", d->name, strnlen(d->name, sizeof(d->name)));
}

static void
label_backend(char labels[LABELS_MAX], const void *data)
{
	const struct snapshot_backend *b = data;

	exposition_labels_add(labels, "backend", b->name, strnlen(b->name, sizeof(b->name)));
}

static void
add_pool(void *to, const void *from)
{
	snapshot_pool_add(to, from);
}

static void
add_database(void *to, const void *from)
{
	snapshot_database_add(to, from);
}

static void
add_backend(void *to, const void *from)
{
	snapshot_backend_add(to, from);
}

static const struct kind pool_kind = { sizeof(struct snapshot_pool), label_pool, add_pool };
static const struct kind database_kind = { sizeof(struct snapshot_database), label_database, add_database };
static const struct kind backend_kind = { sizeof(struct snapshot_backend), label_backend, add_backend };

static int
by_labels(const void *a, const void *b)
{
	return strcmp(((const struct metrics_item *)a)->labels, ((const struct metrics_item *)b)->labels);
}

/* Returns 0, or -1 without memory. */
static int
add_to_item(struct metrics_item *to, const struct metrics_item *from, const struct kind *kind)
{
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
		kind->label(labels, item->data);
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
		       collect(&v->backends, s->backends, s->backend_count, &backend_kind) < 0
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
}
