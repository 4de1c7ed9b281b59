/*
 * src/client/cancel_sql.c - pg_cancel_backend() and pg_terminate_backend() with a PID that pgweir sent to a client.
 *
 * PostgreSQL knows no process with that PID: it sends a warning, and the function returns false. No SQL is changed for
 * this: the warning proves that the function ran, with the PID bound or not, and names the PID. pgweir then signals the
 * client that was sent the PID, drops the warning, and turns the result into true.
 *
 * PostgreSQL's rule decides who may do this, as far as pgweir knows it (a superuser, or the same role), and only on the
 * same cluster. Whose right counts is known only if the call is all that runs, outside of the database's functions
 * (which may run as their owner), and the role is that of the client's image: nothing in the transaction may have set
 * another one. For everybody else, and for other PIDs, PostgreSQL's answer stands.
 */
#include "client/cancel.h"

#include "net/inbox.h"
#include "sql/known.h"
#include "state/context.h"

#include <stdlib.h>
#include <string.h>

/* Returns the role that the client acts as; NULL: the user of its servers. */
static const char *
acting_role(const struct client *c)
{
	const char *role = image_get(c->x.image, "role");

	return role != NULL && strcmp(role, "none") != 0 ? role : image_get(c->x.image, "session_authorization");
}

static bool
is_superuser(const struct client *c)
{
	const char *superuser = image_get(c->x.pool->welcome, "is_superuser");

	return acting_role(c) == NULL && superuser != NULL && strcmp(superuser, "on") == 0;
}

/* Says whether it may reach clients of its own name in this pool, or if it is a superuser, any. */
static bool
may_reach_pool(const struct client *c, const struct pool *other)
{
	const struct pool *own = c->x.pool;
	const char *role = acting_role(c);

	if (!pool_is_same_cluster(own, other))
		return false;
	if (is_superuser(c))
		return true;
	if (own->database->is_of_tenant != other->database->is_of_tenant ||
	    (own->database->is_of_tenant && strcmp(own->database->name, other->database->name) != 0))
		return false;
	return strcmp(role != NULL ? role : own->user, other->user) == 0;
}

static bool
may_reach(const struct client *c, const struct client *target)
{
	return may_reach_pool(c, target->x.pool) &&
	       (is_superuser(c) || strcmp(exchange_user(&c->x), exchange_user(&target->x)) == 0);
}

/* A signal on its way to the worker that has the client. */
struct crossing_signal {
	struct note note;
	struct client_env *to;
	uint32_t pid;
	bool is_end, is_for_any;
	char user[]; /* is_for_any: of any; else only a client of this name is signalled */
};

static void
arrive(struct note *n, void *owner, bool is_over)
{
	struct crossing_signal *s = (struct crossing_signal *)((char *)n - offsetof(struct crossing_signal, note));
	struct client *target = is_over ? NULL : cancel_find_pid(s->to, s->pid);

	(void)owner;
	if (target != NULL && exchange_is_ready(&target->x) &&
	    (s->is_for_any || strcmp(s->user, exchange_user(&target->x)) == 0))
		cancel_later(target, s->is_end);
	free(s);
}

/* As with kill(), the answer is that the signal was sent. Returns false if nobody may be meant, or without memory. */
static bool
signal_elsewhere(const struct client *c, uint32_t pid, bool is_end)
{
	struct client_env *home = cancel_find_home_of_pid(c, pid, may_reach_pool);
	size_t len = strlen(exchange_user(&c->x)) + 1;
	struct crossing_signal *s = home == NULL ? NULL : calloc(1, sizeof(*s) + len);

	if (s == NULL)
		return false;
	s->note.read = arrive;
	s->to = home;
	s->pid = pid;
	s->is_end = is_end;
	s->is_for_any = is_superuser(c);
	memcpy(s->user, exchange_user(&c->x), len);
	inbox_post(home->inbox, &s->note);
	return true;
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

/* Returns what the request under way is, if it is the only one and has but one statement. */
static enum known_kind
signal_under_way(const struct server *srv)
{
	const struct owed *head = ledger_head(&srv->ledger);
	uint32_t requests = 0, statements = srv->loan.statements_run;

	if (head == NULL || srv->loan.is_text_spent || srv->loan.is_text_cut)
		return KNOWN_NOT;
	for (uint32_t i = 0; i < srv->ledger.count; i++) {
		const struct owed *o = ledger_at(&srv->ledger, i);

		requests += owed_ends_client_request(o);
		if (o->kind == OWED_SYNC && o->to == OWED_TO_CLIENT)
			statements = o->statements;
	}
	if (requests > 1 || (head->kind != OWED_QUERY && (head->kind != OWED_EXECUTE || statements != 1)))
		return KNOWN_NOT;
	return known_signal_only((const char *)srv->loan.text, srv->loan.text_len);
}

bool
cancel_no_such_pid(struct server *srv, uint32_t pid)
{
	enum known_kind signal = signal_under_way(srv);
	struct client *c, *target;

	if (srv->borrower == NULL || signal == KNOWN_NOT)
		return false;
	c = client_of(srv->borrower);
	if (c->x.is_closing || !exchange_is_ready(&c->x) || !state_acts_as_image(&c->x))
		return false;
	target = cancel_find_pid(c->env, pid);
	if (target == NULL)
		return signal_elsewhere(c, pid, signal == KNOWN_TERMINATE_BACKEND);
	if (!exchange_is_ready(&target->x) || !may_reach(c, target))
		return false;
	if (signal == KNOWN_TERMINATE_BACKEND && target == c) {
		end_itself(c);
		return true;
	}
	return cancel_later(target, signal == KNOWN_TERMINATE_BACKEND) == 0;
}
