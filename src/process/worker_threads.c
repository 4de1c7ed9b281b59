#include "base/alloc.h"
#include "base/resources.h"
#include "process/process_state.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define HALT_MAX_US US_PER_S
#define END_MAX_US (5 * US_PER_S)

struct member {
	struct worker_threads *threads;
	struct worker *worker;
	pthread_t thread;
	struct note halt, end;
	/* Guarded by the lock. HALT_POSTED: the halt note is in the worker's inbox. STANDS: the worker stands still in
	 * the present halt, or did so in the last one. */
	enum { RUNS, HALT_POSTED, STANDS, ENDED } state;
	bool is_over; /* true if the thread ends after this turn; only used by the thread */
};

struct worker_threads {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t round; /* the number of halts so far; guarded by the lock */
	bool is_halt; /* guarded by the lock */
	struct process_counters *counters; /* worker 0's counters; only worker 0 uses this field, depth and asked_us */
	unsigned depth; /* the number of nested halts */
	uint64_t asked_us; /* when the present halt was asked for */
	unsigned count; /* threads that run */
	struct member members[];
};

/* --- on the thread of a worker --- */

static void
stand_still(struct note *n, void *owner, bool is_over)
{
	struct member *m = (struct member *)((char *)n - offsetof(struct member, halt));
	struct worker_threads *t = m->threads;
	uint64_t round;

	pthread_mutex_lock(&t->lock);
	m->state = t->is_halt ? STANDS : RUNS;
	pthread_cond_broadcast(&t->changed);
	for (round = t->round; t->is_halt && t->round == round;)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static void
end_after_turn(struct note *n, void *owner, bool is_over)
{
	struct member *m = (struct member *)((char *)n - offsetof(struct member, end));

	m->is_over = true;
}

static void *
thread_main(void *arg)
{
	struct member *m = arg;
	clockid_t clock;

	priority_set_urgent(false);
	if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
		m->worker->pulse.cpu_clock = clock;
	while (!m->is_over)
		worker_run_turn(m->worker);
	pthread_mutex_lock(&m->threads->lock);
	m->state = ENDED;
	pthread_cond_broadcast(&m->threads->changed);
	pthread_mutex_unlock(&m->threads->lock);
	return NULL;
}

/* --- on worker 0's thread --- */

static int
start_thread(struct member *m, struct fail *why)
{
	char name[16];
	sigset_t all, before;
	int error;

	m->halt.read = stand_still;
	m->end.read = end_after_turn;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&m->thread, NULL, thread_main, m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return fail_set(why, "58000", "could not start a thread for worker %u: %s", m->worker->number,
				strerror(error));
	snprintf(name, sizeof(name), "pgweir-%u", m->worker->number);
	pthread_setname_np(m->thread, name);
	return 0;
}

struct worker_threads *
worker_threads_new(struct weir *w, struct fail *why)
{
	struct worker_threads *t = xcalloc(1, sizeof(*t) + (w->worker_count - 1) * sizeof(t->members[0]));
	struct fail ignored;
	pthread_condattr_t attr;

	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	t->counters = &w->main_worker->counters;
	for (struct worker *k = w->main_worker->next; k != NULL; k = k->next) {
		struct member *m = &t->members[t->count];

		m->threads = t;
		m->worker = k;
		if (start_thread(m, why) < 0) {
			worker_threads_free(t, &ignored); /* the threads have begun nothing that could hang */
			return NULL;
		}
		t->count++;
	}
	return t;
}

/* Returns the first worker in this state or, if is_in is false, in another state; NULL if there is none. */
static struct worker *
find_worker(const struct worker_threads *t, int state, bool is_in)
{
	for (const struct member *m = t->members; m < t->members + t->count; m++)
		if (((int)m->state == state) == is_in)
			return m->worker;
	return NULL;
}

int
worker_threads_free(struct worker_threads *t, struct fail *why)
{
	const struct timespec until = clock_timespec(clock_now_us() + END_MAX_US);
	const struct worker *late;
	int r = 0;

	if (t == NULL)
		return 0;
	for (struct member *m = t->members; m < t->members + t->count; m++)
		inbox_post(m->worker->inbox, &m->end);
	pthread_mutex_lock(&t->lock);
	while ((late = find_worker(t, ENDED, false)) != NULL && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&t->changed, &t->lock, &until);
	pthread_mutex_unlock(&t->lock);
	if (late != NULL)
		return fail_set(why, "58000", "worker %u does not answer", late->number);
	for (struct member *m = t->members; m < t->members + t->count; m++)
		pthread_join(m->thread, NULL);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return 0;
}

static void
end_halt(struct worker_threads *t)
{
	t->is_halt = false;
	pthread_cond_broadcast(&t->changed);
	histogram_observe_us(&t->counters->halt_duration, &histogram_bounds_proxy, clock_now_us() - t->asked_us);
}

/* Asks all threads to stand still, and waits until they do. Returns NULL, or the first worker that does not stand still
 * in time. Called under the lock. */
static struct worker *
stop_all(struct worker_threads *t, uint64_t until_us)
{
	const struct timespec until = clock_timespec(until_us);
	struct worker *laggard = find_worker(t, HALT_POSTED, true);
	int r = 0;

	/* this worker has not read the note of a halt that was given up, so it would not stop this time, either */
	if (laggard != NULL)
		return laggard;
	t->is_halt = true;
	t->round++;
	for (struct member *m = t->members; m < t->members + t->count; m++) {
		m->state = HALT_POSTED;
		inbox_post(m->worker->inbox, &m->halt);
	}
	pthread_cond_broadcast(&t->changed); /* wakes threads that still sleep in the previous round */
	while ((laggard = find_worker(t, STANDS, false)) != NULL && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&t->changed, &t->lock, &until);
	if (laggard != NULL)
		end_halt(t);
	return laggard;
}

int
worker_threads_halt(struct weir *w, struct fail *why)
{
	struct worker_threads *t = w->threads;
	const struct worker *laggard;

	if (t == NULL || t->count == 0 || t->depth++ > 0)
		return 0;
	t->asked_us = clock_now_us();
	pthread_mutex_lock(&t->lock);
	laggard = stop_all(t, t->asked_us + HALT_MAX_US);
	pthread_mutex_unlock(&t->lock);
	if (laggard == NULL) {
		const uint64_t now_us = clock_now_us(); /* the time for functions called on the workers' objects */

		for (struct member *m = t->members; m < t->members + t->count; m++)
			m->worker->now_us = now_us;
		return 0;
	}
	t->depth = 0;
	return fail_set(why, "58000", "worker %u does not answer", laggard->number);
}

void
worker_threads_end_halt(struct weir *w)
{
	struct worker_threads *t = w->threads;

	if (t == NULL || t->count == 0)
		return;
	assert(t->depth > 0);
	if (--t->depth > 0)
		return;
	pthread_mutex_lock(&t->lock);
	end_halt(t);
	pthread_mutex_unlock(&t->lock);
}
