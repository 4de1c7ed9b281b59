/*
 * src/state/pins.c - why a client keeps its server between transactions; see state/state_state.h.
 */
#include "state/state_state.h"

#include <stdio.h>
#include <stdlib.h>

const char *
session_pin_reasons(const struct client *c, char *out, size_t out_cap)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < PIN_COUNT; i++)
		if ((c->pins & 1u << i) != 0 && len < out_cap)
			len += (size_t)snprintf(out + len, out_cap - len, "%s%s", len > 0 ? ", " : "",
						pin_reason_names[i]);
	return out;
}

bool
session_is_refused(const struct client *c, struct fail *why)
{
	if (c->session == NULL || c->session->refusal == NULL)
		return false;
	*why = *c->session->refusal;
	return true;
}

int
session_lose(struct client *c, const struct fail *why)
{
	struct client_session *s = session_own(c);

	if (s == NULL || (s->refusal == NULL && (s->refusal = malloc(sizeof(*why))) == NULL))
		return -1;
	*s->refusal = *why;
	session_drop_effects(s);
	session_forget_before(s);
	buf_fini(&s->rows);
	s->parts = s->unresolved = 0;
	return 0;
}

/* A session that may not keep such state ends, with the answer to its next request; its server is cleaned now. */
static void
refuse_pins(struct client *c)
{
	struct server *srv = c->srv;
	char reasons[160];
	struct fail why;

	fail_set(&why, "0A000", "session state that can't move between server connections is not allowed here: %s",
		 session_pin_reasons(c, reasons, sizeof(reasons)));
	fail_hint(&why, "pgweir.ini has session_state = error for this database or user. Use track to let such "
			"clients keep a connection, or pool_mode = session.");
	if (srv->ledger.count == 0 && c->body_left == 0)
		c->session->refusal = malloc(sizeof(why));
	if (c->session->refusal == NULL) { /* that request is under way */
		client_close(c, &why);
		return;
	}
	*c->session->refusal = why;
	c->pins = 0;
	/* Its last batch ends here: on_batch_end will not find it at this server any more. */
	if (c->env->to_client.to == &c->stream && outbox_flush(&c->env->to_client) < 0) {
		client_close(c, NULL);
		return;
	}
	c->srv = NULL;
	c->idle_since_us = *c->env->now_us;
	pool_entry_clean(srv, true, *c->env->now_us);
}

void
session_set_pins(struct client *c, unsigned pins)
{
	unsigned added = pins & ~(unsigned)c->pins;
	enum session_state_mode mode = c->entry->settings.session_state;
	char reasons[160];

	c->pins = (uint16_t)pins;
	for (unsigned i = 0; i < PIN_COUNT; i++)
		if (added & 1u << i)
			c->entry->counters.pins[i]++;
	if (added & ~c->session->logged_pins) {
		c->session->logged_pins |= added;
		log_write(c->env->log, mode == SESSION_WARN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
			  "client %llu (%s/%s, application \"%s\") keeps server %u between transactions: %s",
			  (unsigned long long)c->id, c->entry->database->name, client_user(c), client_application(c),
			  c->srv->id, session_pin_reasons(c, reasons, sizeof(reasons)));
	}
	if (pins != 0 && mode == SESSION_ERROR)
		refuse_pins(c);
}
