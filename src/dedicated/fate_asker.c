#include "dedicated/questions.h"

#include "base/clock.h"
#include "dedicated/dedicated.h"
#include "net/loop.h"

#include <stdlib.h>

#define BACKOFF_FIRST_US (20 * US_PER_MS)
#define BACKOFF_MAX_US (500 * US_PER_MS)
#define ANSWER_US (3 * US_PER_S) /* then its connection is given up: the primary may be another one by now */
/* A backend that waits in the transaction though its connection is gone is ended: at this question, and later ones. */
#define PATIENCE 3u

struct fate_asker {
	struct pool *pool;
	struct server_env env; /* from dedicated_env() */
	struct dedicated conn;
	struct timer timer;
	TAILQ_HEAD(, fate_question) questions;
	struct fate_question *asked; /* its answer is due; NULL: of one that was cancelled, or none */
	bool is_up, is_busy; /* it takes questions; it has not answered the last one yet */
	bool is_ending; /* what it was asked last ends a backend */
	bool is_answered; /* answer is whole */
	struct fate_answer answer;
	uint64_t asked_us; /* when it was asked last */
	uint64_t retry_us, random;
	uint32_t failures; /* in a row */
};

static struct fate_asker *
asker_of(struct dedicated *d)
{
	return (struct fate_asker *)((char *)d - offsetof(struct fate_asker, conn));
}

static uint64_t
now_of(const struct fate_asker *a)
{
	return *a->env.now_us;
}

/* --- asking --- */

static void
ask(struct fate_asker *a, struct fate_question *q)
{
	struct buf sql = { 0 };

	a->is_ending = q->asked >= PATIENCE && q->asked % 2 == 1;
	if (a->is_ending)
		fate_ask_end(&sql, q->mark.xid, q->pid);
	else
		fate_ask_status(&sql, q->mark.xid, q->cluster.timeline);
	a->asked = q;
	a->is_busy = true;
	a->is_answered = false;
	a->asked_us = now_of(a);
	q->asked++;
	q->next_us = now_of(a) + backoff_us(q->asked, BACKOFF_FIRST_US, BACKOFF_MAX_US, &a->random);
	dedicated_ask(&a->conn, &sql);
}

static void
take_out(struct fate_asker *a, struct fate_question *q)
{
	TAILQ_REMOVE(&a->questions, q, line);
	if (a->asked == q)
		a->asked = NULL;
}

static void
end_question(struct fate_asker *a, struct fate_question *q, enum commit_fate fate, const char *reason)
{
	take_out(a, q);
	q->done(q, fate, reason);
}

static struct fate_question *
find_due(const struct fate_asker *a, uint64_t *next_us)
{
	struct fate_question *q;

	TAILQ_FOREACH(q, &a->questions, line) {
		if (q->next_us <= now_of(a))
			return q;
		if (q->next_us < *next_us)
			*next_us = q->next_us;
	}
	return NULL;
}

/* Does what is due, and sets the timer for what will be. */
static void
kick(struct fate_asker *a)
{
	struct fate_question *q, *next;
	uint64_t next_us = UINT64_MAX;

	for (q = TAILQ_FIRST(&a->questions); q != NULL; q = next) {
		next = TAILQ_NEXT(q, line);
		if (q->deadline_us <= now_of(a))
			end_question(a, q, FATE_UNKNOWN, q->reason != NULL ? q->reason : "PostgreSQL did not answer");
	}
	if (TAILQ_EMPTY(&a->questions)) {
		timer_stop(&a->timer);
		dedicated_close(&a->conn);
		return;
	}
	TAILQ_FOREACH(q, &a->questions, line)
		if (q->deadline_us < next_us)
			next_us = q->deadline_us;
	if (a->is_busy && a->asked_us + ANSWER_US <= now_of(a))
		dedicated_close(&a->conn);
	if (a->conn.srv == NULL) {
		if (a->retry_us <= now_of(a) &&
		    dedicated_open(&a->conn, a->pool->set, &a->env, a->pool->target, NULL, NULL) < 0)
			a->retry_us = now_of(a) + BACKOFF_MAX_US;
		if (a->conn.srv == NULL && a->retry_us < next_us)
			next_us = a->retry_us;
	} else if (a->is_up && !a->is_busy && (q = find_due(a, &next_us)) != NULL)
		ask(a, q);
	if (a->is_busy && a->asked_us + ANSWER_US < next_us)
		next_us = a->asked_us + ANSWER_US;
	timer_start(&a->timer, next_us > now_of(a) ? next_us - now_of(a) : 0);
}

