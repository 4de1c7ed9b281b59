/*
 * src/relay/reject.c - answers a request that gets no server with an error, drops the rest of that request, and sends
 * ReadyForQuery where PostgreSQL would have sent it (protocol chapter, "Extended Query": after an error everything up
 * to Sync is ignored). The client's connection stays open, unless pgweir shuts down or drains its clients, the pool's
 * database is no longer configured, or PgBouncer would close the connection, too (ends_as_with_pgbouncer()).
 */
#include "exchange/holder.h"
#include "exchange/report.h"
#include "listen/listen.h"
#include "relay/walk.h"
#include "sql/known.h"
#include "statements/statements.h"
#include "statements/unnamed.h"
#include "config/compat.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <ctype.h>

struct policy_holders
reject_hint_at_holders(const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	const struct server *srv = NULL, *worst = NULL;
	uint64_t since_us, oldest_us = t->since_us;
	struct pool *pool = exchange_of_waiter(t)->pool;
	struct policy_holders k = { 0 };
	char remedy[FAIL_TEXT_MAX];
	bool is_locked;

	while ((srv = holder_next(pool, srv)) != NULL) {
		k.known++;
		k.running += pool_use_of(srv, &since_us) == USE_RUNNING;
		if (holder_is_stuck(srv, oldest_us, &since_us)) {
			worst = srv;
			oldest_us = since_us;
		}
	}
	is_locked = holder_explain_self_deadlock(exchange_of_waiter(t), (t->since_us + now_us) / 2, remedy)[0] != '\0';
	if (!is_locked && holder_write_root_remedy(pool, now_us, remedy)[0] == '\0' && worst != NULL)
		holder_write_remedy(worst, now_us, remedy, sizeof(remedy));
	if (remedy[0] == '\0') {
		const struct policy_sizing sizing = policy_use_compute_sizing(&pool->use, 1);

		if (policy_use_is_slowed(&sizing))
			k.no_more_hint =
			    "A larger pool would not help, as PostgreSQL takes longer the more connections are in use: "
			    "see SHOW QUERIES and SHOW HOLDERS in the pgweir console.";
		return k;
	}
	fail_hint(why, "%c%s.%s", toupper((unsigned char)remedy[0]), remedy + 1,
		  is_locked && worst != NULL ? " Else see SHOW HOLDERS." : "");
	k.named = 1;
	return k;
}

void
reject_reword(const struct exchange *x, const struct fail *why, struct fail *shown)
{
	compat_reword(x->env->config, why, shown);
	if (shown->detail[0] != '\0' && strcmp(why->sqlstate, "53300") == 0) {
		char detail[FAIL_TEXT_MAX];

		snprintf(detail, sizeof(detail), "%s", shown->detail);
		fail_detail(shown, "Database \"%s\", user \"%s\": %s", x->pool->database->name, x->pool->user, detail);
	}
}

static bool
ends_as_with_pgbouncer(const struct exchange *x, const struct fail *why, enum request_failure kind)
{
	return compat_does(x->env->config, COMPAT_ENDS_THE_UNSERVED) && kind == RF_BACKEND_UNREACHABLE &&
	       why->pgbouncer_text[0] != '\0' && strcmp(why->sqlstate, "57P03") != 0;
}

/* Sends the answer, and sets rejecting_to, so reject_bytes() drops the rest of the request. */
static void
answer_and_drop(struct exchange *x, struct buf *answer)
{
	uint8_t first = x->pending_len > 0 ? x->pending[0] : 'S';

	exchange_send(x, answer);
	buf_fini(answer);
	if (first == 'Q' || (first == 'P' && x->pending_len > FRAME_HEAD_LEN && x->pending[FRAME_HEAD_LEN] == 0))
		statements_forget_unnamed(x);
	x->rejecting_to = first == 'Q' || first == 'F' ? 'Q' : 'S';
}

