/*
 * src/client/cancel_sql.c - pg_cancel_backend() and pg_terminate_backend() with a PID that pgweir sent to a client.
 *
 * PostgreSQL knows no process with that PID: it sends a warning, and the function returns false. No SQL is read for
 * this before: whatever the SQL was, with the PID bound or not, the warning proves that the function ran, and names the
 * PID. pgweir then signals the client that was sent the PID, drops the warning, and turns the result into true.
 *
 * PostgreSQL's rule decides who may do this, as far as pgweir knows it (a superuser, or the same role), and only on the
 * same cluster. For everybody else, and for other PIDs, PostgreSQL's answer stands.
 */
#include "client/cancel.h"
#include "base/mentions.h"

#include <string.h>

/* Returns the role that the client acts as; NULL: the user of its servers. */
static const char *
acting_role(const struct client *c)
{
	const char *role = image_get(c->x.image, "role");

	return role != NULL && strcmp(role, "none") != 0 ? role : image_get(c->x.image, "session_authorization");
}

static bool
may_reach(const struct client *c, const struct client *target)
{
	const struct pool_entry *own = c->x.entry, *other = target->x.entry;
	const char *role = acting_role(c), *superuser = image_get(own->welcome, "is_superuser");

	if (!pool_is_same_cluster(own, other))
		return false;
	if (role == NULL && superuser != NULL && strcmp(superuser, "on") == 0)
		return true;
	if ((own->database->is_of_tenant || other->database->is_of_tenant) && own->database != other->database)
		return false;
	return strcmp(role != NULL ? role : own->user, other->user) == 0 &&
	       strcmp(exchange_user(&c->x), exchange_user(&target->x)) == 0;
}

/* A client that terminates itself ends at once, as its backend would, with the replies it has got so far. */
static void
end_itself(struct client *c)
{
	struct fail why;

	fail_set(&why, "57P01", "terminating connection due to administrator command");
	c->x.srv->is_closing = true;
	client_close(c, &why);
}

bool
cancel_no_such_pid(struct server *srv, uint32_t pid)
{
	struct client *c, *target;
	bool is_end, is_cancel;

	if (srv->borrower == NULL)
		return false;
	c = client_of(srv->borrower);
	if (c->x.is_closing || !exchange_is_ready(&c->x))
		return false;
	target = cancel_find_pid(c->env, pid);
	if (target == NULL || !exchange_is_ready(&target->x) || !may_reach(c, target))
		return false;
	is_end = text_mentions((const char *)srv->loan.text, srv->loan.text_len, "pg_terminate_backend");
	is_cancel = text_mentions((const char *)srv->loan.text, srv->loan.text_len, "pg_cancel_backend");
	if (is_end == is_cancel) /* the SQL doesn't show which function it was */
		return false;
	if (is_end && target == c) {
		end_itself(c);
		return true;
	}
	return cancel_later(target, is_end) == 0;
}
