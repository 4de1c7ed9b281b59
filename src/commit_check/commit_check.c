/*
 * src/commit_check/commit_check.c - see commit_check.h.
 *
 * pgweir asks two questions of its own to get a transaction's mark (session/commit_fate.h). The first is sent after the
 * replies to a request that has probably written something; this question delays the client only if the COMMIT comes
 * before the question's answer. The second is sent ahead of the COMMIT, in the same write. Mostly, the second question
 * is a simple Query, which fails in an aborted transaction without skipping later messages. A Query drops the unnamed
 * statement and portal. Ahead of a COMMIT the client does not need the portal, and pgweir can make the statement again,
 * except in session mode or if the statement is too long. In these cases, a second question that begins a request uses
 * a named statement and portal. The first question always uses them: the client may run its unnamed portal again.
 *
 * From a COMMIT to the end of its replies, no message is sent that runs, parses or binds anything. So if the server is
 * lost then, usually only replies to the COMMIT's own messages are owed, and pgweir can make these replies itself.
 */
#include "commit_check/commit_check.h"
#include "sql/known.h"
#include "state/compiled.h"
#include "statements/statements.h"
#include "wire/messages.h"

#include <assert.h>
#include <string.h>

enum question { ASK_CLUSTER, ASK_MARK, ASK_FINAL_MARK };

static struct loan_commit *
commit_of(const struct exchange *x)
{
	return &x->srv->loan.commit;
}

/* Sets c->question, and is its only writer. from[] has, for each state, the states that may come before. */
static void
set_question(struct loan_commit *c, enum mark_question question)
{
	static const uint8_t from[] = { [MARK_NOT_ASKED] = 1u << MARK_DUE | 1u << MARK_ASKED | 1u << MARK_ANSWERED,
					[MARK_DUE] = 1u << MARK_NOT_ASKED | 1u << MARK_ANSWERED,
					[MARK_ASKED] = 1u << MARK_DUE,
					[MARK_AWAITED] = 1u << MARK_ASKED,
					[MARK_ANSWERED] = 1u << MARK_AWAITED };

	assert(question == c->question || (from[question] & 1u << c->question) != 0);
	c->question = (uint8_t)question;
}

/* --- Questions. --- */

/* Appends the messages of a question with a named statement and portal, and enters the messages in the ledger. */
static void
put_named_question(struct exchange *x, struct buf *b, enum question which)
{
	static const uint8_t kinds[] = { OWED_CLOSE, OWED_PARSE, OWED_BIND, OWED_EXECUTE, OWED_CLOSE, OWED_CLOSE };
	struct owed_request request = { .started_us = *x->env->now_us, .statements = which };
	struct ledger *l = &x->srv->ledger;
	char name[STATEMENT_NAME_MAX];

	statement_special_name(x->env->statements, STATEMENT_PLACEHOLDER, name);
	message_close_statement(b, name);
	message_run(b, name, name, which == ASK_CLUSTER ? cluster_question : fate_mark_question, NULL, 0);
	message_close_statement(b, name);
	message_sync(b);
	for (size_t i = 0; i < sizeof(kinds); i++)
		ledger_enter_fast(l, (struct owed){ .kind = kinds[i], .to = OWED_TO_COMMIT, .statements = which });
	ledger_push_request(l, OWED_SYNC, OWED_TO_COMMIT, &request);
}

/* Sends the question ahead of the client's next message. Uses a named statement if the client may still need an unnamed
 * statement that pgweir can't make again; otherwise, and always in the middle of a request, uses a Query. */
static void
ask_ahead(struct exchange *x, enum question which)
{
	struct owed_request request = { .started_us = *x->env->now_us, .statements = which };
	struct server *srv = x->srv;
	struct buf b = { 0 };

	if (srv->is_synced && (x->is_session || srv->loan.must_keep_unnamed)) {
		put_named_question(x, &b, which);
	} else {
		message_query(&b, which == ASK_CLUSTER ? cluster_question : fate_mark_question);
		srv->unnamed_owner = 0;
		ledger_push_request(&srv->ledger, OWED_QUERY, OWED_TO_COMMIT, &request);
	}
	outbox_put(&x->env->to_server, &b);
}

