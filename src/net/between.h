/*
 * src/net/between.h - what one of several workers does behind an event, before the next of the same turn of its loop. A
 * turn has dozens of events, and what crosses should wait for none of them on either side.
 */
#pragma once

#include "net/graveyard.h"
#include "net/inbox.h"

__attribute__((noinline, cold)) static void
between_events_act(struct graveyard *graveyard, struct inbox *inbox)
{
	graveyard_empty(graveyard); /* what crosses leaves */
	inbox_read(inbox);
}

/*
 * Called last in a callback of libevent's: none of our functions is running, as if libevent had called the graveyard
 * and the inbox next. Whatever the callback was for may be freed.
 */
static inline void
between_events(struct graveyard *graveyard, struct inbox *inbox)
{
	if (inbox_sign_is_up(inbox))
		between_events_act(graveyard, inbox);
}
