/* src/pool/pool_own.c - see pool_own.h. */
#include "pool/pool_own.h"

#include "base/clock.h"
#include "pool/pool_budget.h"
#include "pool/pool_target.h"
#include "server/server_none.h"

#include <stdlib.h>
#include <string.h>

struct pool_owns {
	struct server_env env; /* the pools', but for whom servers report to */
	struct budget_member member;
	uint32_t count;
};

struct own {
	struct pool_conn conn; /* first: a server shows its owner one; no policy knows it */
	struct server_target target;
	struct pool_target *held; /* target points into it */
	struct image *settings;
	struct scram_keys keys; /* not the pool's, which may be another password's before its login is over */
	const struct pool_own_ops *ops; /* NULL: nobody is told any more */
	void *link;
};

static struct own *
own_of(const struct server *srv)
{
	return (struct own *)srv->conn;
}

static struct pool_owns *
owns_of(const struct server *srv)
{
	struct pool_entry *entry = srv->owner;

	return pool_set_owns(entry->set);
}

static void
on_ready(struct server *srv)
{
	struct own *own = own_of(srv);
	const struct pool_own_ops *ops = own->ops;

	own->ops = NULL;
	own->conn.state = PC_LENT;
	server_lend(srv, own->link, *srv->env->now_us);
	srv->ledger.is_replication = true;
	ops->on_ready(srv, own->link);
}

static void
on_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct own *own = own_of(srv);
	const struct pool_own_ops *ops = own->ops;

	(void)kind;
	(void)is_fatal;
	own->ops = NULL;
	if (ops != NULL)
		ops->on_failed(why, own->link);
}

static void
on_closed(struct server *srv)
{
	struct pool_entry *entry = srv->owner;
	struct pool_owns *owns = owns_of(srv);
	struct own *own = own_of(srv);

	TAILQ_REMOVE(&entry->servers, srv, all);
	pool_owns_give(owns, *srv->env->now_us);
	srv->conn = NULL;
	srv->target = NULL;
	pool_target_unref(own->held);
	image_unref(own->settings);
	explicit_bzero(&own->keys, sizeof(own->keys));
	free(own);
}

/* They are never pinged, cleaned or idle. */
static const struct server_owner_ops owner_ops = { on_ready,	       on_failed,	server_none_pinged,
						   server_none,	       server_none_why, server_none_probe_row,
						   server_none_pinged, on_closed };

struct pool_owns *
pool_owns_new(const struct server_env *env, struct pool_budget *budget)
{
	struct pool_owns *owns = calloc(1, sizeof(*owns));

	if (owns == NULL)
		return NULL;
	owns->env = *env;
	owns->env.owner_ops = &owner_ops;
	budget_join(budget, &owns->member, NULL);
	return owns;
}

void
pool_owns_free(struct pool_owns *owns)
{
	if (owns == NULL)
		return;
	budget_leave(&owns->member);
	free(owns);
}

uint32_t
pool_owns_count(const struct pool_owns *owns)
{
	return owns->count;
}

bool
pool_owns_take(struct pool_owns *owns, uint64_t now_us)
{
	if (!budget_take(&owns->member, now_us))
		return false;
	owns->count++;
	return true;
}

void
pool_owns_give(struct pool_owns *owns, uint64_t now_us)
{
	owns->count--;
	budget_moved(&owns->member, PC_LENT, PC_NONE);
	budget_review(owns->member.budget, now_us);
}

bool
pool_owns_is_wanted(const struct pool_owns *owns)
{
	return budget_is_wanted(owns->member.budget);
}

static struct own *
own_new(struct pool_entry *entry, const char *replication, struct image *settings)
{
	struct own *own = calloc(1, sizeof(*own));

	if (own == NULL)
		return NULL;
	own->held = pool_target_ref(entry->target);
	own->settings = image_ref(settings);
	own->target = entry->target->server;
	own->keys = entry->keys;
	own->target.keys = &own->keys;
	own->target.replication = replication;
	own->target.settings = own->settings;
	own->conn.state = PC_OPENING;
	return own;
}

struct server *
pool_own_open(struct pool_entry *entry, const char *replication, struct image *settings, const struct pool_own_ops *ops,
	      void *link, uint64_t now_us, struct fail *why)
{
	struct pool_owns *owns = pool_set_owns(entry->set);
	struct server *srv;
	struct own *own;

	if (!pool_owns_take(owns, now_us)) {
		fail_set(why, "53300", "max_server_connections is used up, and none of them is idle");
		fail_hint(why, "Raise it, or lower the pool_size of pools.");
		return NULL;
	}
	own = own_new(entry, replication, settings);
	srv = own == NULL ? NULL
			  : server_new(&owns->env, &own->target, &own->conn, entry, pool_set_next_server_id(entry->set),
				       now_us);
	if (srv == NULL) {
		if (own != NULL) {
			pool_target_unref(own->held);
			image_unref(own->settings);
			explicit_bzero(&own->keys, sizeof(own->keys));
		}
		free(own);
		pool_owns_give(owns, now_us);
		fail_set(why, "53200", "no memory for a server connection");
		return NULL;
	}
	own->ops = ops;
	own->link = link;
	TAILQ_INSERT_TAIL(&entry->servers, srv, all);
	return srv;
}

void
pool_own_abandon(struct server *srv)
{
	own_of(srv)->ops = NULL;
	server_close(srv);
}