static void
on_timer(void *arg)
{
	kick(arg);
}

/* --- what the connection reports --- */

static void
on_up(struct dedicated *d)
{
	struct fate_asker *a = asker_of(d);

	a->is_up = true;
	a->failures = 0;
	timer_start(&a->timer, 0);
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	struct fate_asker *a = asker_of(d);

	a->is_answered = !a->is_ending && is_whole && fate_read_answer(body, len, &a->answer);
}

static void
on_done(struct dedicated *d)
{
	asker_of(d)->is_busy = false;
}

/* A standby is left: another host may be the primary by now. */
static void
on_batch_end(struct dedicated *d)
{
	struct fate_asker *a = asker_of(d);
	struct fate_question *q = a->asked;
	enum commit_fate fate = FATE_AGAIN;
	struct cluster_lives lives;

	if (a->is_busy)
		return;
	a->asked = NULL;
	if (q != NULL && a->is_answered) {
		pool_set_lives(a->pool->set, &a->answer.cluster, &lives);
		fate = fate_judge(&q->cluster, &q->mark, &a->answer, &lives, &q->reason);
		if (a->answer.cluster.is_standby) {
			dedicated_close(d);
			return;
		}
	}
	if (fate != FATE_AGAIN)
		end_question(a, q, fate, q->reason);
	timer_start(&a->timer, 0);
}

static void
on_closed(struct dedicated *d)
{
	struct fate_asker *a = asker_of(d);

	a->is_up = a->is_busy = false;
	a->asked = NULL;
	a->retry_us = now_of(a) + backoff_us(a->failures++, BACKOFF_FIRST_US, BACKOFF_MAX_US, &a->random);
	if (!TAILQ_EMPTY(&a->questions))
		timer_start(&a->timer, 0);
}

/* Without a row it asks again; whatever a login failed for may pass before the deadline. */
static const struct dedicated_ops conn_ops = {
	.is_unbound = true,
	.up = on_up,
	.closed = on_closed,
	.row = on_row,
	.done = on_done,
	.batch_end = on_batch_end,
};

/* --- the pool's --- */

static struct fate_asker *
own(struct pool *pool)
{
	struct fate_asker *a = pool->fates;

	if (a != NULL || (a = calloc(1, sizeof(*a))) == NULL)
		return a;
	a->pool = pool;
	a->conn.ops = &conn_ops;
	dedicated_env(&a->env, pool->set);
	a->random = pool_set_random(pool->set);
	TAILQ_INIT(&a->questions);
	timer_init(&a->timer, a->env.base, a->env.now_us, on_timer, a);
	return pool->fates = a;
}

int
fate_ask(struct pool *pool, struct fate_question *q)
{
	struct fate_asker *a = own(pool);

	if (a == NULL)
		return -1;
	q->next_us = now_of(a);
	q->asked = 0;
	q->reason = NULL;
	TAILQ_INSERT_TAIL(&a->questions, q, line);
	timer_start(&a->timer, 0);
	return 0;
}

void
fate_cancel(struct pool *pool, struct fate_question *q)
{
	struct fate_asker *a = pool->fates;

	take_out(a, q);
	timer_start(&a->timer, 0);
}

void
fate_asker_free(struct pool *pool)
{
	struct fate_asker *a = pool->fates;

	if (a == NULL)
		return;
	pool->fates = NULL;
	dedicated_close(&a->conn);
	timer_stop(&a->timer);
	free(a);
}
