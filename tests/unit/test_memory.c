/* tests/unit/test_memory.c - the reserve is used by several threads at once, and the limit is there afterwards. */
#include "base/resources.h"

#include "threads.h"
#include "unit.h"

#include <malloc.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>

#define ROUNDS 10000u
#define LARGE ((size_t)1 << 20) /* malloc asks the kernel for each of these */
#define LIMIT ((rlim_t)1 << 20) /* less than what is used already: each needs the reserve */

struct shared {
	_Atomic unsigned missed;
	_Atomic bool is_limited;
};

static void
use_reserve(unsigned number, void *arg)
{
	struct shared *shared = arg;
	struct rlimit limit;

	getrlimit(RLIMIT_DATA, &limit);
	limit.rlim_cur = LIMIT;
	if (number == 0) { /* not before: threads need stacks */
		setrlimit(RLIMIT_DATA, &limit);
		shared->is_limited = true;
	}
	while (!shared->is_limited)
		sched_yield();
	for (unsigned i = 0; i < ROUNDS; i++) {
		void *p = memory_realloc(NULL, LARGE);

		shared->missed += p == NULL;
		free(p);
	}
}

Test(memory, threads_that_use_the_reserve_at_once_leave_the_limit_as_it_was)
{
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the sanitizer needs memory itself");
#else
	struct shared shared = { 0 };
	struct rlimit limit, after;

	mallopt(M_MMAP_THRESHOLD, LARGE / 2);
	in_threads(use_reserve, &shared);
	getrlimit(RLIMIT_DATA, &after);
	limit = (struct rlimit){ after.rlim_max, after.rlim_max };
	setrlimit(RLIMIT_DATA, &limit);
	cr_expect_eq(after.rlim_cur, LIMIT);
	cr_expect_lt(shared.missed, ROUNDS / 10, "%u had no memory", shared.missed);
#endif
}
