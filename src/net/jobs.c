#include "net/jobs.h"
#include "base/alloc.h"
#include "base/resources.h"

#include <assert.h>
#include <pthread.h>

#define STACK_WIPED ((size_t)64 << 10) /* bytes of the stack that are wiped after each call */

struct job_queue {
	STAILQ_ENTRY(job_queue) next;
	struct jobs *jobs;
	struct note_list waiting; /* of struct job */
	struct jobs_count count;
	unsigned threads;
	char place[];
};

struct jobs {
	pthread_mutex_t lock; /* guards all fields below, the queues, and every job's fields queue and state */
	struct inbox *to;
	STAILQ_HEAD(, job_queue) queues; /* each queue has at least one thread */
	unsigned threads;
	bool is_over; /* no loop reads the inbox any more; the last thread frees this struct */
};

struct jobs *
jobs_new(struct inbox *to)
{
	struct jobs *es = xcalloc(1, sizeof(*es));

	pthread_mutex_init(&es->lock, NULL);
	es->to = to;
	STAILQ_INIT(&es->queues);
	return es;
}

static void
on_handed_back(struct note *n, void *owner, bool is_over)
{
	struct job *e = (struct job *)n;

	e->done(e);
}

/* --- Called on the threads of a queue, under the lock. --- */

static struct job *
job_take(struct job_queue *queue)
{
	struct job *e = (struct job *)STAILQ_FIRST(&queue->waiting);

	if (e == NULL)
		return NULL;
	assert(queue->count.waiting > 0 && e->queue == queue);
	STAILQ_REMOVE_HEAD(&queue->waiting, next);
	queue->count.waiting--;
	queue->count.running++;
	e->state = JOB_RUNS;
	return e;
}

static void
job_end(struct job_queue *queue, struct job *e)
{
	assert((e->state == JOB_DROPPED ? queue->count.lost : queue->count.running) > 0);
	if (e->state == JOB_DROPPED)
		queue->count.lost--;
	else
		queue->count.running--;
	e->queue = NULL;
	e->note.read = on_handed_back;
	if (queue->jobs->is_over)
		e->discard(e);
	else
		inbox_post(queue->jobs->to, &e->note);
}

static void
queue_leave(struct job_queue *queue)
{
	struct jobs *es = queue->jobs;

	assert(queue->threads > 0 && es->threads >= queue->threads);
	es->threads--;
	if (--queue->threads > 0)
		return;
	STAILQ_REMOVE(&es->queues, queue, job_queue, next);
	free(queue);
}

/* --- Threads. --- */

static void
free_if_last(struct jobs *es, bool is_last)
{
	if (!is_last)
		return;
	pthread_mutex_destroy(&es->lock);
	free(es);
}

/* Wipes STACK_WIPED bytes of the stack, where the call has just run: PAM modules leave passwords there, and glibc keeps
 * the stacks of threads that have ended. */
static void __attribute__((noinline)) wipe_stack(void)
{
	char below[STACK_WIPED];

	explicit_bzero(below, sizeof(below));
}

static void *
jobs_main(void *arg)
{
	struct job_queue *queue = arg;
	struct jobs *es = queue->jobs;
	struct job *e;
	bool is_last;

	priority_set_background();
	pthread_mutex_lock(&es->lock);
	while ((e = job_take(queue)) != NULL) {
		pthread_mutex_unlock(&es->lock);
		e->run(e);
		wipe_stack();
		pthread_mutex_lock(&es->lock);
		job_end(queue, e);
	}
	queue_leave(queue);
	is_last = es->is_over && es->threads == 0;
	pthread_mutex_unlock(&es->lock);
	free_if_last(es, is_last);
	return NULL;
}

/* Starts a thread with the caller's signal mask. Worker 0, which submits PAM's calls, blocks no signals, because
 * processes that a PAM module starts would inherit blocked signals. That is harmless, because the kernel gives a signal
 * to the main thread. */
static bool
start_thread(struct job_queue *queue)
{
	pthread_attr_t attributes;
	pthread_t thread;
	bool is_started;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	is_started = pthread_create(&thread, &attributes, jobs_main, queue) == 0;
	pthread_attr_destroy(&attributes);
	queue->threads += is_started;
	queue->jobs->threads += is_started;
	return is_started;
}

