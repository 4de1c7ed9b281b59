/*
 * src/pool/notify_catch_up.c - who waits until a notify_hub has heard all that was notified before. See notify_hub.h.
 *
 * PostgreSQL delivers what is due before each ReadyForQuery, so a Sync that is answered says it. One is under way at a
 * time; those who come meanwhile share the next.
 */
#include "pool/notify_state.h"

#include "base/clock.h"

#define CATCH_UP_MAX_US US_PER_S

enum { EW_NONE, EW_NOW, EW_NEXT, EW_CAUGHT };

static struct notify_ears *
waits_in(struct notify_ear *ear)
{
	struct notify_hub *hub = ear->hub;

	return ear->waits == EW_NOW ? &hub->catching : ear->waits == EW_NEXT ? &hub->catching_next : &hub->caught;
}

bool
notify_catch_up(struct notify_ear *ear)
{
	struct notify_hub *hub = ear->hub;

	if (hub == NULL || !hub->is_up || ear->waits != EW_NONE)
		return false;
	/* One Sync at a time: those who come while it is under way share the next. */
	if (TAILQ_EMPTY(&hub->catching)) {
		notify_link_send(hub, NC_CATCH_UP, NULL, NULL);
		if (!hub->is_up)
			return false;
		ear->waits = EW_NOW;
		TAILQ_INSERT_TAIL(&hub->catching, ear, wait);
	} else {
		ear->waits = EW_NEXT;
		TAILQ_INSERT_TAIL(&hub->catching_next, ear, wait);
	}
	return true;
}

void
notify_catch_up_no_more(struct notify_ear *ear)
{
	if (ear->waits == EW_NONE)
		return;
	TAILQ_REMOVE(waits_in(ear), ear, wait);
	ear->waits = EW_NONE;
}

static void
move_waits(struct notify_ears *from, struct notify_ears *to, uint8_t waits)
{
	struct notify_ear *ear;

	TAILQ_FOREACH(ear, from, wait)
	ear->waits = waits;
	TAILQ_CONCAT(to, from, wait);
}

/* The Sync was answered. */
void
notify_caught_up(struct notify_hub *hub)
{
	move_waits(&hub->catching, &hub->caught, EW_CAUGHT);
	move_waits(&hub->catching_next, &hub->catching, EW_NOW);
	if (!TAILQ_EMPTY(&hub->catching))
		notify_link_send(hub, NC_CATCH_UP, NULL, NULL);
}

void
notify_tell_caught_up(struct notify_hub *hub)
{
	struct notify_ear *ear;

	while ((ear = TAILQ_FIRST(&hub->caught)) != NULL) {
		notify_catch_up_no_more(ear);
		ear->ops->caught_up(ear);
	}
}

void
notify_end_catching(struct notify_hub *hub)
{
	move_waits(&hub->catching, &hub->caught, EW_CAUGHT);
	move_waits(&hub->catching_next, &hub->caught, EW_CAUGHT);
}

/* Clients wait for this: not for long. */
void
notify_give_up_catching(struct notify_hub *hub, uint64_t now_us)
{
	const struct notify_command *oldest = TAILQ_FIRST(&hub->commands);

	if (oldest == NULL || now_us - oldest->sent_us < CATCH_UP_MAX_US || TAILQ_EMPTY(&hub->catching))
		return;
	notify_end_catching(hub);
	hub->is_settle_due = true;
}
