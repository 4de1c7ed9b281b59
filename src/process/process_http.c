/* src/process/process_http.c - the metrics thread and the loop: who may see the status page, and what the loop sends.
 */
#include "process/process_state.h"

#include "base/clock.h"
#include "bouncer/bouncer_ways.h"
#include "build.h"
#include "config/config_value.h"

/*
 * The tables of the status page. The page's filter searches what it was sent: all pools, up to a number that it can
 * show.
 */
static const struct {
	const char *command;
	size_t rows_max;
} tables_of_page[HTTP_TABLES] = {
	[HTTP_POOLS] = { "SHOW POOLS_EXTENDED", 1000 },
	[HTTP_BACKENDS] = { "SHOW BACKENDS", 100 },
	[HTTP_HOLDERS] = { "SHOW HOLDERS", 100 },
	[HTTP_QUERIES] = { "SHOW QUERIES", 100 },
	[HTTP_SLOW] = { "SHOW SLOW", 100 },
	[HTTP_EVENTS] = { "SHOW EVENTS", 100 },
	[HTTP_WORKERS] = { "SHOW WORKERS", WORKERS_MAX },
};

static void
on_http_asks(evutil_socket_t fd, short what, void *arg)
{
	struct weir *w = arg;
	struct buf *tables = w->metrics.gathering.tables;
	unsigned wanted = http_wanted_tables(w->metrics.http);

	(void)fd;
	(void)what;
	w->door->now_us = clock_now_us();
	for (int t = 0; t < HTTP_TABLES; t++)
		if ((wanted >> t & 1) != 0) {
			buf_fini(&tables[t]);
			console_rows_json(w->console, tables_of_page[t].command, tables_of_page[t].rows_max,
					  &tables[t]);
		}
	process_gather(w);
}

int
process_start_http(struct weir *w, struct fail *why)
{
	const struct config *c = w->config;
	struct http_settings s = { .host = c->http_listen.host,
				   .port = c->http_listen.port,
				   .version = PGWEIR_VERSION,
				   .log = w->log,
				   .is_local = listen_is_local(&c->http_listen),
				   .keeps_history = true };

	if (!c->http_enabled)
		return 0;
	s.passed_fd = listeners_take_inherited(w->listeners, 'H', c->http_listen.host, c->http_listen.port);
	if (c->http_auth_file[0] != '\0' &&
	    (s.users = users_load(c->http_auth_file, bouncer_does(c, BOUNCER_STARTS_WITH_MISTAKES), NULL, NULL, why)) ==
		NULL)
		return -1;
	w->metrics.http = http_new(&s, why);
	users_unref(s.users);
	if (w->metrics.http == NULL || process_begin_gathering(w, why) < 0)
		return -1;
	w->metrics.asks =
	    event_new(w->door->base, http_request_fd(w->metrics.http), EV_READ | EV_PERSIST, on_http_asks, w);
	if (w->metrics.asks == NULL || event_add(w->metrics.asks, NULL) < 0)
		return fail_set(why, "53200", "no memory to start");
	return 0;
}

void
process_stop_http(struct weir *w)
{
	if (w->metrics.asks != NULL)
		event_free(w->metrics.asks);
	process_end_gathering(w);
	http_free(w->metrics.http);
	w->metrics.http = NULL;
	w->metrics.asks = NULL;
}
