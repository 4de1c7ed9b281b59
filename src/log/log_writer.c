/*
 * src/log/log_writer.c - see log_writer.h.
 *
 * A lock guards the ring's start and length. The bytes themselves need no lock: producers write only to the free part,
 * and the thread reads only the filled part.
 *
 * Waking the thread costs a system call, so producers rarely wake it: after a batch the thread naps for a few
 * milliseconds, and then looks for new lines by itself. A producer wakes the thread only if the thread sleeps without a
 * time limit, if the ring is more than half full, or if the writer is prompt.
 */
#include "log/log_writer.h"
#include "base/alloc.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define NAP_US (5 * US_PER_MS)
#define FLUSH_US (1 * US_PER_S)
#define FLUSH_GRACE_US (200 * US_PER_MS) /* time for the thread to notice the end; added to FLUSH_US */

enum thread_state { THREAD_AWAKE, THREAD_NAPPING, THREAD_ASLEEP, THREAD_ENDED };

struct log_writer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* wakes the thread */
	pthread_cond_t ended; /* wakes log_writer_free() */

	/* under the lock */
	enum thread_state state;
	size_t first, queued_len; /* the ring's oldest byte, and the number of bytes */
	enum { RUNS, STOPS, STOPS_ALONE /* the thread frees everything itself */ } life;
	int reopened; /* a descriptor that will replace the file's; -1 if there is none */
	bool is_prompt;

	char *ring;
	size_t ring_len;
	_Atomic uint64_t dropped;
	struct log_file file; /* for the thread alone, except for path and the atomic fields */
};

static void
destroy(struct log_writer *w)
{
	log_file_fini(&w->file);
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
	free(w->ring);
	free(w);
}

/* Called with the lock held. */
static void
nap(struct log_writer *w)
{
	struct timespec until = clock_timespec(clock_now_us() + NAP_US);

	w->state = THREAD_NAPPING;
	while (w->state == THREAD_NAPPING && w->life == RUNS)
		if (pthread_cond_timedwait(&w->wake, &w->lock, &until) != 0)
			break;
	w->state = THREAD_AWAKE;
}

static void *
writer_run(void *arg)
{
	struct log_writer *w = arg;
	bool is_alone;

	pthread_setname_np(pthread_self(), "pgweir-log");
	pthread_mutex_lock(&w->lock);
	for (;;) {
		size_t first, len;
		int fd;

		while (w->queued_len == 0 && w->life == RUNS && w->reopened < 0) {
			w->state = THREAD_ASLEEP;
			pthread_cond_wait(&w->wake, &w->lock);
		}
		w->state = THREAD_AWAKE;
		if (w->reopened >= 0) {
			fd = w->reopened;
			w->reopened = -1;
			pthread_mutex_unlock(&w->lock);
			log_file_replace(&w->file, fd);
			pthread_mutex_lock(&w->lock);
			continue;
		}
		if (w->queued_len == 0)
			break;
		first = w->first;
		len = w->queued_len;
		pthread_mutex_unlock(&w->lock);
		/* Writes one piece, or two where the ring wraps. */
		log_file_write(&w->file, w->ring + first, len < w->ring_len - first ? len : w->ring_len - first);
		if (len > w->ring_len - first)
			log_file_write(&w->file, w->ring, len - (w->ring_len - first));
		pthread_mutex_lock(&w->lock);
		w->queued_len -= len;
		/* Starts again at the beginning when the ring is empty, so that few of its pages are ever touched. */
		w->first = w->queued_len == 0 ? 0 : (w->first + len) % w->ring_len;
		if (!w->is_prompt || w->queued_len == 0)
			nap(w);
	}
	w->state = THREAD_ENDED;
	is_alone = w->life == STOPS_ALONE;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
	if (is_alone)
		destroy(w);
	return NULL;
}