void
commit_check_got_server(struct exchange *x)
{
	struct server *srv = x->srv;
	uint64_t since_us;

	if (srv->cluster_ask_state == CLUSTER_STANDBY && srv->role == 'p')
		srv->cluster_ask_state = CLUSTER_NOT_ASKED; /* the standby was promoted */
	if (srv->cluster_ask_state == CLUSTER_NOT_ASKED && srv->tx == 'I' && srv->is_synced && x->replication == 0 &&
	    !ledger_owes_client(&srv->ledger, &since_us)) {
		ask_ahead(x, ASK_CLUSTER);
		srv->cluster_ask_state = CLUSTER_ASKED;
	}
	commit_of(x)->is_on = srv->cluster_ask_state == CLUSTER_ASKED || srv->cluster_ask_state == CLUSTER_KNOWN;
}

__attribute__((noinline)) void
commit_check_ask(struct exchange *x)
{
	struct loan_commit *c = commit_of(x);
	struct buf b = { 0 };

	if (x->srv->ledger.count > 0 || x->state != CL_READY || x->srv->cancel != NULL) {
		/* don't ask now: for example, a late cancel would hit the question, and end the transaction */
		set_question(c, MARK_NOT_ASKED);
		return;
	}
	put_named_question(x, &b, ASK_MARK);
	set_question(c, MARK_ASKED);
	if (server_send(x->srv, &b) < 0)
		exchange_break_later(x);
}

void
commit_check_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	const struct owed *head = ledger_head(&srv->ledger);
	struct loan_commit *c = &srv->loan.commit;
	struct commit_mark mark = { 0 };

	if (!is_whole || head == NULL)
		return;
	if (head->statements == ASK_CLUSTER) {
		if (!cluster_mark_read(body, len, &srv->cluster))
			return;
		srv->cluster_ask_state = srv->cluster.is_standby ? CLUSTER_STANDBY : CLUSTER_KNOWN;
		c->is_on = c->is_on && srv->cluster_ask_state == CLUSTER_KNOWN;
		pool_set_exchange_lives(((struct pool *)srv->owner)->set, &srv->cluster, NULL);
		return;
	}
	if (!fate_read_mark(body, len, &mark))
		return;
	mark.is_final = head->statements == ASK_FINAL_MARK;
	if (c->outlook != OUTLOOK_FAILED)
		c->outlook = mark.is_final && mark.xid == 0 ? OUTLOOK_READ_ONLY : OUTLOOK_OPEN;
	c->mark = mark;
}

/* The error 25P02 means that the transaction had failed before. Any other error (of a timeout or a cancel) has itself
 * made the transaction fail, and the client would never see that error. */
bool
commit_check_failed(struct server *srv, const char *sqlstate)
{
	const struct owed *head = ledger_head(&srv->ledger);
	struct loan_commit *c = &srv->loan.commit;

	if (head == NULL || head->statements == ASK_CLUSTER)
		return false;
	if (sqlstate == NULL || strcmp(sqlstate, "25P02") != 0)
		return c->is_broken = true;
	if (head->statements == ASK_FINAL_MARK)
		c->outlook = OUTLOOK_FAILED;
	return false;
}

void
commit_check_question_done(struct server *srv, const struct owed *ended)
{
	struct loan_commit *c = &srv->loan.commit;

	if (ended->statements == ASK_MARK)
		set_question(c, c->question == MARK_AWAITED ? MARK_ANSWERED : MARK_NOT_ASKED);
	if (ended->statements != ASK_CLUSTER || srv->cluster_ask_state != CLUSTER_ASKED)
		return;
	srv->cluster_ask_state = CLUSTER_SILENT;
	c->is_on = false;
	log_warning(
	    srv->env->log,
	    "server %llu (%s, %s/%s): its COMMITs cannot be checked: PostgreSQL is older than version 13, or this "
	    "user may not call pg_control_system() and the like",
	    (unsigned long long)srv->id, srv->address, srv->target->database, srv->target->user);
}

/* --- The COMMIT on its way. --- */