/* Returns the tag of the waiting request if that request ends a block whose BEGIN no server has got; else NULL. */
static const char *
tag_of_empty_block(const struct exchange *x)
{
	enum known_kind kind;
	struct known_statement k;
	struct frame f;

	if (x->block != EXCHANGE_BEGIN_DUE || x->begin_modes == 0 ||
	    !frame_parse_whole(x->pending, x->pending_len, &f) || f.type != 'Q' || f.body_len == 0)
		return NULL;
	kind = known_single_statement(&k, gucs_scan_options(x->gucs), (const char *)x->pending + FRAME_HEAD_LEN,
				      f.body_len - 1);
	return kind == KNOWN_COMMIT ? "COMMIT" : kind == KNOWN_ROLLBACK ? "ROLLBACK" : NULL;
}

static void
answer_unserved(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	bool closes = kind == RF_SHUTDOWN || x->pool->is_orphan ||
		      (x->env->is_draining && !x->env->keeps_idle_clients) || ends_as_with_pgbouncer(x, why, kind);
	const char *tag = closes ? NULL : tag_of_empty_block(x);
	struct fail shown;
	struct buf b = { 0 };

	if (tag != NULL) {
		report_transaction(x, tag[0] == 'R' ? TE_ROLLBACK : TE_COMMIT);
		exchange_set_block(x, EXCHANGE_ORDINARY);
	} else if (x->block == EXCHANGE_BEGIN_DUE) {
		report_transaction_lost(x, NULL);
		exchange_set_block(x, EXCHANGE_FAILED);
	}
	/* Notifications wait for the transaction's end. If there are too many, listen_flush() closes the client. */
	if (!listen_flush(x) || x->state != CL_REJECTING)
		return;
	if (tag != NULL) {
		message_complete(&b, tag);
		answer_and_drop(x, &b);
		return;
	}
	reject_reword(x, why, &shown);
	report_failure(x, &shown, kind, NULL);
	report_count_error(x->pool, EO_PROXY, shown.sqlstate);
	if (closes)
		exchange_close(x, &shown);
	else {
		message_error(&b, "ERROR", &shown);
		answer_and_drop(x, &b);
	}
}

void
reject_request(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	if (x->is_closing)
		return;
	answer_unserved(x, why, kind);
	if (!x->is_closing && x->state == CL_REJECTING)
		exchange_handle_pending(x, relay_bytes);
}

/* --- a transaction that was lost, or has failed, without a server --- */

/*
 * PostgreSQL checks in this order (postgres.c, exec_simple_query() to exec_describe_portal_message()): first the
 * message itself, then IsTransactionExitStmt(). If the statement does not leave the transaction, PostgreSQL reports
 * 25P02. pgweir checks neither the syntax, nor if a statement has rows to describe.
 *
 * Reads the SQL. sql: NULL if unknown, which counts as one statement. Writes to k->kind the kind of the first statement
 * if that statement leaves a transaction, else KNOWN_NOT. Returns the number of statements; 2 stands for more, too.
 */
static unsigned
read_exit(const struct exchange *x, const char *sql, size_t len, struct known_statement *k)
{
	struct known_reader r;
	struct known_statement next;
	unsigned count = 1;

	k->kind = KNOWN_NOT;
	if (sql == NULL)
		return 1;
	known_begin(&r, gucs_scan_options(x->gucs), sql, len);
	if (!known_next_statement(&r, k))
		return known_is_whole(&r) ? 0 : 1;
	count += known_next_statement(&r, &next);
	if (k->kind != KNOWN_ROLLBACK_TO && (k->kind < KNOWN_COMMIT || k->kind > KNOWN_PREPARE_TRANSACTION))
		k->kind = KNOWN_NOT;
	if (count == 1 && !known_is_whole(&r))
		k->kind = KNOWN_NOT;
	/* PostgreSQL checks the encoding of the whole text; to PostgreSQL, \v is white space only from 16 on. */
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)sql[i] >= 0x80 || sql[i] == '\v')
			k->kind = KNOWN_NOT;
	return count;
}