bool
jobs_free(struct jobs *es)
{
	struct job_queue *queue;
	struct job *e;
	bool is_last;

	if (es == NULL)
		return true;
	pthread_mutex_lock(&es->lock);
	es->is_over = true;
	STAILQ_FOREACH(queue, &es->queues, next)
		while ((e = (struct job *)STAILQ_FIRST(&queue->waiting)) != NULL) {
			STAILQ_REMOVE_HEAD(&queue->waiting, next);
			e->discard(e);
		}
	is_last = es->threads == 0;
	pthread_mutex_unlock(&es->lock);
	free_if_last(es, is_last);
	return is_last;
}

/* --- Submitting. --- */

static struct job_queue *
queue_find(struct jobs *es, const char *place)
{
	struct job_queue *queue;

	STAILQ_FOREACH(queue, &es->queues, next)
		if (strcmp(queue->place, place) == 0)
			break;
	return queue;
}

/* Adds a queue for a place. Returns NULL if there is no memory. */
static struct job_queue *
queue_add(struct jobs *es, const char *place)
{
	size_t len = strlen(place) + 1;
	struct job_queue *queue = calloc(1, sizeof(*queue) + len);

	if (queue == NULL)
		return NULL;
	memcpy(queue->place, place, len);
	queue->jobs = es;
	STAILQ_INIT(&queue->waiting);
	STAILQ_INSERT_TAIL(&es->queues, queue, next);
	return queue;
}

static int
enqueue_job(struct job_queue *queue, struct job *e, struct fail *why)
{
	struct jobs *es = queue->jobs;

	if (queue->count.lost >= JOB_THREADS)
		return fail_set(why, "53300", "all %u calls to it are hanging", JOB_THREADS);
	if (queue->count.waiting >= JOBS_WAITING_MAX)
		return fail_set(why, "53300", "too many calls are waiting for it");
	if (queue->threads < JOB_THREADS && es->threads < JOB_THREADS_ALL)
		start_thread(queue);
	if (queue->threads == 0)
		return fail_set(why, "53300", "could not start a thread for it");
	e->queue = queue;
	e->state = JOB_WAITS;
	STAILQ_INSERT_TAIL(&queue->waiting, &e->note, next);
	queue->count.waiting++;
	return 0;
}

int
jobs_submit(struct jobs *es, const char *place, struct job *e, struct fail *why)
{
	struct job_queue *queue;
	int result;

	pthread_mutex_lock(&es->lock);
	queue = queue_find(es, place);
	if (queue == NULL)
		queue = queue_add(es, place);
	result = queue == NULL ? fail_memory(why, "a call") : enqueue_job(queue, e, why);
	if (queue != NULL && queue->threads == 0) {
		STAILQ_REMOVE(&es->queues, queue, job_queue, next);
		free(queue);
	}
	pthread_mutex_unlock(&es->lock);
	return result;
}

bool
jobs_drop(struct jobs *es, struct job *e)
{
	struct job_queue *queue;
	bool is_back;

	pthread_mutex_lock(&es->lock);
	queue = e->queue;
	is_back = queue != NULL && e->state == JOB_WAITS;
	if (is_back) {
		assert(queue->count.waiting > 0);
		STAILQ_REMOVE(&queue->waiting, &e->note, note, next);
		queue->count.waiting--;
	} else if (queue != NULL && e->state == JOB_RUNS) {
		assert(queue->count.running > 0);
		e->state = JOB_DROPPED;
		queue->count.running--;
		queue->count.lost++;
	}
	pthread_mutex_unlock(&es->lock);
	return is_back;
}

struct jobs_count
jobs_sum_counts(struct jobs *es)
{
	struct jobs_count sum = { 0 };
	struct job_queue *queue;

	pthread_mutex_lock(&es->lock);
	STAILQ_FOREACH(queue, &es->queues, next) {
		sum.waiting += queue->count.waiting;
		sum.running += queue->count.running;
		sum.lost += queue->count.lost;
	}
	pthread_mutex_unlock(&es->lock);
	return sum;
}
