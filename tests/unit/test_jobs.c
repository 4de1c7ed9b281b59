/* tests/unit/test_jobs.c - calls that may hang: how many at a time, who is refused, and what is lost. */
#include "net/jobs.h"
#include "unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#define CALLS (JOBS_WAITING_MAX + JOB_THREADS + 1)

/* Waits at its gate, so that it hangs until a test opens that. */
struct call {
	struct job job; /* first */
	struct scene *scene;
	sem_t *gate; /* NULL: it returns at once */
	bool has_run, is_done, is_discarded;
	pthread_t done_by;
};

struct scene {
	struct event_base *base;
	struct inbox *inbox;
	struct jobs *jobs;
	sem_t gate, other_gate, discarded;
	unsigned done_count;
	struct call calls[CALLS];
};

static void
run(struct job *e)
{
	struct call *c = (struct call *)e;

	if (c->gate != NULL)
		sem_wait(c->gate);
	c->has_run = true;
}

static void
done(struct job *e)
{
	struct call *c = (struct call *)e;

	c->is_done = true;
	c->done_by = pthread_self();
	c->scene->done_count++;
}

static void
discard(struct job *e)
{
	struct call *c = (struct call *)e;

	c->is_discarded = true;
	sem_post(&c->scene->discarded);
}

static struct scene *
begin(void)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct fail why;

	cr_assert_not_null(s);
	alarm(30); /* ends a test that hangs; Criterion's own time limits leak */
	sem_init(&s->gate, 0, 0);
	sem_init(&s->other_gate, 0, 0);
	sem_init(&s->discarded, 0, 0);
	s->base = event_base_new();
	s->inbox = inbox_new(s->base, s, &why);
	s->jobs = jobs_new(s->inbox);
	return s;
}

static void
finish(struct scene *s)
{
	jobs_free(s->jobs);
	inbox_free(s->inbox);
	event_base_free(s->base);
	free(s);
}

static int
submit(struct scene *s, struct call *c, const char *place, sem_t *gate, struct fail *why)
{
	*c = (struct call){ .job = { .run = run, .done = done, .discard = discard }, .scene = s, .gate = gate };
	return jobs_submit(s->jobs, place, &c->job, why);
}

/* Submits count calls that hang at gate. */
static void
hang(struct scene *s, struct call *calls, unsigned count, const char *place, sem_t *gate)
{
	struct fail why;

	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(submit(s, &calls[i], place, gate, &why), 0, "%s", why.text);
}

static void
wait_running(struct scene *s, uint64_t running)
{
	while (jobs_sum_counts(s->jobs).running != running)
		sched_yield();
}

static void
wait_done(struct scene *s, unsigned count)
{
	while (s->done_count < count)
		event_base_loop(s->base, EVLOOP_ONCE);
}

Test(jobs, a_place_that_hangs_delays_no_other)
{
	struct scene *s = begin();
	struct call other;
	struct fail why;

	hang(s, s->calls, JOB_THREADS + 5, "dead", &s->gate);
	wait_running(s, JOB_THREADS);
	cr_expect_eq(jobs_sum_counts(s->jobs).waiting, 5, "a place has so many threads and no more");
	cr_assert_eq(submit(s, &other, "alive", NULL, &why), 0);
	wait_done(s, 1);
	cr_expect(other.is_done && other.has_run);
	cr_expect(pthread_equal(other.done_by, pthread_self()), "done is called on the loop");
	for (unsigned i = 0; i < JOB_THREADS + 5; i++)
		sem_post(&s->gate);
	wait_done(s, JOB_THREADS + 6);
	for (unsigned i = 0; i < JOB_THREADS + 5; i++)
		cr_expect(s->calls[i].has_run && s->calls[i].is_done, "%u", i);
	finish(s);
}

