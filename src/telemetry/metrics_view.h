/*
 * src/telemetry/metrics_view.h - a snapshot's pools, databases and backends with their labels, each label set once.
 *
 * Different names can come out as the same label (what is not UTF-8 is replaced, and long names were cut): those are
 * added up, as two samples of the same name and labels would spoil the whole scrape.
 *
 * Borrows: the snapshot. Owns: labels, and the sums.
 */
#ifndef PGWEIR_TELEMETRY_METRICS_VIEW_H
#define PGWEIR_TELEMETRY_METRICS_VIEW_H

#include "telemetry/snapshot.h"

#include <stddef.h>

struct metrics_item {
	char *labels;
	const void *data; /* the snapshot's, or sum */
	void *sum; /* NULL: nothing was added to it */
};

struct metrics_items {
	struct metrics_item *items; /* in order of their labels */
	size_t count;
};

struct metrics_view {
	struct metrics_items pools, databases, backends;
};

void metrics_view_init(struct metrics_view *v, const struct snapshot *s);
void metrics_view_fini(struct metrics_view *v);

#endif
