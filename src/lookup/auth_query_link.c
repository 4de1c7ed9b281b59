/*
 * src/lookup/auth_query_link.c - the connections that auth_query runs on: opened when somebody waits, asked one
 * question at a time, closed when idle. See auth_query.h.
 *
 * They are servers of the pools' kind, lent to us for as long as they live. A question is Parse, Bind, Execute (of two
 * rows: one too many says that something is wrong) and Sync; its replies are matched by the ledger, its row is handed
 * to us whole, or not at all if it is too large. What was asked is judged when all of a read is handled.
 */
#include "lookup/auth_query_state.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "wire/messages.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_US (30 * US_PER_S)
#define LIFE_US (600 * US_PER_S) /* then it is opened anew: hosts may have changed their roles */
#define BACKOFF_FIRST_US (100 * US_PER_MS)
#define BACKOFF_MAX_US (5 * US_PER_S)
#define CANCEL_US (2 * US_PER_S)
#define ROWS_MAX 2u

struct auth_link {
	struct dedicated conn;
	struct auth_source *source;
	TAILQ_ENTRY(auth_link) list;
	struct auth_lookup *lookup; /* whose answer is due, or NULL */
	bool is_up; /* it takes questions */
	bool has_answered; /* once at least: what is lost with it may be asked again */
	uint64_t idle_since_us;
	/* of the answer so far */
	unsigned rows;
	bool is_ended; /* ReadyForQuery has come */
	bool is_wrong; /* why */
	struct fail why;
	struct auth_answer answer;
	char secret[AUTH_SECRET_MAX]; /* its text; wiped */
};

static const struct dedicated_ops link_ops;

static struct auth_link *
link_of(struct dedicated *d)
{
	return (struct auth_link *)((char *)d - offsetof(struct auth_link, conn));
}

static uint64_t
now_of(const struct auth_link *link)
{
	return *link->source->all->env.now_us;
}

static void
forget_answer(struct auth_link *link)
{
	OPENSSL_cleanse(link->secret, sizeof(link->secret));
	link->answer = (struct auth_answer){ .valid_until_us = AUTH_VALID_FOR_EVER };
	link->rows = 0;
	link->is_ended = link->is_wrong = false;
}

/* --- opening and closing --- */

static void
close_link(struct auth_link *link)
{
	link->is_up = false;
	dedicated_close(&link->conn); /* on_closed */
}

/* Where there are too many in all, one of another source that is idle makes room. */
static bool
has_room(struct auth_queries *all)
{
	struct auth_source *source;
	struct auth_link *link;

	if (all->link_count < AUTH_ALL_LINKS_MAX)
		return true;
	TAILQ_FOREACH(source, &all->sources, list)
	TAILQ_FOREACH(link, &source->links, list)
	if (link->is_up && link->lookup == NULL) {
		close_link(link);
		return true;
	}
	return false;
}

static void
open_link(struct auth_source *source, uint64_t now_us)
{
	struct auth_queries *all = source->all;
	struct auth_link *link;

	source->is_short = !has_room(all) || !pool_owns_take(pool_set_owns(all->pools), now_us);
	if (source->is_short)
		return; /* the next tick tries again */
	link = xcalloc(1, sizeof(*link));
	link->conn.ops = &link_ops;
	link->source = source;
	if (dedicated_open(&link->conn, all->pools, &all->env, source->target, source->settings) < 0) {
		free(link);
		pool_owns_give(pool_set_owns(all->pools), now_us);
		return;
	}
	TAILQ_INSERT_TAIL(&source->links, link, list);
	source->link_count++;
	all->link_count++;
}

void
auth_links_close_idle(struct auth_source *source)
{
	for (struct auth_link *link = TAILQ_FIRST(&source->links), *next; link != NULL; link = next) {
		next = TAILQ_NEXT(link, list);
		if (link->is_up && link->lookup == NULL)
			close_link(link);
	}
}

void
auth_link_give_up(struct auth_link *link)
{
	link->lookup = NULL;
	if (link->conn.srv->state == SV_LENT)
		server_cancel(link->conn.srv, CANCEL_US, NULL, NULL);
	close_link(link);
}

