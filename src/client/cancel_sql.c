/*
 * src/client/cancel_sql.c - pg_cancel_backend() and pg_terminate_backend() of a PID that pgweir told a client.
 *
 * PostgreSQL knows no process of that PID: it warns, and answers false. No SQL is read for this until then: whatever
 * text it was in, with the PID bound or not, the warning says that the function ran, and what it was to reach. The
 * client that was told the PID is reached here, the warning is not passed, and the answer made true.
 *
 * Who may: PostgreSQL's rule, as far as it is known here (a superuser, or the same role) and on the same cluster only.
 * For others, and for other PIDs, it stays what PostgreSQL says.
 */
#include "client/cancel.h"
#include "base/mentions.h"

#include <string.h>

/* As whom it acts; NULL: as whom its servers log in. */
static const char *
acting_role(const struct client *c)
{
	const char *role = image_get(c->x.image, "role");

	return role != NULL && strcmp(role, "none") != 0 ? role : image_get(c->x.image, "session_authorization");
}

static bool
is_same_cluster(const struct pool_entry *a, const struct pool_entry *b)
{
	return pool_target_port(a) == pool_target_port(b) && strcmp(pool_target_host(a), pool_target_host(b)) == 0;
}

static bool
may_reach(const struct client *c, const struct client *target)
{
	const struct pool_entry *own = c->x.entry, *other = target->x.entry;
	const char *role = acting_role(c), *superuser = image_get(own->welcome, "is_superuser");

	if (!is_same_cluster(own, other))
		return false;
	if (role == NULL && superuser != NULL && strcmp(superuser, "on") == 0)
		return true;
	if ((own->database->is_of_tenant || other->database->is_of_tenant) && own->database != other->database)
		return false;
	return strcmp(role != NULL ? role : own->user, other->user) == 0 &&
	       strcmp(exchange_user(&c->x), exchange_user(&target->x)) == 0;
}

/* It ends as its backend would: at once, with what it has got so far. */
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

	if (srv->link == NULL)
		return false;
	c = client_of(srv->link);
	if (c->x.is_closing || !exchange_is_ready(&c->x))
		return false;
	target = cancel_find_pid(c->env, pid);
	if (target == NULL || !exchange_is_ready(&target->x) || !may_reach(c, target))
		return false;
	is_end = text_mentions((const char *)srv->loan.text, srv->loan.text_len, "pg_terminate_backend");
	is_cancel = text_mentions((const char *)srv->loan.text, srv->loan.text_len, "pg_cancel_backend");
	if (is_end == is_cancel) /* which one it was is not seen */
		return false;
	if (is_end && target == c) {
		end_itself(c);
		return true;
	}
	return cancel_later(target, is_end) == 0;
}
