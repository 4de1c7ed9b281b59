/*
 * src/telemetry/exposition.h - Prometheus' text format 0.0.4, line by line. Knows no metric.
 *
 * Labels are handed about as text: name="value",name="value", already escaped; empty: none.
 */
#ifndef PGWEIR_TELEMETRY_EXPOSITION_H
#define PGWEIR_TELEMETRY_EXPOSITION_H

#include "base/buf.h"
#include "base/histogram.h"

#include <stddef.h>
#include <stdint.h>

#define LABELS_MAX 1280 /* with terminator: the longest name of a backend, every byte escaped, and two words */

/* Appends name="value" (any bytes, escaped) to labels; nothing if it does not fit. */
void labels_add(char labels[LABELS_MAX], const char *name, const char *value, size_t value_len);

void exposition_head(struct buf *to, const char *name, const char *type, const char *help);
/* value counts units of 10^-decimals: 1500000 with 6 decimals is 1.5. */
void exposition_sample(struct buf *to, const char *name, const char *labels, uint64_t value, unsigned decimals);
void exposition_histogram(struct buf *to, const char *name, const char *labels, const struct histogram *h,
			  const struct histogram_bounds *bounds);

#endif
