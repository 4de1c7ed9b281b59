#include "net/jobs.h"
#include "base/alloc.h"
#include "base/resources.h"

#include <assert.h>
#include <pthread.h>

#define STACK_WIPED ((size_t)64 << 10) /* bytes of the stack that are wiped */

struct job_queue {
	STAILQ_ENTRY(job_queue) next;
	struct jobs *of;
	struct note_list waiting; /* of struct job */
	struct jobs_count count;
	unsigned threads;
	char place[];
};

struct jobs {
	pthread_mutex_t lock; /* guards all fields below, the lines, and every job's last three fields */
	struct inbox *to;
	STAILQ_HEAD(, job_queue) lines; /* each line has at least one thread */
	unsigned threads;
	bool is_over; /* no loop reads the inbox any more; the last thread frees the jobs */
};

struct jobs *
jobs_new(struct inbox *to)
{
	struct jobs *es = xcalloc(1, sizeof(*es));

	pthread_mutex_init(&es->lock, NULL);
	es->to = to;
	STAILQ_INIT(&es->lines);
	return es;
}

static void
read_back(struct note *n, void *owner, bool is_over)
{
	struct job *e = (struct job *)n;

	e->done(e);
}

/* --- Called on a thread, under the lock. --- */

static struct job *
job_take(struct job_queue *line)
{
	struct job *e = (struct job *)STAILQ_FIRST(&line->waiting);

	if (e == NULL)
		return NULL;
	assert(line->count.waiting > 0 && e->line == line);
	STAILQ_REMOVE_HEAD(&line->waiting, next);
	line->count.waiting--;
	line->count.running++;
	e->state = JOB_RUNS;
	return e;
}

static void
job_end(struct job_queue *line, struct job *e)
{
	assert((e->state == JOB_LOST ? line->count.lost : line->count.running) > 0);
	if (e->state == JOB_LOST)
		line->count.lost--;
	else
		line->count.running--;
	e->line = NULL;
	e->note.read = read_back;
	if (line->of->is_over)
		e->discard(e);
	else
		inbox_post(line->of->to, &e->note);
}

static void
line_leave(struct job_queue *line)
{
	struct jobs *es = line->of;

	assert(line->threads > 0 && es->threads >= line->threads);
	es->threads--;
	if (--line->threads > 0)
		return;
	STAILQ_REMOVE(&es->lines, line, job_queue, next);
	free(line);
}

/* --- Threads. --- */

static void
free_if_over(struct jobs *es, bool is_last)
{
	if (!is_last)
		return;
	pthread_mutex_destroy(&es->lock);
	free(es);
}

/* Wipes the part of the stack that a call has used: PAM modules leave passwords there. The stack outlives its
 * thread. */
static void __attribute__((noinline)) wipe_stack(void)
{
	char below[STACK_WIPED];

	explicit_bzero(below, sizeof(below));
}

static void *
jobs_main(void *arg)
{
	struct job_queue *line = arg;
	struct jobs *es = line->of;
	struct job *e;
	bool is_last;

	priority_background();
	pthread_mutex_lock(&es->lock);
	while ((e = job_take(line)) != NULL) {
		pthread_mutex_unlock(&es->lock);
		e->run(e);
		wipe_stack();
		pthread_mutex_lock(&es->lock);
		job_end(line, e);
	}
	line_leave(line);
	is_last = es->is_over && es->threads == 0;
	pthread_mutex_unlock(&es->lock);
	free_if_over(es, is_last);
	return NULL;
}

/* Starts a thread that does not block signals, because processes that a PAM module starts would inherit the blocking.
 * The main thread still gets the signals as long as it does not block them itself. */
static bool
start_thread(struct job_queue *line)
{
	pthread_attr_t attributes;
	pthread_t thread;
	bool is_started;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	is_started = pthread_create(&thread, &attributes, jobs_main, line) == 0;
	pthread_attr_destroy(&attributes);
	line->threads += is_started;
	line->of->threads += is_started;
	return is_started;
}

