#include "net/inbox.h"
#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

struct inbox {
	struct inbox_flag flag; /* must be first; see inbox_has_work() */
	bool is_woken; /* true if the loop was woken, and on_wake() has not run yet; guarded by the lock */
	pthread_mutex_t lock; /* also guards notes and since_us */
	struct note_list notes;
	uint64_t since_us; /* since when `notes` has not been empty */
	struct event *event;
	int wake_fd;
	void *owner;
};

/* Sets the flag to true if there are notes, else to false; called under the lock. */
static void
set_flag(struct inbox *in)
{
	atomic_store_explicit(&in->flag.is_set, !STAILQ_EMPTY(&in->notes), memory_order_relaxed);
}

void
inbox_post(struct inbox *to, struct note *n)
{
	bool was_woken;

	pthread_mutex_lock(&to->lock);
	was_woken = to->is_woken;
	to->is_woken = true;
	if (STAILQ_EMPTY(&to->notes))
		to->since_us = clock_now_us();
	STAILQ_INSERT_TAIL(&to->notes, n, next);
	set_flag(to);
	/* Unlocks before waking the loop, which needs this lock at once and may be more urgent than the sender. */
	pthread_mutex_unlock(&to->lock);
	if (!was_woken) {
		uint64_t one = 1;

		while (write(to->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			continue;
	}
}

void
inbox_take_back(struct inbox *from, bool (*is_meant)(const struct note *n, void *arg), void *arg, struct note_list *out)
{
	pthread_mutex_lock(&from->lock);
	note_list_pick(&from->notes, is_meant, arg, out);
	set_flag(from);
	pthread_mutex_unlock(&from->lock);
}

uint64_t
inbox_waiting_us(struct inbox *in, uint64_t now_us)
{
	uint64_t us;

	pthread_mutex_lock(&in->lock);
	us = STAILQ_EMPTY(&in->notes) || now_us < in->since_us ? 0 : now_us - in->since_us;
	pthread_mutex_unlock(&in->lock);
	return us;
}

bool
inbox_read(struct inbox *in, bool is_over)
{
	struct note_list notes = STAILQ_HEAD_INITIALIZER(notes);
	struct note *n;

	pthread_mutex_lock(&in->lock);
	STAILQ_CONCAT(&notes, &in->notes);
	set_flag(in);
	pthread_mutex_unlock(&in->lock);
	if (STAILQ_EMPTY(&notes))
		return false;
	while ((n = STAILQ_FIRST(&notes)) != NULL) {
		STAILQ_REMOVE_HEAD(&notes, next);
		n->read(n, in->owner, is_over);
	}
	return true;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct inbox *in = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	pthread_mutex_lock(&in->lock);
	in->is_woken = false;
	pthread_mutex_unlock(&in->lock);
	inbox_read(in, false);
}

bool
inbox_drain(struct inbox *in)
{
	bool had_some = false;

	while (inbox_read(in, true))
		had_some = true;
	return had_some;
}

struct inbox *
inbox_new(struct event_base *base, void *owner, struct fail *why)
{
	struct inbox *in = xcalloc(1, sizeof(*in));

	pthread_mutex_init(&in->lock, NULL);
	STAILQ_INIT(&in->notes);
	in->owner = owner;
	in->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->wake_fd < 0)
		fail_set(why, "58000", "could not get a descriptor for an inbox: %s", strerror(errno));
	else if ((in->event = event_new(base, in->wake_fd, EV_READ | EV_PERSIST, on_wake, in)) != NULL &&
		 event_add(in->event, NULL) == 0)
		return in;
	else
		fail_memory(why, "an inbox");
	inbox_free(in);
	return NULL;
}

void
inbox_free(struct inbox *in)
{
	if (in == NULL)
		return;
	inbox_drain(in);
	if (in->event != NULL)
		event_free(in->event);
	if (in->wake_fd >= 0)
		close(in->wake_fd);
	pthread_mutex_destroy(&in->lock);
	free(in);
}