/* Refuses the request with an error; `name` replaces the %s of `format`. */
static enum walk_result
refuse_as(struct request_walk *w, const char *sqlstate, const char *format, const char *name)
{
	fail_set(&w->why, sqlstate, format, name);
	w->rejection = RF_CANCELED;
	return WALK_REJECT;
}

static enum walk_result
refuse_in_aborted(struct request_walk *w)
{
	if (w->x->block == EXCHANGE_ROLLED_BACK) {
		exchange_fail_rolled_back(&w->why, "its COMMIT was not sent");
		w->rejection = RF_BACKEND_LOST;
	} else {
		refuse_as(w, "25P02", "current transaction is aborted, commands ignored until end of %s",
			  "transaction block");
		fail_detail(&w->why, "One of its statements got no server connection.");
	}
	return WALK_REJECT;
}

/* Does what PostgreSQL would do for a statement of this kind, and appends the reply to *b. kind: the k->kind that
 * read_exit() has written. has_more: true if other statements follow in the same Query. */
static enum walk_result
run_exit(struct request_walk *w, unsigned kind, const char *savepoint, bool has_more, struct buf *b)
{
	struct exchange *x = w->x;
	bool is_lost = x->block == EXCHANGE_ROLLED_BACK;
	bool is_chain = kind == KNOWN_COMMIT_CHAIN || kind == KNOWN_ROLLBACK_CHAIN;
	unsigned modes = x->begin_modes & 15u;
	enum walk_result r = has_more ? WALK_SLOWLY : WALK_ON;

	if (kind == KNOWN_ROLLBACK_TO && !is_lost)
		return refuse_as(w, "3B001", "savepoint \"%s\" does not exist", savepoint);
	if (kind == KNOWN_NOT || kind == KNOWN_ROLLBACK_TO || (is_chain && (is_lost || modes == 0)))
		return refuse_in_aborted(w);
	/* As in PostgreSQL, the transaction ends although the client gets an error. */
	if (is_lost && kind != KNOWN_ROLLBACK)
		r = refuse_in_aborted(w);
	exchange_set_block(x, EXCHANGE_ORDINARY);
	x->waiter.idle_since_us = *x->env->now_us;
	if (x->rare != NULL)
		x->rare->exit_portal.kind = KNOWN_NOT;
	if (r != WALK_REJECT && (is_chain || has_more)) {
		exchange_set_block(x, EXCHANGE_BEGIN_DUE);
		x->tx_started_us = *x->env->now_us;
		x->begin_modes = (is_lost || modes == 0 ? 1u : modes & 15u) | (has_more ? EXCHANGE_BEGIN_FAILED : 0);
	}
	message_complete(b, "ROLLBACK");
	return r;
}

static enum walk_result
answer_query_in_aborted(struct request_walk *w, struct buf *b)
{
	struct exchange *x = w->x;
	struct known_statement k;
	unsigned count = read_exit(x, w->m.sql, w->m.sql_len, &k);
	enum walk_result r = WALK_ON;

	if (count == 0)
		buf_put(b, MESSAGE_BARE("I"));
	else if ((r = run_exit(w, k.kind, k.name, count > 1, b)) != WALK_ON)
		return r;
	statements_forget_unnamed(x);
	message_ready(b, x->block >= EXCHANGE_ROLLED_BACK ? 'E' : x->block == EXCHANGE_BEGIN_DUE ? 'T' : 'I');
	return r;
}

/* Returns how many parameter types follow the query in `bytes`, which is laid out like parse_fields.rest. */
static unsigned
count_types(const uint8_t *bytes, size_t len, size_t query_len)
{
	return len < query_len + 3 ? 0 : wire_u16(bytes + query_len + 1);
}

