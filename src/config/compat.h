/*
 * src/config/compat.h - behaviors of PgBouncer that pgweir takes on unless compat = none (pgbouncer_1_25: all but the
 * newest), and that have no settings of their own. docs/pgbouncer.md shows the list as a table.
 */
#pragma once

#include "config/config.h"

#define COMPAT_VERSION "1.26.1" /* the version of PgBouncer that pgweir claims to be (SHOW VERSION, pgbouncer -V) */
#define COMPAT_VERSION_OLD "1.25.2" /* the version that pgweir claims to be with compat = pgbouncer_1_25 */

/* clang-format off */
#define COMPAT_WAY_LIST(ROW) /* ROW(name of the behavior, what PgBouncer does, what pgweir does without compat) */ \
	ROW(USES_THEIR_WORDS, "errors and log lines are in PgBouncer's words", "in pgweir's") \
	ROW(ENDS_LATE_QUERIES, "`query_timeout` holds for the wait for a server connection, too, and disconnects the client; the query is cancelled", \
	    "the query is cancelled, and the client goes on") \
	ROW(ENDS_THE_UNSERVED, "when PostgreSQL refuses pgweir's login, waiting clients are disconnected, unless PostgreSQL is just starting", \
	    "their requests fail, and they stay connected") \
	ROW(COUNTS_REPLICATION, "replication clients wait while their pool has `pool_size` and `reserve_pool_size` connections, theirs too; an idle one is closed for them", \
	    "they count in `max_server_connections` and `budget` only") \
	ROW(ANSWERS_FAILED_LOOKUPS, "if `auth_query` fails, the client is refused at once", "as if the password was wrong") \
	ROW(TRUSTS_ONLY_KNOWN_USERS, "`trust` admits only users that `auth_file` or `auth_query` knows", "it admits every name") \
	ROW(TAKES_CLEARTEXT, "`ldap` and `pam` take passwords without TLS from everywhere, with a warning at start", \
	    "over TLS, Unix sockets and loopback only") \
	ROW(TRUSTS_ITSELF, "the console's user `pgbouncer` over a Unix socket is whoever runs the process, and needs no password", \
	    "it is a user like others") \
	ROW(LIMITS_CONSOLE, "users of the console count in `max_db_client_connections` and `max_user_client_connections`; only administrators may exceed these", \
	    "they don't count") \
	ROW(LISTS_CONSOLE, "the console is one of the databases that SHOW lists", "it is not") \
	ROW(ASKS_OWN_DATABASE, "`auth_dbname` is a database of the file, with its own host; users of the console are looked up there, too", \
	    "`auth_database` is PostgreSQL's name of a database") \
	ROW(WARMS_POOLS, "`min_pool_size` of a database with a `user` is opened at start and at each reload", "when the pool is used first") \
	ROW(REFUSES_REPEATS, "PAUSE and SUSPEND of what is paused, and RESUME of what is not, are errors", "they do nothing") \
	ROW(STOPS_PATIENTLY, "SIGTERM waits until the clients have left, SIGINT until their transactions are over, without a limit; with `[timeouts] shutdown_timeout` both wait that long for transactions; a second one ends the process", \
	    "SIGTERM waits for transactions, `shutdown_timeout` at most, SIGINT for nothing") \
	ROW(SIGNAL_ONLY_RESUMES, "SIGUSR2 is RESUME; only the console's RESTART restarts", "SIGUSR2 restarts if nothing is paused") \
	ROW(LISTENS_WHERE_IT_CAN, "an address of `listen_addr` that can't be listened on is a warning if another one can", "it is an error") \
	ROW(KEEPS_LISTENERS, "a reload neither opens nor closes listening sockets", "it does") \
	ROW(STARTS_WITH_MISTAKES, "`trust` on an address that others reach, `auth_query` without `$1`, no databases, no `auth_file` or broken lines in it, and a `user` that only root could become are warnings", \
	    "errors") \
	/* Behaviors that are new in 1.26 come last, because pgbouncer_1_25 has none of them. */ \
	ROW(REPORTS_ITSELF, "a login is told `pgbouncer.version`, `pgbouncer.pool_mode` and `pgbouncer.max_prepared_statements` (not by pgbouncer_1_25)", \
	    "it is not") \
	ROW(HAS_NO_SUSPEND, "SUSPEND is no command of the console (but with pgbouncer_1_25)", "it is one")
/* clang-format on */

#define COMPAT_WAY_NAME(name, theirs, otherwise) COMPAT_##name,
enum compat_way { COMPAT_WAY_LIST(COMPAT_WAY_NAME) COMPAT_WAYS };

/* Returns true if pgweir takes on this behavior. With pgbouncer_1_25, the behaviors that are new in 1.26 are off. */
static inline bool
compat_does(const struct config *config, enum compat_way way)
{
	return config->compat != COMPAT_NONE &&
	       way < (config->compat == COMPAT_PGBOUNCER_1_25 ? COMPAT_REPORTS_ITSELF : COMPAT_WAYS);
}

/* Returns true if SHOW has PgBouncer 1.25's columns, without those that 1.26 added. */
static inline bool
compat_is_1_25(const struct config *config)
{
	return config->compat == COMPAT_PGBOUNCER_1_25;
}

/* Writes to *told the error that the client gets for *why: with PgBouncer's text if compat is set, and with settings
 * named in DETAIL and HINT as the configuration file names them. */
void compat_reword(const struct config *config, const struct fail *why, struct fail *told);