Test(jobs, a_line_is_bounded)
{
	struct scene *s = begin();
	struct fail why;

	hang(s, s->calls, JOB_THREADS, "dead", &s->gate);
	wait_running(s, JOB_THREADS);
	hang(s, s->calls + JOB_THREADS, JOBS_WAITING_MAX, "dead", &s->gate);
	cr_expect_lt(submit(s, &s->calls[CALLS - 1], "dead", NULL, &why), 0);
	cr_expect_str_eq(why.sqlstate, "53300");
	/* One that waits gives up: there is a place for another. */
	cr_expect(jobs_drop(s->jobs, &s->calls[JOB_THREADS].job), "nobody has it, so it is ours again");
	cr_expect_eq(submit(s, &s->calls[CALLS - 1], "dead", NULL, &why), 0);
	for (unsigned i = 0; i < JOB_THREADS + JOBS_WAITING_MAX - 1; i++)
		sem_post(&s->gate);
	wait_done(s, JOB_THREADS + JOBS_WAITING_MAX);
	cr_expect_not(s->calls[JOB_THREADS].is_done, "it was dropped");
	cr_expect_not(s->calls[JOB_THREADS].has_run);
	finish(s);
}

Test(jobs, a_place_whose_threads_are_all_lost_refuses)
{
	struct scene *s = begin();
	struct call late;
	struct jobs_count count;
	struct fail why;

	hang(s, s->calls, JOB_THREADS, "dead", &s->gate);
	wait_running(s, JOB_THREADS);
	for (unsigned i = 0; i < JOB_THREADS; i++) {
		cr_expect_not(jobs_drop(s->jobs, &s->calls[i].job), "a thread has it");
		cr_expect_not(jobs_drop(s->jobs, &s->calls[i].job), "and it counts once");
	}
	count = jobs_sum_counts(s->jobs);
	cr_expect_eq(count.lost, JOB_THREADS);
	cr_expect_eq(count.running, 0);
	cr_expect_lt(submit(s, &late, "dead", NULL, &why), 0);
	cr_expect_str_eq(why.text, "all 8 calls to it are hanging");
	sem_post(&s->gate);
	wait_done(s, 1); /* a call that comes back after all */
	cr_expect_eq(submit(s, &late, "dead", NULL, &why), 0, "there is a thread again");
	wait_done(s, 2);
	cr_expect(late.is_done);
	for (unsigned i = 1; i < JOB_THREADS; i++)
		sem_post(&s->gate);
	wait_done(s, JOB_THREADS + 1);
	count = jobs_sum_counts(s->jobs);
	cr_expect_eq(count.lost + count.running + count.waiting, 0);
	finish(s);
}

Test(jobs, all_threads_have_a_bound)
{
	struct scene *s = begin();
	struct call late;
	char place[16];
	struct fail why;

	for (unsigned i = 0; i < JOB_THREADS_ALL / JOB_THREADS; i++) {
		snprintf(place, sizeof(place), "%u", i);
		hang(s, s->calls + i * JOB_THREADS, JOB_THREADS, place, &s->gate);
	}
	wait_running(s, JOB_THREADS_ALL);
	cr_expect_lt(submit(s, &late, "another", NULL, &why), 0);
	cr_expect_str_eq(why.sqlstate, "53300");
	for (unsigned i = 0; i < JOB_THREADS_ALL; i++)
		sem_post(&s->gate);
	wait_done(s, JOB_THREADS_ALL);
	finish(s);
}

Test(jobs, the_end_waits_for_no_call)
{
	struct scene *s = begin();

	hang(s, s->calls, JOB_THREADS + 3, "dead", &s->gate);
	wait_running(s, JOB_THREADS);
	jobs_free(s->jobs);
	inbox_free(s->inbox);
	event_base_free(s->base);
	for (unsigned i = 0; i < 3; i++)
		sem_wait(&s->discarded); /* those that waited */
	for (unsigned i = 0; i < JOB_THREADS; i++)
		sem_post(&s->gate);
	for (unsigned i = 0; i < JOB_THREADS; i++)
		sem_wait(&s->discarded);
	for (unsigned i = 0; i < JOB_THREADS + 3; i++)
		cr_expect(s->calls[i].is_discarded && !s->calls[i].is_done, "%u", i);
	free(s);
}
