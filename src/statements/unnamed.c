/*
 * src/statements/unnamed.c - the unnamed statement, of which each client has its own. See
 * statements/statements_state.h.
 *
 * For each server, srv->unnamed_owner says whose unnamed statement the server has. If that is another client's, the
 * client's own unnamed statement is prepared there again. Parse, Close and simple Queries change the unnamed statement.
 * Each change that may yet be skipped is entered in the ledger; when no change is in progress, the unnamed statement is
 * the one that the replies have confirmed. SQL that pgweir itself runs in between (DISCARD SEQUENCES) drops the
 * server's unnamed statement, and sets unnamed_owner to 0.
 */
#include "statements/unnamed.h"
#include "statements/statements_state.h"
#include "state/compiled.h"
#include "state/observe.h"
#include "base/escape.h"
#include "base/text.h"

#include <assert.h>

#define ALWAYS_STORED_MAX 1024u /* bytes of a statement that is stored in any case */

static bool
is_unnamed_there(const struct exchange *x)
{
	const struct client_statements *s = x->statements;

	return s->token != 0 && x->srv->unnamed_owner == s->token;
}

/* Records a change of the unnamed statement that is about to be entered in the ledger. */
static void
begin_change(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s->unnamed_under_way == 0)
		s->is_confirmed_there = is_unnamed_there(x);
	else if (x->srv->unnamed_owner == 0)
		s->unnamed_overwritten = s->unnamed_under_way;
	s->unnamed_under_way++;
	s->unnamed_sync_no = s->sync_no;
}

static void
push_unnamed(struct exchange *x, enum owed_kind kind, enum owed_to to, void *ref)
{
	begin_change(x);
	ledger_push(&x->srv->ledger, kind, to, ref);
}

static inline void
push_unnamed_parse(struct exchange *x, enum owed_to to, struct statement *st, unsigned risk)
{
	state_note_run(x, risk);
	push_unnamed(x, OWED_PARSE, to, statements_ref_of(statement_ref(st), REF_UNNAMED));
}

static void
push_unnamed_close(struct exchange *x, enum owed_to to)
{
	push_unnamed(x, OWED_CLOSE, to, statements_ref_of(NULL, REF_UNNAMED));
	outbox_copy(&x->env->to_server, "C\0\0\0\6S", 7);
}

__attribute__((noinline)) static enum feature_step
make_unnamed_there(struct exchange *x)
{
	struct client_statements *s = x->statements;
	struct server *srv = x->srv;

	if (s->token == 0)
		s->token = ++x->env->last_token;
	s->unnamed_kind = UNNAMED_STORED; /* an oversize statement was lost with its server */
	if (s->unnamed_under_way == 0)
		s->confirmed_kind = UNNAMED_STORED;
	if (s->unnamed == NULL) /* closes another client's, so PostgreSQL reports that there is no unnamed statement */
		push_unnamed_close(x, OWED_TO_STATEMENT);
	else {
		push_unnamed_parse(x, OWED_TO_STATEMENT, s->unnamed, state_risk_of(x, s->unnamed));
		statements_put_parse(x, "", s->unnamed);
	}
	srv->unnamed_owner = s->token;
	return STEP_REPLACED;
}

inline enum feature_step
unnamed_ensure(struct exchange *x)
{
	const struct client_statements *s = statements_get_or_create(x);

	if (s == NULL)
		return STEP_FAILED;
	/* A change that was sent before an earlier Sync may be skipped although the present message is not. */
	if (s->unnamed_under_way > 0 && s->unnamed_sync_no != s->sync_no)
		return STEP_HOLD;
	return is_unnamed_there(x) ? STEP_REPLACED : make_unnamed_there(x);
}

enum feature_step
unnamed_bind(struct exchange *x)
{
	enum feature_step step = unnamed_ensure(x);

	if (step == STEP_REPLACED) {
		if (x->statements->unnamed_kind == UNNAMED_OVERSIZE) {
			x->statements->unnamed_kind = UNNAMED_OVERSIZE_BOUND;
			if (x->statements->unnamed_under_way == 0 && x->statements->confirmed_kind == UNNAMED_OVERSIZE)
				x->statements->confirmed_kind = UNNAMED_OVERSIZE_BOUND;
		}
		x->srv->loan.must_keep_unnamed = false;
	}
	return step;
}

/* Sets the client's unnamed statement. If the client has a server, the server will have that statement once it has
 * handled all that was sent to it. Takes over the reference to st. */
