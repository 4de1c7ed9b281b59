/*
 * src/admin/show_wait.c - EXPLAIN WAIT: what a client waits for, sentence by sentence. Says what its pool would say in
 * the error of a timeout, but while there is time, and names those who have the servers.
 */
#include "admin/show.h"
#include "client/clients.h"

#include "base/clock.h"
#include "base/escape.h"
#include "bouncer/bouncer.h"
#include "policy/policy_whole.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_MAX 1400
#define HOLDERS_TOLD 5

const struct column show_sentence_columns[1] = { COLUMN_NAMED(TEXT, struct show_text, "explanation", text) };

void
show_say(struct rows *rows, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rows_add(rows, &(struct show_text){ text });
}

struct client_text {
	char text[480];
};

/* Client 7 (user "web", application "api", 10.0.0.7:51514) */
static struct client_text
name_of(const struct client *c)
{
	const char *user = exchange_user(&c->x), *application = exchange_application(&c->x);
	char peer[80], shown_user[160], shown_application[160];
	struct client_text out;

	client_peer_text(c, peer, sizeof(peer));
	escape_text(ESCAPE_TEXT, user, strlen(user), shown_user, sizeof(shown_user));
	escape_text(ESCAPE_TEXT, application, strlen(application), shown_application, sizeof(shown_application));
	snprintf(out.text, sizeof(out.text), "Client %" PRIu64 " (user \"%s\"%s%s%s, %s)", c->x.ticket.id, shown_user,
		 application[0] != '\0' ? ", application \"" : "", shown_application,
		 application[0] != '\0' ? "\"" : "", peer);
	return out;
}

static struct duration
age_of(const struct show_env *env, uint64_t since_us)
{
	return duration_of(show_age_us(env->now_us, since_us));
}

/* --- who has a server --- */

static void
say_holder(const struct show_env *env, const struct server *srv, struct rows *rows)
{
	struct duration held = age_of(env, srv->loan.lent_us), since;
	struct client_text who = name_of(srv->borrower);
	struct holder_state state;
	char query[SHOW_QUERY_MAX];
	char blocked[SHOW_BLOCKED_MAX];
	const char *blockers;
	bool has_text;

	show_holder_state(srv->borrower, &state);
	show_holder_query(env, srv, query, &has_text);
	since = age_of(env, state.since_us);
	blockers = state.is_running ? show_blocked_by(env, srv, blocked) : NULL;
	show_say(rows, "%s has had a server for %s (PID %" PRIu32 " in PostgreSQL); %s for %s%s%s%s%s.", who.text,
		 held.text, srv->pid, state.text, since.text,
		 blockers != NULL && blockers[0] != '\0' ? ", blocked by " : "", blockers != NULL ? blockers : "",
		 has_text ? ": " : "", query);
}

/* --- what would end the wait --- */

static bool
is_idle_in_transaction(const struct server *srv)
{
	uint64_t since_us;

	return srv->tx != 'I' && !client_is_served(srv->borrower, &since_us);
}

/* Says how to get rid of a server that others wait for, as it has the locks or keeps its transaction open. */
static void
say_remedy(const struct show_env *env, const struct server *srv, char *out, size_t cap)
{
	uint64_t id = client_of(srv->borrower)->x.ticket.id;

	if (is_idle_in_transaction(srv))
		snprintf(out, cap,
			 "end client %" PRIu64 "'s transaction, idle for %s (KILL_CLIENT %" PRIu64
			 "), or set idle_transaction_timeout",
			 id, age_of(env, srv->loan.idle_in_tx_us).text, id);
	else
		snprintf(out, cap,
			 "wait for what client %" PRIu64 " runs, or end it (KILL_CLIENT %" PRIu64
			 "); query_timeout limits it",
			 id, id);
}

/* The same about a process that is no client of pgweir's; 0: a prepared transaction. */
static void
say_remedy_elsewhere(uint32_t pid, char *out, size_t cap)
{
	if (pid != 0)
		snprintf(out, cap,
			 "pg_stat_activity says whose process %" PRIu32
			 " is, which is no client of pgweir's; pg_terminate_backend(%" PRIu32 ") ends it",
			 pid, pid);
	else
		snprintf(out, cap, "end the prepared transaction that has the lock: see pg_prepared_xacts");
}

