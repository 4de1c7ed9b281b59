/*
 * tests/unit/threads.h - the same function on several threads at once, for tests of what threads share. Such tests are
 * named in thread_tests of Makefile.am, and built once more with ThreadSanitizer (configure --enable-tsan).
 */
#pragma once

#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#define THREADS 4

struct one_thread {
	pthread_t thread;
	pthread_barrier_t *start;
	unsigned number;
	void (*run)(unsigned number, void *arg);
	void *arg;
};

static inline void *
run_one_thread(void *arg)
{
	struct one_thread *t = arg;

	pthread_barrier_wait(t->start);
	t->run(t->number, t->arg);
	return NULL;
}

/* Calls run on THREADS threads, numbered from 0, all at once, and waits for their end. run must not use cr_expect(). */
static inline void
in_threads(void (*run)(unsigned number, void *arg), void *arg)
{
	struct one_thread all[THREADS];
	pthread_barrier_t start;

	alarm(60); /* ends a test that hangs; Criterion's own time limits leak */
	pthread_barrier_init(&start, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct one_thread){ .start = &start, .number = i, .run = run, .arg = arg };
		cr_assert_eq(pthread_create(&all[i].thread, NULL, run_one_thread, &all[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(all[i].thread, NULL);
	pthread_barrier_destroy(&start);
}
