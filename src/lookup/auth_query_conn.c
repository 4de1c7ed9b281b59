/*
 * src/lookup/auth_query_conn.c - the connections on which auth_query runs. A connection is opened when a lookup waits,
 * takes one question at a time, and is closed when idle. See auth_query.h.
 *
 * Each connection is a dedicated server (dedicated/dedicated.h). A question is Parse, Bind, Execute (of at most two
 * rows, because a second row is an error) and Sync. The ledger matches the replies. on_row() gets the row; if the row
 * is too large, it comes truncated, with is_whole false. The lookup ends in on_batch_end(), after the question's
 * ReadyForQuery has come.
 */
#include "lookup/auth_query_state.h"
#include "base/clock.h"
#include "wire/messages.h"
#include "server/server.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_US (30 * US_PER_S)
#define LIFE_US (600 * US_PER_S) /* an older connection is closed when idle, because hosts may have changed roles */
#define BACKOFF_MIN_US (100 * US_PER_MS)
#define BACKOFF_MAX_US (5 * US_PER_S)
#define CANCEL_US (2 * US_PER_S)
#define ROWS_MAX 2u

struct auth_conn {
	struct dedicated dedicated; /* must be first */
	struct auth_source *source;
	TAILQ_ENTRY(auth_conn) list;
	struct auth_lookup *lookup; /* the lookup whose answer is due, or NULL */
	/* CONN_UNAVAILABLE: not logged in, closing, or in callbacks of logins. CONN_UP: takes a question unless
	 * `lookup` is set. */
	enum { CONN_UNAVAILABLE, CONN_UP, CONN_DONE /* ReadyForQuery has come */ } state;
	bool has_answered; /* the connection has answered once, so a question that is lost with it may be asked again */
	uint64_t idle_since_us;
	/* how many rows of the answer have come so far */
	unsigned rows;
	bool has_failed; /* the answer is an error, malformed, or has several rows; `why` says which */
	struct fail why;
	struct auth_answer answer;
	char secret[AUTH_SECRET_MAX]; /* the answer's secret; wiped */
};

static const struct dedicated_ops conn_ops;

static uint64_t
conn_now(const struct auth_conn *conn)
{
	return *conn->source->all->env.now_us;
}

static void
forget_answer(struct auth_conn *conn)
{
	OPENSSL_cleanse(conn->secret, sizeof(conn->secret));
	conn->answer = (struct auth_answer){ .valid_until_us = AUTH_VALID_FOR_EVER };
	conn->rows = 0;
	conn->has_failed = false;
	if (conn->state == CONN_DONE)
		conn->state = CONN_UP;
}

/* --- opening and closing --- */

static void
close_conn(struct auth_conn *conn)
{
	conn->state = CONN_UNAVAILABLE;
	dedicated_close(&conn->dedicated); /* calls on_closed */
}

/* Returns true if another connection may be opened. At the limit, first closes an idle connection of any source. */
static bool
make_room(struct auth_queries *all)
{
	struct auth_source *source;
	struct auth_conn *conn;

	if (all->conn_count < AUTH_ALL_CONNS_MAX)
		return true;
	TAILQ_FOREACH(source, &all->sources, list)
		TAILQ_FOREACH(conn, &source->conns, list)
			if (conn->state != CONN_UNAVAILABLE && conn->lookup == NULL) {
				close_conn(conn);
				return true;
			}
	return false;
}

static void
open_conn(struct auth_source *source, uint64_t now_us)
{
	struct auth_queries *all = source->all;
	struct auth_conn *conn;

	source->lacks_place = !make_room(all) || !pool_set_take_place(all->pools, now_us);
	if (source->lacks_place)
		return; /* the next tick tries again */
	conn = calloc(1, sizeof(*conn));
	if (conn != NULL) {
		conn->dedicated.ops = &conn_ops;
		conn->source = source;
	}
	if (conn == NULL ||
	    dedicated_open(&conn->dedicated, all->pools, &all->env, source->target, source->settings, NULL) < 0) {
		free(conn);
		source->lacks_place = true;
		pool_set_give_place(all->pools, now_us);
		return;
	}
	TAILQ_INSERT_TAIL(&source->conns, conn, list);
	source->conn_count++;
	all->conn_count++;
}

/* Closes idle connections: all, or those that are old, idle for long, of a retired source, or in the way of a pool. */
static void
close_idle(struct auth_source *source, bool all, uint64_t now_us)
{
	for (struct auth_conn *conn = TAILQ_FIRST(&source->conns), *next; conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, list);
		if (conn->state != CONN_UNAVAILABLE && conn->lookup == NULL &&
		    (all || source->is_retired || pool_set_is_place_wanted(source->all->pools) ||
		     now_us - conn->idle_since_us >= IDLE_US || now_us - conn->dedicated.srv->created_us >= LIFE_US))
			close_conn(conn);
	}
}

