#include "admin/console_command.h"

#define ANYBODY false
#define ADMIN true
#define ROW_OF_SHOW(id, name, needs_admin, what, example)                                                              \
	{ COMMAND_SHOW_##id, "SHOW " #id, "SHOW", ARGUMENT_LIKE, needs_admin, what, example },
#define UNDOCUMENTED NULL, NULL /* SHOW HELP leaves these rows out: most are SQL that drivers and tools send */

/* clang-format off */
static const struct command_row rows[] = {
	SHOW_LIST(ROW_OF_SHOW)

	{ COMMAND_SELECT_WAIT, "EXPLAIN WAIT", "EXPLAIN", ARGUMENT_CLIENT, ANYBODY,
	  "what a client waits for, and who is in its way, in words", "EXPLAIN WAIT 17" },
	{ COMMAND_SELECT_POOL, "EXPLAIN POOL", "EXPLAIN", ARGUMENT_DATABASE, ANYBODY,
	  "how large a database's pools should be, by their use; without a name: why clients wait", "EXPLAIN POOL app" },
	{ COMMAND_SELECT_RESTART, "EXPLAIN RESTART", "EXPLAIN", ARGUMENT_NONE, ANYBODY,
	  "which clients RESTART would move to the new process now, and why others would stay", "EXPLAIN RESTART" },
	{ COMMAND_RELOAD, "RELOAD", "RELOAD", ARGUMENT_NONE, ADMIN,
	  "reload the configuration: all of it takes effect, or none of it and the answer says why", "RELOAD" },
	{ COMMAND_REOPEN, "REOPEN", "REOPEN", ARGUMENT_NONE, ADMIN, "reopen the log files after a rotation", "REOPEN" },
	{ COMMAND_PAUSE, "PAUSE", "PAUSE", ARGUMENT_DATABASE, ADMIN,
	  "stop lending servers, of one database or of all; returns when none is in use", "PAUSE app" },
	{ COMMAND_RESUME, "RESUME", "RESUME", ARGUMENT_DATABASE, ADMIN, "end a PAUSE, KILL or SUSPEND", "RESUME app" },
	{ COMMAND_SUSPEND, "SUSPEND", "SUSPEND", ARGUMENT_NONE, ADMIN,
	  "stop reading from clients and their servers; returns when everything already read has been sent", "SUSPEND" },
	{ COMMAND_DISABLE, "DISABLE", "DISABLE", ARGUMENT_ONE_DATABASE, ADMIN,
	  "refuse new clients of one database; those that are connected stay", "DISABLE app" },
	{ COMMAND_ENABLE, "ENABLE", "ENABLE", ARGUMENT_ONE_DATABASE, ADMIN, "end a DISABLE", "ENABLE app" },
	{ COMMAND_RECONNECT, "RECONNECT", "RECONNECT", ARGUMENT_DATABASE, ADMIN,
	  "close server connections as soon as they are not in use, and open new ones", "RECONNECT" },
	{ COMMAND_WAIT_CLOSE, "WAIT_CLOSE", "WAIT_CLOSE", ARGUMENT_DATABASE, ADMIN,
	  "returns when all server connections that RECONNECT or RELOAD closed are gone", "WAIT_CLOSE" },
	{ COMMAND_KILL, "KILL", "KILL", ARGUMENT_DATABASE, ADMIN,
	  "close all clients and servers, of one database or of all, now; RESUME lets them come back", "KILL app" },
	{ COMMAND_KILL_CLIENT, "KILL_CLIENT", "KILL_CLIENT", ARGUMENT_CLIENT, ADMIN,
	  "close one client; its id is in SHOW CLIENTS", "KILL_CLIENT 42" },
	{ COMMAND_SHUTDOWN, "SHUTDOWN", "SHUTDOWN", ARGUMENT_NONE, ADMIN, "stop at once", "SHUTDOWN" },
	{ COMMAND_SHUTDOWN_SERVERS, "SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN", ARGUMENT_NONE, ADMIN,
	  "stop when open transactions are finished, or shutdown_timeout is over", "SHUTDOWN WAIT_FOR_SERVERS" },
	{ COMMAND_SHUTDOWN_CLIENTS, "SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN", ARGUMENT_NONE, ADMIN,
	  "accept no new clients, and stop when the last one has left", "SHUTDOWN WAIT_FOR_CLIENTS" },

	{ COMMAND_RESTART, "RESTART", "RESTART", ARGUMENT_NONE, ADMIN,
	  "start a new process from the program's file, and hand all clients over to it", "RESTART" },
	{ COMMAND_RESET_QUERIES, "RESET QUERIES", "RESET", ARGUMENT_NONE, ADMIN, "reset SHOW QUERIES", "RESET QUERIES" },

	{ COMMAND_SET_CONFIGURATION, "SET CONFIGURATION", "SET", ARGUMENT_ANY, ADMIN, UNDOCUMENTED },
	{ COMMAND_REFUSED, "SHOW FDS", "SHOW", ARGUMENT_LIKE, ADMIN, "Descriptors are handed over by RESTART.", NULL },
	{ COMMAND_REFUSED, "SAVEPOINT", "SAVEPOINT", ARGUMENT_ANY, ANYBODY, "Nothing here could be rolled back.", NULL },
	{ COMMAND_REFUSED, "RELEASE", "RELEASE", ARGUMENT_ANY, ANYBODY, "Nothing here could be rolled back.", NULL },
	{ COMMAND_REFUSED, "ROLLBACK TO", "ROLLBACK", ARGUMENT_ANY, ANYBODY, "Nothing here could be rolled back.", NULL },

	{ COMMAND_SHOW_SETTING, "SHOW", "SHOW", ARGUMENT_SETTING, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SHOW_HELP, "HELP", "SHOW", ARGUMENT_LIKE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SET, "SET", "SET", ARGUMENT_SET, ANYBODY, "change a setting until the next RELOAD", "SET pool.pool_size = 30" },
	{ COMMAND_NOTHING, "RESET", "RESET", ARGUMENT_RESET, ANYBODY, UNDOCUMENTED },
	{ COMMAND_BEGIN, "BEGIN", "BEGIN", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_BEGIN, "START TRANSACTION", "START TRANSACTION", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_COMMIT, "COMMIT", "COMMIT", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_COMMIT, "END", "COMMIT", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_ROLLBACK, "ROLLBACK", "ROLLBACK", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_ROLLBACK, "ABORT", "ROLLBACK", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_NOTHING, "DISCARD ALL", "DISCARD ALL", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_NOTHING, "DEALLOCATE ALL", "DEALLOCATE ALL", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_NOTHING, "CLOSE ALL", "CLOSE CURSOR ALL", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_NOTHING, "UNLISTEN *", "UNLISTEN", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_ONE, "SELECT 1", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_VERSION, "SELECT VERSION ( )", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_SCHEMA, "SELECT CURRENT_SCHEMA ( )", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_SCHEMA, "SELECT CURRENT_SCHEMA", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_DATABASE, "SELECT CURRENT_DATABASE ( )", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_RECOVERY, "SELECT PG_IS_IN_RECOVERY ( )", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_TYPES, "SELECT T . OID", "SELECT", ARGUMENT_ANY, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_COMPLETION, "SELECT LOWER ( NAME ) FROM PG_SETTINGS WHERE LOWER ( NAME ) LIKE LOWER (", "SELECT",
	  ARGUMENT_PATTERN, ANYBODY, UNDOCUMENTED },
	{ COMMAND_SELECT_UNLOCK, "SELECT PG_ADVISORY_UNLOCK_ALL ( )", "SELECT", ARGUMENT_NONE, ANYBODY, UNDOCUMENTED },
};
/* clang-format on */

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

const struct command_row *
command_row(size_t i)
{
	return i < ROWS ? &rows[i] : NULL;
}

const struct command_row *
command_find(enum command_id id)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].id == id)
			return &rows[i];
	return NULL;
}

int
command_check_permission(const struct command_row *row, bool is_stats_only, struct fail *why)
{
	if (!row->needs_admin || !is_stats_only)
		return 0;
	fail_set(why, "42501", "permission denied: %s is for admin_users", row->phrase);
	fail_pgbouncer_text(why, "admin access needed");
	return fail_hint(why, "Users in stats_users may only use SHOW. Log in as one of admin_users, section [auth] of "
			      "pgweir.ini.");
}
