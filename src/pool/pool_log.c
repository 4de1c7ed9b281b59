/* src/pool/pool_log.c - log lines about a PostgreSQL that can't be reached: that an outage begins, that it is over, and
 * why a login has failed. In an outage, and while other hosts are left to try, failed logins are logged once per
 * LOG_EVERY_US at most. In PgBouncer's log format, each failed login is logged, as PgBouncer does. */
#include "pool/pool_set_state.h"

#include <inttypes.h>

#define LOG_EVERY_US (10 * US_PER_S)

/* Logs a host's failure at most every LOG_EVERY_US (see above): each new connection may try the same host. */
void
pool_log_host_failure(struct pool *pool, const struct server *srv, enum connect_failure kind, const struct fail *why)
{
	const struct log_about about = server_about(srv, "server_login_failed", why);
	struct pool_backend *b = pool_backend_get_or_create(&pool->set->backends, srv->address);
	uint64_t now_us = pool_set_now(pool->set);

	if (log_has_pgbouncer_format(pool->set->log)) {
		compat_log_end(pool, srv, server_pgbouncer_failure_text(kind));
		return;
	}
	if (b == NULL || (b->logged_us != 0 && now_us - b->logged_us < LOG_EVERY_US)) {
		log_debug(pool->set->log, "server %" PRIu64 ": %s; trying the next host", srv->id, why->text);
		return;
	}
	b->logged_us = now_us;
	log_event(pool->set->log, LOG_LEVEL_WARNING, &about, "server %" PRIu64 " (%s, %s/%s): %s; trying the next host",
		  srv->id, srv->address, srv->target->database, srv->target->user, why->text);
}

/* In an outage, logs at most every LOG_EVERY_US (see above), because logins fail several times per second. */
void
pool_log_failure(struct pool *pool, struct server *srv, enum connect_failure kind, const struct fail *why)
{
	const struct log_about about = server_about(srv, "server_login_failed", why);
	uint64_t now_us = pool_set_now(pool->set);
	struct policy_counts counts;
	bool is_withheld;

	policy_get_counts(pool->policy, &counts);
	is_withheld = counts.outage.since_us > 0 && now_us - pool->failure_logged_us < LOG_EVERY_US;
	if (!is_withheld)
		pool->failure_logged_us = now_us;
	if (log_has_pgbouncer_format(pool->set->log))
		compat_log_refusal(pool, srv, kind, why);
	else if (is_withheld)
		log_debug(pool->set->log, "pool %s/%s: %s", pool->database->name, pool->user, why->text);
	else
		log_event(pool->set->log, LOG_LEVEL_WARNING, &about, "pool %s/%s: %s", pool->database->name, pool->user,
			  why->text);
}

void
pool_log_outage(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us)
{
	const struct pool *pool = owner;
	bool is_over = why == NULL;
	uint64_t lasted_us = now_us - outage->since_us;
	const struct log_about about = { .event = is_over ? "outage_over" : "outage",
					 .database = pool->database->name,
					 .user = pool->user,
					 .reason = pool->settings.on_outage == OUTAGE_HOLD ? "hold" : "fail",
					 .duration_us = is_over ? lasted_us : 0,
					 .why = why };

	if (is_over)
		log_event(pool->set->log, LOG_LEVEL_WARNING, &about,
			  "pool %s/%s: the outage is over after %s; %" PRIu32 " request%s held, %" PRIu32 " failed",
			  pool->database->name, pool->user, duration_format(lasted_us).text, outage->held,
			  outage->held == 1 ? " was" : "s were", outage->refused);
	else
		log_event(pool->set->log, LOG_LEVEL_WARNING, &about,
			  "pool %s/%s: an outage begins: no server connection is left, and none can be opened; new "
			  "requests %s (on_outage)",
			  pool->database->name, pool->user,
			  pool->settings.on_outage == OUTAGE_HOLD ? "are held" : "fail");
}