void
auth_conns_close_idle(struct auth_source *source)
{
	close_idle(source, true, 0);
}

void
auth_conn_give_up(struct auth_conn *conn)
{
	conn->lookup = NULL;
	if (conn->dedicated.srv->state == SV_LENT)
		server_cancel(conn->dedicated.srv, CANCEL_US, NULL, NULL);
	close_conn(conn);
}

void
auth_conns_free(struct auth_source *source)
{
	while (!TAILQ_EMPTY(&source->conns))
		close_conn(TAILQ_FIRST(&source->conns));
}

void
auth_conns_tick(struct auth_source *source, uint64_t now_us)
{
	close_idle(source, false, now_us);
	auth_conns_feed(source, now_us);
}

/* --- asking --- */

/* Looks for membership as PostgreSQL's hba.c does (is_member): INHERIT does not matter, and a superuser is a member
 * only of roles that were granted to it. The query returns one row if the user is a member, as source->query does for a
 * user who has a secret. Every name is qualified. */
#define MEMBER_QUERY                                                                                                   \
	"WITH RECURSIVE own (oid) AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) "       \
	"$1::pg_catalog.name UNION SELECT m.roleid FROM own, pg_catalog.pg_auth_members AS m "                         \
	"WHERE m.member OPERATOR(pg_catalog.=) own.oid) SELECT 'member'::pg_catalog.text FROM own, "                   \
	"pg_catalog.pg_roles AS r WHERE r.oid OPERATOR(pg_catalog.=) own.oid "                                         \
	"AND r.rolname OPERATOR(pg_catalog.=) $2::pg_catalog.name"

static void
put_lookup(struct buf *b, const struct auth_source *source, const struct auth_key *key)
{
	const char *const names[] = { key->user, key->role };
	bool has_role = key->role[0] != '\0';
	size_t begun = message_begin(b, 'P');

	buf_put_str(b, "");
	buf_put_str(b, has_role ? MEMBER_QUERY : source->query);
	buf_put_u16(b, 0); /* PostgreSQL infers the type of $1, which may be text or name */
	message_end(b, begun);
	message_bind_text(b, "", "", names, has_role ? 2 : 1);
	begun = message_begin(b, 'E');
	buf_put_str(b, "");
	buf_put_u32(b, ROWS_MAX);
	message_end(b, begun);
	message_sync(b);
}

static void
conn_ask(struct auth_conn *conn, struct auth_lookup *lookup)
{
	struct auth_source *source = conn->source;
	struct server *srv = conn->dedicated.srv;
	struct buf b = { 0 };

	TAILQ_REMOVE(&source->waiting, lookup, link);
	lookup->conn = conn;
	lookup->roles_epoch = shared_count_get(&source->all->roles_epoch);
	conn->lookup = lookup;
	forget_answer(conn);
	put_lookup(&b, source, &lookup->key);
	ledger_push_run(&srv->ledger, OWED_TO_PGWEIR, NULL);
	server_owe_sync(srv, OWED_TO_PGWEIR);
	if (server_send(srv, &b) < 0)
		srv->stream.is_broken = true; /* out of memory: no answer comes, so the lookup ends at its deadline */
}

/* Returns a connection that is logged in (and has no question in progress, if must_be_free), or NULL. */
static struct auth_conn *
find_up(const struct auth_source *source, bool must_be_free)
{
	struct auth_conn *conn;

	TAILQ_FOREACH(conn, &source->conns, list)
		if (conn->state != CONN_UNAVAILABLE && (!must_be_free || conn->lookup == NULL))
			return conn;
	return NULL;
}

/* Returns true if more lookups wait (counted up to AUTH_CONNS_MAX) than connections are opening or unavailable. */
static bool
lacks_conns(const struct auth_source *source)
{
	const struct auth_lookup *lookup;
	const struct auth_conn *conn;
	uint32_t waiting = 0, opening = 0;

	TAILQ_FOREACH(conn, &source->conns, list)
		opening += conn->state == CONN_UNAVAILABLE;
	TAILQ_FOREACH(lookup, &source->waiting, link)
		if (++waiting == AUTH_CONNS_MAX)
			break;
	return opening < waiting;
}

void
auth_conns_feed(struct auth_source *source, uint64_t now_us)
{
	struct auth_conn *conn;

	while (!TAILQ_EMPTY(&source->waiting) && (conn = find_up(source, true)) != NULL)
		conn_ask(conn, TAILQ_FIRST(&source->waiting));
	while (source->conn_count < AUTH_CONNS_MAX && source->retry_us <= now_us && lacks_conns(source)) {
		uint32_t before = source->conn_count;

		/* After a failure, tries only one connection at a time. */
		if (source->failures > 0 && before > 0)
			return;
		open_conn(source, now_us);
		if (source->conn_count == before)
			return;
	}
}

/* --- what a connection reports --- */