static void
set_unnamed(struct exchange *x, struct statement *st, enum unnamed_kind kind)
{
	struct client_statements *s = x->statements;

	statement_unref(s->unnamed);
	s->unnamed = st;
	s->unnamed_kind = (uint8_t)kind;
	s->token = ++x->env->last_token;
	if (x->srv == NULL)
		return;
	x->srv->unnamed_owner = s->token;
	x->srv->loan.must_keep_unnamed = kind == UNNAMED_OVERSIZE;
}

static void
confirm_unnamed(struct client_statements *s, struct statement *st, bool is_oversize)
{
	statement_unref(s->confirmed);
	s->confirmed = st;
	s->confirmed_kind = !is_oversize				? UNNAMED_STORED
			    : s->unnamed_kind == UNNAMED_OVERSIZE_BOUND ? UNNAMED_OVERSIZE_BOUND
									: UNNAMED_OVERSIZE;
}

void
statements_forget_unnamed(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s == NULL)
		return;
	set_unnamed(x, NULL, UNNAMED_STORED);
	confirm_unnamed(s, NULL, false);
}

/*
 * Returns true if the SQL may be stored. Unnamed statements must not use up the memory for named ones: a long one is
 * stored only if half of what is free in the first half of that memory has room for it, and is oversize otherwise.
 * Short statements are always stored, because each client has one unnamed statement at most.
 */
static bool
has_room(const struct exchange *x, const struct parse_fields *f)
{
	size_t max, held;

	if (f->rest_len <= ALWAYS_STORED_MAX)
		return true;
	max = x->env->config->prepared_statements_memory / 2;
	held = x->env->name_bytes + statement_store_held_bytes(x->env->statements);
	return held < max && f->rest_len <= (max - held) / 2;
}

enum feature_step
unnamed_parse(struct exchange *x, const struct parse_fields *f, const uint8_t *message, size_t len)
{
	struct client_statements *s = statements_get_or_create(x);
	struct statement *st;

	if (s == NULL)
		return STEP_FAILED;
	if (!has_room(x, f)) {
		if (state_observe_passed_parse(x, (const char *)f->rest, f->query_len + 1, f->query_len + 1) ==
		    STEP_FAILED)
			return STEP_FAILED;
		unnamed_parse_oversize(x);
	} else {
		if ((st = statement_get_or_create(x->pool->home, f->rest, f->rest_len, f->query_len, 0)) == NULL)
			return STEP_FAILED;
		push_unnamed_parse(x, OWED_TO_CLIENT, st, state_risk_of(x, st));
		set_unnamed(x, st, UNNAMED_STORED);
	}
	outbox_ref(&x->env->to_server, message, len);
	return STEP_REPLACED;
}

/* Returns the client's unnamed statement, with a reference for the caller, if the Parse body has the empty name and the
 * same bytes; else NULL. The body need not be parsed then: applications prepare the same SQL again and again. */
static inline struct statement *
get_if_same(const struct exchange *x, const uint8_t *body, size_t len)
{
	struct statement *st = x->statements == NULL ? NULL : x->statements->unnamed;
	uint64_t id;

	if (st == NULL || st->len + 1 != len || body[0] != 0 || st->context != 0 || st->home != x->pool->home ||
	    !statement_is_shared(st) || memcmp(st->bytes, body + 1, st->len) != 0)
		return NULL;
	id = st->id;
	statement_refresh(st);
	return st->id == id ? statement_ref(st) : NULL;
}

__attribute__((noinline)) static struct statement *
get_unnamed(struct exchange *x, const uint8_t *body, size_t len)
{
	struct parse_fields f;

	if (!fields_read_parse(body, len, &f) || f.name[0] != '\0' || statements_get_or_create(x) == NULL ||
	    !has_room(x, &f))
		return NULL;
	return statement_get_or_create(x->pool->home, f.rest, f.rest_len, f.query_len, 0);
}

inline struct statement *
statements_get_plain_unnamed(struct exchange *x, const uint8_t *body, size_t len)
{
	struct statement *st;

	if (len > x->settings->max_statement_size)
		return NULL;
	st = get_if_same(x, body, len);
	if (st == NULL)
		st = get_unnamed(x, body, len);
	if (st != NULL && statement_traits(st)->is_plain)
		return st;
	statement_unref(st);
	return NULL;
}

void
statements_take_unnamed(struct exchange *x, struct statement *st, unsigned risk)
{
	push_unnamed_parse(x, OWED_TO_CLIENT, st, risk);
	set_unnamed(x, st, UNNAMED_STORED);
}

