/*
 * src/relay/exclusive.c - DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME: PostgreSQL runs these
 * only while nobody else is connected to that database. Test runners and migrations send them, so pgweir's idle servers
 * there are closed ahead of the statement: PostgreSQL waits 5 s for others to leave.
 *
 * Servers of the client's own user are closed, and a superuser's statement closes everybody's: so nobody is asked
 * whether the role has the right to the statement, and who has not can only close what is its own.
 */
#include "relay/relay.h"

#include <stdio.h>

/* Writes the database that the SQL needs for itself. Returns false if it is none of these, or not alone in its text. */
static bool
read_database(const struct exchange *x, struct request *m, char database[static KNOWN_NAME_MAX])
{
	const struct known *k;

	if (!request_has(m, SCAN_DATABASE, 0))
		return false;
	k = request_only(x, m);
	switch ((enum known_kind)k->kind) {
	case KNOWN_DROP_DATABASE:
	case KNOWN_RENAME_DATABASE:
		snprintf(database, KNOWN_NAME_MAX, "%s", k->name);
		return true;
	case KNOWN_CREATE_DATABASE: /* PostgreSQL cuts names, too */
		snprintf(database, KNOWN_NAME_MAX, "%.63s", k->value[0] != '\0' ? k->value : "template1");
		return true;
	default:
		return false;
	}
}

enum feature_step
exclusive_sql(struct exchange *x, struct request *m)
{
	char database[KNOWN_NAME_MAX];

	if (!read_database(x, m, database))
		return STEP_FORWARD;
	x->env->on_exclusive(x->env->owner, x->pool->target, database,
			     gucs_is_on(x->pool->welcome, "is_superuser") ? NULL : x->pool->user);
	log_info(x->env->log, "client %llu: idle connections to \"%s\" are closed for a statement that needs it alone",
		 (unsigned long long)x->waiter.id, database);
	return STEP_FORWARD;
}
