#include "pool/pool_defaults.h"
#include "base/clock.h"
#include "policy/policy_upkeep.h"
#include "pool/pool_set_state.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A server that logged in more than this before its host's first answer is not taken to have that answer's settings. */
#define FIRST_ANSWER_US (10 * US_PER_S)

static uint64_t
host_hash_of(const struct server *srv)
{
	return XXH3_64bits(srv->address, strlen(srv->address));
}

/* Returns false for the server of a replication client: the pool lists that server, but its conn is another struct. */
static bool
is_pooled(const struct server *srv)
{
	return srv->target->replication == NULL;
}

static struct code_host *
find_host(const struct database_code *code, uint64_t host_hash)
{
	for (unsigned i = 0; i < code->host_count; i++)
		if (code->hosts[i].host_hash == host_hash)
			return &code->hosts[i];
	return NULL;
}

/* Returns the host; NULL if out of memory, and then the host's servers are not replaced. */
static struct code_host *
get_or_create_host(struct database_code *code, uint64_t host_hash)
{
	struct code_host *h = find_host(code, host_hash), *more;

	if (h != NULL)
		return h;
	more = realloc(code->hosts, (code->host_count + 1) * sizeof(*more));
	if (more == NULL)
		return NULL;
	code->hosts = more;
	more[code->host_count] = (struct code_host){ .host_hash = host_hash };
	return &more[code->host_count++];
}

/* Returns the version of the settings that the pool's role gets on host h; 0 if unknown, or if h is NULL. */
static uint64_t
version_at(const struct pool *pool, const struct code_host *h)
{
	const struct code_answer *answer = pool->code->answer;

	if (h == NULL || answer == NULL || h->settings_hash != role_settings_hash(&answer->roles))
		return 0; /* there is no answer, or the last one is from a host with other settings */
	return role_settings_version(&answer->roles, pool_main(pool)->target->server.user);
}

void
pool_defaults_note_altered(struct pool *pool)
{
	struct server *srv;

	database_code_note_alter_role(pool->code, pool_set_now(pool->set));
	for (struct pool *e = pool->set->first; e != NULL; e = e->next)
		if (e->code == pool->code)
			TAILQ_FOREACH(srv, &e->servers, all)
				if (is_pooled(srv) && pooled_of(srv->conn)->defaults.version == 0)
					pooled_of(srv->conn)->defaults.since_us = 0;
}

bool
pool_defaults_check_old(const struct pool *pool, struct pooled *p)
{
	const struct code_host *h = find_host(pool->code, host_hash_of(p->srv));
	uint64_t version = version_at(pool, h);

	if (!pool->is_sealed || version == 0 || p->defaults.version == version)
		return false;
	if (p->defaults.since_us + (p->defaults.version == 0 ? h->grace_us : 0) < h->changed_us)
		return true;
	if (p->defaults.version == 0) { /* else another worker has seen a later change */
		p->defaults.version = version;
		p->defaults.since_us = h->answered_us;
	}
	return false;
}

/* Retires the outdated servers of this host. Returns how many were outdated by an ALTER, as far as pgweir knows. */
static unsigned
retire_outdated(struct pool *pool, const struct code_host *h, uint64_t now_us)
{
	uint64_t version = version_at(pool, h);
	struct server *srv, *next;
	unsigned count = 0;

	for (srv = TAILQ_FIRST(&pool->servers); srv != NULL; srv = next) {
		struct pooled *p = is_pooled(srv) ? pooled_of(srv->conn) : NULL;

		next = TAILQ_NEXT(srv, all);
		if (p == NULL || policy_is_being_opened(p->conn.state) || p->conn.state == PC_CLOSING ||
		    host_hash_of(srv) != h->host_hash || !pool_defaults_check_old(pool, p) ||
		    p->defaults.outdated_by == version)
			continue;
		p->defaults.outdated_by = version;
		count += p->defaults.version != 0 || p->defaults.since_us == 0;
		policy_retire_conn(pool->policy, &p->conn, now_us); /* srv may be freed */
	}
	return count;
}

