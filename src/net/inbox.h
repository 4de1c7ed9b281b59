/*
 * src/net/inbox.h - how threads send messages to each other: one thread posts a note to an event loop's inbox, and the
 * loop's thread reads the note.
 *
 * A note is embedded in the object that the note is about, so posting allocates nothing. Notes of one sender are read
 * in the order in which they were posted. However many notes are unread, the loop is woken only once.
 *
 * Owns: a note and its object, from inbox_post() until read() is called, or inbox_take_back() returns the note.
 */
#pragma once

#include "base/fail.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct note;
/* Called on the inbox's loop, once for each inbox_post(), with the owner that inbox_new() got. May free the note, or
 * post the note again. is_over is true if the loop has ended, and the inbox will be freed next. */
typedef void note_read(struct note *n, void *owner, bool is_over);

struct note {
	STAILQ_ENTRY(note) next; /* before the note is posted, its owner may use this link */
	note_read *read;
};

STAILQ_HEAD(note_list, note);

/* Returns true if n->read is *arg, which is a note_read *. Can be passed to inbox_take_back() as is_meant. */
static inline bool
note_has_reader(const struct note *n, void *arg)
{
	return n->read == *(note_read **)arg;
}

/* Moves the notes in *from for which is_meant(n, arg) returns true to the end of *out, in their order. */
static inline void
note_list_pick(struct note_list *from, bool (*is_meant)(const struct note *n, void *arg), void *arg,
	       struct note_list *out)
{
	struct note_list kept = STAILQ_HEAD_INITIALIZER(kept);
	struct note *n;

	while ((n = STAILQ_FIRST(from)) != NULL) {
		STAILQ_REMOVE_HEAD(from, next);
		if (is_meant(n, arg))
			STAILQ_INSERT_TAIL(out, n, next);
		else
			STAILQ_INSERT_TAIL(&kept, n, next);
	}
	STAILQ_CONCAT(from, &kept);
}

struct inbox; /* opaque: inbox.c; its first member is a struct inbox_flag */
struct inbox_flag {
	_Atomic bool is_set;
};

/* Called on the inbox's loop. Returns true if there are notes, or if inbox_set_has_work() was called since notes were
 * last read. May wrongly return false while another thread posts a note or takes notes back; such a result does no
 * harm, because the loop then wakes up. */
static inline bool
inbox_has_work(const struct inbox *in)
{
	return atomic_load_explicit(&((const struct inbox_flag *)in)->is_set, memory_order_relaxed);
}

/* Called on the inbox's loop when loop_run_between_events() (loop.h) has work to do although no note was posted. */
static inline void
inbox_set_has_work(struct inbox *in)
{
	atomic_store_explicit(&((struct inbox_flag *)in)->is_set, true, memory_order_relaxed);
}

/* Makes an inbox whose notes are read on the loop of `base`. Returns NULL with *why set on failure. */
struct inbox *inbox_new(struct event_base *base, void *owner, struct fail *why);
/* Reads the notes that were posted before this call, and passes is_over to read() of each. Called on the inbox's loop,
 * when no other function of pgweir is on the stack. Returns false if there were no notes. */
bool inbox_read(struct inbox *in, bool is_over);
/* Calls inbox_read() with is_over = true until no note is left. Returns false if there were no notes. */
bool inbox_drain(struct inbox *in);
/* Calls inbox_drain() and frees the inbox. No thread may post any more. `in` may be NULL. */
void inbox_free(struct inbox *in);
void inbox_post(struct inbox *to, struct note *n); /* may be called from any thread */
/* Moves unread notes for which is_meant(n, arg) returns true to *out, in their order; the caller then owns these notes.
 * May be called from any thread; is_meant is called under the inbox's lock. Leaves notes that inbox_read() has
 * taken. */
void inbox_take_back(struct inbox *from, bool (*is_meant)(const struct note *n, void *arg), void *arg,
		     struct note_list *out);
/* Returns how long the inbox has had unread notes without a break; 0 if it has none. If the oldest note was taken back,
 * the result is longer than any note has waited. May be called from any thread. */
uint64_t inbox_waiting_us(struct inbox *in, uint64_t now_us);

/* --- wake.c: a note without contents. When the note is read, woken(arg) is called on the loop, unless the loop has
 * ended. If the note is posted several times before it is read, woken() is called once. */
struct wake {
	struct note note; /* must be first */
	struct inbox *to;
	void (*woken)(void *arg);
	void *arg;
	atomic_bool is_posted;
};

void wake_init(struct wake *w, struct inbox *to, void (*woken)(void *arg), void *arg);
void wake_post(void *wake); /* wake is a struct wake *; may be called from any thread */
