/*
 * src/console/console.c - messages of console clients: each is queued, and is handled at once unless an earlier message
 * waits or the client does not read its answers. All console clients together have a share of each turn of the loop, so
 * no script holds up other clients. See console.h and console_client.h.
 */
#include "console/console_client.h"
#include "base/alloc.h"
#include "config/compat.h"
#include "net/loop.h"
#include "wire/frame.h"

#define QUEUE_MAX ((size_t)256 << 10) /* the limit on bytes sent ahead of an answer; more than a read and a message */
#define TURN_US 500 /* the console's share of a turn of the loop; a single command may take longer */

static void on_turn(void *arg);

struct console *
console_new(const struct console_host *host)
{
	struct console *k = xcalloc(1, sizeof(*k));

	k->host = *host;
	TAILQ_INIT(&k->clients);
	TAILQ_INIT(&k->gone);
	k->stats = console_stats_new(host->main_env->x.hash_seed, *host->main_env->x.now_us);
	timer_init(&k->turn, host->main_env->x.base, host->main_env->x.now_us, on_turn, k);
	return k;
}

static void
console_client_free(struct console_client *cc)
{
	buf_fini(&cc->out);
	buf_fini(&cc->queue);
	free(cc);
}

void
console_free(struct console *k)
{
	struct console_client *cc;

	if (k == NULL)
		return;
	TAILQ_CONCAT(&k->clients, &k->gone, all);
	while ((cc = TAILQ_FIRST(&k->clients)) != NULL) {
		TAILQ_REMOVE(&k->clients, cc, all);
		console_client_free(cc);
	}
	console_stats_free(k->stats);
	timer_stop(&k->turn);
	free(k);
}

/* Returns the client's session, which is made at the client's first message; NULL if there is no memory. */
static struct console_client *
find_or_make_session(struct console *k, struct client *c)
{
	struct console_client *cc = c->console;

	if (cc != NULL || (cc = calloc(1, sizeof(*cc))) == NULL)
		return cc;
	cc->console = k;
	cc->c = c;
	cc->tx = 'I';
	cc->queue.limit = QUEUE_MAX;
	TAILQ_INSERT_TAIL(&k->clients, cc, all);
	c->console = cc;
	return cc;
}

/* Undoes the PAUSE that this closed client still waited for and, if no console client is left, any SUSPEND. Returns 0,
 * or -1 with *why set if a worker does not answer. */
static int
undo_hold(const struct console_client *cc, struct fail *why)
{
	struct console *k = cc->console;

	/* If a client leaves before its PAUSE is complete, the pause is taken back. */
	if (cc->wait == WAIT_QUIET && !k->host.is_shutting_down(k->host.w) &&
	    k->host.resume(k->host.w, cc->has_wait_database ? cc->wait_database : NULL, why) < 0)
		return -1;
	/* A SUSPEND ends with the last console client, because most users could not log in again to end it. */
	if (!k->host.main_env->x.is_suspended || !TAILQ_EMPTY(&k->clients))
		return 0;
	if (k->host.resume(k->host.w, NULL, why) < 0)
		return -1;
	log_warning(k->host.main_env->x.log, "resumed: the last console client left without ending its SUSPEND");
	return 0;
}

/* Frees a closed client that handles no message any more. If a PAUSE or SUSPEND can't be undone yet, the client stays
 * in `gone` until then. */
static void
free_closed(struct console_client *cc)
{
	struct fail why;

	if (undo_hold(cc, &why) == 0)
		console_client_free(cc);
	else
		TAILQ_INSERT_TAIL(&cc->console->gone, cc, all);
}

void
console_client_closed(struct console *k, struct client *c)
{
	struct console_client *cc = c->console;
	bool was_busy;

	if (cc == NULL)
		return;
	c->console = NULL;
	if (k->tick_next == cc)
		k->tick_next = TAILQ_NEXT(cc, all);
	TAILQ_REMOVE(&k->clients, cc, all);
	was_busy = cc->state == CONSOLE_BUSY;
	cc->state = CONSOLE_GONE;
	if (!was_busy)
		free_closed(cc);
}

static bool
must_wait(const struct console_client *cc)
{
	return cc->state == CONSOLE_GONE || cc->wait != WAIT_NONE || stream_is_full(&cc->c->x.stream);
}

static void
close_with_error(struct client *c, const char *sqlstate, const char *text)
{
	struct fail why;

	fail_set(&why, sqlstate, "%s", text);
	client_close(c, &why);
}

/* Sends the answer, and then closes the client or shuts pgweir down if that was the command. May free cc. */
static void
console_finish(struct console_client *cc)
{
	const struct console_host *host = &cc->console->host;
	enum ending ending = cc->ending;
	enum shutdown_how how = cc->shutdown_how;

	console_flush(cc);
	cc->ending = ENDING_NONE;
	if (ending == ENDING_SELF && cc->state != CONSOLE_GONE)
		close_with_error(cc->c, "57P01", "terminating connection due to administrator command");
	if (cc->state == CONSOLE_GONE)
		free_closed(cc);
	else
		cc->state = CONSOLE_IDLE;
	if (ending == ENDING_SHUTDOWN)
		host->shutdown(host->w, how);
}