/* Returns KNOWN_COMMIT or KNOWN_COMMIT_CHAIN if commit.is_on and the SQL is only that command; else KNOWN_NOT. */
static enum known_kind
commit_kind(const struct exchange *x, const struct request *m)
{
	enum known_kind kind = KNOWN_NOT;
	struct known_statement k;
	const char *sql;
	size_t len;

	if (commit_of(x)->is_on && request_has(m, 0, SCAN_HINT_ENDS) && (sql = request_sql(m, &len)) != NULL)
		kind = known_single_statement(&k, 0, sql, len);
	return kind == KNOWN_COMMIT || kind == KNOWN_COMMIT_CHAIN ? kind : KNOWN_NOT;
}

/*
 * Returns true if there may be something to commit, and a Query may be sent ahead of the COMMIT at this point. Without
 * a transaction block, in the middle of an extended request, that Query itself would commit the request's earlier
 * statements, and would get the error of a deferred constraint.
 */
static bool
may_ask_before_commit(const struct server *srv)
{
	uint8_t block = srv->loan.commit.block;

	if (srv->ledger.intake != INTAKE_ALL)
		return false;
	if (srv->is_synced)
		return srv->tx == 'T' || srv->ledger.count > 0;
	return block == BLOCK_BEGUN || (block == BLOCK_AS_BEFORE && srv->tx == 'T');
}

static bool
is_begin(const struct sql_traits *v)
{
	return v->first == WORD_BEGIN || v->first == WORD_START_TRANSACTION;
}

/* Returns true if the SQL of a Query certainly does nothing but read. */
static bool
query_is_read_only(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;
	struct scanned_sql *kept = scan_text_cached(&x->env->scanned, &scan, gucs_scan_options(x->gucs), sql, len);

	return database_code_is_sql_repeatable(x->pool->code, *x->env->now_us, kept == NULL ? NULL : &kept->risk, sql,
					       len, NULL, 0);
}

/* Returns false if the SQL of m may have an effect that gives the transaction no number: for example, a view's function
 * or a WITH may write on another server. commit_check_completed() finds such effects by the command's tag. */
static bool
is_free_of_hidden_effects(const struct exchange *x, const struct request *m)
{
	const struct sql_traits *v = m->traits;
	struct known_statement k;
	size_t len;
	const char *sql = request_sql(m, &len);

	if (v == NULL || sql == NULL)
		return false;
	if (is_begin(v) || (v->hints & SCAN_HINT_ENDS) != 0)
		return known_single_statement(&k, 0, sql, len) != KNOWN_NOT;
	return m->statement != NULL ? state_is_read_only(x, m->statement) : query_is_read_only(x, sql, len);
}

/* Notes how SQL that is about to run may affect the transaction. */
static void
note_commit_sql(struct exchange *x, const struct request *m)
{
	struct loan_commit *c = commit_of(x);
	const struct sql_traits *v = m->traits;

	if (!is_free_of_hidden_effects(x, m))
		c->has_effect_without_xid = true;
	if (v == NULL || (v->hints & SCAN_HINT_ENDS) != 0)
		c->block = BLOCK_ENDED;
	else if (is_begin(v))
		c->block = BLOCK_BEGUN;
}

static enum feature_step
ask_for_commit(struct exchange *x)
{
	struct loan_commit *c = commit_of(x);

	if (c->question == MARK_ASKED || c->question == MARK_AWAITED) {
		set_question(c, MARK_AWAITED);
		return STEP_HOLD;
	}
	if (c->question == MARK_ANSWERED)
		set_question(c, MARK_NOT_ASKED);
	if (c->phase != COMMIT_NOT || !may_ask_before_commit(x->srv))
		return STEP_FORWARD;
	c->outlook = OUTLOOK_OPEN;
	ask_ahead(x, ASK_FINAL_MARK);
	commit_of(x)->phase = COMMIT_ASKED;
	return STEP_FORWARD;
}

/* In session mode, a server that could not be asked for its cluster at once is asked as soon as possible. */
static void
ask_cluster_in_session_mode(struct exchange *x)
{
	if (x->is_session && x->settings->commit_check && !commit_of(x)->is_on)
		commit_check_got_server(x);
}

enum feature_step
commit_check_before_query(struct exchange *x, struct request *m)
{
	ask_cluster_in_session_mode(x);
	return commit_kind(x, m) == KNOWN_NOT ? STEP_FORWARD : ask_for_commit(x);
}

