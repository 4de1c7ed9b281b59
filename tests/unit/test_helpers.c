/* tests/unit/test_helpers.c - work that is handed to threads: who goes first, how much may wait, what comes back. */
#include "net/helpers.h"
#include "unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define JOBS 64

struct job {
	struct work work; /* first */
	char name;
	struct board *board;
	pthread_t done_by;
};

/* What happened, in order. */
struct board {
	char ran[JOBS + 1], done[JOBS + 1];
	atomic_int ran_count;
	int done_count, wanted;
	sem_t gate; /* the first job waits for it, so that others line up */
	int niceness;
	struct event_base *base;
	struct inbox *inbox;
};

static bool has_no_threads; /* none can be started */

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*begin)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (has_no_threads)
		return EAGAIN;
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attributes, begin, arg);
}

static void
run(struct work *w)
{
	struct job *j = (struct job *)w;

	if (j->name == '!')
		sem_wait(&j->board->gate);
	j->board->niceness = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
	j->board->ran[atomic_fetch_add(&j->board->ran_count, 1)] = j->name;
}

static void
done(struct work *w)
{
	struct job *j = (struct job *)w;

	j->done_by = pthread_self();
	j->board->done[j->board->done_count++] = j->name;
	if (j->board->done_count == j->board->wanted)
		event_base_loopbreak(j->board->base);
}

static struct helpers *
start(struct board *b, unsigned threads)
{
	struct fail why;
	struct helpers *hs;

	alarm(30); /* ends a test that hangs; Criterion's own time limits leak */
	memset(b, 0, sizeof(*b));
	sem_init(&b->gate, 0, 0);
	b->base = event_base_new();
	b->inbox = inbox_new(b->base, b, &why);
	hs = helpers_new(threads, &why);
	cr_assert_not_null(hs, "%s", why.text);
	return hs;
}

static void
submit(struct helpers *hs, struct board *b, struct job *j, char name, enum work_queue line)
{
	*j = (struct job){ .work = { .run = run, .done = done }, .name = name, .board = b };
	cr_assert_eq(helpers_submit(hs, b->inbox, &j->work, line), 0);
}

static void
wait_taken(struct helpers *hs, size_t waiting)
{
	while (helpers_count_waiting(hs) != waiting)
		sched_yield();
}

Test(helpers, what_was_begun_goes_before_newcomers_but_not_always)
{
	struct board b;
	struct helpers *hs = start(&b, 1);
	struct job jobs[9];

	submit(hs, &b, &jobs[0], '!', WORK_BEGUN); /* keeps the thread */
	wait_taken(hs, 0);
	cr_expect(helpers_are_busy(hs), "nothing waits, but something runs");
	for (int i = 1; i < 5; i++)
		submit(hs, &b, &jobs[i], (char)('a' + i - 1), WORK_NEW);
	for (int i = 5; i < 9; i++)
		submit(hs, &b, &jobs[i], (char)('A' + i - 5), WORK_BEGUN);
	b.wanted = 9;
	sem_post(&b.gate);
	event_base_dispatch(b.base);
	cr_expect_str_eq(b.ran, "!ABaCDbcd", "each line in its order, three of four turns for what was begun");
	cr_expect_str_eq(b.done, b.ran);
	for (int i = 0; i < 9; i++)
		cr_expect(pthread_equal(jobs[i].done_by, pthread_self()), "done is called on the loop");
	cr_expect_not(helpers_are_busy(hs), "all of it has come back");
	cr_expect_gt(b.niceness, getpriority(PRIO_PROCESS, 0), "threads give way to the loop");
	helpers_free(hs);
	inbox_free(b.inbox);
	event_base_free(b.base);
}

static void
run_nothing(struct work *w)
{
	struct job *j = (struct job *)w;

	if (j->name == '!')
		sem_wait(&j->board->gate);
	atomic_fetch_add(&j->board->ran_count, 1);
}

static void
count_done(struct work *w)
{
	struct job *j = (struct job *)w;

	j->board->done_count++;
}

Test(helpers, a_line_is_bounded_and_the_end_hands_all_of_it_back)
{
	static struct job jobs[HELPERS_QUEUE_MAX + 3];
	struct board b;
	struct helpers *hs = start(&b, 1);

	for (size_t i = 0; i < COUNT(jobs); i++)
		jobs[i] = (struct job){ .work = { .run = run_nothing, .done = count_done }, .board = &b };
	jobs[0].name = '!';
	cr_assert_eq(helpers_submit(hs, b.inbox, &jobs[0].work, WORK_NEW), 0);
	wait_taken(hs, 0);
	for (size_t i = 1; i <= HELPERS_QUEUE_MAX; i++)
		cr_assert_eq(helpers_submit(hs, b.inbox, &jobs[i].work, WORK_NEW), 0);
	cr_expect_eq(helpers_submit(hs, b.inbox, &jobs[HELPERS_QUEUE_MAX + 1].work, WORK_NEW), -1);
	cr_expect_eq(helpers_submit(hs, b.inbox, &jobs[HELPERS_QUEUE_MAX + 2].work, WORK_BEGUN), 0,
		     "the other line has room");
	cr_expect_eq(helpers_count_waiting(hs), HELPERS_QUEUE_MAX + 1);
	cr_expect(helpers_are_busy(hs));
	sem_post(&b.gate);
	helpers_end(hs);
	cr_expect_eq(helpers_submit(hs, b.inbox, &jobs[HELPERS_QUEUE_MAX + 1].work, WORK_NEW), -1, "no more is taken");
	cr_expect_not(helpers_are_busy(hs), "nor counted");
	inbox_free(b.inbox);
	cr_expect_eq(b.done_count, HELPERS_QUEUE_MAX + 2, "each once, run or not");
	helpers_free(hs);
	event_base_free(b.base);
}

Test(helpers, without_a_thread_the_reason_is_told)
{
	struct fail why;

	has_no_threads = true;
	errno = 0; /* as pthread_create() need not set it */
	cr_expect_null(helpers_new(2, &why));
	cr_expect_str_eq(why.text, "could not start threads: Resource temporarily unavailable");
}
