/*
 * src/admin/show_wait.c - EXPLAIN WAIT: explains in sentences what a client waits for. If the client waits for a
 * server, the sentences give the same explanation as the pool's error after the timeout, and name the clients that have
 * the servers.
 */
#include "admin/show.h"
#include "client/clients.h"
#include "exchange/holder.h"
#include "base/clock.h"
#include "base/escape.h"
#include "config/compat.h"
#include "config/config_state.h"
#include "policy/policy_shared.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_MAX 2000
#define HOLDERS_NAMED 5

const struct column show_sentence_columns[1] = { { "explanation", COLUMN_TEXT } };

void
show_line(const struct show_env *env, struct rows *rows, const char *fmt, ...)
{
	const struct problem_words *words = config_words(env->clients->x.config);
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (words != NULL)
		words->reword(text, sizeof(text));
	rows_add(rows, &(struct show_text){ text });
}

static const char *
write_name(const struct client *c, char out[CLIENT_WORDS_MAX])
{
	struct client_about about;

	client_describe(c, &about);
	escape_text(ESCAPE_TEXT, about.words, strlen(about.words), out, CLIENT_WORDS_MAX);
	out[0] = 'C'; /* the name begins a sentence */
	return out;
}

static struct duration
age_of(const struct show_env *env, uint64_t since_us)
{
	return duration_format(show_age_us(env->now_us, since_us));
}

/* --- clients that have a server --- */

static void
say_holder(const struct show_env *env, struct holding *list, const struct holding *h, struct rows *rows)
{
	char query[SHOW_QUERY_MAX], blocked[SHOW_BLOCKED_MAX], text[SENTENCE_MAX], name[CLIENT_WORDS_MAX];
	char use[SHOW_USE_MAX];

	show_write_query(h->srv, query);
	show_write_blockers(list, h, blocked);
	/* show_line() is not used here: it would replace words of the SQL that look like names of settings. */
	snprintf(text, sizeof(text), "%s has had a server for %s (PID %" PRIu32 " in PostgreSQL); %s for %s%s%s%s%s.",
		 write_name(h->srv->borrower, name), age_of(env, h->srv->loan.lent_us).text, h->srv->pid,
		 show_write_use(h, use), age_of(env, h->since_us).text, blocked[0] != '\0' ? ", blocked by " : "",
		 blocked, query[0] != '\0' ? ": " : "", query);
	rows_add(rows, &(struct show_text){ text });
}

/* --- what would end the wait --- */

/* Writes how to end the client or process at the root of h's chain of blockers. If h is not blocked, writes how to end
 * the client of h. */
static const char *
write_remedy(const struct show_env *env, const struct holding *h, char out[HOLDER_REMEDY_MAX])
{
	bool is_outside = h->blocker_count > 0 && h->root == NULL;

	if (!is_outside)
		holder_write_remedy(h->blocker_count > 0 ? h->root->srv : h->srv, env->now_us, out, HOLDER_REMEDY_MAX);
	else
		holder_write_remedy_outside(h->root_pid, out, HOLDER_REMEDY_MAX);
	return out;
}

/* Returns true if h has one of the places that clients of the pool wait for, or would wait for. */
static bool
has_wanted_place(const struct pool *pool, const struct holding *h)
{
	return policy_may_get_place_of(pool->policy, h->pool->policy);
}

/* Returns how many of the places that the pool's clients wait for are kept because of one root: the place of h, and the
 * places of all holdings that have the same root. The root is h itself or, if h is blocked, the process outside pgweir
 * at the end of its chain. */
static uint32_t
count_kept(const struct holding *list, const struct pool *pool, const struct holding *h)
{
	const struct holding *root = h->blocker_count > 0 ? NULL : h;
	uint32_t kept = 0;

	if (root != NULL && h->blocks == 0)
		return has_wanted_place(pool, h);
	for (const struct holding *other = list; other->srv != NULL; other++)
		kept +=
		    has_wanted_place(pool, other) && (other == h || (other->blocker_count > 0 && other->root == root &&
								     (root != NULL || other->root_pid == h->root_pid)));
	return kept;
}

/* Counts of the connections that a pool's clients wait for. of: the connections that no lock is known to block, by use.
 * unknown: the connections in `of` that a lock may block, because PostgreSQL was not asked or has not answered. */
struct uses {
	uint32_t all, of[SERVER_USES], blocked, unknown;
};

