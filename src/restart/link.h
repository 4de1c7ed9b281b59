/*
 * src/restart/link.h - messages between two processes of pgweir over a socket pair, each with a descriptor if it has
 * one (SCM_RIGHTS, unix(7)).
 *
 * Messages are checked as if a stranger had sent them: lengths are bounded, a descriptor that was not announced ends
 * the link.
 *
 * Owns:   its socket, what waits to be sent, descriptors that came and were not handed to anybody yet.
 * Always: callbacks come only from the loop; on_closed comes once, and nothing after it.
 */
#pragma once

#include "base/buf.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_BODY_MAX ((size_t)64 << 20) /* bytes of one message */

struct link; /* opaque: link.c */

struct link_ops {
	/*
	 * body is borrowed; fd: a descriptor that is the callee's from now on, or -1: none was sent, or this process
	 * may have no more of them.
	 */
	void (*on_message)(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd);
	void (*on_rest)(void *arg); /* no message comes for now: behind one or more of them */
	void (*on_drained)(void *arg); /* all that was sent has been taken by the kernel; may be NULL */
	void (*on_closed)(void *arg); /* the other side has gone, or has sent what makes no sense */
};

/* Takes fd, which becomes non-blocking. Returns NULL, and closes fd, without memory. */
struct link *link_new(struct event_base *base, int fd, const struct link_ops *ops, void *arg);
void link_free(struct link *l); /* may be called from a callback; NULL is fine */
/*
 * Sends a message, now or when the other side takes it. fd: -1, or a descriptor that stays the caller's, and of which a
 * copy is sent; if there can't be one, it goes without. Without memory the link is closed.
 */
void link_send(struct link *l, uint8_t type, const void *body, size_t len, int fd);
/* The same with what was put into b, and frees that. If there was no memory for that, the link is closed, too. */
void link_send_buf(struct link *l, uint8_t type, struct buf *b, int fd);
void link_send_number(struct link *l, uint8_t type, uint64_t number, const void *more,
		      size_t more_len); /* 64 bits, more */
int link_is_drained(const struct link *l); /* nothing waits to be sent */
/* Sends one message without a loop, waiting for a moment at most: for a process that is about to exit. */
void link_send_last(int fd, uint8_t type, const void *body, size_t len);