static void
log_replaced(const struct pool *pool, unsigned count)
{
	if (count > 0)
		log_info(pool->set->log,
			 "database %s: ALTER ROLE or ALTER DATABASE has changed the settings that sessions begin with: "
			 "%s replaced when free",
			 pool->database->name,
			 base_format_count(count, "server connection is", "server connections are").text);
}

/* Returns for how long a host is taken to have had the settings of its first answer: FIRST_ANSWER_US, but no longer
 * than since another host's settings last changed; 0 if there are other hosts, and all have other settings. */
static uint64_t
grace_for(const struct database_code *code, uint64_t settings, uint64_t now_us)
{
	uint64_t grace_us = FIRST_ANSWER_US;
	unsigned others = 0;

	for (const struct code_host *h = code->hosts; h < code->hosts + code->host_count; h++) {
		others += h->settings_hash != settings;
		if (h->grace_us == 0 && now_us - h->changed_us < grace_us)
			grace_us = now_us - h->changed_us;
	}
	return code->host_count > 1 && others == code->host_count ? 0 : grace_us;
}

/* Records that srv's host has the settings of the last answer. If these are new to the host, or with must_check,
 * retires outdated servers. Returns true if the host had other settings before. */
static bool
note_answer(const struct server *srv, bool must_check, uint64_t now_us)
{
	const struct pool *asked = srv->owner;
	struct database_code *code = asked->code;
	struct code_host *h = get_or_create_host(code, host_hash_of(srv));
	uint64_t settings = role_settings_hash(&code->answer->roles), before;
	unsigned count = 0;

	if (h == NULL)
		return false;
	before = h->settings_hash;
	if (before != settings) {
		h->grace_us = before != 0 ? 0 : grace_for(code, settings, now_us);
		h->changed_us = now_us;
		must_check = true;
	}
	h->settings_hash = settings;
	h->answered_us = now_us;
	for (struct pool *e = asked->set->first; must_check && e != NULL; e = e->next)
		if (e->code == code)
			count += retire_outdated(e, h, now_us);
	log_replaced(asked, count);
	return before != 0 && before != settings;
}

void
pool_defaults_on_answer(const struct server *srv, bool is_new)
{
	const struct pool *asked = srv->owner;
	struct database_code *code = asked->code;
	bool is_same_host = host_hash_of(srv) == code->answered_by;

	code->answered_by = host_hash_of(srv);
	/* Standbys get other settings when they have replayed what the primary had at this answer. */
	if (note_answer(srv, is_new || !is_same_host, pool_set_now(asked->set)) && !is_new)
		for (struct pool *e = asked->set->first; e != NULL; e = e->next)
			if (e->code == code && e->cluster != NULL)
				standby_pools_note_new_code(e);
}

void
pool_defaults_apply_to_standby(struct pool *standby_pool, uint64_t now_us)
{
	const struct server *srv = TAILQ_FIRST(&standby_pool->servers);
	const struct code_answer *answer = standby_pool->code->answer;
	const struct code_host *h = srv == NULL ? NULL : find_host(standby_pool->code, host_hash_of(srv));

	if (srv == NULL || answer == NULL || (h != NULL && h->settings_hash == role_settings_hash(&answer->roles)))
		return;
	if (standby_pool_has_current_code(standby_pool))
		note_answer(srv, true, now_us);
}

struct policy_conn *
pool_defaults_next(const struct pool *pool)
{
	const struct upstream *up = pool->target->upstream;
	struct policy_conn *found = NULL;
	uint64_t found_us = 0;
	struct server *srv;

	if (up->host_count == 1 || up->target == TARGET_PRIMARY || up->target == TARGET_READ_WRITE)
		return NULL;
	for (struct pool *e = pool->set->first; e != NULL; e = e->next) {
		if (e->code != pool->code || e->main != NULL || !e->is_sealed)
			continue;
		TAILQ_FOREACH(srv, &e->servers, all) {
			const struct code_host *h = find_host(pool->code, host_hash_of(srv));
			uint64_t at_us = h == NULL ? 0 : h->answered_us;

			if (is_pooled(srv) && srv->conn->state == PC_IDLE && (found == NULL || at_us < found_us)) {
				found = srv->conn;
				found_us = at_us;
			}
		}
	}
	return found;
}
