/* src/relay/reads_wait.c - clients that wait until a host shows what they must see: CL_CATCHING_UP; see reads.h. */
#include "relay/reads_state.h"

#include <stdlib.h>

#define CATCH_LOOK_US (1 * US_PER_MS) /* how often clients that wait try again, if no host answers */

/* A subscription of this loop to one cluster. The loop is notified of readings while its clients wait for one, and
 * always of standbys that fall silent. */
struct reads_subscription {
	struct reads_subscription *next;
	struct cluster *cluster; /* a reference */
	unsigned silences; /* how many of the cluster's silences (cluster_count_silences()) this loop has handled */
	struct cluster_listener listener;
};

/* Called on any thread. */
static void
on_answer(void *owner)
{
	struct exchange_env *env = owner;

	env->on_cluster_reading(env->owner);
}

static struct reads_subscription *
find_subscription(const struct exchange_env *env, const struct cluster *c)
{
	struct reads_subscription *e = env->subscribers;

	while (e != NULL && e->cluster != c)
		e = e->next;
	return e;
}

void
reads_listen(struct exchange_env *env, struct cluster *c)
{
	struct reads_subscription *e = find_subscription(env, c);

	if (e == NULL && (e = calloc(1, sizeof(*e))) != NULL) {
		e->cluster = cluster_ref(c);
		e->listener.notify = on_answer;
		e->listener.owner = env;
		e->silences = cluster_count_silences(c);
		e->next = env->subscribers;
		env->subscribers = e;
		cluster_listen(c, &e->listener);
	}
}

static void
stop_waiting(struct client_reads *r)
{
	TAILQ_REMOVE(&r->x->env->catching, r, link);
	r->wait_until_us = 0;
	if (r->x->reading != EXCHANGE_STALLED)
		stream_set_reading(&r->x->stream, true);
}

/* Lets each client that waits try again. Clients that still have to wait go to the end of the list. */
static void
retry_waiting(void *arg)
{
	struct exchange_env *env = arg;
	struct client_reads *r;
	size_t count = 0;

	for (struct reads_subscription *e = env->subscribers; e != NULL; e = e->next)
		cluster_set_waiting(&e->listener, false);
	TAILQ_FOREACH(r, &env->catching, link)
		count++;
	for (; count > 0 && (r = TAILQ_FIRST(&env->catching)) != NULL; count--) {
		struct exchange *x = r->x;

		stop_waiting(r);
		exchange_step(x, CE_CAUGHT_UP);
		exchange_handle_pending(x, x->env->ops->handle_bytes);
		if (x->state == CL_CATCHING_UP && x->pending_len > EXCHANGE_PENDING_MAX)
			stream_set_reading(&x->stream, false);
	}
	if (!TAILQ_EMPTY(&env->catching))
		timer_start(&env->catch_timer, CATCH_LOOK_US);
}

bool
reads_on_cluster_reading(struct exchange_env *env)
{
	bool has_fallen_silent = false;

	retry_waiting(env);
	for (struct reads_subscription *e = env->subscribers; e != NULL; e = e->next) {
		unsigned silences = cluster_count_silences(e->cluster);

		has_fallen_silent |= silences != e->silences;
		e->silences = silences;
	}
	return has_fallen_silent;
}

void
reads_init(struct exchange_env *env)
{
	TAILQ_INIT(&env->catching);
	timer_init(&env->catch_timer, env->base, env->now_us, retry_waiting, env);
}

void
reads_fini(struct exchange_env *env)
{
	for (struct reads_subscription *e = env->subscribers, *next; e != NULL; e = next) {
		next = e->next;
		cluster_unlisten(e->cluster, &e->listener);
		cluster_put(e->cluster);
		free(e);
	}
	env->subscribers = NULL;
	timer_stop(&env->catch_timer);
}

void
reads_stop_catching_up(struct exchange *x)
{
	struct client_reads *r = reads_of(x);

	stop_waiting(r);
	r->catch_until_us = r->settle_until_us = r->primary_until_us = 0;
}

bool
reads_start_or_continue_wait(const struct client_reads *r, uint64_t *until_us, uint64_t wait_us)
{
	uint64_t now_us = *r->x->env->now_us;

	if (*until_us == 0)
		*until_us = now_us + wait_us;
	return now_us < *until_us;
}

/* Returns true if a reading of the primary may end the wait; false if a standby has to reach a position. */
static bool
primary_may_end_wait(const struct client_reads *r)
{
	return r->token.primary_due != 0 || r->token.host_due != 0 || r->min_due != 0 || r->settle_until_us != 0 ||
	       r->primary_until_us != 0;
}

enum walk_result
reads_wait_until(struct client_reads *r, uint64_t until_us, enum cluster_wants what)
{
	struct exchange_env *env = r->x->env;
	struct reads_subscription *e;

	exchange_step(r->x, CE_CATCH_UP);
	if (TAILQ_EMPTY(&env->catching))
		timer_start(&env->catch_timer, CATCH_LOOK_US);
	TAILQ_INSERT_TAIL(&env->catching, r, link);
	r->wait_until_us = until_us;
	if ((e = find_subscription(env, r->cluster)) != NULL)
		cluster_set_waiting(&e->listener, true);
	cluster_want(r->cluster, primary_may_end_wait(r) ? what : CLUSTER_STANDBYS);
	return WALK_WAIT;
}
