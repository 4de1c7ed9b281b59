/*
 * src/server/server_role.c - checks whether a server is what target_session_attrs wants: at the server's login, and
 * again whenever PostgreSQL reports a change, which happens at the end of the next query or ping. PostgreSQL 14 and
 * newer report changes; older servers are accepted unchecked.
 */
#include "server/server_parts.h"

#include <string.h>
#include <strings.h>

static bool
matches_target(const struct server *srv, bool is_known, bool is_standby, bool is_read_only)
{
	switch (srv->target->upstream->target) {
	case TARGET_READ_WRITE:
		return !is_read_only;
	case TARGET_READ_ONLY:
		return is_read_only || !is_known;
	case TARGET_PRIMARY:
		return !is_standby;
	case TARGET_STANDBY:
		return is_standby || !is_known;
	case TARGET_PREFER_STANDBY:
	case TARGET_ANY:
		break;
	}
	return true;
}

static int
set_mismatch(const struct server *srv, struct fail *why)
{
	return fail_set(why, "08001", "PostgreSQL at %s does not match target_session_attrs=%s", srv->address,
			upstream_target_names[srv->target->upstream->target]);
}

/* Returns true if the server is PgBouncer's console, or pgweir's. */
static bool
is_console(const struct gucs *welcome)
{
	const char *version = gucs_get(welcome, "server_version");

	return version != NULL && (strstr(version, "/bouncer") != NULL || strstr(version, "(pgweir)") != NULL);
}

int
server_check_role(struct server *srv, const struct gucs *welcome, struct fail *why)
{
	const char *standby = gucs_get(welcome, "in_hot_standby");
	bool is_standby = gucs_is_on(welcome, "in_hot_standby");

	srv->role = is_console(welcome) ? SERVER_CONSOLE : standby == NULL ? 0 : is_standby ? 's' : 'p';
	if (matches_target(srv, standby != NULL, is_standby,
			   is_standby || gucs_is_on(welcome, "default_transaction_read_only")))
		return 0;
	return set_mismatch(srv, why);
}

/* in_hot_standby counts whenever it is reported. default_transaction_read_only counts only if it is reported during a
 * ping, because at other times a client may have made its own session read-only. */
void
server_role_reported(struct server *srv, const char *name, const char *value)
{
	bool is_on = strcmp(value, "on") == 0, is_role = strcasecmp(name, "in_hot_standby") == 0;

	if (is_role)
		srv->role = is_on ? 's' : 'p';
	else if (srv->state != SV_PINGING || strcasecmp(name, "default_transaction_read_only") != 0)
		return;
	if (!matches_target(srv, srv->role != 0, srv->role == 's', srv->role == 's' || (!is_role && is_on)))
		server_condemn(srv, SERVER_MISPLACED);
}

void
server_end_misplaced(struct server *srv)
{
	struct fail why;

	set_mismatch(srv, &why);
	server_fail(srv, &why);
}