static enum walk_result
answer_parse_in_aborted(struct request_walk *w, struct buf *b)
{
	struct known_statement k;
	unsigned count = read_exit(w->x, w->m.sql, w->m.sql_len, &k);

	if (count > 1)
		return refuse_as(w, "42601", "cannot insert multiple commands into a prepared %s", "statement");
	if (count == 1 &&
	    (k.kind == KNOWN_NOT || count_types(w->m.parse.rest, w->m.parse.rest_len, w->m.parse.query_len) > 0))
		return refuse_in_aborted(w);
	if (statements_is_taken(w->x, w->m.parse.name))
		return refuse_as(w, "42P05", "prepared statement \"%.100s\" already exists", w->m.parse.name);
	buf_put(b, MESSAGE_BARE("1"));
	return statements_parse_unlinked(w->x, &w->m) ? WALK_ON : refuse_in_aborted(w);
}

/* Returns the prepared statement of this name, and writes the number of SQL statements in it to *count. If the client
 * has no such statement, refuses the request and returns NULL. */
static struct statement *
find_or_refuse(struct request_walk *w, const char *name, unsigned *count, struct known_statement *k)
{
	struct statement *st = statements_find(w->x, name);

	if (st != NULL)
		*count = read_exit(w->x, (const char *)st->bytes, st->query_len, k);
	else if (name[0] == '\0')
		refuse_as(w, "26000", "%s prepared statement does not exist", "unnamed");
	else
		refuse_as(w, "26000", "prepared statement \"%.100s\" does not exist", name);
	return st;
}

/* Checks the parameters of the Bind in w->m. st leaves the transaction, so it uses no parameters, but its Parse may
 * have declared types of parameters. */
static enum walk_result
check_parameters(struct request_walk *w, const struct statement *st)
{
	const struct request *m = &w->m;
	const uint8_t *body = m->message + FRAME_HEAD_LEN;
	unsigned formats, types = count_types(st->bytes, st->len, st->query_len);
	struct value_list values;

	if (!fields_begin_values(body, (m->have < m->total ? m->have : m->total) - FRAME_HEAD_LEN, &values))
		return m->have < m->total && m->have <= SERVER_CARRY_MAX ? WALK_MORE : refuse_in_aborted(w);
	formats = wire_u16(body + m->names.len);
	if (formats > 1 && formats != values.left)
		fail_set(&w->why, "08P01", "bind message has %u parameter formats but %u parameters", formats,
			 values.left);
	else if (values.left != types)
		fail_set(&w->why, "08P01",
			 "bind message supplies %u parameters, but prepared statement \"%.100s\" requires %u",
			 values.left, m->names.statement, types);
	else
		return types > 0 ? refuse_in_aborted(w) : WALK_ON;
	w->rejection = RF_CANCELED;
	return WALK_REJECT;
}

static enum walk_result
answer_bind_in_aborted(struct request_walk *w, struct buf *b)
{
	struct exchange_rare *rare = exchange_get_or_create_rare(w->x);
	const char *portal;
	struct statement *st;
	struct known_statement k;
	unsigned count;
	enum walk_result r = rare == NULL ? walk_out_of_memory(w->x) : walk_read_bind(w);

	if (r != WALK_ON)
		return r;
	if ((st = find_or_refuse(w, w->m.names.statement, &count, &k)) == NULL)
		return WALK_REJECT;
	portal = w->m.names.portal;
	if (k.kind == KNOWN_NOT || strlen(portal) >= sizeof(rare->exit_portal.name))
		return refuse_in_aborted(w);
	if ((r = check_parameters(w, st)) != WALK_ON)
		return r;
	if (rare->exit_portal.kind != KNOWN_NOT && portal[0] != '\0' && strcmp(rare->exit_portal.name, portal) == 0)
		return refuse_as(w, "42P03", "cursor \"%s\" already exists", portal);
	rare->exit_portal.kind = k.kind;
	snprintf(rare->exit_portal.name, sizeof(rare->exit_portal.name), "%s", portal);
	memcpy(rare->exit_portal.savepoint, k.name, sizeof(rare->exit_portal.savepoint));
	buf_put(b, MESSAGE_BARE("2"));
	return WALK_ON;
}