/* Sums over a pool's connections. */
struct jam {
	uint32_t in_use, idle_in_transaction, blocked;
	const struct holding *worst; /* who keeps most of them: itself, and those blocked by it; NULL: nobody's blame */
	uint32_t worst_count;
};

static struct jam
find_jam(const struct holding *list, const struct pool *e)
{
	struct jam jam = { 0 };

	for (const struct holding *h = list; h != NULL && h->srv != NULL; h++) {
		bool is_idle = is_idle_in_transaction(h->srv);
		uint32_t kept;

		if (pool_is_same(h->pool, e)) {
			jam.in_use++;
			jam.idle_in_transaction += is_idle;
			jam.blocked += h->is_blocked;
		}
		if (h->is_blocked || (!is_idle && h->blocks == 0))
			continue;
		/* How many of the pool's connections h keeps from being given back. */
		kept = pool_is_same(h->pool, e);
		for (const struct holding *other = list; other->srv != NULL; other++)
			kept += pool_is_same(other->pool, e) && other->is_blocked && other->root == h;
		if (kept > jam.worst_count) {
			jam.worst = h;
			jam.worst_count = kept;
		}
	}
	return jam;
}

static struct counted
in_use(const struct jam *jam)
{
	return counted(jam->in_use, "connection in use", "connections in use");
}

static struct counted
blocked(const struct jam *jam)
{
	return counted(jam->blocked, "waits for a lock", "wait for locks");
}

/* A larger pool does not help against transactions that nobody ends. */
static void
say_what_helps(const struct show_env *env, const struct pool *e, const struct holding *list, const char *hint,
	       struct rows *rows)
{
	struct jam jam = find_jam(list, e);
	char remedy[240];

	if (jam.in_use < e->settings.pool_size + e->settings.max_overflow ||
	    jam.idle_in_transaction + jam.blocked == 0) {
		show_say(rows, "What helps: %s.", hint);
		return;
	}
	if (jam.worst != NULL) {
		say_remedy(env, jam.worst->srv, remedy, sizeof(remedy));
		show_say(rows, "What helps: %s: of %s %s, %s; that frees %" PRIu32 " of them.", remedy,
			 in_use(&jam).text,
			 counted(jam.idle_in_transaction, "is idle in transaction", "are idle in transaction").text,
			 blocked(&jam).text, jam.worst_count);
		return;
	}
	for (const struct holding *h = list; h != NULL && h->srv != NULL; h++)
		if (pool_is_same(h->pool, e) && h->is_blocked) {
			say_remedy_elsewhere(h->root_pid, remedy, sizeof(remedy));
			show_say(rows, "What helps: %s: of %s %s.", remedy, in_use(&jam).text, blocked(&jam).text);
			return;
		}
}

/* --- what it waits for --- */

static void
say_in_line(const struct show_env *env, const struct client *c, struct rows *rows)
{
	const struct pool *e = c->x.pool;
	struct duration waited = age_of(env, c->x.ticket.since_us), limit = duration_of(e->settings.pool_timeout_us);
	struct policy_counts counts;
	struct fail ours, why;
	struct holding *list = show_holdings(env, rows);
	int told = 0;

	if (list == NULL)
		return;
	policy_explain_wait(e->policy, &c->x.ticket, env->now_us, &ours);
	bouncer_tell(env->clients->x.config, &ours, &why);
	show_count_parts(env, e, &counts);
	show_say(rows, "%s has waited %s for a server of pool %s/%s; %s%s.", name_of(c).text, waited.text,
		 e->database->name, e->user,
		 e->settings.pool_timeout_us > 0 ? "it gets an error after " : "it waits for as long as it takes",
		 e->settings.pool_timeout_us > 0 ? limit.text : "");
	show_say(rows, "It is %snumber %" PRIu32 " of %" PRIu32 " in line.", policy_is_split(e->policy) ? "about " : "",
		 policy_place(e->policy, &c->x.ticket, env->now_us), counts.waiting);
	show_say(rows, "The cause: %s.", why.detail);
	say_what_helps(env, e, list, why.hint, rows);
	for (const struct holding *h = list; h != NULL && h->srv != NULL; h++)
		if (pool_is_same(h->pool, e) && ++told <= HOLDERS_TOLD)
			say_holder(env, h->srv, rows);
	if (told > HOLDERS_TOLD)
		show_say(rows, "Other clients have held theirs for a shorter time; see SHOW HOLDERS.");
	free(list);
}