void
auth_links_free(struct auth_source *source)
{
	while (!TAILQ_EMPTY(&source->links))
		close_link(TAILQ_FIRST(&source->links));
}

/* It does nothing: is it better closed? */
static bool
is_surplus(const struct auth_link *link, uint64_t now_us)
{
	const struct auth_source *source = link->source;

	return source->is_retired || now_us - link->idle_since_us >= IDLE_US ||
	       now_us - link->conn.srv->connected_us >= LIFE_US ||
	       pool_owns_is_wanted(pool_set_owns(source->all->pools));
}

void
auth_links_tick(struct auth_source *source, uint64_t now_us)
{
	for (struct auth_link *link = TAILQ_FIRST(&source->links), *next; link != NULL; link = next) {
		next = TAILQ_NEXT(link, list);
		if (link->is_up && link->lookup == NULL && is_surplus(link, now_us))
			close_link(link);
	}
	auth_links_feed(source, now_us);
}

/* --- asking --- */

static void
put_question(struct buf *b, const struct auth_source *source, const char *user)
{
	size_t begun = message_begin(b, 'P');

	buf_put_str(b, "");
	buf_put_str(b, source->query);
	buf_put_u16(b, 0); /* the type of $1 is for PostgreSQL to find out: it may be text, or name */
	message_end(b, begun);
	message_bind_text(b, "", &user, 1);
	begun = message_begin(b, 'E');
	buf_put_str(b, "");
	buf_put_u32(b, ROWS_MAX);
	message_end(b, begun);
	message_sync(b);
}

static void
ask(struct auth_link *link, struct auth_lookup *lookup)
{
	struct auth_source *source = link->source;
	struct server *srv = link->conn.srv;
	struct buf b = { 0 };

	TAILQ_REMOVE(&source->waiting, lookup, line);
	lookup->link = link;
	link->lookup = lookup;
	forget_answer(link);
	put_question(&b, source, lookup->key.user);
	if (buf_ok(&b) && ledger_push_run(&srv->ledger, OWED_TO_PROBE, NULL) == 0 &&
	    server_owe_sync(srv, OWED_TO_PROBE) == 0)
		server_write(srv, b.bytes, b.len);
	else
		srv->stream.is_broken = true; /* no memory: nothing will come; the lookup's deadline ends it */
	buf_fini(&b);
}

static struct auth_link *
find_free(const struct auth_source *source)
{
	struct auth_link *link;

	TAILQ_FOREACH(link, &source->links, list)
	if (link->is_up && link->lookup == NULL)
		return link;
	return NULL;
}

static uint32_t
count_opening(const struct auth_source *source)
{
	const struct auth_link *link;
	uint32_t count = 0;

	TAILQ_FOREACH(link, &source->links, list)
	count += !link->is_up;
	return count;
}

static uint32_t
count_waiting(const struct auth_source *source)
{
	const struct auth_lookup *lookup;
	uint32_t count = 0;

	TAILQ_FOREACH(lookup, &source->waiting, line)
	if (++count == AUTH_LINKS_MAX)
		break;
	return count;
}

void
auth_links_feed(struct auth_source *source, uint64_t now_us)
{
	struct auth_link *link;

	while (!TAILQ_EMPTY(&source->waiting) && (link = find_free(source)) != NULL)
		ask(link, TAILQ_FIRST(&source->waiting));
	while (source->link_count < AUTH_LINKS_MAX && source->retry_us <= now_us &&
	       count_opening(source) < count_waiting(source)) {
		uint32_t before = source->link_count;

		/* Where none has ever worked, one is tried alone. */
		if (source->failures > 0 && before > 0)
			return;
		open_link(source, now_us);
		if (source->link_count == before)
			return;
	}
}

/* --- what it reports --- */