static void
begin_turn(struct console *k)
{
	if (timer_is_set(&k->turn))
		return;
	k->turn_until_us = clock_now_us() + TURN_US;
	timer_start(&k->turn, 0);
}

bool
console_turn_is_over(const struct console *k)
{
	return clock_now_us() >= k->turn_until_us;
}

/* Handles queued messages until one must wait. If is_over, the first message has failed, and is only removed. */
static void
handle_queue(struct console_client *cc, bool is_over)
{
	struct frame f;
	size_t at = 0;

	while (at < cc->queue.len && (is_over || !must_wait(cc)) &&
	       frame_parse(cc->queue.bytes + at, cc->queue.len - at, &f) == FRAME_OK) {
		if (!is_over && !console_handle(cc, f.type, cc->queue.bytes + at + FRAME_HEAD_LEN, f.body_len))
			break;
		is_over = false;
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
		cc->script_at = 0;
		cc->has_answered = false;
		if (cc->wait == WAIT_NONE && console_turn_is_over(cc->console))
			cc->wait = WAIT_TURN;
		console_flush(cc);
	}
	buf_drop_front(&cc->queue, at);
	if (cc->queue.len == 0)
		buf_fini(&cc->queue);
}

static void
pump(struct console_client *cc)
{
	struct fail why;
	int result = console_check_wait(cc, &why);
	bool is_over;

	if (result == 0 || (cc->wait == WAIT_NONE && cc->queue.len == 0 && !cc->is_reading_off))
		return;
	begin_turn(cc->console);
	cc->state = CONSOLE_BUSY;
	is_over = cc->wait != WAIT_NONE && !console_end_wait(cc, result, &why);
	console_flush(cc);
	handle_queue(cc, is_over);
	/* pgweir reads from the client again if a command waits for anything but the console's share of time, or if
	 * nothing is left to do. */
	if (cc->is_reading_off &&
	    ((cc->wait != WAIT_NONE && cc->wait != WAIT_TURN) || (cc->queue.len == 0 && !must_wait(cc)))) {
		cc->is_reading_off = false;
		stream_set_reading(&cc->c->x.stream, true);
	}
	console_finish(cc);
}

void
console_message(struct console *k, struct client *c, uint8_t type, const uint8_t *body, size_t len)
{
	struct console_client *cc = find_or_make_session(k, c);

	if (cc == NULL) {
		close_with_error(c, "53200", "out of memory");
		return;
	}
	buf_put_u8(&cc->queue, type);
	buf_put_u32(&cc->queue, (uint32_t)len + 4);
	buf_put(&cc->queue, body, len);
	/* While a command waits, pgweir still reads, to notice if the client leaves. It stops reading while the client
	 * does not read its answers, or has used up the console's share of this turn: more messages would only lengthen
	 * the queue. */
	if (!buf_ok(&cc->queue))
		close_with_error(c, "54000", "too many messages were sent ahead of an answer");
	else if (!must_wait(cc))
		pump(cc);
	else if ((stream_is_full(&cc->c->x.stream) || cc->wait == WAIT_TURN) && !cc->is_reading_off) {
		cc->is_reading_off = true;
		stream_set_reading(&cc->c->x.stream, false);
	}
}

static void
on_turn(void *arg)
{
	struct console *k = arg;
	struct console_client *cc;

	TAILQ_FOREACH(cc, &k->clients, all)
		if (cc->wait == WAIT_TURN)
			break;
	if (cc == NULL)
		return;
	TAILQ_REMOVE(&k->clients, cc, all);
	TAILQ_INSERT_TAIL(&k->clients, cc, all); /* after the other clients that wait */
	pump(cc);
}

/* Takes the counts for SHOW STATS, and logs the line with statistics, if they are due. If a worker does not answer, the
 * next tick tries again. */
static void
take_counts(struct console *k, uint64_t now_us)
{
	const struct exchange_env *x = &k->host.main_env->x;
	bool is_stats_due = console_stats_is_due(k->stats, now_us),
	     is_log_due = stats_log_check_due(&k->stats_log, x->config->log_stats_interval_us, now_us);
	struct database_sum *sums;
	struct fail why;

	if ((!is_stats_due && !is_log_due) || k->host.halt(k->host.w, &why) < 0)
		return;
	sums = database_sums(k->host.client_envs);
	if (sums != NULL && is_stats_due)
		console_stats_renew(k->stats, sums, now_us);
	if (sums != NULL && is_log_due)
		stats_log_write(&k->stats_log, sums, !compat_is_1_25(x->config), x->log, now_us);
	free(sums);
	k->host.leave_halt(k->host.w);
}

void
console_tick(struct console *k, uint64_t now_us)
{
	struct console_client *gone = TAILQ_FIRST(&k->gone);
	struct fail why;

	take_counts(k, now_us);
	/* A worker that did not answer before may answer now. */
	if (gone != NULL && undo_hold(gone, &why) == 0) {
		TAILQ_REMOVE(&k->gone, gone, all);
		console_client_free(gone);
	}
	for (struct console_client *cc = TAILQ_FIRST(&k->clients); cc != NULL; cc = k->tick_next) {
		k->tick_next = TAILQ_NEXT(cc, all);
		pump(cc);
	}
	k->tick_next = NULL;
}
