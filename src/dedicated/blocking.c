#include "dedicated/blocking.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "dedicated/dedicated.h"
#include "wire/fields.h"
#include "wire/messages.h"
#include "server/server.h"

#include <assert.h>
#include <inttypes.h>

#define QUESTION_MAX_US (1 * US_PER_S)
/* how long a question waits for a place in max_server_connections, so that an idle connection can be closed for it */
#define PLACE_WAIT_US (200 * US_PER_MS)
#define CHAIN_MAX 8 /* the most processes in a row that are followed */
#define TEXT_MAX 256 /* bytes for the PIDs in one row, which has at most BLOCKING_PIDS_MAX of them */

struct blocked {
	uint32_t pid, blocker_count, blockers[BLOCKING_PIDS_MAX];
};

/* A question to one host, and its answer. */
struct question {
	struct dedicated dedicated; /* must be first */
	struct blocking *owner;
	/* the address of the host on which servers are busy; it may become the address of another host */
	char address[SERVER_ADDRESS_MAX];
	uint64_t asked_us; /* when the question was sent */
	uint64_t deadline_us; /* 0 once the question is answered */
	bool is_open; /* true until the question is over, even while it waits for a place */
	size_t server_count; /* the number of servers that the question is about: the first elements of found[] */
	size_t found_count; /* elements of found[]: the servers, then the blocked processes that block them */
	struct blocked found[BLOCKING_SERVERS_MAX];
};

struct blocking {
	struct pool_set *pools;
	struct server_env env;
	/* the questions of the last round: the first question_count are set */
	struct question *questions[BLOCKING_QUESTIONS_MAX];
	size_t question_count, open_count;
	uint64_t updated_us; /* when the last round began, or when its last question ended; 0 if there was no round */
};

static const struct dedicated_ops question_ops;

struct blocking *
blocking_new(struct pool_set *pools)
{
	struct blocking *b = xcalloc(1, sizeof(*b));

	b->pools = pools;
	return b;
}

static void
end_question(struct question *q)
{
	assert(q->is_open && q->owner->open_count > 0);
	q->is_open = false;
	q->owner->open_count--;
	q->owner->updated_us = *q->owner->env.now_us;
}

static void
give_up(struct question *q)
{
	if (q->dedicated.srv != NULL)
		dedicated_close(&q->dedicated); /* calls on_closed */
	else if (q->is_open)
		end_question(q);
}

static void
forget_round(struct blocking *b)
{
	for (size_t i = 0; i < b->question_count; i++) {
		give_up(b->questions[i]);
		free(b->questions[i]);
	}
	b->question_count = 0;
}

void
blocking_free(struct blocking *b)
{
	if (b == NULL)
		return;
	forget_round(b);
	free(b);
}

/* --- Asking. --- */

static bool
is_busy(const struct server *srv)
{
	uint64_t since_us;

	/* A server that has logged in by a client's ticket is left out, because a question must not use that ticket. */
	return srv->state == SV_LENT && srv->borrower != NULL && srv->target->delegator == NULL &&
	       ledger_owes_client(&srv->ledger, &since_us);
}

static bool
has_question(const struct blocking *b, const char *address)
{
	for (size_t i = 0; i < b->question_count; i++)
		if (strcmp(b->questions[i]->address, address) == 0)
			return true;
	return false;
}

static void
try_to_connect(struct question *q, const struct pool *e, uint64_t now_us)
{
	struct blocking *b = q->owner;

	if (!pool_set_take_place(b->pools, now_us))
		return;
	q->deadline_us = now_us + QUESTION_MAX_US;
	if (dedicated_open(&q->dedicated, b->pools, &b->env, e->target, NULL, NULL) == 0)
		return;
	pool_set_give_place(b->pools, now_us);
	end_question(q);
}

static void
open_question(struct blocking *b, const struct pool *e, const struct server *srv, uint64_t now_us)
{
	struct question *q = b->question_count < BLOCKING_QUESTIONS_MAX ? calloc(1, sizeof(*q)) : NULL;

	if (q == NULL)
		return;
	q->owner = b;
	q->dedicated.ops = &question_ops;
	q->deadline_us = now_us + PLACE_WAIT_US;
	memcpy(q->address, srv->address, sizeof(q->address));
	q->is_open = true;
	b->questions[b->question_count++] = q;
	b->open_count++;
	try_to_connect(q, e, now_us);
}