/* A Query drops the unnamed statement, so the question goes ahead of that statement's Parse, not of its Bind. */
enum feature_step
commit_check_before_parse(struct exchange *x, struct request *m)
{
	ask_cluster_in_session_mode(x);
	return m->parse.name[0] != '\0' || commit_kind(x, m) == KNOWN_NOT ? STEP_FORWARD : ask_for_commit(x);
}

enum feature_step
commit_check_before_bind(struct exchange *x, struct request *m)
{
	if (commit_kind(x, m) == KNOWN_NOT)
		return STEP_FORWARD;
	if (m->names.statement[0] == '\0' && !x->srv->is_synced && commit_of(x)->phase == COMMIT_NOT)
		/* the statement was parsed in this request, and no question went ahead of its Parse */
		return STEP_FORWARD;
	return ask_for_commit(x);
}

static void
note_commit(struct exchange *x, enum commit_form form, enum known_kind kind)
{
	struct loan_commit *c = commit_of(x);

	c->form = (uint8_t)form;
	c->kind = (uint8_t)kind;
	commit_of(x)->phase = form == COMMIT_IN_QUERY ? COMMIT_SENT : COMMIT_BOUND;
}

enum feature_step
commit_check_note_query(struct exchange *x, struct request *m)
{
	enum known_kind kind = commit_kind(x, m);

	if (kind != KNOWN_NOT && may_ask_before_commit(x->srv))
		note_commit(x, COMMIT_IN_QUERY, kind);
	else
		commit_of(x)->phase = COMMIT_NOT;
	if (commit_of(x)->is_on)
		note_commit_sql(x, m);
	return STEP_FORWARD;
}

enum feature_step
commit_check_note_bind(struct exchange *x, struct request *m)
{
	enum known_kind kind = commit_kind(x, m);
	bool is_followed = kind != KNOWN_NOT && may_ask_before_commit(x->srv);

	if (commit_of(x)->is_on)
		note_commit_sql(x, m);
	if (m->names.portal[0] != '\0')
		return STEP_FORWARD; /* a COMMIT in a portal with a name is not followed */
	if (is_followed)
		note_commit(x, m->names.statement[0] != '\0' ? COMMIT_OF_NAMED : COMMIT_OF_UNNAMED, kind);
	else
		commit_of(x)->phase = COMMIT_NOT;
	return STEP_FORWARD;
}

enum feature_step
commit_check_note_execute(struct exchange *x, struct request *m)
{
	if (commit_of(x)->phase == COMMIT_BOUND && m->portal[0] == '\0')
		commit_of(x)->phase = COMMIT_SENT;
	return STEP_FORWARD;
}

bool
commit_check_may_concern_query(const struct exchange *x, const struct scan *scan, const char *sql, size_t len)
{
	return (scan->hints & COMMIT_CHECK_HINTS) != 0 || !query_is_read_only(x, sql, len);
}

bool
commit_check_may_concern_bind(struct exchange *x, struct request *m)
{
	return statements_find_bound(x, m) == STEP_FORWARD && m->traits != NULL &&
	       ((m->traits->hints & COMMIT_CHECK_HINTS) != 0 || is_begin(m->traits) ||
		!is_free_of_hidden_effects(x, m));
}

void
commit_check_note_function_call(struct exchange *x)
{
	commit_of(x)->has_effect_without_xid = true;
}

bool
commit_check_must_hold(struct exchange *x, uint8_t type)
{
	if (commit_of(x)->phase < COMMIT_SENT || strchr("QPBEF", type) == NULL)
		return false;
	if (x->srv->ledger.count > 0)
		return true;
	commit_of(x)->phase = COMMIT_NOT;
	return false;
}

/* --- The answer to the COMMIT. --- */

static bool
runs_statement(uint8_t kind)
{
	return kind == OWED_QUERY || kind == OWED_EXECUTE || kind == OWED_FUNCTION;
}

/* Returns true if the COMMIT and all statements before it were answered. (A ReadyForQuery may still be owed.) */
static bool
is_answered(const struct server *srv, enum commit_form form)
{
	uint8_t owed[SERVER_OWED_MAX];
	size_t count = ledger_list_client(&srv->ledger, owed, SERVER_OWED_MAX);

	if (count > SERVER_OWED_MAX)
		return false;
	for (size_t i = form == COMMIT_IN_QUERY && count > 0; i < count; i++)
		if (runs_statement(owed[i]))
			return false;
	return true;
}

