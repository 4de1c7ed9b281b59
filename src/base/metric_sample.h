/* src/base/metric_sample.h - one number of /metrics, for SHOW METRICS. */
#ifndef PGWEIR_BASE_METRIC_SAMPLE_H
#define PGWEIR_BASE_METRIC_SAMPLE_H

/* name: the family's; a histogram's samples end in _sum and _count. labels: as exposed, name="value",... or empty. */
struct metric_sample {
	const char *name, *type, *labels, *value, *help;
};

#endif