/* Says, for example: Of 4 connections in use 3 are blocked by locks, 1 is running. */
static void
say_uses(const struct show_env *env, const struct pool *pool, const struct uses *u, struct rows *rows)
{
	const char *sep = "";
	char text[256];
	size_t len = 0;

	for (int i = -1; i < SERVER_USES; i++) {
		uint32_t count = i < 0 ? u->blocked : u->of[i];

		if (count == 0)
			continue;
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "%s%" PRIu32 " %s %s", sep, count, count == 1 ? "is" : "are",
		    i < 0 ? "blocked by locks"
			  : holder_word((enum server_use)i, pool->settings.pool_mode == POOL_MODE_SESSION));
		sep = ", ";
	}
	if (len > 0)
		show_line(env, rows, "Of %s in use %s.", base_format_count(u->all, "connection", "connections").text,
			  text);
	if (u->unknown > 0)
		show_line(env, rows,
			  "Whether locks are in their way is not known, as PostgreSQL could not be asked, or has not "
			  "answered; run there: SELECT pid, pg_blocking_pids(pid) FROM pg_stat_activity.");
}

/* Returns true if the remedy of write_remedy() for h would let other clients go on. An idle client counts only if it
 * was idle since before_us, because a healthy transaction may be idle for milliseconds while others wait. */
static bool
has_useful_remedy(const struct holding *h, uint64_t before_us)
{
	uint64_t since_us;

	if (h->blocker_count > 0)
		return h->root == NULL;
	return (h->blocks > 0 && h->use == USE_RUNNING) || holder_is_stuck(h->srv, before_us, &since_us);
}

bool
show_explain_usage(const struct show_env *env, const struct pool *pool, const struct holding *list, uint64_t before_us,
		   const char *lead, struct rows *rows)
{
	const struct holding *worst = NULL;
	char remedy[HOLDER_REMEDY_MAX];
	struct uses uses = { 0 };
	uint32_t most = 0;

	for (const struct holding *h = list; h->srv != NULL; h++) {
		bool is_blocked = h->blocker_count > 0, is_here = has_wanted_place(pool, h);

		uses.all += is_here;
		uses.blocked += is_here && is_blocked;
		uses.of[h->use] += is_here && !is_blocked;
		uses.unknown += is_here && h->blocker_count < 0;
		if (has_useful_remedy(h, before_us)) {
			uint32_t kept = count_kept(list, pool, h);

			worst = kept > most ? h : worst;
			most = kept > most ? kept : most;
		}
	}
	say_uses(env, pool, &uses, rows);
	if (worst == NULL || (uses.all < pool->settings.pool_size + pool->settings.max_overflow &&
			      !policy_is_short_under_caps(pool->policy)))
		return false;
	show_line(env, rows, "%s: %s; it keeps %" PRIu32 " of them.", lead, write_remedy(env, worst, remedy), most);
	return true;
}

/* --- what the client waits for --- */

bool
show_explain_wait(const struct show_env *env, const struct client *c, const struct holding *list, struct rows *rows)
{
	const struct pool *pool = c->x.pool;
	struct duration waited = age_of(env, c->x.waiter.since_us), limit;
	struct policy_counts counts;
	uint64_t end_us;
	char name[CLIENT_WORDS_MAX], lock[FAIL_TEXT_MAX];
	struct fail ours, why;

	end_us = policy_explain_wait(pool->policy, &c->x.waiter, env->now_us, &ours);
	limit = duration_format(end_us - c->x.waiter.since_us);
	compat_reword(env->clients->x.config, &ours, &why);
	show_count_shards(env, pool, &counts);
	show_line(env, rows, "%s has waited %s for a server of pool %s/%s; %s%s.", write_name(c, name), waited.text,
		  pool->database->name, pool->user,
		  end_us != UINT64_MAX ? "it gets an error after " : "it waits for as long as it takes",
		  end_us != UINT64_MAX ? limit.text : "");
	show_line(env, rows, "It is %snumber %" PRIu32 " of %" PRIu32 " in the queue.",
		  policy_is_shard(pool->policy) ? "about " : "",
		  policy_queue_position(pool->policy, &c->x.waiter, env->now_us), counts.waiting);
	show_line(env, rows, "The cause: %s", why.detail);
	if (holder_explain_self_deadlock(&c->x, (c->x.waiter.since_us + env->now_us) / 2, lock)[0] != '\0')
		show_line(env, rows, "In other words, %s.", lock);
	if (!counts.is_paused && show_explain_usage(env, pool, list, c->x.waiter.since_us, "What helps", rows))
		return true;
	show_line(env, rows, "What helps: %s", why.hint);
	return counts.lent < pool->settings.pool_size + pool->settings.max_overflow;
}

static void
say_waits(const struct show_env *env, const struct client *c, struct holding *list, struct rows *rows)
{
	int named = 0;

	show_explain_wait(env, c, list, rows);
	for (const struct holding *h = list; h->srv != NULL; h++)
		if (has_wanted_place(c->x.pool, h) && ++named <= HOLDERS_NAMED)
			say_holder(env, list, h, rows);
	if (named > HOLDERS_NAMED)
		show_line(env, rows, "Other clients have held theirs for a shorter time; see SHOW HOLDERS.");
}