void
commit_check_error(struct exchange *x)
{
	struct loan_commit *c = commit_of(x);

	if (c->phase < COMMIT_SENT && x->srv->ledger.intake == INTAKE_SYNC)
		commit_of(x)->phase = COMMIT_NOT; /* PostgreSQL will skip the rest of the COMMIT's messages */
	else if (c->phase == COMMIT_SENT && is_answered(x->srv, (enum commit_form)c->form)) {
		const struct server *srv = x->srv;
		bool is_of_commit =
		    srv->owed_count > 0 && srv->owed_count <= SERVER_OWED_MAX && runs_statement(srv->owed[0]);

		/* The COMMIT itself has failed if no other statement was owed a reply when the error came. Otherwise an
		 * earlier statement has failed, and the COMMIT was skipped. */
		for (size_t i = 1; is_of_commit && i < srv->owed_count; i++)
			is_of_commit = !runs_statement(srv->owed[i]);
		commit_of(x)->phase = is_of_commit ? COMMIT_ANSWERED : COMMIT_SKIPPED;
	}
}

/* has_certainly_ended: true if the transaction has certainly ended; a ROLLBACK may only go back to a savepoint */
static void
forget_mark(struct loan_commit *c, bool has_certainly_ended)
{
	c->mark = (struct commit_mark){ 0 };
	if (c->question == MARK_DUE)
		set_question(c, MARK_NOT_ASKED);
	c->outlook = OUTLOOK_OPEN;
	c->has_effect_without_xid = c->has_effect_without_xid && !has_certainly_ended;
}

/*
 * The COMMIT of a transaction without a number may still have an effect: a NOTIFY gets its number, a cursor WITH HOLD
 * runs, and postgres_fdw commits on other servers only at COMMIT. Only some commands (TAG_SHOWS_IN_XID) certainly give
 * the transaction a number if they write anything.
 */
void
commit_check_completed(struct exchange *x, struct tag tag)
{
	struct loan_commit *c = commit_of(x);

	if (tag.id == TAG_BEGIN)
		c->begun = BLOCK_BEGUN;
	if (tag.id == TAG_COMMIT || tag.id == TAG_ROLLBACK) {
		if (c->phase == COMMIT_SENT && is_answered(x->srv, (enum commit_form)c->form))
			commit_of(x)->phase = COMMIT_ANSWERED;
		forget_mark(c, tag.id == TAG_COMMIT); /* a ROLLBACK TO a savepoint has the tag ROLLBACK, too */
	} else if ((tag.flags & TAG_SHOWS_IN_XID) == 0)
		c->has_effect_without_xid = true;
}

void
commit_check_keep_settings(struct exchange *x)
{
	struct loan_commit *c = commit_of(x);

	if (c->before == NULL)
		c->before = gucs_ref(x->gucs);
}

void
commit_check_request_done(struct exchange *x)
{
	struct server *srv = x->srv;
	struct loan_commit *c = commit_of(x);
	const struct tag *tag = &srv->loan.tag;
	bool has_written;

	c->undone = UNDONE_NOTHING;
	c->begun = BLOCK_AS_BEFORE;
	if (srv->tx == 'I' && c->before != NULL) {
		gucs_unref(c->before);
		c->before = NULL;
	}
	/* Replies that are owed after the COMMIT's belong to later messages, such as a Describe. */
	if (srv->ledger.count == 0 || c->phase >= COMMIT_ANSWERED)
		commit_of(x)->phase = COMMIT_NOT;
	if (srv->ledger.count == 0)
		c->block = BLOCK_AS_BEFORE;
	if (srv->tx != 'T') {
		forget_mark(c, true);
		return;
	}
	/* true if the last command has probably written something */
	has_written =
	    (tag->flags & TAG_WRITES) != 0 || (tag->id == TAG_SELECT && (srv->loan.suspected & SCAN_FUNCTION) != 0);
	/* A COMMIT that is held asks for the mark itself. */
	if (c->question != MARK_ASKED && c->question != MARK_AWAITED && x->state != CL_HELD)
		set_question(c, c->mark.xid == 0 && srv->ledger.count == 0 && srv->is_synced && has_written
				    ? MARK_DUE
				    : MARK_NOT_ASKED);
}
