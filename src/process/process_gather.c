/*
 * src/process/process_gather.c - the snapshots for the metrics thread: each worker takes its own, on its own thread, as
 * a note asks it to. Worker 0 adds them up when all have come, or after GATHER_MAX_US: of a worker that has not
 * answered by then it has the last one, as counters may not go back.
 */
#include "process/process_state.h"

#include "base/clock.h"
#include "net/inbox.h"
#include "net/loop.h"

#include <event2/event.h>
#include <stdlib.h>

#define GATHER_MAX_US (200 * US_PER_MS)

static bool
is_waiting(const struct gathering *g)
{
	return g->late != NULL && evtimer_pending(g->late, NULL);
}

/* Returns what there is of this worker; NULL without memory. */
static struct snapshot *
part_of(const struct gathered *of)
{
	const struct worker *k = of->worker;
	struct snapshot *s = of->last != NULL ? snapshot_copy(of->last) : snapshot_new(k->number);

	if (s != NULL) {
		s->workers[0].is_up = of->has_answered && !k->watch.is_silent;
		s->workers[0].is_silent = k->watch.is_silent;
	}
	return s;
}

static struct snapshot *
add_up(struct weir *w)
{
	struct snapshot *parts[WORKERS_MAX];
	size_t n = 0;

	for (struct worker *k = w->door; k != NULL; k = k->next)
		parts[n++] = k == w->door ? process_snapshot_of(k) : part_of(&w->metrics.gathering.of[k->number]);
	return process_merge(w, parts, n);
}

static void
finish(struct weir *w)
{
	struct gathering *g = &w->metrics.gathering;

	event_del(g->late);
	http_answer(w->metrics.http, add_up(w), g->tables);
}

/* On worker 0. */
static void
hear(struct note *n, void *owner, bool is_over)
{
	struct gathered *of = (struct gathered *)((char *)n - offsetof(struct gathered, note));
	struct weir *w = of->worker->weir;
	struct gathering *g = &w->metrics.gathering;

	(void)owner;
	(void)is_over;
	of->is_out = false;
	of->has_answered = true;
	if (of->fresh != NULL) {
		snapshot_free(of->last);
		of->last = of->fresh;
		of->fresh = NULL;
	}
	if (!is_waiting(g))
		return;
	for (const struct worker *k = w->door->next; k != NULL; k = k->next)
		if (!g->of[k->number].has_answered)
			return;
	finish(w);
}

/* On the worker's own thread. */
static void
take(struct note *n, void *owner, bool is_over)
{
	struct gathered *of = (struct gathered *)((char *)n - offsetof(struct gathered, note));
	struct worker *k = owner;

	k->now_us = clock_now_us();
	of->fresh = is_over ? NULL : process_snapshot_of(k);
	of->note.read = hear;
	inbox_post(k->weir->door->inbox, &of->note);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

static void
ask(struct gathering *g, struct worker *k)
{
	struct gathered *of = &g->of[k->number];

	of->has_answered = false;
	if (of->is_out) /* it has yet to read the last one */
		return;
	of->is_out = true;
	of->worker = k;
	of->note.read = take;
	inbox_post(k->inbox, &of->note);
}

int
process_begin_gathering(struct weir *w, struct fail *why)
{
	w->metrics.gathering.late = evtimer_new(w->door->base, on_late, w);
	return w->metrics.gathering.late != NULL ? 0 : fail_set(why, "53200", "no memory to start");
}

void
process_end_gathering(struct weir *w)
{
	struct gathering *g = &w->metrics.gathering;

	if (g->late != NULL)
		event_free(g->late);
	g->late = NULL;
	for (int t = 0; t < HTTP_TABLES; t++)
		buf_fini(&g->tables[t]);
}

void
process_gather(struct weir *w)
{
	struct gathering *g = &w->metrics.gathering;
	struct timeval tv = timer_interval(GATHER_MAX_US);

	if (is_waiting(g))
		return;
	for (struct worker *k = w->door->next; k != NULL; k = k->next)
		ask(g, k);
	if (w->door->next == NULL || event_add(g->late, &tv) < 0)
		finish(w);
}

void
process_forget_gathered(struct weir *w)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		snapshot_free(w->metrics.gathering.of[i].last);
		snapshot_free(w->metrics.gathering.of[i].fresh);
	}
}
