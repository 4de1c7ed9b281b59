/* src/http/http_status.c - /api/v1/status: what the head of the status page shows. See http_state.h. */
#include "http/http_state.h"

#include "base/clock.h"
#include "base/escape.h"

#include <inttypes.h>

static const char *const states[PROCESS_STATES] = { "running", "paused", "draining", "stopping" };

void
http_put_reasons(const struct snapshot *s, bool is_alive, struct buf *to)
{
	if (!is_alive)
		json_put_string(to, "the event loop does not answer");
	for (size_t i = 0; s != NULL && i < s->not_ready_count; i++) {
		buf_printf(to, "%s", i > 0 || !is_alive ? "," : "");
		json_put_string(to, s->not_ready[i]);
	}
}

void
http_put_status(const struct http_pages *p, bool is_alive, struct buf *to)
{
	const struct snapshot *s = p->last;

	buf_printf(to, "{\"version\":");
	json_put_string(to, p->version);
	buf_printf(to, ",\"alive\":%s", is_alive ? "true" : "false");
	if (s != NULL) {
		struct snapshot_totals t;
		struct snapshot_requests r;

		buf_printf(to,
			   ",\"state\":\"%s\",\"start_time\":%" PRIu64 ",\"now\":%" PRIu64
			   ",\"last_reload_ok\":%s,\"last_reload_time\":%" PRIu64 ",\"not_ready\":[",
			   states[s->state], s->start_wall_us / 1000, clock_wall_us() / 1000,
			   s->last_reload_ok ? "true" : "false", s->last_reload_wall_us / 1000);
		http_put_reasons(s, is_alive, to);
		buf_printf(to, "],");
		t = snapshot_totals(s);
		buf_printf(to,
			   "\"pools\":%zu,\"servers\":%" PRIu64 ",\"servers_lent\":%" PRIu64
			   ",\"servers_limit\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"oldest_wait_ms\":%.1f,",
			   s->pool_count, t.servers, t.lent, t.limit, t.waiting, (double)t.oldest_waiter_us / 1000);
		r = snapshot_requests(s);
		buf_printf(to,
			   "\"requests_total\":%" PRIu64 ",\"requests_failed_total\":%" PRIu64
			   ",\"slow_queries_total\":%" PRIu64 ",\"clients\":%" PRIu64 ",\"clients_limit\":%" PRIu64,
			   r.all, r.failed, r.slow, s->clients_total_now, s->clients_limit);
	}
	buf_printf(to, "}\n");
}