/* Who waits for whom, up to the one that waits for nobody, and what to do about that one. */
static void
say_root(const struct show_env *env, const struct holding *h, struct rows *rows)
{
	char root[SHOW_ROOT_MAX], remedy[240];

	if (h->root == NULL) {
		say_remedy_elsewhere(h->root_pid, remedy, sizeof(remedy));
		show_say(rows, "What helps: %s.", remedy);
		return;
	}
	show_say(rows, "At the root is %s, which blocks %" PRIu64 " client%s:", show_root(h, root), h->root->blocks,
		 h->root->blocks == 1 ? "" : "s, some behind each other");
	say_holder(env, h->root->srv, rows);
	say_remedy(env, h->root->srv, remedy, sizeof(remedy));
	show_say(rows, "What helps: %s.", remedy);
}

static void
say_with_server(const struct show_env *env, const struct client *c, struct rows *rows)
{
	char blocked[SHOW_BLOCKED_MAX];
	struct holder_state state;
	const char *blockers;

	say_holder(env, c->x.srv, rows);
	show_holder_state(c, &state);
	blockers = state.is_running ? show_blocked_by(env, c->x.srv, blocked) : NULL;
	if (blockers != NULL && blockers[0] != '\0') {
		struct holding *list = show_holdings(env, rows);

		show_say(rows, "It is waiting for a PostgreSQL lock that %s holds or will get first.", blockers);
		for (const struct holding *h = list; h != NULL && h->srv != NULL; h++)
			if (h->srv == c->x.srv && h->is_blocked && h->root != h)
				say_root(env, h, rows);
		free(list);
	} else if (blockers != NULL)
		show_say(rows, "It is waiting for PostgreSQL, and no lock is in its way.");
	else if (state.is_running)
		show_say(rows,
			 "It is waiting for PostgreSQL. If a lock is in its way, this names the holders there: "
			 "SELECT pg_blocking_pids(%" PRIu32 ").",
			 c->x.srv->pid);
	else
		show_say(rows, "It is the client's turn: neither PostgreSQL nor pgweir owes it anything.");
}

static const char *
without_server(const struct client *c)
{
	switch (c->x.state) {
	case CL_CONSOLE:
		return "It is in this console";
	case CL_READY:
		return "It is idle: its last request is answered, and it has sent no other";
	case CL_REJECTING:
		return "Its request was answered with an error, and pgweir waits for the rest of it";
	case CL_AWAITING:
	case CL_READY_WITHHELD:
		return "It waits for the connection that listens in its place (SHOW POOLS_EXTENDED, "
		       "pgweir_pool_listen_connections)";
	case CL_CATCHING:
		return "It waits until a host has replayed what it has written or been shown (SHOW HOSTS)";
	case CL_DELAYED:
		return "Its password was wrong, and the answer is delayed (login_failure_delay)";
	case CL_CLOSE_AFTER_FLUSH:
		return "It is being closed, and has yet to read why";
	default:
		return exchange_is_ready(&c->x) ? "It waits for what it sent earlier" : "It is logging in";
	}
}

static void
fill_wait(const struct show_env *env, struct rows *rows)
{
	const struct client *c = clients_find(env->host->crew, env->command->client_id);

	if (c == NULL) {
		show_say(rows,
			 "There is no client %" PRIu64
			 "; SHOW WAITERS has those that wait for a server, and SHOW EVENTS LIKE "
			 "'%%client %" PRIu64 " %%' says why it was disconnected, if pgweir did that.",
			 env->command->client_id, env->command->client_id);
		return;
	}
	if (env->clients->x.is_suspended)
		show_say(rows, "SUSPEND was given in the console: nothing is read from any client until RESUME.");
	if (c->x.ticket.is_waiting)
		say_in_line(env, c, rows);
	else if (c->x.srv != NULL && show_is_held(c->x.srv))
		say_with_server(env, c, rows);
	else
		show_say(rows, "%s waits for no server. %s.", name_of(c).text, without_server(c));
}

const struct show answer_wait = { SHOW_COLUMNS(show_sentence_columns), 0, fill_wait, false };
