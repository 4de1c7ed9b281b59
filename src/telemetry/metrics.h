/*
 * src/telemetry/metrics.h - Prometheus' text exposition from a snapshot. A single table (metrics_table.c) names every
 * family: HELP and TYPE, docs/metrics.md and SHOW METRICS come from it. Pure but for the process_* family (reads
 * /proc/self).
 */
#pragma once

#include "base/buf.h"
#include "base/query_row.h"
#include "telemetry/snapshot.h"

#include <stdio.h>

/* The second has the trace of a slow request with the bucket that it is counted in. */
enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS, EXPOSITION_FORMATS };

/* Label values are escaped and forced into UTF-8. to->limit should allow megabytes. */
void metrics_render(const struct snapshot *s, enum exposition_format format, struct buf *to);
/* Every sample of it but the buckets of histograms. s may be NULL: none. */
void metrics_each_sample(const struct snapshot *s, void (*row)(const struct metric_sample *sample, void *arg),
			 void *arg);
/* Calls row for every family. */
void metrics_each(void (*row)(const char *name, const char *type, const char *labels, const char *help, void *arg),
		  void *arg);
void metrics_print_docs(FILE *to); /* writes docs/metrics.md */
