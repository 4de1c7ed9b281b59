/* src/base/exemplar.h - for each bucket of a histogram, the trace of the request that fell into it last, if it had one.
 */
#ifndef PGWEIR_BASE_EXEMPLAR_H
#define PGWEIR_BASE_EXEMPLAR_H

#include "base/histogram.h"

#include <stdint.h>

struct exemplar {
	char trace_id[33]; /* 32 digits; empty: none */
	uint64_t value_us, wall_us;
};

struct exemplars {
	struct exemplar of[HISTOGRAM_BUCKETS_MAX];
};

#endif
