/*
 * src/pool/pool_log.c - what the log says of a PostgreSQL that can't be reached: one line when an outage begins, one
 * when it is over, and the reason of a failed login, but not again and again while it goes on.
 */
#include "pool/pool_set_state.h"

#include "base/clock.h"
#include "pool/pool_backend.h"

#include <inttypes.h>

#define TOLD_EVERY_US (10 * US_PER_S)

/* Each connection that is opened may meet the same host. */
void
pool_tell_host(struct pool_entry *entry, const struct server *srv, enum connect_failure kind, const struct fail *why)
{
	const struct log_about about = server_about(srv, "server_login_failed", why);
	struct pool_backend *b = pool_backend_get(&entry->set->backends, srv->address);
	uint64_t now_us = pool_set_now(entry->set);

	if (log_is_pgbouncers(entry->set->log)) {
		bouncer_log_end(entry, srv, server_failure_word(kind));
		return;
	}
	if (b == NULL || (b->told_us != 0 && now_us - b->told_us < TOLD_EVERY_US)) {
		log_debug(entry->set->log, "server %" PRIu64 ": %s; trying the next host", srv->id, why->text);
		return;
	}
	b->told_us = now_us;
	log_event(entry->set->log, LOG_LEVEL_WARNING, &about,
		  "server %" PRIu64 " (%s, %s/%s): %s; trying the next host", srv->id, srv->address,
		  srv->target->database, srv->target->user, why->text);
}

/* In an outage a login fails several times per second. */
void
pool_tell_failure(struct pool_entry *entry, struct server *srv, enum connect_failure kind, const struct fail *why)
{
	const struct log_about about = server_about(srv, "server_login_failed", why);
	uint64_t now_us = pool_set_now(entry->set);
	struct pool_counts counts;
	bool is_known;

	pool_get_counts(entry->policy, &counts);
	is_known = counts.outage.since_us > 0 && now_us - entry->failure_told_us < TOLD_EVERY_US;
	if (!is_known)
		entry->failure_told_us = now_us;
	if (log_is_pgbouncers(entry->set->log))
		bouncer_log_refusal(entry, srv, kind, why);
	else if (is_known)
		log_debug(entry->set->log, "pool %s/%s: %s", entry->database->name, entry->user, why->text);
	else
		log_event(entry->set->log, LOG_LEVEL_WARNING, &about, "pool %s/%s: %s", entry->database->name,
			  entry->user, why->text);
}

void
pool_tell_outage(void *owner, const struct pool_outage *outage, const struct fail *why, uint64_t now_us)
{
	const struct pool_entry *entry = owner;
	bool is_over = why == NULL;
	uint64_t lasted_us = now_us - outage->since_us;
	const struct log_about about = { .event = is_over ? "outage_over" : "outage",
					 .database = entry->database->name,
					 .user = entry->user,
					 .reason = entry->settings.on_outage == OUTAGE_HOLD ? "hold" : "fail",
					 .duration_us = is_over ? lasted_us : 0,
					 .why = why };

	if (is_over)
		log_event(entry->set->log, LOG_LEVEL_WARNING, &about,
			  "pool %s/%s: the outage is over after %s; %" PRIu32 " request%s held, %" PRIu32 " failed",
			  entry->database->name, entry->user, duration_of(lasted_us).text, outage->held,
			  outage->held == 1 ? " was" : "s were", outage->refused);
	else
		log_event(entry->set->log, LOG_LEVEL_WARNING, &about,
			  "pool %s/%s: an outage begins: no server connection is left, and none can be opened; new "
			  "requests %s (on_outage)",
			  entry->database->name, entry->user,
			  entry->settings.on_outage == OUTAGE_HOLD ? "are held" : "fail");
}
