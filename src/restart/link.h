/*
 * src/restart/link.h - messages between two processes of pgweir over a socket pair. A message may carry a file
 * descriptor (SCM_RIGHTS, unix(7)).
 *
 * Messages are not trusted: lengths are bounded, and the link ends if too many descriptors come before their messages.
 *
 * Owns:   its socket, messages that were not sent yet, and descriptors that were received but not passed to a callback
 *         yet.
 * Always: only the event loop calls the callbacks. on_closed() is called last.
 */
#pragma once

#include "base/buf.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_BODY_MAX ((size_t)64 << 20) /* the largest body of a message, in bytes */

struct link; /* opaque; defined in link.c */

struct link_ops {
	/* Called for each message. `body` is borrowed. fd is a descriptor, which the callee takes over; -1 if none was
	 * sent, or if this process may have no more descriptors. */
	void (*on_message)(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd);
	void (*on_batch_end)(void *arg); /* called after on_message, when no more messages have come for now */
	void (*on_drained)(void *arg); /* called when the kernel has taken everything that was sent; may be NULL */
	void (*on_closed)(void *arg); /* called when the other side or an error has ended the link */
};

/* Makes a link. Takes over fd, and makes fd non-blocking. `arg` is passed to the callbacks. If there is no memory,
 * closes fd and returns NULL. */
struct link *link_new(struct event_base *base, int fd, const struct link_ops *ops, void *arg);
void link_free(struct link *l); /* may be called from a callback; l may be NULL */
/* Sends a message, or queues it until the socket has room. If fd is not -1, a copy of that descriptor is sent, too; the
 * caller keeps fd. If no copy can be made, the message is sent without fd. Without memory, the link is closed. */
void link_send(struct link *l, uint8_t type, const void *body, size_t len, int fd);
/* Sends the contents of b as link_send() does, and frees them. If b is broken, the link is closed. */
void link_send_buf(struct link *l, uint8_t type, struct buf *b, int fd);
/* Sends a message whose body is the number, in 64 bits, followed by `more`. */
void link_send_number(struct link *l, uint8_t type, uint64_t number, const void *more, size_t more_len);
int link_is_drained(const struct link *l); /* returns non-zero if no message waits to be sent */
/* Sends one message without an event loop, for a process that is about to exit. Blocks for one second at most. */
void link_send_last(int fd, uint8_t type, const void *body, size_t len);
