/*
 * src/login/login_replication.c - replication clients (protocol chapter, "Streaming Replication Protocol"): passed
 * through, each on a server connection of its own that was made for it (dedicated.h) and ends with it.
 *
 * The startup packet's settings go to PostgreSQL in that server's own startup packet; nothing is set, replayed or
 * prepared on the client's behalf, and no limit on time ends it: PostgreSQL has wal_sender_timeout for that.
 */
#include "login/login_state.h"
#include "relay/reject.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "state/state.h"

#include "pool/dedicated.h"

#include <string.h>

static bool
is_same_cluster(const struct upstream *a, const struct upstream *b)
{
	if (a->host_count != b->host_count)
		return false;
	for (size_t i = 0; i < a->host_count; i++)
		if (a->hosts[i].port != b->hosts[i].port || strcmp(a->hosts[i].host, b->hosts[i].host) != 0)
			return false;
	return true;
}

/*
 * Physical replication is of a whole cluster. Its clients name no database: libpq's tools send "replication", others
 * nothing, which is the user's name. Where there is only one cluster it is that one they mean.
 */
const char *
replication_database(const struct client *c)
{
	const struct client_login *l = c->login;
	const struct config *config = c->env->x.config;

	if (l->replication != REPLICATION_PHYSICAL || config->database_count == 0 ||
	    config_find_database(config, l->database) != NULL)
		return l->database;
	for (size_t i = 1; i < config->database_count; i++)
		if (!is_same_cluster(config->databases[0].upstream, config->databases[i].upstream))
			return l->database;
	return config->databases[0].name;
}

static void
on_ready(struct server *srv, void *link)
{
	struct client *c = link;

	c->login->opening = NULL;
	c->x.srv = srv;
	report_lent(&c->x);
	login_finish(c, image_ref(srv->image), server_welcome(srv));
}

static void
on_failed(const struct fail *why, void *link)
{
	struct client *c = link;

	c->login->opening = NULL;
	login_refuse(c, why, LR_ERROR);
}

static const struct pool_own_ops own_ops = { on_ready, on_failed };

void
replication_welcome(struct client *c)
{
	struct client_login *l = c->login;
	struct fail why;

	c->x.is_session = true;
	c->x.replication = (uint8_t)l->replication;
	l->opening = pool_own_open(c->x.entry, l->replication == REPLICATION_LOGICAL ? "database" : "true", l->raw,
				   &own_ops, c, *c->env->x.now_us, &why);
	if (l->opening == NULL)
		login_refuse(c, &why, LR_ERROR);
}
