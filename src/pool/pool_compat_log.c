/*
 * src/pool/pool_compat_log.c - log lines about server connections in PgBouncer's words, because programs that read logs
 * search for such lines.
 *
 *   S-0x5581…: app/web@10.0.0.9:5432 new connection to server (from 10.0.0.7:40112)
 *   S-0x5581…: app/web@10.0.0.9:5432 closing because: server lifetime over (age=3600s)
 */
#include "pool/pool_set_state.h"
#include "config/compat.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void
log_line(const struct pool *pool, const struct server *srv, const char *fmt, ...)
{
	char text[FAIL_TEXT_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_info(pool->set->log, "S-%p: %s/%s@%s %s", (const void *)srv, pool->database->name, pool->user, srv->address,
		 text);
}

/* PgBouncer's reserve pool (reserve_pool_size) corresponds to the connections of max_overflow. */
void
compat_log_reserve(const struct pool *pool)
{
	if (log_has_pgbouncer_format(pool->set->log))
		log_warning(pool->set->log, "%s/%s: taking connection from reserve_pool", pool->database->name,
			    pool->user);
}

void
compat_log_open(const struct pool *pool, const struct server *srv)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} own = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(own);
	char host[INET6_ADDRSTRLEN] = "";

	if (!log_has_pgbouncer_format(pool->set->log) || !pool->set->config->log_connections)
		return;
	getsockname(srv->stream.fd, &own.any, &len);
	if (own.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &own.in.sin_addr, host, sizeof(host));
		log_line(pool, srv, "new connection to server (from %s:%u)", host, ntohs(own.in.sin_port));
	} else if (own.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &own.in6.sin6_addr, host, sizeof(host));
		log_line(pool, srv, "new connection to server (from [%s]:%u)", host, ntohs(own.in6.sin6_port));
	} else
		log_line(pool, srv, "new connection to server");
}

void
compat_log_end(const struct pool *pool, const struct server *srv, const char *why)
{
	if (log_has_pgbouncer_format(pool->set->log) && pool->set->config->log_connections)
		log_line(pool, srv, "closing because: %s (age=%llus)", why,
			 (pool_set_now(pool->set) - srv->created_us) / US_PER_S);
}

const char *
compat_recycle_word(enum recycle_reason reason)
{
	static const char *const words[RR_COUNT] = {
		[RR_AGE] = "server lifetime over",
		[RR_IDLE] = "server idle timeout",
		[RR_OVERFLOW] = "server idle timeout",
		[RR_RELOAD] = "database configuration changed",
		[RR_FAILED_PING] = "test query failed",
		[RR_DIRTY] = "client disconnect while server was not ready",
		[RR_ERROR] = "server conn crashed?",
		[RR_SHUTDOWN] = "server shutting down",
		[RR_KILL] = "admin forced disconnect",
		[RR_EVICTED] = "evicted",
		[RR_UNKNOWN_CODE] = "client disconnect while server was not ready",
	};

	return words[reason];
}

/* If PostgreSQL answers a login with an error, that error has a line of its own, before the line about the close. */
void
compat_log_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind, const struct fail *why)
{
	if (!log_has_pgbouncer_format(pool->set->log))
		return;
	if (why->pgbouncer_text[0] != '\0') {
		log_warning(pool->set->log, "server login failed: FATAL %s", why->pgbouncer_text);
		compat_log_end(pool, srv, srv->target->replication != NULL ? "login failed" : why->pgbouncer_text);
	} else
		compat_log_end(pool, srv, server_pgbouncer_failure_text(kind));
}

void
pool_log_own_refusal(const struct pool *pool, const struct server *srv, enum connect_failure kind,
		     const struct fail *why, struct fail *shown)
{
	*shown = *why;
	compat_log_refusal(pool, srv, kind, why);
	if (compat_does(pool->set->config, COMPAT_USES_THEIR_WORDS) && why->pgbouncer_text[0] != '\0') {
		fail_detail(shown, "%s", why->pgbouncer_text);
		fail_pgbouncer_text(shown, "login failed");
	}
}

void
compat_log_unused(const struct pool *pool, uint64_t now_us)
{
	if (log_has_pgbouncer_format(pool->set->log) && !pool->is_orphan)
		log_info(pool->set->log,
			 "cleaning up idle pool for user %s on db %s because: pool idle timeout (age= %" PRIu64 "s)",
			 pool->user, pool->database->name, (uint64_t)((now_us - pool->last_used_us) / US_PER_S));
}

void
compat_log_database(const struct pool_set *set, const char *database)
{
	const struct config_scope *scope = config_find_database(set->config, database);

	if (log_has_pgbouncer_format(set->log) && scope != NULL && strcmp(scope->name, "*") == 0 &&
	    pool_database_find(&set->databases, database) == NULL)
		log_info(set->log, "registered new auto-database: db=%s", database);
}
