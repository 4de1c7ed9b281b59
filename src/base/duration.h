/* src/base/duration.h - a length of time for people to read. Pure. */
#ifndef PGWEIR_BASE_DURATION_H
#define PGWEIR_BASE_DURATION_H

#include <stdint.h>

struct duration {
	char text[40];
};

/* "250 ms", "1.5 s", "30 s", "12 min 5 s", "3 h 20 min", "2 d 4 h" */
struct duration duration_of(uint64_t us);

#endif
