/*
 * src/weir_stop.c - the end, in order: /readyz says 503; after shutdown_delay the listeners close; those between
 * transactions are told 57P01; transactions may finish until shutdown_timeout; then everything closes, metrics last.
 */
#include "weir_state.h"

#include "base/clock.h"

#include <string.h>

static void
close_listeners(struct weir *w)
{
	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++) {
		listener_free(w->listeners[i]);
		w->listeners[i] = NULL;
	}
}

static bool
has_clients(const struct weir *w)
{
	const struct client *c;

	TAILQ_FOREACH(c, &w->clients.clients, all)
	if (c->x.state != CL_CONSOLE)
		return true;
	return false;
}

static void
end(struct weir *w)
{
	if (w->is_ending)
		return;
	w->is_ending = true;
	event_base_loopbreak(w->base);
}

void
weir_stop_if_empty(struct weir *w)
{
	if (w->is_stopping && w->close_listeners_at_us == 0 && !has_clients(w))
		end(w);
}

void
weir_stop(struct weir *w, bool at_once)
{
	if (at_once) {
		if (!w->is_stopping)
			log_info(w->log, "stopping at once");
		w->is_stopping = true;
		end(w);
		return;
	}
	if (w->is_stopping) { /* asked twice */
		end(w);
		return;
	}
	log_info(w->log, "stopping: no new clients; open transactions may finish within %llu s",
		 (unsigned long long)(w->config->shutdown_timeout_us / US_PER_S));
	weir_notify("STOPPING=1");
	w->is_stopping = true;
	w->close_listeners_at_us = w->now_us + w->config->shutdown_delay_us;
	w->stop_at_us = w->close_listeners_at_us + w->config->shutdown_timeout_us;
	weir_stop_tick(w);
}

void
weir_stop_tick(struct weir *w)
{
	if (!w->is_stopping)
		return;
	if (w->close_listeners_at_us != 0 && w->now_us >= w->close_listeners_at_us) {
		w->close_listeners_at_us = 0;
		close_listeners(w);
		clients_drain(&w->clients);
	}
	if (w->now_us >= w->stop_at_us) {
		log_warning(w->log, "shutdown_timeout is over: %u clients are closed in mid-transaction",
			    w->clients.client_count);
		end(w);
		return;
	}
	weir_stop_if_empty(w);
}
