#include "net/helpers.h"
#include "base/alloc.h"
#include "base/resources.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define THREADS_MAX 64

struct helpers {
	pthread_mutex_t lock; /* guards queues, waiting, taken and is_ending */
	pthread_cond_t has_work;
	struct note_list queues[WORK_QUEUES]; /* of struct work */
	size_t waiting[WORK_QUEUES];
	unsigned taken; /* pieces of work taken so far, from which helpers_take() derives the queue that is next */
	bool is_ending;
	atomic_size_t unfinished; /* pieces of work that were submitted but not handed back yet; needs no lock */
	pthread_t threads[THREADS_MAX];
	unsigned thread_count;
};

/* Takes a piece of work, three times out of four from the queue of begun work, else from the queue of new work. If the
 * chosen queue is empty, takes from the other one. Returns NULL if both are empty. */
static struct work *
helpers_take(struct helpers *hs)
{
	enum work_queue queue = hs->taken % 4 == 3 ? WORK_NEW : WORK_BEGUN;
	struct work *w;

	if (STAILQ_EMPTY(&hs->queues[queue]))
		queue = queue == WORK_NEW ? WORK_BEGUN : WORK_NEW;
	w = (struct work *)STAILQ_FIRST(&hs->queues[queue]);
	if (w != NULL) {
		assert(hs->waiting[queue] > 0);
		STAILQ_REMOVE_HEAD(&hs->queues[queue], next);
		hs->waiting[queue]--;
		/* not raised if both queues were empty, because how often that happens depends on the scheduler */
		hs->taken++;
	}
	return w;
}

static void
on_handed_back(struct note *n, void *owner, bool is_over)
{
	struct work *w = (struct work *)n;

	w->done(w);
}

static void
hand_back(struct helpers *hs, struct work *w)
{
	atomic_fetch_sub_explicit(&hs->unfinished, 1, memory_order_relaxed);
	w->note.read = on_handed_back;
	inbox_post(w->to, &w->note);
}

static void *
thread_main(void *arg)
{
	struct helpers *hs = arg;

	priority_set_background();
	pthread_mutex_lock(&hs->lock);
	for (;;) {
		struct work *w = hs->is_ending ? NULL : helpers_take(hs);

		if (w == NULL && hs->is_ending)
			break;
		if (w == NULL) {
			pthread_cond_wait(&hs->has_work, &hs->lock);
			continue;
		}
		pthread_mutex_unlock(&hs->lock);
		w->run(w);
		hand_back(hs, w);
		pthread_mutex_lock(&hs->lock);
	}
	pthread_mutex_unlock(&hs->lock);
	return NULL;
}

struct helpers *
helpers_new(unsigned threads, struct fail *why)
{
	struct helpers *hs = xcalloc(1, sizeof(*hs));
	sigset_t all, before;
	int error = 0;

	pthread_mutex_init(&hs->lock, NULL);
	pthread_cond_init(&hs->has_work, NULL);
	for (int i = 0; i < WORK_QUEUES; i++)
		STAILQ_INIT(&hs->queues[i]);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (hs->thread_count < THREADS_MAX && hs->thread_count < threads &&
	       (error = pthread_create(&hs->threads[hs->thread_count], NULL, thread_main, hs)) == 0)
		hs->thread_count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (hs->thread_count > 0)
		return hs;
	fail_set(why, "58000", "could not start threads: %s", strerror(error));
	helpers_free(hs);
	return NULL;
}

void
helpers_end(struct helpers *hs)
{
	struct work *w;

	if (hs == NULL)
		return;
	pthread_mutex_lock(&hs->lock);
	hs->is_ending = true;
	pthread_cond_broadcast(&hs->has_work);
	pthread_mutex_unlock(&hs->lock);
	for (; hs->thread_count > 0; hs->thread_count--)
		pthread_join(hs->threads[hs->thread_count - 1], NULL);
	while ((w = helpers_take(hs)) != NULL)
		hand_back(hs, w);
}

void
helpers_free(struct helpers *hs)
{
	if (hs == NULL)
		return;
	helpers_end(hs);
	pthread_cond_destroy(&hs->has_work);
	pthread_mutex_destroy(&hs->lock);
	free(hs);
}

int
helpers_submit(struct helpers *hs, struct inbox *to, struct work *w, enum work_queue queue)
{
	int result = -1;

	w->to = to;
	pthread_mutex_lock(&hs->lock);
	if (hs->waiting[queue] < HELPERS_QUEUE_MAX && !hs->is_ending) {
		STAILQ_INSERT_TAIL(&hs->queues[queue], &w->note, next);
		hs->waiting[queue]++;
		atomic_fetch_add_explicit(&hs->unfinished, 1, memory_order_relaxed);
		result = 0;
	}
	pthread_mutex_unlock(&hs->lock);
	if (result == 0)
		pthread_cond_signal(&hs->has_work);
	return result;
}

size_t
helpers_count_waiting(struct helpers *hs)
{
	size_t sum;

	pthread_mutex_lock(&hs->lock);
	sum = hs->waiting[WORK_BEGUN] + hs->waiting[WORK_NEW];
	pthread_mutex_unlock(&hs->lock);
	return sum;
}

bool
helpers_are_busy(const struct helpers *hs)
{
	return atomic_load_explicit(&hs->unfinished, memory_order_relaxed) > 0;
}
