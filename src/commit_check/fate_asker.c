#include "commit_check/fate_asker.h"
#include "dedicated/dedicated.h"
#include "net/loop.h"

#include <assert.h>
#include <stdlib.h>

#define BACKOFF_MIN_US (20 * US_PER_MS)
#define BACKOFF_MAX_US (500 * US_PER_MS)
/* the connection is closed if no answer has come after this time, because another host may be the primary by now */
#define ANSWER_US (3 * US_PER_S)
/* After this many questions about a transaction, every second question is replaced by a command that terminates the
 * transaction's backend if it still waits for its client, because the backend may not know that the connection is
 * gone. */
#define ASKS_BEFORE_TERMINATING 3u

struct fate_asker {
	struct dedicated conn; /* must be first */
	struct pool *pool;
	struct server_env env; /* from dedicated_fill_env() */
	struct timer timer;
	TAILQ_HEAD(, fate_question) questions;
	/* the question whose answer is due; NULL if none is, or the question was cancelled */
	struct fate_question *asked;
	enum commit_fate fate; /* FATE_AGAIN if the answer does not tell the fate, or has not come yet */
	bool is_standby; /* the answer came from a standby */
};

static uint64_t
now_of(const struct fate_asker *a)
{
	return *a->env.now_us;
}

/* --- Questions. --- */

static void
ask(struct fate_asker *a, struct fate_question *q)
{
	struct buf sql = { 0 };

	if (q->ask_count >= ASKS_BEFORE_TERMINATING && q->ask_count % 2 == 1)
		fate_put_end(&sql, q->mark.xid, q->pid);
	else
		fate_put_status_question(&sql, q->mark.xid, q->cluster.timeline);
	assert(a->asked == NULL);
	a->asked = q;
	a->fate = FATE_AGAIN;
	a->is_standby = false;
	q->ask_count++;
	q->next_us = now_of(a) + backoff_us(q->ask_count, BACKOFF_MIN_US, BACKOFF_MAX_US, &a->conn.random);
	dedicated_ask(&a->conn, &sql);
}

static void
remove_question(struct fate_asker *a, struct fate_question *q)
{
	TAILQ_REMOVE(&a->questions, q, link);
	if (a->asked == q)
		a->asked = NULL;
}

static void
end_question(struct fate_asker *a, struct fate_question *q, enum commit_fate fate, const char *reason)
{
	remove_question(a, q);
	q->done(q, fate, reason);
}

static struct fate_question *
find_due(const struct fate_asker *a, uint64_t *next_us)
{
	struct fate_question *q;

	TAILQ_FOREACH(q, &a->questions, link) {
		if (q->next_us <= now_of(a))
			return q;
		if (q->next_us < *next_us)
			*next_us = q->next_us;
	}
	return NULL;
}

/* Does the work that is due, and sets the timer for the next step. */
static void
on_timer(void *arg)
{
	struct fate_asker *a = arg;
	struct fate_question *q, *next;
	uint64_t next_us = UINT64_MAX, due_us;

	for (q = TAILQ_FIRST(&a->questions); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->deadline_us <= now_of(a))
			end_question(a, q, FATE_UNKNOWN, q->reason != NULL ? q->reason : "PostgreSQL did not answer");
		else
			next_us = clock_lesser_us(next_us, q->deadline_us);
	}
	if (TAILQ_EMPTY(&a->questions)) {
		timer_stop(&a->timer);
		dedicated_close(&a->conn);
		return;
	}
	pool_target_unref(a->conn.next_target);
	a->conn.next_target = pool_target_ref(a->pool->target);
	due_us = dedicated_run(&a->conn);
	if (due_us == 0 && (q = find_due(a, &next_us)) != NULL) {
		ask(a, q);
		due_us = dedicated_run(&a->conn);
	}
	if (due_us != 0)
		next_us = clock_lesser_us(next_us, due_us);
	timer_start(&a->timer, next_us > now_of(a) ? next_us - now_of(a) : 0);
}

/* --- Events of the connection. --- */

static void
on_up(struct dedicated *d)
{
	struct fate_asker *a = (struct fate_asker *)d;

	d->failures = 0;
	timer_start(&a->timer, 0);
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	struct fate_asker *a = (struct fate_asker *)d;
	struct fate_question *q = a->asked;
	struct fate_answer answer;
	struct cluster_lives lives;

	if (q == NULL || !is_whole || !fate_read_answer(body, len, &answer))
		return; /* for example, the row of fate_put_end(), which tells no fate */
	pool_set_exchange_lives(a->pool->set, &answer.cluster, &lives);
	a->fate = fate_judge(&q->cluster, &q->mark, &answer, &lives, &q->reason);
	a->is_standby = answer.cluster.is_standby;
}

/* Closes the connection if a standby has answered, because another host may be the primary by now. */
static void
close_if_standby(struct dedicated *d)
{
	d->srv->stream.is_broken |= ((struct fate_asker *)d)->is_standby;
}

/* Ends the question if the answer has told the fate. Otherwise the question is asked again later. */
static void
on_batch_end(struct dedicated *d)
{
	struct fate_asker *a = (struct fate_asker *)d;
	struct fate_question *q = a->asked;

	a->asked = NULL;
	if (q != NULL && a->fate != FATE_AGAIN)
		end_question(a, q, a->fate, q->reason);
	timer_start(&a->timer, 0);
}

static void
on_closed(struct dedicated *d)
{
	struct fate_asker *a = (struct fate_asker *)d;

	a->asked = NULL;
	if (!TAILQ_EMPTY(&a->questions))
		timer_start(&a->timer, 0);
}

static void
on_free(struct dedicated *d)
{
	struct fate_asker *a = (struct fate_asker *)d;

	assert(TAILQ_EMPTY(&a->questions));
	a->pool->commit_asker = NULL;
	dedicated_fini(d);
	timer_stop(&a->timer);
	free(a);
}

/* A failed login does not end the questions, because the cause of the failure may be gone before the deadline. */
static const struct dedicated_ops conn_ops = {
	.backoff_min_us = BACKOFF_MIN_US,
	.backoff_max_us = BACKOFF_MAX_US,
	.answer_us = ANSWER_US,
	.up = on_up,
	.row = on_row,
	.done = close_if_standby,
	.batch_end = on_batch_end,
	.closed = on_closed,
	.free = on_free,
};

/* --- The asker of a pool. --- */

static struct fate_asker *
asker_get_or_create(struct pool *pool)
{
	struct fate_asker *a = (struct fate_asker *)pool->commit_asker;

	if (a != NULL || (a = calloc(1, sizeof(*a))) == NULL)
		return a;
	a->pool = pool;
	dedicated_fill_env(&a->env, pool->set);
	dedicated_init(&a->conn, &conn_ops, pool->set, &a->env);
	TAILQ_INIT(&a->questions);
	timer_init(&a->timer, a->env.base, a->env.now_us, on_timer, a);
	pool->commit_asker = &a->conn;
	return a;
}

int
fate_ask(struct pool *pool, struct fate_question *q)
{
	struct fate_asker *a = asker_get_or_create(pool);

	if (a == NULL)
		return -1;
	q->next_us = now_of(a);
	q->ask_count = 0;
	q->reason = NULL;
	TAILQ_INSERT_TAIL(&a->questions, q, link);
	timer_start(&a->timer, 0);
	return 0;
}

void
fate_cancel(struct pool *pool, struct fate_question *q)
{
	struct fate_asker *a = (struct fate_asker *)pool->commit_asker;

	remove_question(a, q);
	timer_start(&a->timer, 0);
}