/* Answers from the future count as fresh, because the caller's clock may be a little slower than the clock of the
 * worker that got the answers. */
static bool
is_fresh(const struct blocking *b, uint64_t now_us)
{
	return b->updated_us != 0 && now_us < b->updated_us + BLOCKING_FRESH_US;
}

bool
blocking_ask(struct blocking *b, uint64_t now_us)
{
	const struct server *srv;

	if (b->open_count > 0 || is_fresh(b, now_us))
		return b->open_count > 0;
	forget_round(b);
	dedicated_fill_env(&b->env, b->pools);
	b->updated_us = now_us;
	for (const struct pool *e = pool_set_first(b->pools); e != NULL; e = e->next)
		TAILQ_FOREACH(srv, &e->servers, all)
			if (is_busy(srv) && !has_question(b, srv->address))
				open_question(b, e, srv, now_us);
	return b->open_count > 0;
}

bool
blocking_is_asking(const struct blocking *b)
{
	return b->open_count > 0;
}

/* Returns a pool with a busy server on the host at this address, or NULL. */
static const struct pool *
find_busy(const struct blocking *b, const char *address)
{
	const struct server *srv;

	for (const struct pool *e = pool_set_first(b->pools); e != NULL; e = e->next)
		TAILQ_FOREACH(srv, &e->servers, all)
			if (is_busy(srv) && strcmp(srv->address, address) == 0)
				return e;
	return NULL;
}

void
blocking_tick(struct blocking *b, uint64_t now_us)
{
	for (size_t i = 0; i < b->question_count; i++) {
		struct question *q = b->questions[i];
		const struct pool *e;

		if (!q->is_open)
			continue;
		if (now_us >= q->deadline_us)
			give_up(q);
		else if (q->dedicated.srv == NULL && (e = find_busy(b, q->address)) != NULL)
			try_to_connect(q, e, now_us);
	}
}

/* --- One question. --- */

/* Appends SQL that asks which processes block the servers, then which processes block these blockers, and so on, in up
 * to CHAIN_MAX steps. Names are qualified, so the role's search_path can't change their meaning. */
static void
put_question(const struct question *q, struct buf *sql)
{
	buf_printf(sql, "WITH RECURSIVE asked(pids) AS (SELECT '{");
	for (size_t i = 0; i < q->server_count; i++)
		buf_printf(sql, "%s%" PRIu32, i > 0 ? "," : "", q->found[i].pid);
	buf_printf(sql,
		   "}'::pg_catalog.int4[]), found(pid, blockers, depth) AS ("
		   "SELECT pid, pg_catalog.pg_blocking_pids(pid), 1 FROM asked, pg_catalog.unnest(pids) AS pid UNION "
		   "SELECT pid, pg_catalog.pg_blocking_pids(pid), depth OPERATOR(pg_catalog.+) 1 "
		   "FROM asked, found AS of(waiter, blockers, depth), pg_catalog.unnest(blockers) AS pid "
		   "WHERE depth OPERATOR(pg_catalog.<) %d AND pid OPERATOR(pg_catalog.<>) ALL (pids) "
		   "AND pid OPERATOR(pg_catalog.<>) 0) "
		   "SELECT " MESSAGE_OURS "pid, pg_catalog.array_to_string(blockers[:%d], ',') FROM found "
		   "WHERE pg_catalog.cardinality(blockers) OPERATOR(pg_catalog.>) 0",
		   CHAIN_MAX, BLOCKING_PIDS_MAX);
}

static void
on_up(struct dedicated *d)
{
	struct question *q = (struct question *)d;
	const struct server *s;
	struct buf sql = { 0 };

	/* The target's host name may stand for several hosts. So the question is about the servers that are busy on the
	 * host that the connection has reached. */
	for (const struct pool *e = pool_set_first(q->owner->pools); e != NULL; e = e->next)
		TAILQ_FOREACH(s, &e->servers, all)
			if (q->found_count < BLOCKING_SERVERS_MAX && is_busy(s) &&
			    strcmp(s->address, d->srv->address) == 0)
				q->found[q->found_count++].pid = s->pid;
	q->server_count = q->found_count;
	memcpy(q->address, d->srv->address, sizeof(q->address));
	q->asked_us = *q->owner->env.now_us;
	put_question(q, &sql);
	dedicated_ask(d, &sql);
}