bool
jobs_free(struct jobs *es)
{
	struct job_queue *line;
	struct job *e;
	bool is_last;

	if (es == NULL)
		return true;
	pthread_mutex_lock(&es->lock);
	es->is_over = true;
	STAILQ_FOREACH(line, &es->lines, next)
		while ((e = (struct job *)STAILQ_FIRST(&line->waiting)) != NULL) {
			STAILQ_REMOVE_HEAD(&line->waiting, next);
			e->discard(e);
		}
	is_last = es->threads == 0;
	pthread_mutex_unlock(&es->lock);
	free_if_over(es, is_last);
	return is_last;
}

/* --- Submitting. --- */

static struct job_queue *
line_find(struct jobs *es, const char *place)
{
	struct job_queue *line;

	STAILQ_FOREACH(line, &es->lines, next)
		if (strcmp(line->place, place) == 0)
			break;
	return line;
}

/* Adds a line for a place. Returns NULL without memory. */
static struct job_queue *
line_add(struct jobs *es, const char *place)
{
	size_t len = strlen(place) + 1;
	struct job_queue *line = calloc(1, sizeof(*line) + len);

	if (line == NULL)
		return NULL;
	memcpy(line->place, place, len);
	line->of = es;
	STAILQ_INIT(&line->waiting);
	STAILQ_INSERT_TAIL(&es->lines, line, next);
	return line;
}

static int
line_take(struct job_queue *line, struct job *e, struct fail *why)
{
	struct jobs *es = line->of;

	if (line->count.lost >= JOB_THREADS)
		return fail_set(why, "53300", "all %u calls to it are hanging", JOB_THREADS);
	if (line->count.waiting >= JOBS_WAITING_MAX)
		return fail_set(why, "53300", "too many calls are waiting for it");
	if (line->threads < JOB_THREADS && es->threads < JOB_THREADS_ALL)
		start_thread(line);
	if (line->threads == 0)
		return fail_set(why, "53300", "could not start a thread for it");
	e->line = line;
	e->state = JOB_WAITS;
	STAILQ_INSERT_TAIL(&line->waiting, &e->note, next);
	line->count.waiting++;
	return 0;
}

int
jobs_submit(struct jobs *es, const char *place, struct job *e, struct fail *why)
{
	struct job_queue *line;
	int result;

	pthread_mutex_lock(&es->lock);
	line = line_find(es, place);
	if (line == NULL)
		line = line_add(es, place);
	result = line == NULL ? fail_memory(why, "a call") : line_take(line, e, why);
	if (line != NULL && line->threads == 0) {
		STAILQ_REMOVE(&es->lines, line, job_queue, next);
		free(line);
	}
	pthread_mutex_unlock(&es->lock);
	return result;
}

bool
jobs_drop(struct jobs *es, struct job *e)
{
	struct job_queue *line;
	bool is_back;

	pthread_mutex_lock(&es->lock);
	line = e->line;
	is_back = line != NULL && e->state == JOB_WAITS;
	if (is_back) {
		assert(line->count.waiting > 0);
		STAILQ_REMOVE(&line->waiting, &e->note, note, next);
		line->count.waiting--;
	} else if (line != NULL && e->state == JOB_RUNS) {
		assert(line->count.running > 0);
		e->state = JOB_LOST;
		line->count.running--;
		line->count.lost++;
	}
	pthread_mutex_unlock(&es->lock);
	return is_back;
}

struct jobs_count
jobs_count(struct jobs *es)
{
	struct jobs_count sum = { 0 };
	struct job_queue *line;

	pthread_mutex_lock(&es->lock);
	STAILQ_FOREACH(line, &es->lines, next) {
		sum.waiting += line->count.waiting;
		sum.running += line->count.running;
		sum.lost += line->count.lost;
	}
	pthread_mutex_unlock(&es->lock);
	return sum;
}
