#include "pool/pool_defaults.h"

#include "base/clock.h"
#include "policy/policy_upkeep.h"
#include "pool/pool_set_state.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Servers that have been there for longer when the first answer is asked for are not taken for as old as that. */
#define FIRST_ANSWER_US (10 * US_PER_S)

#define OUTDATED 1u /* no version */

static uint64_t
host_of(const struct server *srv)
{
	return XXH3_64bits(srv->address, strlen(srv->address));
}

/* Returns false if it is a replication client's alone: the pool lists that, and its conn is another struct. */
static bool
is_pooled(const struct server *srv)
{
	return srv->target->replication == NULL;
}

/* Returns the version of the last answer, or 0: there is none. */
static uint64_t
version_of(const struct pool *pool)
{
	const struct code_answer *answer = pool->code->answer;

	return answer == NULL ? 0 : role_settings_version(&answer->roles, pool_main(pool)->target->server.user);
}

void
pool_defaults_note(const struct pool *pool, struct pooled *p)
{
	p->defaults.version = pool->main != NULL ? pool->standby_defaults : version_of(pool);
	p->defaults.host = pool->code->answered_by;
	p->defaults.read_us = pool->code->read_asked_us;
}

void
pool_defaults_altered(struct pool *pool)
{
	struct server *srv;

	if (pool->code->answer != NULL)
		return;
	for (struct pool *e = pool->set->first; e != NULL; e = e->next)
		if (e->code == pool->code)
			TAILQ_FOREACH(srv, &e->servers, all)
				if (is_pooled(srv))
					pooled_of(srv->conn)->defaults.version = OUTDATED;
}

/* Returns true if the server of p, which has logged in, began with older settings than version. */
static bool
is_older(const struct pool *pool, struct pooled *p, uint64_t version)
{
	const struct database_code *code = pool->code;
	bool is_first = pool->main == NULL && p->defaults.host == 0;

	if (p->defaults.version == version || version == 0)
		return false;
	if (p->defaults.version != 0) /* another worker may know more than this one */
		return pool->main != NULL || p->defaults.read_us < code->replaced_us;
	p->defaults.version = version;
	p->defaults.host = code->answered_by;
	p->defaults.read_us = code->read_asked_us;
	return is_first && p->conn.opened_us + FIRST_ANSWER_US < code->read_asked_us;
}

bool
pool_defaults_are_old(const struct pool *pool, struct pooled *p)
{
	if (!pool_is_sealed(pool))
		return false;
	if (pool->main != NULL)
		return is_older(pool, p, pool->standby_defaults);
	if (p->defaults.version != 0 && p->defaults.host != host_of(p->srv))
		p->defaults.version = 0; /* its own host will say */
	return pool->code->answered_by == host_of(p->srv) && is_older(pool, p, version_of(pool));
}

/* Returns how many servers are to go because of an ALTER. host: of the servers that are meant; 0: all. */
static unsigned
replace_older(struct pool *pool, uint64_t version, uint64_t host, uint64_t now_us)
{
	struct server *srv, *next;
	unsigned count = 0;

	for (srv = TAILQ_FIRST(&pool->servers); srv != NULL; srv = next) {
		struct pooled *p = is_pooled(srv) ? pooled_of(srv->conn) : NULL;

		next = TAILQ_NEXT(srv, all);
		if (p == NULL || policy_is_coming(p->conn.state) || p->conn.state == PC_CLOSING ||
		    (host != 0 && host != host_of(srv)) || !is_older(pool, p, version) || p->defaults.due == version)
			continue;
		p->defaults.due = version;
		count += p->defaults.version != version; /* else nobody has altered anything, as far as is known */
		policy_age(pool->policy, &p->conn, now_us); /* srv may be gone */
	}
	return count;
}

static void
report(const struct pool *pool, unsigned count)
{
	if (count > 0)
		log_info(pool->set->log,
			 "database %s: ALTER ROLE or ALTER DATABASE has changed the settings that sessions begin with: "
			 "%s replaced when free",
			 pool->database->name, counted(count, "server connection is", "server connections are").text);
}

void
pool_defaults_on_answer(const struct server *srv, bool is_new)
{
	const struct pool *asked = srv->owner;
	struct database_code *code = asked->code;
	uint64_t host = host_of(srv);
	unsigned count = 0;

	if (!is_new && host == code->answered_by)
		return;
	code->answered_by = host;
	for (struct pool *e = asked->set->first; e != NULL; e = e->next)
		if (e->code == code && e->main == NULL && pool_is_sealed(e))
			count += replace_older(e, version_of(e), host, pool_set_now(e->set));
	report(asked, count);
}

void
pool_defaults_follow(struct pool *standby_pool, uint64_t now_us)
{
	uint64_t version = version_of(standby_pool);

	if (standby_pool->standby_defaults == version || !standby_pool_shows_code(standby_pool))
		return;
	standby_pool->standby_defaults = version;
	if (pool_is_sealed(standby_pool))
		report(standby_pool, replace_older(standby_pool, version, 0, now_us));
}
