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

/* For the parameter is_meant of inbox_take_back(): returns true if the function that reads the note is *arg. arg: a
 * note_read **. */
static inline bool
note_has_reader(const struct note *n, void *arg)
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

struct inbox; /* opaque: inbox.c; its first member is a struct inbox_flag */
struct inbox_flag {
	_Atomic bool is_set;
};

/* Called on the inbox's loop. Returns true if there are notes, or inbox_set_flag() was called since notes were last
 * read. May miss a note that is just being posted, or a flag that was just set while another thread takes notes back:
 * the loop wakes up for either. */
static inline bool
inbox_flag_is_set(const struct inbox *in)
{
	return atomic_load_explicit(&((const struct inbox_flag *)in)->is_set, memory_order_relaxed);
}

/* Called on the inbox's loop when there is work to do between two events although nothing was posted. */
static inline void
inbox_set_flag(struct inbox *in)
{
	atomic_store_explicit(&((struct inbox_flag *)in)->is_set, true, memory_order_relaxed);
}

/* Makes an inbox whose notes are read on this loop. Returns NULL with *why set if there is no descriptor or memory. */
struct inbox *inbox_new(struct event_base *base, void *owner, struct fail *why);
/* Reads the notes that were posted before this call. Call it on the inbox's loop, when no other function of ours is
 * running. is_over is passed to read() of each note. Returns false if there were no notes. */
bool inbox_read(struct inbox *in, bool is_over);
/* Does inbox_read() with is_over true, until no note is left. Returns false if there were no notes. */
bool inbox_read_last(struct inbox *in);
/* Frees the inbox after an inbox_read_last(); no thread may post after that. Does nothing if `in` is NULL. */
void inbox_free(struct inbox *in);
void inbox_post(struct inbox *to, struct note *n); /* may be called from any thread */
/* Takes back the unread notes for which is_meant(n, arg) returns true: moves them to *out, in order, and the caller
 * owns them. May be called from any thread; is_meant is called under the inbox's lock. Notes that a call of
 * inbox_read() has taken over are not taken back, even if that call hangs. */
void inbox_take_back(struct inbox *from, bool (*is_meant)(const struct note *n, void *arg), void *arg,
		     struct note_list *out);
/* Returns for how long notes have been waiting to be read without a break, or 0 if there is no note. If the oldest note
 * was taken back, that is longer than any note has waited. May be called from any thread. */
uint64_t inbox_waiting_us(struct inbox *in, uint64_t now_us);

/* --- wake.c: a note that only wakes a loop: woken(arg) is called there, unless the loop has ended. If the note is
 * posted again before it is read, woken() is called once. */
struct wake {
	struct note note; /* must be first */
	struct inbox *to;
	void (*woken)(void *arg);
	void *arg;
	atomic_bool is_posted;
};

void wake_init(struct wake *w, struct inbox *to, void (*woken)(void *arg), void *arg);
void wake_post(void *wake); /* wake is a struct wake; may be called from any thread */