/* Answers a Describe, Execute or Close. */
static enum walk_result
answer_named_in_aborted(struct request_walk *w, struct buf *b)
{
	const struct request *m = &w->m;
	const uint8_t *body = m->message + FRAME_HEAD_LEN;
	struct exchange_rare *rare = w->x->rare;
	const char *name = (const char *)body;
	struct statement *st;
	struct known_statement k;
	unsigned count;
	uint8_t target = 'P';
	bool is_portal;

	if (m->type == 'E' ? memchr(body, 0, request_body_len(m)) == NULL
			   : !fields_read_target(body, request_body_len(m), &target, &name))
		return refuse_in_aborted(w);
	is_portal = target == 'P' && rare != NULL && rare->exit_portal.kind != KNOWN_NOT &&
		    strcmp(rare->exit_portal.name, name) == 0;
	if (m->type == 'C') {
		if (is_portal)
			rare->exit_portal.kind = KNOWN_NOT;
		statements_close_without_server(w->x, m->message, m->total);
		buf_put(b, MESSAGE_BARE("3"));
		return WALK_ON;
	}
	if (target == 'P' && !is_portal)
		return refuse_as(w, "34000", "portal \"%.100s\" does not exist", name);
	if (m->type == 'E')
		return run_exit(w, rare->exit_portal.kind, rare->exit_portal.savepoint, false, b);
	if (target == 'S') {
		if ((st = find_or_refuse(w, name, &count, &k)) == NULL)
			return WALK_REJECT;
		if (count > 0 && k.kind == KNOWN_NOT)
			return refuse_in_aborted(w);
		message_put(b, 't', st->bytes + st->query_len + 1, st->len - st->query_len - 1);
	}
	buf_put(b, MESSAGE_BARE("n"));
	return WALK_ON;
}

enum walk_result
reject_in_failed_block(struct request_walk *w)
{
	struct buf b = { 0 };
	uint8_t type = w->m.type;
	enum walk_result r = type == 'Q'		   ? answer_query_in_aborted(w, &b)
			     : type == 'P'		   ? answer_parse_in_aborted(w, &b)
			     : type == 'B'		   ? answer_bind_in_aborted(w, &b)
			     : strchr("DEC", type) != NULL ? answer_named_in_aborted(w, &b)
							   : refuse_in_aborted(w); /* a function call */

	if (r == WALK_ON)
		exchange_answer_buf(w->x, &b);
	buf_fini(&b);
	return r;
}

void
reject_kept_request(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	exchange_step(x, CE_REFUSED);
	x->has_seen_primary = true;
	stream_set_reading(&x->stream, true);
	if (kind == RF_BACKEND_LOST)
		x->pool->database->counters.commits_checked[CC_ROLLED_BACK]++;
	answer_unserved(x, why, kind);
}

/* --- the rest of a rejected request --- */

size_t
reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct buf b = { 0 };
	struct fail why;
	struct frame f;
	size_t total, n;

	switch (frame_parse(bytes, len, &f)) {
	case FRAME_PARTIAL:
		return 0;
	case FRAME_BAD:
		fail_set(&why, "08P01", "invalid message length");
		exchange_close(x, &why);
		return len;
	case FRAME_OK:
		break;
	}
	total = FRAME_HEAD_LEN + (size_t)f.body_len;
	n = total < len ? total : len;
	x->body_left = (uint32_t)(total - n);
	x->is_body_dropped = true;
	if (x->rejecting_to == 'Q' || f.type == 'S') {
		exchange_step(x, CE_REJECTION_OVER);
		/* the state of the transaction as the client knows it */
		message_ready(&b, x->block >= EXCHANGE_ROLLED_BACK ? 'E' : 'I');
		exchange_send(x, &b);
		buf_fini(&b);
		x->waiter.idle_since_us = *x->env->now_us;
	}
	return n;
}
