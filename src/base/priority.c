/* src/base/priority.c - see priority.h. */
#include "base/priority.h"

#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICENESS 10
#define SHORT_SLICE_NS 100000 /* the least there is */

/* sched_setattr(2) has no wrapper here, nor its structure a header that goes with the C library's. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/*
 * Linux since 6.12: how long this thread runs at a time. On waking, one with a shorter slice goes before one that runs,
 * instead of after the rest of its slice, which is some milliseconds. Its share of the processor stays the same.
 */
static void
set_slice(uint64_t ns)
{
	struct sched_attributes a = { .size = sizeof(a), .runtime = ns };

	a.nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
	syscall(SYS_sched_setattr, 0, &a, 0);
}

void
priority_low_latency(void)
{
	set_slice(SHORT_SLICE_NS);
}

void
priority_background(void)
{
	/* Linux keeps this per thread, whatever POSIX says. */
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
	set_slice(0);
}
