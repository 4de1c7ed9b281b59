/*
 * src/state/pins.c - why a client keeps its server between transactions; see state/state_state.h.
 */
#include "state/state.h"
#include "state/state_state.h"
#include "state/linger.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LOG_EVERY_US (60 * US_PER_S)

const char *
state_pin_reasons(const struct exchange *x, char *out, size_t out_cap)
{
	bool is_name_lost = x->session != NULL && x->session->is_name_lost;
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < PIN_COUNT; i++)
		if ((x->pins & 1u << i) != 0 && len < out_cap)
			len += (size_t)snprintf(out + len, out_cap - len, "%s%s%s", len > 0 ? ", " : "",
						pin_reason_names[i],
						i == PIN_SESSION_SET && is_name_lost ? " (of an unknown name)"
						: i == PIN_EXTENSION && x->session->extension_cause.len > 0
						    ? (const char *)x->session->extension_cause.bytes
						    : "");
	return out;
}

bool
state_asks_for_pin(const struct exchange *x)
{
	return x->gucs != NULL && (gucs_side_effects(x->gucs) & GUCS_PIN) != 0 && exchange_is_followed(x) &&
	       !(x->srv != NULL && x->srv->loan.standby != 0 && x->settings->reads == READS_MARKED);
}

bool
state_is_refused(const struct exchange *x, struct fail *why)
{
	if (x->session == NULL || x->session->refusal == NULL)
		return false;
	*why = *x->session->refusal;
	return true;
}

bool
state_ties(const struct exchange *x, enum feature_tie to)
{
	const struct client_session *s = x->session;

	if (x->pins != 0 || to != TIE_PROCESS || s == NULL)
		return x->pins != 0;
	return s->refusal != NULL || s->effect_count > 0 || s->name_count > 0 || s->parts != 0 || s->unresolved != 0 ||
	       s->scan != NULL || s->discard != DISCARD_NOT || s->is_name_lost;
}

int
state_refuse_next_request(struct exchange *x, const struct fail *why)
{
	struct client_session *s = client_session_get_or_create(x);

	if (s == NULL || (s->refusal == NULL && (s->refusal = malloc(sizeof(*why))) == NULL))
		return -1;
	*s->refusal = *why;
	state_forget_request(x);
	return 0;
}

void
state_forget_request(struct exchange *x)
{
	struct client_session *s = x->session;

	if (s == NULL)
		return;
	state_drop_effects(s);
	state_forget_old_gucs(s);
	buf_fini(&s->rows);
	s->parts = s->unresolved = 0;
	s->discard = DISCARD_NOT;
	s->may_be_reset = false;
}

/* For session_state = error: the client's next request will be answered with FATAL, and its server is washed now. */
static void
refuse_pins(struct exchange *x)
{
	struct server *srv = x->srv;
	char reasons[160];
	struct fail why;
	unsigned parts;

	fail_set(&why, "0A000", "session state that cannot move between server connections is not allowed here: %s",
		 state_pin_reasons(x, reasons, sizeof(reasons)));
	fail_detail(&why, "What the request before this one has committed stays; its session state is gone.");
	fail_hint(&why, "This database or user has session_state = error. Use track to let such "
			"clients keep a connection, or pool_mode = session.");
	if (srv->ledger.count == 0 && x->body_left == 0 && x->state != CL_HELD)
		x->session->refusal = malloc(sizeof(why));
	if (x->session->refusal == NULL) { /* the client's next request is in progress already, or there is no memory */
		exchange_close(x, &why);
		return;
	}
	*x->session->refusal = why;
	x->pins = 0;
	/* Sends the replies now, because on_batch_end() will not find the client at this server any more. */
	if (x->env->to_client.to == &x->stream && outbox_flush(&x->env->to_client) < 0) {
		exchange_close(x, NULL);
		return;
	}
	state_stop_lingering(x);
	parts = state_parts_to_wash(x);
	x->srv = NULL;
	exchange_set_block(x, EXCHANGE_ORDINARY);
	exchange_unstall(x); /* a cancel of the probe may have stalled the client */
	x->waiter.idle_since_us = *x->env->now_us;
	pool_clean(srv, true, parts, *x->env->now_us);
}

/* Logs why the client is pinned. In each pool, a reason that was logged in the same minute is logged at level debug,
 * because an application may do the same on each of its connections. */
static void
log_pins(struct exchange *x, unsigned added)
{
	struct pool *pool = x->pool;
	enum log_level level = x->settings->session_state == SESSION_WARN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
	uint64_t now_us = *x->env->now_us;
	char reasons[160], others[128] = "";

	if (pool->pins_logged == 0 || now_us - pool->pins_logged_us >= LOG_EVERY_US) {
		if (pool->unlogged_pins > 0)
			snprintf(others, sizeof(others), "; so did %s since the last such line",
				 base_format_count(pool->unlogged_pins, "other", "others").text);
		pool->pins_logged = 0;
		pool->unlogged_pins = 0;
		pool->pins_logged_us = now_us;
	}
	if ((added & ~(unsigned)pool->pins_logged) == 0) {
		pool->unlogged_pins++;
		level = LOG_LEVEL_DEBUG;
	}
	pool->pins_logged |= (uint16_t)added;
	log_write(x->env->log, level,
		  "client %llu (%s/%s, application \"%s\") keeps server %" PRIu64 " between transactions: %s%s",
		  (unsigned long long)x->waiter.id, pool->database->name, exchange_user(x), exchange_application(x),
		  x->srv->id, state_pin_reasons(x, reasons, sizeof(reasons)), others);
}

bool
state_set_pins(struct exchange *x, unsigned pins)
{
	unsigned added;

	pins &= ~(1u << PIN_EXTENSION | 1u << PIN_ASKED_FOR);
	pins |= (x->session->extension_cause.len > 0 ? 1u << PIN_EXTENSION : 0u) |
		(state_asks_for_pin(x) ? 1u << PIN_ASKED_FOR : 0u);
	added = pins & ~(unsigned)x->pins;
	x->pins = (uint16_t)pins;
	for (unsigned i = 0; i < PIN_COUNT; i++)
		if (added & 1u << i)
			x->pool->counters.pins[i]++;
	if (added & ~x->session->logged_pins) {
		x->session->logged_pins |= added;
		log_pins(x, added);
	}
	if (pins != 0 && x->settings->session_state == SESSION_ERROR)
		refuse_pins(x);
	return exchange_has_server(x);
}

__attribute__((noinline)) bool
state_set_pin(struct exchange *x, enum pin_reason reason, bool is_set)
{
	unsigned others = x->pins & ~(1u << reason);

	if (client_session_get_or_create(x) != NULL)
		return state_set_pins(x, others | (unsigned)is_set << reason);
	exchange_out_of_memory(x);
	return false;
}
