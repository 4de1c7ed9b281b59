/* tests/integration/reliability/jumps.c - preloaded: the wall clock jumps by a day at each call, forward and back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <time.h>

int
clock_gettime(clockid_t id, struct timespec *t)
{
	static _Atomic unsigned calls;
	int (*real)(clockid_t, struct timespec *) =
	    (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(id, t);

	if (id == CLOCK_REALTIME && atomic_fetch_add(&calls, 1) % 3 == 1)
		t->tv_sec += 86400;
	return result;
}
