#include "client/clients.h"
#include "client/client.h"
#include "pool/pool_workers.h"
#include "relay/relay.h"

struct client *
clients_walk(struct client_env *const *client_envs, const struct client *previous)
{
	struct client *c = previous == NULL ? TAILQ_FIRST(&(*client_envs)->clients) : TAILQ_NEXT(previous, all);

	while (previous != NULL && *client_envs != previous->env)
		client_envs++;
	while (c == NULL && *++client_envs != NULL)
		c = TAILQ_FIRST(&(*client_envs)->clients);
	return c;
}

struct pool *
clients_walk_pools(struct client_env *const *client_envs, const struct pool *previous)
{
	struct pool *pool = previous == NULL ? pool_set_first((*client_envs)->x.pools) : previous->next;

	while (previous != NULL && (*client_envs)->x.pools != previous->set)
		client_envs++;
	while (pool == NULL && *++client_envs != NULL)
		pool = pool_set_first((*client_envs)->x.pools);
	return pool;
}

/* Returns true if the client logs in or waits for a server: PgBouncer disconnects such clients. With is_gentle, a
 * client that waits only because pgweir itself runs queries on servers may stay. */
static bool
is_to_leave(const struct client *c, bool is_gentle)
{
	struct policy_counts counts;

	if (client_state_is_login((enum client_state)c->x.state))
		return true;
	if (c->x.waiter.waits == WAITS_NOT || !is_gentle)
		return c->x.waiter.waits != WAITS_NOT;
	policy_get_counts(c->x.pool->policy, &counts);
	return counts.pinging + counts.washing == 0;
}

void
clients_drain(struct client_env *env, bool is_gentle)
{
	struct client *c, *next;
	struct fail why;

	env->x.is_draining = true;
	env->x.keeps_idle_clients = is_gentle;
	fail_set(&why, "57P01", "pgweir is shutting down");
	fail_pgbouncer_text(&why, "server shutting down");
	for (c = TAILQ_FIRST(&env->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->x.state == CL_IN_DOUBT || c->x.block == EXCHANGE_BEGIN_DUE) /* a transaction is open */
			continue;
		if (is_to_leave(c, is_gentle))
			client_close(c, &why);
		else if (!is_gentle && exchange_is_relayed(&c->x) && (c->x.srv == NULL || relay_is_streaming(&c->x)))
			client_close(c, &why);
		else if (!is_gentle && exchange_is_relayed(&c->x))
			relay_try_release(&c->x); /* in session mode, the client may be between two transactions */
	}
}

void
clients_suspend(struct client_env *env, bool on)
{
	struct server *srv;
	struct client *c;

	env->x.is_suspended = on;
	TAILQ_FOREACH(c, &env->clients, all) {
		if (c->x.reading == EXCHANGE_IN_TRANSFER || (on && !exchange_is_relayed(&c->x)))
			continue;
		stream_suspend(&c->x.stream, on);
		if (c->x.srv != NULL)
			stream_suspend(&c->x.srv->stream, on);
	}
	/* Some servers may have lost their clients since the SUSPEND, so all servers are resumed. */
	for (struct pool *pool = pool_set_first(env->x.pools); pool != NULL && !on; pool = pool->next)
		TAILQ_FOREACH(srv, &pool->servers, all)
			stream_suspend(&srv->stream, false);
}

void
clients_apply_config(struct client_env *env, uint64_t now_us)
{
	env->watched_us = 0;
	for (struct client *c = TAILQ_FIRST(&env->clients), *next; c != NULL; c = next) {
		const struct scope_settings *own;

		next = TAILQ_NEXT(c, all);
		if (c->x.pool == NULL)
			continue;
		own = pool_adopt_user(c->x.pool, exchange_user(&c->x), now_us);
		c->x.settings = own != NULL ? own : &c->x.pool->settings;
		if (own == NULL)
			exchange_out_of_memory(&c->x);
	}
}

bool
clients_are_left(const struct client_env *main_env)
{
	const struct client *c;

	if (pool_workers_count_moved_clients(main_env->pool_workers) > 0)
		return true;
	TAILQ_FOREACH(c, &main_env->clients, all)
		if (c->x.state != CL_CONSOLE)
			return true;
	return false;
}

uint32_t
clients_count(const struct client_env *main_env)
{
	return main_env->pool_client_count + pool_workers_count_moved_clients(main_env->pool_workers);
}

bool
clients_are_flushed(struct client_env *const *client_envs)
{
	for (const struct client *c = clients_walk(client_envs, NULL); c != NULL; c = clients_walk(client_envs, c))
		if (exchange_is_relayed(&c->x) && (stream_queued_len(&c->x.stream) > 0 ||
						   (c->x.srv != NULL && stream_queued_len(&c->x.srv->stream) > 0)))
			return false;
	return true;
}

uint32_t
clients_in_console(const struct client_env *env)
{
	const struct client *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &env->clients, all)
		n += c->x.state == CL_CONSOLE;
	return n;
}

struct client *
client_find_by_id(struct client_env *env, uint64_t id)
{
	struct client *c;

	/* The search begins with the newest client, because the asker of a cancel has just been accepted. */
	TAILQ_FOREACH_REVERSE(c, &env->clients, client_list, all)
		if (c->x.waiter.id == id)
			return c;
	return NULL;
}

struct client *
clients_find(struct client_env *const *client_envs, uint64_t id)
{
	struct client *c = NULL;

	while (c == NULL && *client_envs != NULL)
		c = client_find_by_id(*client_envs++, id);
	return c;
}
