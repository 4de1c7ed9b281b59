/*
 * src/process/process_http.c - starts the metrics thread, and collects the workers' snapshots for it.
 *
 * Each worker takes its own snapshot, on its own thread, when a note asks for one. Worker 0 merges the snapshots when
 * all have come, or after GATHER_MAX_US. For a worker that has not answered by then, the worker's previous snapshot is
 * taken, because counters must not go back. For the table that shows which sessions block which, worker 0 waits up to
 * LOCKS_MAX_US for PostgreSQL's answer.
 */
#include "process/process_state.h"
#include "config/compat.h"
#include "config/config_value.h"
#include "http/http_module.h"

#include <event2/event.h>

#define GATHER_MAX_US (200 * US_PER_MS)
#define LOCKS_MAX_US (500 * US_PER_MS) /* less than the second for which the metrics thread waits */
#define CHECK_EVERY_US (20 * US_PER_MS) /* between two checks whether everything has come */

/* Returns a copy of this worker's last snapshot, or an empty snapshot if none has come yet; NULL without memory. */
static struct snapshot *
copy_part(const struct gathered *of)
{
	const struct worker *k = of->worker;
	struct snapshot *s = of->last != NULL ? snapshot_copy(of->last) : snapshot_new(k->number);

	if (s != NULL) {
		s->workers[0].is_up = !of->is_out && !k->watch.is_silent;
		s->workers[0].is_silent = k->watch.is_silent;
	}
	return s;
}

static struct snapshot *
merge_parts(struct weir *w)
{
	struct snapshot *parts[WORKERS_MAX];
	size_t n = 0;

	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		parts[n++] =
		    k == w->main_worker ? process_snapshot_of(k) : copy_part(&w->metrics.gathering.of[k->number]);
	return process_merge_snapshots(w, parts, n);
}

/* Delivers the wanted tables that are complete, or all if is_late. Returns false while a table waits for PostgreSQL. */
static bool
fill_tables(struct weir *w, bool is_late)
{
	struct gathering *g = &w->metrics.gathering;

	for (unsigned t = 0; t < HTTP_PAGES_MAX; t++)
		if ((g->wanted >> t & 1) != 0) {
			const struct http_page *table = http_page_of_table(w->metrics.http, t);
			struct buf json = { 0 };

			if (console_put_rows_json(w->console, table->command, table->rows_max, is_late, &json)) {
				http_deliver_table(w->metrics.http, t, &json);
				g->wanted &= ~(1u << t);
			}
			buf_fini(&json);
		}
	return g->wanted == 0;
}

static void
finish_if_ready(void *arg)
{
	struct weir *w = arg;
	struct gathering *g = &w->metrics.gathering;
	uint64_t waited_us = w->main_worker->now_us - g->begun_us;
	bool is_ready = fill_tables(w, waited_us >= LOCKS_MAX_US);

	for (const struct worker *k = w->main_worker->next; k != NULL; k = k->next)
		is_ready &= !g->of[k->number].is_out || waited_us >= GATHER_MAX_US;
	if (!is_ready && timer_try_start(&g->check_timer, CHECK_EVERY_US) == 0)
		return;
	timer_stop(&g->check_timer);
	http_deliver_snapshot(w->metrics.http, merge_parts(w));
}

/* Stores the snapshot that a worker has taken. Runs on worker 0. */
static void
on_snapshot(struct note *n, void *owner, bool is_over)
{
	struct gathered *of = (struct gathered *)((char *)n - offsetof(struct gathered, note));
	struct weir *w = of->worker->weir;
	struct gathering *g = &w->metrics.gathering;

	of->is_out = false;
	if (of->fresh != NULL) {
		snapshot_free(of->last);
		of->last = of->fresh;
		of->fresh = NULL;
	}
	if (timer_is_set(&g->check_timer) && g->wanted == 0) /* while a table is wanted, the timer's callback checks */
		finish_if_ready(w);
}

/* Takes the worker's snapshot. Runs on the worker's own thread. */
static void
take_snapshot(struct note *n, void *owner, bool is_over)
{
	struct gathered *of = (struct gathered *)((char *)n - offsetof(struct gathered, note));
	struct worker *k = owner;

	k->now_us = clock_now_us();
	of->fresh = is_over ? NULL : process_snapshot_of(k);
	of->note.read = on_snapshot;
	inbox_post(k->weir->main_worker->inbox, &of->note);
}

static void
ask_worker(struct gathering *g, struct worker *k)
{
	struct gathered *of = &g->of[k->number];

	if (of->is_out) /* the worker's answer to the last request has not come yet */
		return;
	of->is_out = true;
	of->worker = k;
	of->note.read = take_snapshot;
	inbox_post(k->inbox, &of->note);
}

void
process_gather_for_http(void *arg)
{
	struct weir *w = arg;
	struct gathering *g = &w->metrics.gathering;

	if (w->metrics.http == NULL)
		return; /* the metrics thread was stopped meanwhile */
	w->main_worker->now_us = clock_now_us();
	g->wanted |= http_take_wanted_tables(w->metrics.http);
	if (!timer_is_set(&g->check_timer)) {
		g->begun_us = w->main_worker->now_us;
		for (struct worker *k = w->main_worker->next; k != NULL; k = k->next)
			ask_worker(g, k);
	}
	finish_if_ready(w);
}

int
process_start_http(struct weir *w, struct fail *why)
{
	const struct config *c = w->config;
	struct http_settings s = { .host = c->http_listen.host,
				   .port = c->http_listen.port,
				   .log = w->log,
				   .tls = w->files.http_tls,
				   .is_local = listen_is_local(&c->http_listen),
				   .asked = &w->metrics.http_wake };

	if (!c->http_enabled)
		return 0;
	s.passed_fd = listeners_take_inherited(w->listeners, 'H', c->http_listen.host, c->http_listen.port);
	if (c->http_auth_file[0] != '\0' &&
	    (s.users = users_load(c->http_auth_file, compat_does(c, COMPAT_STARTS_WITH_MISTAKES), NULL, NULL, why)) ==
		NULL)
		return -1;
	w->metrics.http = http_new(&s, why);
	users_unref(s.users);
	if (w->metrics.http == NULL)
		return -1;
	timer_init(&w->metrics.gathering.check_timer, w->main_worker->base, &w->main_worker->now_us, finish_if_ready,
		   w);
	return 0;
}

void
process_stop_http(struct weir *w)
{
	struct gathering *g = &w->metrics.gathering;

	timer_stop(&g->check_timer);
	g->wanted = 0;
	http_free(w->metrics.http);
	w->metrics.http = NULL;
}

void
process_free_gathered(struct weir *w)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		snapshot_free(w->metrics.gathering.of[i].last);
		snapshot_free(w->metrics.gathering.of[i].fresh);
	}
}