void
unnamed_note_answered_parse(struct exchange *x, struct statement *st)
{
	begin_change(x);
	ledger_enter_fast(&x->srv->ledger, (struct owed){ .kind = OWED_LOCAL_PARSE,
							  .to = OWED_TO_CLIENT,
							  .phase = 1,
							  .ref = statements_ref_of(st, REF_UNNAMED) });
	set_unnamed(x, statement_ref(st), UNNAMED_STORED);
	x->srv->unnamed_owner = 0; /* the server has no or another unnamed statement */
}

void
unnamed_parse_oversize(struct exchange *x)
{
	push_unnamed(x, OWED_PARSE, OWED_TO_CLIENT, statements_ref_of(NULL, REF_UNNAMED_OVERSIZE));
	set_unnamed(x, NULL, UNNAMED_OVERSIZE);
}

void
unnamed_close(struct exchange *x, enum owed_to to)
{
	push_unnamed_close(x, to);
	set_unnamed(x, NULL, UNNAMED_STORED);
}

/*
 * Returns true if PostgreSQL certainly refuses the text before it drops anything. First PostgreSQL converts the text to
 * the database's encoding (pq_getmsgstring). If that fails, the error is 22021; for client encodings other than UTF8,
 * only PostgreSQL can tell. A zero byte within the text brings the error 08P01 (pq_getmsgend).
 */
static bool
is_certainly_refused(const struct exchange *x, const char *sql, size_t len)
{
	const char *encoding = gucs_get(x->gucs, "client_encoding");

	return memchr(sql, 0, len) != NULL ||
	       (encoding != NULL && strcmp(encoding, "UTF8") == 0 && !escape_is_utf8(sql, len));
}

void
statements_note_unnamed_dropped_of(struct exchange *x, const char *sql, size_t len)
{
	struct client_statements *s = x->statements;

	if (statements_pass_through(x))
		return;
	if (s->unnamed == NULL && s->unnamed_kind == UNNAMED_STORED && s->unnamed_under_way == 0) {
		x->srv->unnamed_owner = 0;
		return;
	}
	if (sql != NULL && is_certainly_refused(x, sql, len))
		return;
	/* If earlier replies are outstanding, an error may skip this Query. So pgweir sends a Close of the unnamed
	 * statement: a Close has the same effect, and its reply shows whether it happened. */
	if (x->srv->ledger.count > 0)
		unnamed_close(x, OWED_TO_STATEMENT);
	else
		statements_forget_unnamed(x);
}

/*
 * Returns true if the Parse of st (NULL if oversize) may have failed because PostgreSQL could not convert its text. A
 * constant in the SQL that can't be converted causes the same error; the text shows the true cause if pgweir knows the
 * client's encoding, or if the text is ASCII.
 */
static bool
may_be_misread(const struct server *srv, const struct statement *st)
{
	const struct exchange *x = srv->borrower;
	const char *sql = st == NULL ? NULL : (const char *)st->bytes;

	if (!srv->has_encoding_error || sql == NULL)
		return srv->has_encoding_error;
	return !text_is_ascii(sql, st->query_len) &&
	       (!state_reads_as_gucs(x) || is_certainly_refused(x, sql, st->query_len));
}

void
unnamed_settled(struct server *srv, const struct owed *o, struct statement *st, bool is_oversize, enum owed_end how)
{
	struct exchange *x = srv->borrower;
	struct client_statements *s = x == NULL ? NULL : x->statements;
	/* after all changes, pgweir's SQL has dropped the unnamed statement, or pgweir answered a Parse */
	bool is_overwritten = srv->unnamed_owner == 0;

	if (s == NULL) {
		statement_unref(st);
		return;
	}
	if (how != OWED_SKIPPED)
		s->is_confirmed_there = how == OWED_ANSWERED; /* after a failure, it is not known what the server has */
	if (s->unnamed_overwritten > 0) {
		s->unnamed_overwritten--;
		s->is_confirmed_there = false;
	}
	if (how == OWED_ANSWERED)
		confirm_unnamed(s, st, is_oversize);
	else {
		if (how == OWED_FAILED && o->to == OWED_TO_CLIENT && !may_be_misread(srv, st))
			confirm_unnamed(s, NULL, false);
		statement_unref(st);
	}
	assert(s->unnamed_under_way > 0); /* each change that is settled was counted by begin_change() */
	if (--s->unnamed_under_way > 0)
		return;
	if (s->unnamed != s->confirmed || (s->unnamed_kind == UNNAMED_STORED) != (s->confirmed_kind == UNNAMED_STORED))
		set_unnamed(x, s->confirmed == NULL ? NULL : statement_ref(s->confirmed),
			    (enum unnamed_kind)s->confirmed_kind);
	srv->unnamed_owner = s->is_confirmed_there && !is_overwritten ? s->token : 0;
}
