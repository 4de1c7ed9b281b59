/*
 * src/relay/exclusive.c - DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME: PostgreSQL runs these
 * only while no other session is connected to the database that they name, and waits 5 s for others to leave. Test
 * runners and migrations run such statements, so pgweir closes its idle servers of that database before it sends one.
 *
 * Only servers of the client's own user are closed, except that a superuser's statement closes every user's. So pgweir
 * need not know if the role may run the statement: a role that may not closes only its own connections.
 */
#include "relay/relay.h"

#include <stdio.h>

enum feature_step
exclusive_make_room(struct exchange *x, struct request *m)
{
	const struct known_statement *k;
	char database[KNOWN_NAME_MAX];

	if (!request_has(m, SCAN_DATABASE, 0))
		return STEP_FORWARD;
	k = request_single_known(x, m);
	if (k->kind == KNOWN_DROP_DATABASE || k->kind == KNOWN_RENAME_DATABASE)
		snprintf(database, sizeof(database), "%s", k->name);
	else if (k->kind == KNOWN_CREATE_DATABASE) /* cut to 63 bytes, as PostgreSQL cuts names */
		snprintf(database, sizeof(database), "%.63s", k->value[0] != '\0' ? k->value : "template1");
	else
		return STEP_FORWARD;
	x->env->on_exclusive(x->env->owner, x->pool->target, database,
			     gucs_is_on(x->pool->login_parameters, "is_superuser") ? NULL : x->pool->user);
	log_debug(x->env->log, "client %llu: idle connections to \"%s\" are closed for a statement that needs it alone",
		  (unsigned long long)x->waiter.id, database);
	return STEP_FORWARD;
}
