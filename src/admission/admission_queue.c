/*
 * src/admission/admission_queue.c - bounds the connections that are not authenticated yet. Otherwise connections that
 * stay silent could use up descriptors and memory before login_timeout ends them.
 *
 * The bound is max_client_connections or 1000, whichever is larger, but at most a third of the descriptors; and at
 * least QUEUE_FLOOR, however few descriptors there are. At the bound, a new connection is let in, and another
 * connection is closed: the client that has waited longest for the answer to its wrong password. If there is no such
 * client, the oldest connection of the larger of two groups is closed: connections that have not sent their startup
 * packet, and connections that have sent it. So silent connections can't keep out a client that sends a startup packet,
 * and connections that send one and prove nothing can't push out a client that has just connected.
 */
#include "admission/admission_state.h"

#include <assert.h>

#define QUEUE_USUAL 1000u
#define QUEUE_FLOOR 16u

static uint32_t
queue_max(const struct admission *a)
{
	uint64_t max = admission_config(a)->max_client_connections, third = a->descriptors / 3;

	if (max < QUEUE_USUAL)
		max = QUEUE_USUAL;
	if (a->descriptors != 0 && max > third)
		max = third < QUEUE_FLOOR ? QUEUE_FLOOR : third;
	return (uint32_t)max;
}

static uint32_t
queue_count(const struct admission *a)
{
	return a->counts[ADMISSION_SILENT] + a->counts[ADMISSION_PROVING] + a->held_count;
}

void
admission_leave_queue(struct admission *a, struct admission_place *t)
{
	if (t->queue == ADMISSION_UNQUEUED)
		return;
	assert(a->counts[t->queue] > 0);
	TAILQ_REMOVE(&a->queues[t->queue], t, queue_link);
	a->counts[t->queue]--;
	t->queue = ADMISSION_UNQUEUED;
	t->user_entry = t->database_entry = NULL;
}

void
admission_queue_join(struct admission *a, struct admission_place *t, enum admission_queue queue)
{
	admission_leave_queue(a, t);
	t->queue = (uint8_t)queue;
	TAILQ_INSERT_TAIL(&a->queues[queue], t, queue_link);
	a->counts[queue]++;
}

void
admission_queue_make_room(struct admission *a)
{
	uint32_t max = queue_max(a);

	while (queue_count(a) >= max) {
		struct admission_hold *hold = TAILQ_FIRST(&a->holds);
		struct admission_place *t;
		struct fail why;
		bool is_silent;

		if (hold != NULL) {
			admission_answer_now(hold);
			continue;
		}
		is_silent = a->counts[ADMISSION_SILENT] >= a->counts[ADMISSION_PROVING];
		t = TAILQ_FIRST(&a->queues[is_silent ? ADMISSION_SILENT : ADMISSION_PROVING]);
		assert(t != NULL); /* no answer is delayed, and this queue is the longer one, so it is not empty */
		fail_set(&why, "53300", "too many connections are logging in: %u, and this one is the oldest of them",
			 queue_count(a));
		fail_hint(&why, "Connect again. If that does not help, look for connections that never log in.");
		a->settings.ops->refuse(t, &why, RJ_LOGGING_IN);
	}
}
