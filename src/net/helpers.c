/* src/net/helpers.c - see helpers.h. */
#include "net/helpers.h"

#include "base/alloc.h"
#include "base/priority.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 64

STAILQ_HEAD(work_list, work);

struct helpers {
	pthread_mutex_t lock; /* guards all fields below except event and wake_fd */
	pthread_cond_t has_work;
	struct work_list lines[WORK_LINES], ended;
	size_t waiting[WORK_LINES];
	unsigned turn; /* makes the lines alternate, so that neither waits until the other is empty */
	bool is_ending;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count;
	struct event *event;
	int wake_fd;
};

/* Takes from the line of begun work three times out of four. */
static struct work *
helpers_take(struct helpers *ws)
{
	enum work_line line = ws->turn % 4 == 3 ? WORK_NEW : WORK_BEGUN;
	struct work *w;

	if (STAILQ_EMPTY(&ws->lines[line]))
		line = line == WORK_NEW ? WORK_BEGUN : WORK_NEW;
	w = STAILQ_FIRST(&ws->lines[line]);
	if (w != NULL) {
		STAILQ_REMOVE_HEAD(&ws->lines[line], next);
		ws->waiting[line]--;
		ws->turn++; /* only if there was work: how often a thread finds none depends on the scheduler */
	}
	return w;
}

static void
wake_loop(const struct helpers *ws)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(ws->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

static void *
thread_main(void *arg)
{
	struct helpers *ws = arg;

	priority_background();
	pthread_mutex_lock(&ws->lock);
	for (;;) {
		struct work *w = ws->is_ending ? NULL : helpers_take(ws);
		bool is_first;

		if (w == NULL && ws->is_ending)
			break;
		if (w == NULL) {
			pthread_cond_wait(&ws->has_work, &ws->lock);
			continue;
		}
		pthread_mutex_unlock(&ws->lock);
		w->run(w);
		pthread_mutex_lock(&ws->lock);
		is_first = STAILQ_EMPTY(&ws->ended);
		STAILQ_INSERT_TAIL(&ws->ended, w, next);
		/* The loop goes first when it wakes and needs this lock, so release it before. */
		pthread_mutex_unlock(&ws->lock);
		if (is_first)
			wake_loop(ws);
		pthread_mutex_lock(&ws->lock);
	}
	pthread_mutex_unlock(&ws->lock);
	return NULL;
}

static void
hand_back(struct helpers *ws)
{
	struct work_list ended = STAILQ_HEAD_INITIALIZER(ended);
	struct work *w;

	pthread_mutex_lock(&ws->lock);
	STAILQ_CONCAT(&ended, &ws->ended);
	pthread_mutex_unlock(&ws->lock);
	while ((w = STAILQ_FIRST(&ended)) != NULL) {
		STAILQ_REMOVE_HEAD(&ended, next);
		w->done(w);
	}
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		hand_back(arg);
}

static int
start_threads(struct helpers *ws, unsigned count)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (ws->thread_count < count && pthread_create(&ws->threads[ws->thread_count], NULL, thread_main, ws) == 0)
		ws->thread_count++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ws->thread_count > 0 ? 0 : -1;
}

struct helpers *
helpers_new(struct event_base *base, unsigned threads, struct fail *why)
{
	struct helpers *ws = xcalloc(1, sizeof(*ws));

	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->has_work, NULL);
	for (int i = 0; i < WORK_LINES; i++)
		STAILQ_INIT(&ws->lines[i]);
	STAILQ_INIT(&ws->ended);
	ws->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ws->event = ws->wake_fd < 0 ? NULL : event_new(base, ws->wake_fd, EV_READ | EV_PERSIST, on_wake, ws);
	if (ws->event == NULL || event_add(ws->event, NULL) < 0 ||
	    start_threads(ws, threads < THREADS_MAX ? threads : THREADS_MAX) < 0) {
		fail_set(why, "58000", "cannot start threads: %s", strerror(errno));
		helpers_free(ws);
		return NULL;
	}
	return ws;
}

void
helpers_free(struct helpers *ws)
{
	struct work *w;

	if (ws == NULL)
		return;
	pthread_mutex_lock(&ws->lock);
	ws->is_ending = true;
	pthread_cond_broadcast(&ws->has_work);
	pthread_mutex_unlock(&ws->lock);
	for (unsigned i = 0; i < ws->thread_count; i++)
		pthread_join(ws->threads[i], NULL);
	hand_back(ws);
	while ((w = helpers_take(ws)) != NULL)
		w->done(w);
	if (ws->event != NULL)
		event_free(ws->event);
	if (ws->wake_fd >= 0)
		close(ws->wake_fd);
	pthread_cond_destroy(&ws->has_work);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}

int
helpers_submit(struct helpers *ws, struct work *w, enum work_line line)
{
	int result = -1;

	pthread_mutex_lock(&ws->lock);
	if (ws->waiting[line] < HELPERS_LINE_MAX && !ws->is_ending) {
		STAILQ_INSERT_TAIL(&ws->lines[line], w, next);
		ws->waiting[line]++;
		result = 0;
	}
	pthread_mutex_unlock(&ws->lock);
	if (result == 0)
		pthread_cond_signal(&ws->has_work);
	return result;
}

size_t
helpers_waiting(struct helpers *ws)
{
	size_t sum;

	pthread_mutex_lock(&ws->lock);
	sum = ws->waiting[WORK_BEGUN] + ws->waiting[WORK_NEW];
	pthread_mutex_unlock(&ws->lock);
	return sum;
}
