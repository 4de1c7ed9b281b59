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

enum feature_step
exclusive_sql(struct exchange *x, struct request *m)
{
	const struct known *k;
	char database[KNOWN_NAME_MAX];

	if (!request_has(m, SCAN_DATABASE, 0))
		return STEP_FORWARD;
	k = request_only(x, m);
	if (k->kind == KNOWN_DROP_DATABASE || k->kind == KNOWN_RENAME_DATABASE)
		snprintf(database, sizeof(database), "%s", k->name);
	else if (k->kind == KNOWN_CREATE_DATABASE) /* PostgreSQL cuts names, too */
		snprintf(database, sizeof(database), "%.63s", k->value[0] != '\0' ? k->value : "template1");
	else
		return STEP_FORWARD;
	x->env->on_exclusive(x->env->owner, x->pool->target, database,
			     gucs_is_on(x->pool->welcome, "is_superuser") ? NULL : x->pool->user);
	log_debug(x->env->log, "client %llu: idle connections to \"%s\" are closed for a statement that needs it alone",
		  (unsigned long long)x->waiter.id, database);
	return STEP_FORWARD;
}
