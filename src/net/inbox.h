/*
 * src/net/inbox.h - the one way from thread to thread: notes that are posted to a loop, and read there.
 *
 * A note is embedded in the object that it is about, so posting allocates nothing. Notes of one sender are read in the
 * order in which they were posted. Notes that are posted before the loop reads wake the loop once.
 *
 * Owns: a note and its object, from inbox_post() until read() is called; meanwhile neither side touches them.
 */
#pragma once

#include "base/fail.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct note;
/* Called once, on the loop, with the owner of the inbox. May free the note, or post it again. is_over is true if the
 * inbox is about to be freed; the loop does not run any more. */
typedef void note_read(struct note *n, void *owner, bool is_over);

struct note {
	STAILQ_ENTRY(note) next; /* free for its owner's use until it is posted */
	note_read *read;
};

STAILQ_HEAD(note_list, note);

/* A condition for inbox_take_back(). Returns true if the function that reads the note is *arg, a note_read *. */
static inline bool
note_reads(const struct note *n, void *arg)
{
	return n->read == *(note_read **)arg;
}

/* Moves the notes for which is_meant() returns true from one list to the end of another, and keeps their order. */
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

struct inbox; /* opaque: inbox.c; the sign is its first member */
struct inbox_sign {
	_Atomic bool is_up;
};

/* Called on the inbox's loop. Returns true if there are notes, or the sign was raised since notes were last read. May
 * miss a note that is just being posted, or a sign that was just raised while another thread takes notes back: the loop
 * wakes up for either. */
static inline bool
inbox_sign_is_up(const struct inbox *in)
{
	return atomic_load_explicit(&((const struct inbox_sign *)in)->is_up, memory_order_relaxed);
}

/* Called on the inbox's loop when there is work to do between two events although nothing was posted. */
static inline void
inbox_raise_sign(struct inbox *in)
{
	atomic_store_explicit(&((struct inbox_sign *)in)->is_up, true, memory_order_relaxed);
}

/* Makes an inbox whose notes are read on this loop. Returns NULL with *why set if there is no descriptor or memory. */
struct inbox *inbox_new(struct event_base *base, void *owner, struct fail *why);
/* Reads the notes that are there now. Called on the inbox's loop, when none of our functions is running. is_over goes
 * to the notes' read(). Returns false if there were no notes. */
bool inbox_read(struct inbox *in, bool is_over);
/* Reads the remaining notes, with is_over true, and the notes that are posted while these are read. Returns false if
 * there were none. */
bool inbox_read_last(struct inbox *in);
/* reads the last notes like inbox_read_last(); no thread may post after that. Does nothing if `in` is NULL */
void inbox_free(struct inbox *in);
void inbox_post(struct inbox *to, struct note *n); /* may be called from any thread */
/* Takes back notes that were not read and for which is_meant(n, arg) returns true: moves them to *out, in order, and
 * the caller owns them. May be called from any thread; is_meant is called under the inbox's lock. Notes that a loop has
 * begun to read are not taken back, even if the loop hangs. */
void inbox_take_back(struct inbox *from, bool (*is_meant)(const struct note *n, void *arg), void *arg,
		     struct note_list *out);
/* Returns for how long the oldest note has waited to be read, or 0 if there is no note. May be called from any
 * thread. */
uint64_t inbox_waiting_us(struct inbox *in, uint64_t now_us);

/* --- wake.c: a note that only wakes a loop. If it is posted again before it is read, it is read once; woken(arg) is
 * called on the loop, unless the loop has ended. */
struct wake {
	struct note note; /* must be first */
	struct inbox *to;
	void (*woken)(void *arg);
	void *arg;
	atomic_bool is_posted;
};

void wake_init(struct wake *w, struct inbox *to, void (*woken)(void *arg), void *arg);
void wake_post(void *wake); /* wake is a struct wake; may be called from any thread */