static void
on_error(struct dedicated *d, const struct fail *why)
{
	link_of(d)->why = *why;
	link_of(d)->is_wrong = true;
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	struct auth_link *link = link_of(d);

	if (link->lookup == NULL || link->is_wrong)
		return;
	link->is_wrong = true;
	if (++link->rows > 1)
		fail_set(&link->why, "21000", "it gave more than one row");
	else if (!is_whole)
		fail_set(&link->why, "08P01", "its row is too large");
	else if (auth_answer_read(body, len, link->lookup->key.user, &link->answer, &link->why) == 0)
		link->is_wrong = false;
	if (link->is_wrong || link->answer.secret == NULL)
		return;
	memcpy(link->secret, link->answer.secret, link->answer.secret_len);
	link->answer.secret = link->secret;
}

static void
on_done(struct dedicated *d)
{
	link_of(d)->is_ended = true;
}

/* Who is told may do anything: the link takes no questions meanwhile. */
static void
on_batch_end(struct dedicated *d)
{
	struct auth_link *link = link_of(d);
	struct auth_source *source = link->source;
	struct auth_lookup *lookup = link->lookup;

	if (!link->is_ended || lookup == NULL)
		return;
	link->is_up = false;
	link->lookup = NULL;
	lookup->link = NULL;
	link->has_answered = true;
	link->idle_since_us = now_of(link);
	if (link->is_wrong)
		auth_lookup_end(lookup, AUTH_END_ERROR, NULL, &link->why);
	else
		auth_lookup_end(lookup, AUTH_END_ROW, &link->answer, NULL);
	forget_answer(link);
	if (d->srv->tx == 'I' && !source->is_retired)
		link->is_up = true;
	else
		close_link(link); /* a transaction it left open is not ours to end */
	auth_links_feed(source, *source->all->env.now_us);
}

/* One that was idle may have been dead for long: its question is asked once more, elsewhere. */
static void
on_lost(struct dedicated *d, const struct fail *why)
{
	struct auth_link *link = link_of(d);
	struct auth_lookup *lookup = link->lookup;
	bool is_violation = strcmp(why->sqlstate, "08P01") == 0;

	link->is_up = false;
	link->lookup = NULL;
	if (lookup == NULL)
		return;
	lookup->link = NULL;
	if (link->has_answered && !lookup->is_retried && !is_violation && !TAILQ_EMPTY(&lookup->asks)) {
		lookup->is_retried = true;
		TAILQ_INSERT_HEAD(&link->source->waiting, lookup, line);
		return;
	}
	auth_lookup_end(lookup, is_violation ? AUTH_END_ERROR : AUTH_END_UNREACHABLE, NULL, why);
}

static void
on_up(struct dedicated *d)
{
	struct auth_link *link = link_of(d);
	struct auth_source *source = link->source;

	link->is_up = true;
	link->idle_since_us = now_of(link);
	source->failures = 0;
	source->retry_us = 0;
	auth_links_feed(source, now_of(link));
}

static bool
is_any_up(const struct auth_source *source)
{
	const struct auth_link *link;

	TAILQ_FOREACH(link, &source->links, list)
	if (link->is_up)
		return true;
	return false;
}

/* Those that wait are told at once, unless another connection lives. */
static void
on_failed(struct dedicated *d, bool is_fatal, const struct fail *why)
{
	struct auth_source *source = link_of(d)->source;

	source->retry_us =
	    now_of(link_of(d)) + backoff_us(source->failures++, BACKOFF_FIRST_US, BACKOFF_MAX_US, &source->all->random);
	source->is_refused = is_fatal;
	source->why_down = *why;
	if (!is_any_up(source))
		auth_lookups_down(source);
}

static void
on_closed(struct dedicated *d)
{
	struct auth_link *link = link_of(d);
	struct auth_source *source = link->source;
	struct auth_queries *all = source->all;

	TAILQ_REMOVE(&source->links, link, list);
	source->link_count--;
	all->link_count--;
	pool_owns_give(pool_set_owns(all->pools), *all->env.now_us);
	OPENSSL_cleanse(link->secret, sizeof(link->secret));
	free(link);
}

static const struct dedicated_ops link_ops = {
	.up = on_up,
	.failed = on_failed,
	.lost = on_lost,
	.closed = on_closed,
	.error = on_error,
	.row = on_row,
	.done = on_done,
	.batch_end = on_batch_end,
};
