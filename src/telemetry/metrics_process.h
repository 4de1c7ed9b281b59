/* src/telemetry/metrics_process.h - what the kernel knows of this process: the process_* metrics. Linux only. */
#ifndef PGWEIR_TELEMETRY_METRICS_PROCESS_H
#define PGWEIR_TELEMETRY_METRICS_PROCESS_H

#include <stdint.h>

/* 0: not known. */
struct metrics_process {
	uint64_t cpu_us;
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds;
};

void metrics_process_read(struct metrics_process *p);

#endif
