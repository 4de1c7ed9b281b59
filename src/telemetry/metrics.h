/*
 * src/telemetry/metrics.h - Prometheus' text exposition from a snapshot. One table (metrics_table.c) names every
 * family: HELP and TYPE, docs/metrics.md and SHOW METRICS come from it. Pure but for the process_* family (reads
 * /proc/self).
 */
#ifndef PGWEIR_TELEMETRY_METRICS_H
#define PGWEIR_TELEMETRY_METRICS_H

#include "base/buf.h"
#include "telemetry/snapshot.h"

#include <stdio.h>

/* Text format 0.0.4. Label values are escaped and forced into UTF-8. to->limit should allow megabytes. */
void metrics_render(const struct snapshot *s, struct buf *to);
/* name, type, labels and help of every family. */
void metrics_each(void (*row)(const char *name, const char *type, const char *labels, const char *help, void *arg),
		  void *arg);
void metrics_print_docs(FILE *to); /* docs/metrics.md */

#endif
