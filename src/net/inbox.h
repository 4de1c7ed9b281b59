/*
 * src/net/inbox.h - the one way from thread to thread: notes that are posted to a loop, and read there.
 *
 * A note is embedded in what it is about, so posting allocates nothing. Notes of one sender are read in the order in
 * which they were posted. What is posted while nobody reads wakes the loop once.
 *
 * Owns: a note and what it is about from inbox_post() until read() is called: neither side touches them.
 */
#pragma once

#include "base/fail.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct note;
/* Called once, on the loop, with the owner of the inbox. May free the note, or post it again. is_over: the inbox is
 * about to be freed, and the loop does not run any more. */
typedef void note_read(struct note *n, void *owner, bool is_over);

struct note {
	STAILQ_ENTRY(note) next; /* free for its owner's use until it is posted */
	note_read *read;
};

STAILQ_HEAD(note_list, note);

/* For inbox_take_back(): returns true if the note is read by *arg, which is a note_read *. */
static inline bool
note_reads(const struct note *n, void *arg)
{
	return n->read == *(note_read **)arg;
}

/* Moves those that is_meant() returns true for from one list to the end of another, in their order. */
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

struct inbox; /* opaque: inbox.c; it begins with this */
struct inbox_sign {
	_Atomic bool is_up;
};

/* On its loop. Returns true if there are notes, or the sign was raised since they were read. May miss what is just
 * being posted, or a sign just raised when another thread takes notes back: the loop wakes for either. */
static inline bool
inbox_sign_is_up(const struct inbox *in)
{
	return atomic_load_explicit(&((const struct inbox_sign *)in)->is_up, memory_order_relaxed);
}

/* On its loop: though nothing was posted there is something to do between two events. */
static inline void
inbox_raise_sign(struct inbox *in)
{
	atomic_store_explicit(&((struct inbox_sign *)in)->is_up, true, memory_order_relaxed);
}

/* Notes are read on this loop. Returns NULL with *why set: no descriptor. */
struct inbox *inbox_new(struct event_base *base, void *owner, struct fail *why);
/* Reads what is there now, on its loop, when none of our functions is running. Returns false if there was nothing. */
bool inbox_read(struct inbox *in, bool is_over); /* is_over: see note.read */
/* Reads what is left, with is_over, and what is posted by that. Returns false if there was nothing. */
bool inbox_read_last(struct inbox *in);
void inbox_free(struct inbox *in); /* likewise; nobody may post any more. NULL is fine */
void inbox_post(struct inbox *to, struct note *n); /* from any thread */
/* Moves those notes to *out, in order, that were not read and for which is_meant(n, arg) is true: they are the
 * caller's. From any thread; is_meant is called under the inbox's lock. A loop that hangs keeps what it has begun. */
void inbox_take_back(struct inbox *from, bool (*is_meant)(const struct note *n, void *arg), void *arg,
		     struct note_list *out);
/* Returns for how long what is there has not been read; 0: nothing is. From any thread. */
uint64_t inbox_waiting_us(struct inbox *in, uint64_t now_us);

/*
 * --- wake.c: a note that only wakes somebody. Posted again before it is read, it is read once; woken(arg) is called on
 * the loop, unless that is over.
 */
struct wake {
	struct note note; /* must be first */
	struct inbox *to;
	void (*woken)(void *arg);
	void *arg;
	atomic_bool is_posted;
};

void wake_init(struct wake *w, struct inbox *to, void (*woken)(void *arg), void *arg);
void wake_post(void *wake); /* a struct wake; from any thread */
