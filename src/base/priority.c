#include "base/resources.h"

#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICER_BY 10
/* The slice of a loop's thread is shorter than any that the kernel gives by itself (0.7 ms and more), so the loop
 * preempts other threads when it wakes. The slice is longer than most turns of the loop, because the end of the slice
 * preempts the loop: with 0.1 ms, the minimum, that happened once or twice in each transaction of pgbench. */
#define SHORT_SLICE_NS 500000

/* The C library has neither a wrapper for sched_setattr(2) nor a declaration of this struct. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* Sets the slice: how long this thread runs at a time (since Linux 6.12); with 0, the kernel decides. A thread that
 * wakes preempts a running thread that has a longer slice, instead of waiting some milliseconds for the rest of that
 * slice. The share of the processor stays the same. */
void
priority_set_urgent(bool is_urgent)
{
	struct sched_attributes a = { .size = sizeof(a), .runtime = is_urgent ? SHORT_SLICE_NS : 0 };

	a.nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
	syscall(SYS_sched_setattr, 0, &a, 0);
}

void
priority_set_background(void)
{
	/* Linux keeps this value per thread, unlike POSIX. NICER_BY is relative, so systemd's Nice= still counts. */
	id_t self = (id_t)syscall(SYS_gettid);

	setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + NICER_BY);
	priority_set_urgent(false);
}