struct log_writer *
log_writer_new(const char *destination, size_t ring_len, struct fail *why)
{
	struct log_writer *w = xcalloc(1, sizeof(*w));
	pthread_condattr_t monotonic;
	sigset_t all, before;
	int error;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &monotonic);
	pthread_cond_init(&w->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&w->lock, NULL);
	if (log_file_init(&w->file, destination, why) < 0)
		goto fail;
	w->reopened = -1;
	w->ring_len = ring_len;
	w->ring = xmalloc(ring_len);
	/* The thread takes no signals, because the loop handles them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, writer_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0) {
		fail_set(why, "53000", "could not start the log's thread: %s", strerror(error));
		goto fail;
	}
	return w;
fail:
	destroy(w);
	return NULL;
}

/* Tells the thread to end, and waits for at most wait_us. If the thread has not ended by then, the thread frees
 * everything itself. If wait_us is 0, this is always so, because w->life is STOPS_ALONE when the lock is released. */
static void
end_thread(struct log_writer *w, uint64_t wait_us)
{
	uint64_t now_us = clock_now_us();
	struct timespec until = clock_timespec(now_us + wait_us);
	pthread_t thread;
	bool has_ended;

	if (w == NULL)
		return;
	thread = w->thread;
	pthread_mutex_lock(&w->lock);
	w->life = STOPS;
	atomic_store(&w->file.give_up_at_us, now_us + FLUSH_US);
	pthread_cond_signal(&w->wake);
	while (wait_us > 0 && w->state != THREAD_ENDED)
		if (pthread_cond_timedwait(&w->ended, &w->lock, &until) != 0)
			break;
	has_ended = wait_us > 0 && w->state == THREAD_ENDED;
	w->life = has_ended ? STOPS : STOPS_ALONE; /* the thread may be stuck in the kernel */
	pthread_mutex_unlock(&w->lock);
	if (!has_ended) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	destroy(w);
}

void
log_writer_free(struct log_writer *w)
{
	end_thread(w, FLUSH_US + FLUSH_GRACE_US);
}

void
log_writer_close_later(struct log_writer *w)
{
	end_thread(w, 0);
}

int
log_writer_put(struct log_writer *w, const char *line, size_t line_len)
{
	size_t at, first_len;
	bool wake;

	pthread_mutex_lock(&w->lock);
	if (line_len > w->ring_len - w->queued_len) {
		pthread_mutex_unlock(&w->lock);
		atomic_fetch_add(&w->dropped, 1);
		return -1;
	}
	at = (w->first + w->queued_len) % w->ring_len;
	first_len = line_len < w->ring_len - at ? line_len : w->ring_len - at;
	memcpy(w->ring + at, line, first_len);
	memcpy(w->ring, line + first_len, line_len - first_len);
	w->queued_len += line_len;
	wake = w->state == THREAD_ASLEEP ||
	       (w->state == THREAD_NAPPING && (w->is_prompt || w->queued_len > w->ring_len / 2));
	if (wake)
		w->state = THREAD_AWAKE; /* so the next producer need not wake the thread */
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->wake);
	return 0;
}

void
log_writer_set_prompt(struct log_writer *w, bool is_prompt)
{
	pthread_mutex_lock(&w->lock);
	w->is_prompt = is_prompt;
	pthread_mutex_unlock(&w->lock);
}

int
log_writer_reopen(struct log_writer *w, struct fail *why)
{
	int fd;

	if (w->file.path == NULL)
		return 0;
	fd = log_file_open(w->file.path, why);
	if (fd < 0) {
		atomic_fetch_add(&w->file.errors, 1);
		return -1;
	}
	pthread_mutex_lock(&w->lock);
	if (w->reopened >= 0)
		close(w->reopened);
	w->reopened = fd;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

uint64_t
log_writer_dropped(const struct log_writer *w)
{
	return atomic_load(&w->dropped);
}

uint64_t
log_writer_errors(const struct log_writer *w)
{
	return atomic_load(&w->file.errors);
}