static bool
on_error(struct dedicated *d, const struct fail *why)
{
	struct auth_conn *conn = (struct auth_conn *)d;

	conn->why = *why;
	conn->has_failed = true;
	return false;
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	struct auth_conn *conn = (struct auth_conn *)d;

	if (conn->lookup == NULL || conn->has_failed)
		return;
	conn->has_failed = true;
	if (++conn->rows > 1)
		fail_set(&conn->why, "21000", "it returned more than one row");
	else if (!is_whole)
		fail_set(&conn->why, "08P01", "its row is too large");
	else if (auth_answer_read(body, len, conn->lookup->key.user, &conn->answer, &conn->why) == 0)
		conn->has_failed = false;
	if (conn->has_failed || conn->answer.secret == NULL)
		return;
	memcpy(conn->secret, conn->answer.secret, conn->answer.secret_len);
	conn->answer.secret = conn->secret;
}

static void
on_done(struct dedicated *d)
{
	((struct auth_conn *)d)->state = CONN_DONE;
}

/* The callbacks of the logins may do anything, so the connection is CONN_UNAVAILABLE while they run. */
static void
on_batch_end(struct dedicated *d)
{
	struct auth_conn *conn = (struct auth_conn *)d;
	struct auth_source *source = conn->source;
	struct auth_lookup *lookup = conn->lookup;

	if (conn->state != CONN_DONE || lookup == NULL)
		return;
	conn->state = CONN_UNAVAILABLE;
	conn->lookup = NULL;
	lookup->conn = NULL;
	conn->has_answered = true;
	conn->idle_since_us = conn_now(conn);
	if (conn->has_failed)
		auth_lookup_end(lookup, AUTH_END_ERROR, NULL, &conn->why);
	else
		auth_lookup_end(lookup, AUTH_END_ANSWER, &conn->answer, NULL);
	forget_answer(conn);
	if (d->srv->tx == 'I' && !source->is_retired)
		conn->state = CONN_UP;
	else
		close_conn(conn); /* also if the query left a transaction open */
	auth_conns_feed(source, *source->all->env.now_us);
}

/* A connection that has answered before may have died while idle, so its question is asked once more, elsewhere. */
static void
on_lost(struct dedicated *d, const struct fail *why)
{
	struct auth_conn *conn = (struct auth_conn *)d;
	struct auth_lookup *lookup = conn->lookup;
	bool is_violation = strcmp(why->sqlstate, "08P01") == 0;

	conn->state = CONN_UNAVAILABLE;
	conn->lookup = NULL;
	if (lookup == NULL)
		return;
	lookup->conn = NULL;
	if (conn->has_answered && !lookup->is_retried && !is_violation && !TAILQ_EMPTY(&lookup->asks)) {
		lookup->is_retried = true;
		TAILQ_INSERT_HEAD(&conn->source->waiting, lookup, link);
		return;
	}
	auth_lookup_end(lookup, is_violation ? AUTH_END_ERROR : AUTH_END_UNREACHABLE, NULL, why);
}

static void
on_up(struct dedicated *d)
{
	struct auth_conn *conn = (struct auth_conn *)d;
	struct auth_source *source = conn->source;

	conn->state = CONN_UP;
	conn->idle_since_us = conn_now(conn);
	source->failures = 0;
	source->retry_us = 0;
	auth_conns_feed(source, conn_now(conn));
}

/* Ends all lookups that wait, unless another connection is logged in. */
static void
on_failed(struct dedicated *d, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct auth_conn *conn = (struct auth_conn *)d;
	struct auth_source *source = conn->source;

	source->retry_us =
	    conn_now(conn) + backoff_us(source->failures++, BACKOFF_MIN_US, BACKOFF_MAX_US, &source->all->random);
	source->is_refused = is_fatal;
	source->why_down = *why;
	if (find_up(source, false) == NULL) {
		struct auth_lookup *lookup;

		while ((lookup = TAILQ_FIRST(&source->waiting)) != NULL) {
			TAILQ_REMOVE(&source->waiting, lookup, link);
			auth_lookup_end(lookup, source->is_refused ? AUTH_END_ERROR : AUTH_END_UNREACHABLE, NULL,
					&source->why_down);
		}
	}
}

static void
on_closed(struct dedicated *d)
{
	struct auth_conn *conn = (struct auth_conn *)d;
	struct auth_source *source = conn->source;
	struct auth_queries *all = source->all;

	TAILQ_REMOVE(&source->conns, conn, list);
	source->conn_count--;
	all->conn_count--;
	pool_set_give_place(all->pools, *all->env.now_us);
	OPENSSL_cleanse(conn->secret, sizeof(conn->secret));
	free(conn);
}

static const struct dedicated_ops conn_ops = {
	.up = on_up,
	.failed = on_failed,
	.lost = on_lost,
	.closed = on_closed,
	.error = on_error,
	.row = on_row,
	.done = on_done,
	.batch_end = on_batch_end,
};