/* Names the processes that hold the lock for which h waits, and the client at the root of the chain of blockers. */
static void
say_root(const struct show_env *env, struct holding *list, const struct holding *h, struct rows *rows)
{
	char root[SHOW_ROOT_MAX], blocked[SHOW_BLOCKED_MAX];

	show_line(env, rows, "It is waiting for a PostgreSQL lock that %s holds or will get first.",
		  show_write_blockers(list, h, blocked));
	if (h->root != NULL && h->root != h) {
		show_line(env, rows, "At the root is %s, which blocks %s%s:", show_write_root(h, root),
			  base_format_count(h->root->blocks, "client", "clients").text,
			  h->root->blocks == 1 ? "" : ", some behind each other");
		say_holder(env, list, h->root, rows);
	}
}

/* Names the clients that `root` blocks; nothing blocks `root` itself. */
static void
say_blocked(const struct show_env *env, struct holding *list, const struct holding *root, struct rows *rows)
{
	uint64_t named = 0;

	show_line(env, rows, "It blocks %s%s:", base_format_count(root->blocks, "client", "clients").text,
		  root->blocks == 1 ? "" : ", some behind each other");
	for (const struct holding *h = list; h->srv != NULL; h++)
		if (h->blocker_count > 0 && h->root == root && ++named <= HOLDERS_NAMED)
			say_holder(env, list, h, rows);
	if (named > HOLDERS_NAMED)
		show_line(env, rows, "SHOW BLOCKERS has the others.");
}

static void
say_with_server(const struct show_env *env, struct holding *list, const struct holding *h, struct rows *rows)
{
	char remedy[HOLDER_REMEDY_MAX];

	say_holder(env, list, h, rows);
	if (h->blocker_count > 0)
		say_root(env, list, h, rows);
	else if (h->blocker_count < 0)
		show_line(env, rows,
			  "It is waiting for PostgreSQL. If a lock is in its way, this names the holders there: "
			  "SELECT pg_blocking_pids(%" PRIu32 ").",
			  h->srv->pid);
	else if (h->use == USE_RUNNING)
		show_line(env, rows, "It is waiting for PostgreSQL, and no lock is in its way.");
	else
		show_line(env, rows, "It is the client's turn: %s.",
			  h->use == USE_CLIENT ? "to read its result, or to send the rest of its request"
					       : "neither PostgreSQL nor pgweir owes it anything");
	if (h->blocker_count <= 0 && h->blocks > 0)
		say_blocked(env, list, h, rows);
	/* a deadlock needs no advice: PostgreSQL ends it */
	if ((h->blocks > 0 || h->blocker_count > 0) && h->root != h)
		show_line(env, rows, "What helps: %s.", write_remedy(env, h, remedy));
}

#define LISTENS                                                                                                        \
	"It waits for the connection that listens in its place (SHOW POOLS_EXTENDED, pgweir_pool_listen_connections)"

static const char *
text_without_server(const struct client *c)
{
	static const char *const words[CL_STATES] = {
		[CL_CONSOLE] = "It is in this console",
		[CL_READY] = "It is idle: its last request is answered, and it has sent no other",
		[CL_REJECTING] = "Its request was answered with an error, and pgweir waits for the rest of it",
		[CL_AWAITING_LISTENER] = LISTENS,
		[CL_READY_WITHHELD] = LISTENS,
		[CL_CATCHING_UP] = "It waits until a host has replayed what it has written or been shown (SHOW HOSTS)",
		[CL_DELAYED] = "Its password was wrong, and the answer is delayed (login_failure_delay)",
		[CL_CLOSE_AFTER_FLUSH] = "It is being closed, and has yet to read why",
	};

	if (c->x.state == CL_READY && exchange_is_in_block(&c->x))
		return "It is idle in a transaction, which needs none until its next request";
	if (words[c->x.state] != NULL)
		return words[c->x.state];
	return exchange_is_relayed(&c->x) ? "It waits for what it sent earlier" : "It is logging in";
}

SHOW(answer_wait, show_sentence_columns, OF_ALL_WITH_BLOCKERS)
{
	const struct client *c = clients_find(env->host->client_envs, env->command->client_id);
	struct holding *list = show_holdings(env, rows), *h = list;
	char name[CLIENT_WORDS_MAX];

	while (h != NULL && h->srv != NULL && h->srv->borrower != c)
		h++;
	if (c != NULL && env->clients->x.is_suspended)
		show_line(env, rows, "SUSPEND was given in the console: nothing is read from any client until RESUME.");
	if (c == NULL)
		show_line(env, rows,
			  "There is no client %" PRIu64
			  "; SHOW WAITERS has those that wait for a server, and SHOW EVENTS LIKE "
			  "'%%client %" PRIu64 " %%' says why it was disconnected, if pgweir did that.",
			  env->command->client_id, env->command->client_id);
	else if (h != NULL && c->x.waiter.waits != WAITS_NOT)
		say_waits(env, c, list, rows);
	else if (h != NULL && h->srv != NULL)
		say_with_server(env, list, h, rows);
	else
		show_line(env, rows, "%s waits for no server. %s.", write_name(c, name), text_without_server(c));
	free(list);
}
