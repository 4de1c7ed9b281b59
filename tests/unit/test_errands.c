/* tests/unit/test_errands.c - calls that may hang: how many at a time, who is refused, and what is lost. */
#include "net/errands.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALLS (ERRANDS_WAITING_MAX + ERRAND_THREADS + 1)

/* Waits at its gate, so that it hangs until a test opens that. */
struct call {
	struct errand errand; /* first */
	struct scene *scene;
	sem_t *gate; /* NULL: it returns at once */
	bool has_run, is_done, is_discarded;
	pthread_t done_by;
};

struct scene {
	struct event_base *base;
	struct inbox *inbox;
	struct errands *errands;
	sem_t gate, other_gate, discarded;
	unsigned done_count;
	struct call calls[CALLS];
};

static void
run(struct errand *e)
{
	struct call *c = (struct call *)e;

	if (c->gate != NULL)
		sem_wait(c->gate);
	c->has_run = true;
}

static void
done(struct errand *e)
{
	struct call *c = (struct call *)e;

	c->is_done = true;
	c->done_by = pthread_self();
	c->scene->done_count++;
}

static void
discard(struct errand *e)
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
	s->errands = errands_new(s->inbox);
	return s;
}

static void
finish(struct scene *s)
{
	errands_free(s->errands);
	inbox_free(s->inbox);
	event_base_free(s->base);
	free(s);
}

static int
submit(struct scene *s, struct call *c, const char *place, sem_t *gate, struct fail *why)
{
	*c = (struct call){ .errand = { .run = run, .done = done, .discard = discard }, .scene = s, .gate = gate };
	return errands_submit(s->errands, place, &c->errand, why);
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
	while (errands_count(s->errands).running != running)
		sched_yield();
}

static void
wait_done(struct scene *s, unsigned count)
{
	while (s->done_count < count)
		event_base_loop(s->base, EVLOOP_ONCE);
}

Test(errands, a_place_that_hangs_delays_no_other)
{
	struct scene *s = begin();
	struct call other;
	struct fail why;

	hang(s, s->calls, ERRAND_THREADS + 5, "dead", &s->gate);
	wait_running(s, ERRAND_THREADS);
	cr_expect_eq(errands_count(s->errands).waiting, 5, "a place has so many threads and no more");
	cr_assert_eq(submit(s, &other, "alive", NULL, &why), 0);
	wait_done(s, 1);
	cr_expect(other.is_done && other.has_run);
	cr_expect(pthread_equal(other.done_by, pthread_self()), "done is called on the loop");
	for (unsigned i = 0; i < ERRAND_THREADS + 5; i++)
		sem_post(&s->gate);
	wait_done(s, ERRAND_THREADS + 6);
	for (unsigned i = 0; i < ERRAND_THREADS + 5; i++)
		cr_expect(s->calls[i].has_run && s->calls[i].is_done, "%u", i);
	finish(s);
}

Test(errands, a_line_is_bounded)
{
	struct scene *s = begin();
	struct fail why;

	hang(s, s->calls, ERRAND_THREADS, "dead", &s->gate);
	wait_running(s, ERRAND_THREADS);
	hang(s, s->calls + ERRAND_THREADS, ERRANDS_WAITING_MAX, "dead", &s->gate);
	cr_expect_lt(submit(s, &s->calls[CALLS - 1], "dead", NULL, &why), 0);
	cr_expect_str_eq(why.sqlstate, "53300");
	/* One that waits gives up: there is a place for another. */
	cr_expect(errands_drop(s->errands, &s->calls[ERRAND_THREADS].errand), "nobody has it, so it is ours again");
	cr_expect_eq(submit(s, &s->calls[CALLS - 1], "dead", NULL, &why), 0);
	for (unsigned i = 0; i < ERRAND_THREADS + ERRANDS_WAITING_MAX - 1; i++)
		sem_post(&s->gate);
	wait_done(s, ERRAND_THREADS + ERRANDS_WAITING_MAX);
	cr_expect_not(s->calls[ERRAND_THREADS].is_done, "it was dropped");
	cr_expect_not(s->calls[ERRAND_THREADS].has_run);
	finish(s);
}

Test(errands, a_place_whose_threads_are_all_lost_refuses)
{
	struct scene *s = begin();
	struct call late;
	struct errands_count count;
	struct fail why;

	hang(s, s->calls, ERRAND_THREADS, "dead", &s->gate);
	wait_running(s, ERRAND_THREADS);
	for (unsigned i = 0; i < ERRAND_THREADS; i++) {
		cr_expect_not(errands_drop(s->errands, &s->calls[i].errand), "a thread has it");
		cr_expect_not(errands_drop(s->errands, &s->calls[i].errand), "and it counts once");
	}
	count = errands_count(s->errands);
	cr_expect_eq(count.lost, ERRAND_THREADS);
	cr_expect_eq(count.running, 0);
	cr_expect_lt(submit(s, &late, "dead", NULL, &why), 0);
	cr_expect_str_eq(why.text, "all 8 calls to it are hanging");
	sem_post(&s->gate);
	wait_done(s, 1); /* a call that comes back after all */
	cr_expect_eq(submit(s, &late, "dead", NULL, &why), 0, "there is a thread again");
	wait_done(s, 2);
	cr_expect(late.is_done);
	for (unsigned i = 1; i < ERRAND_THREADS; i++)
		sem_post(&s->gate);
	wait_done(s, ERRAND_THREADS + 1);
	count = errands_count(s->errands);
	cr_expect_eq(count.lost + count.running + count.waiting, 0);
	finish(s);
}

Test(errands, all_threads_have_a_bound)
{
	struct scene *s = begin();
	struct call late;
	char place[16];
	struct fail why;

	for (unsigned i = 0; i < ERRAND_THREADS_ALL / ERRAND_THREADS; i++) {
		snprintf(place, sizeof(place), "%u", i);
		hang(s, s->calls + i * ERRAND_THREADS, ERRAND_THREADS, place, &s->gate);
	}
	wait_running(s, ERRAND_THREADS_ALL);
	cr_expect_lt(submit(s, &late, "another", NULL, &why), 0);
	cr_expect_str_eq(why.sqlstate, "53300");
	for (unsigned i = 0; i < ERRAND_THREADS_ALL; i++)
		sem_post(&s->gate);
	wait_done(s, ERRAND_THREADS_ALL);
	finish(s);
}

Test(errands, the_end_waits_for_no_call)
{
	struct scene *s = begin();

	hang(s, s->calls, ERRAND_THREADS + 3, "dead", &s->gate);
	wait_running(s, ERRAND_THREADS);
	errands_free(s->errands);
	inbox_free(s->inbox);
	event_base_free(s->base);
	for (unsigned i = 0; i < 3; i++)
		sem_wait(&s->discarded); /* those that waited */
	for (unsigned i = 0; i < ERRAND_THREADS; i++)
		sem_post(&s->gate);
	for (unsigned i = 0; i < ERRAND_THREADS; i++)
		sem_wait(&s->discarded);
	for (unsigned i = 0; i < ERRAND_THREADS + 3; i++)
		cr_expect(s->calls[i].is_discarded && !s->calls[i].is_done, "%u", i);
	free(s);
}