static void
read_blockers(struct blocked *s, const char *text)
{
	char *end;

	/* PID 0 is a prepared transaction, which has no process. */
	for (s->blocker_count = 0; *text != '\0' && s->blocker_count < BLOCKING_PIDS_MAX; text = end + (*end == ',')) {
		uint32_t pid = (uint32_t)strtoul(text, &end, 10);

		if (end == text)
			return;
		s->blockers[s->blocker_count++] = pid;
	}
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	struct question *q = (struct question *)d;
	struct value_list row;
	char blockers[TEXT_MAX];
	uint32_t pid;
	size_t i = 0;

	fields_begin_row(body, len, &row);
	pid = (uint32_t)fields_row_take_number(&row);
	if (!is_whole || fields_row_take_text(&row, blockers, sizeof(blockers))[0] == '\0')
		q->found_count = 0; /* a part of the answer is missing, so none of it is used */
	if (q->found_count == 0)
		return;
	while (i < q->found_count && q->found[i].pid != pid)
		i++;
	if (i == BLOCKING_SERVERS_MAX)
		return;
	q->found_count += i == q->found_count;
	q->found[i].pid = pid;
	read_blockers(&q->found[i], blockers);
}

static const struct blocked *
find_blocked(const struct question *q, uint32_t pid)
{
	for (size_t i = 0; i < q->found_count; i++)
		if (q->found[i].pid == pid && q->found[i].blocker_count > 0)
			return &q->found[i];
	return NULL;
}

/* For each server that waits for a lock, writes the process at the root of the chain of blockers to the loan. */
static void
note_roots(const struct question *q)
{
	struct server *srv;

	for (const struct pool *e = pool_set_first(q->owner->pools); e != NULL; e = e->next)
		TAILQ_FOREACH(srv, &e->servers, all) {
			const struct blocked *next =
			    is_busy(srv) && strcmp(srv->address, q->address) == 0 ? find_blocked(q, srv->pid) : NULL;

			srv->loan.seen_blocked_us = next != NULL ? q->asked_us : srv->loan.seen_blocked_us;
			/* the steps are limited, because in a deadlock the chain has no end */
			for (unsigned i = 0; i < BLOCKING_SERVERS_MAX && next != NULL; i++) {
				srv->loan.root_pid = next->blockers[0];
				next = find_blocked(q, srv->loan.root_pid);
			}
		}
}

static void
on_done(struct dedicated *d)
{
	struct question *q = (struct question *)d;

	if (d->state == DEDICATED_REFUSED)
		q->found_count = 0; /* the question has failed */
	q->deadline_us = 0;
	note_roots(q);
}

static void
on_batch_end(struct dedicated *d)
{
	if (((struct question *)d)->deadline_us == 0)
		dedicated_close(d);
}

static void
on_closed(struct dedicated *d)
{
	struct question *q = (struct question *)d;

	end_question(q);
	pool_set_give_place(q->owner->pools, q->owner->updated_us);
}

static const struct dedicated_ops question_ops = {
	.up = on_up,
	.closed = on_closed,
	.row = on_row,
	.done = on_done,
	.batch_end = on_batch_end,
};

/* --- Answers. --- */

int
blocking_get_blockers(const struct blocking *b, const char *address, uint32_t pid, uint32_t pids[BLOCKING_PIDS_MAX],
		      uint64_t now_us)
{
	for (size_t i = 0; is_fresh(b, now_us) && i < b->question_count; i++) {
		const struct question *q = b->questions[i];

		if (q->deadline_us != 0 || strcmp(q->address, address) != 0)
			continue;
		for (size_t k = 0; k < q->found_count; k++) {
			if (q->found[k].pid != pid)
				continue;
			memcpy(pids, q->found[k].blockers, q->found[k].blocker_count * sizeof(*pids));
			return (int)q->found[k].blocker_count;
		}
	}
	return -1;
}
