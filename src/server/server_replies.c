/*
 * src/server/server_replies.c - the reading side of a server connection.
 *
 * A recv fills the loop's buffer, which is then walked message by message. Runs of messages owed to the borrower are
 * passed on in place. An incomplete message is kept (srv->carry) until it is complete if its head is cut, or if pgweir
 * needs its body and that is not too long; else pgweir only counts the bytes that are still to come.
 */
#include "server/server_parts.h"
#include "server/server_ahead.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "session/gucs_effects.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool
needs_body(const struct server *srv, uint8_t type)
{
	uint8_t to = srv->ledger.count > 0 ? ledger_head(&srv->ledger)->to : OWED_TO_CLIENT;

	return type == 'Z' || type == 'C' || type == 'S' || type == 'E' || type == 'A' || type == 'N' ||
	       (type == 'D' &&
		(srv->loan.next_row_is_true || to == OWED_TO_PGWEIR || to == OWED_TO_RESET || to == OWED_TO_OWNER ||
		 to == OWED_TO_COMMIT || to == OWED_TO_REPLAY)); /* rows that pgweir reads */
}

/* Returns true if the message answers a Describe with a ref. ops.described then gets the message. */
static bool
is_description(const struct owed *o, uint8_t type)
{
	return (type == 'T' || type == 't' || type == 'n') && o != NULL &&
	       (o->kind == OWED_DESCRIBE_STATEMENT || o->kind == OWED_DESCRIBE_PORTAL) && o->ref != NULL;
}

/* A walk over the bytes of one read: [run, at) are to be passed, and the last ReadyForQuery ended at ready_end. */
struct walk {
	struct server *srv;
	const uint8_t *p;
	size_t len, at, run, ready_end;
};

static void
pass_run(struct walk *w)
{
	if (w->at > w->run && w->srv->borrower != NULL)
		w->srv->env->ops->pass(w->srv, w->p + w->run, w->at - w->run);
	w->run = w->at;
}

/* Sends the local replies whose turn has come. */
static void
send_local_replies(struct walk *w)
{
	if (ledger_local_is_due(&w->srv->ledger)) {
		pass_run(w);
		ledger_advance(&w->srv->ledger);
	}
}

/* Handles further bytes of a message whose head has come before. */
static void
walk_body(struct walk *w)
{
	struct server *srv = w->srv;
	size_t n = w->len - w->at;

	if (n > srv->ledger.body_left)
		n = (size_t)srv->ledger.body_left;
	assert(w->run <= w->at && w->at <= w->len);
	w->at += n;
	srv->ledger.body_left -= n;
	if (srv->is_body_swallowed)
		w->run = w->at;
	send_local_replies(w);
}

static int
fail_violation(const struct server *srv, uint8_t type, struct fail *why)
{
	const struct owed *o = ledger_head(&srv->ledger);

	fail_set(why, "08P01", "PostgreSQL at %s sent a message of type 0x%02x where %s%s was expected", srv->address,
		 type, o == NULL ? "nothing" : "an answer to ", o == NULL ? "" : owed_kind_name(o->kind));
	return fail_detail(why, "The server connection was closed; its other answers cannot be trusted.");
}

/* Returns true if this message may answer a ping: EmptyQueryResponse (which is noted), or for QUESTION_CHECK any
 * result; after that, ReadyForQuery outside a transaction; and at any time notices, notifications, parameters and
 * errors. */
static bool
check_ping_answer(struct server *srv, uint8_t type, const uint8_t *body, size_t body_len)
{
	switch (type) {
	case 'I':
		srv->question_state =
		    srv->question_state == QUESTION_PING ? QUESTION_PING_ANSWERED : srv->question_state;
		return true;
	case 'T':
	case 'D':
	case 'C':
		return srv->question_state == QUESTION_CHECK;
	case 'Z':
		return srv->question_state != QUESTION_PING && body_len == 1 && body[0] == 'I';
	default:
		return type == 'N' || type == 'S' || type == 'A' || type == 'E';
	}
}

/* The message at w->at. A body that pgweir needs is whole, unless it is too long to be carried. */
struct reply {
	uint8_t type;
	bool is_whole; /* the body is complete */
	bool is_owed; /* a reply was due, for the purpose `to` */
	bool is_passed; /* the message is passed to the borrower unchanged */
	enum owed_to to;
	const uint8_t *body;
	size_t body_len; /* bytes of the body that have come */
};

/* Returns true for an error that PostgreSQL raises because its transaction state is not as it should be. */
static bool
is_of_broken_transaction(const struct error_fields *e)
{
	return e->sqlstate != NULL && strcmp(e->sqlstate, "XX000") == 0 && e->message != NULL && e->routine != NULL &&
	       strncmp(e->message, e->routine, strlen(e->routine)) == 0 &&
	       strncmp(e->message + strlen(e->routine), ": unexpected state", 18) == 0;
}

/* Asks the borrower if its failed request will run again. If so, passes only replies to earlier requests, and returns
 * true. */
static bool
try_rerun(struct walk *w, const struct error_fields *e)
{
	size_t at = w->at, from = w->ready_end > w->run ? w->ready_end : w->run;

	if (w->srv->env->ops->decide_rerun == NULL ||
	    !w->srv->env->ops->decide_rerun(w->srv, e, from < at && w->p[from] == '2'))
		return false;
	w->at = from;
	pass_run(w); /* replies to earlier requests */
	w->at = w->run = at;
	return true;
}

static int
inspect_error(struct walk *w, struct reply *r, struct fail *why)
{
	struct server *srv = w->srv;
	struct error_fields e;
	bool is_lost_setting;

	fields_read_error(r->body, r->body_len, &e);
	if (r->is_passed && r->is_owed && r->to == OWED_TO_CLIENT && try_rerun(w, &e)) {
		r->is_passed = false;
		return 0;
	}
	pass_run(w);
	if (is_of_broken_transaction(&e))
		server_condemn(srv, SERVER_IN_DOUBT);
	if (srv->borrower == NULL && srv->ledger.count == 0 && srv->state != SV_RESET)
		return fail_set(why, e.sqlstate != NULL ? e.sqlstate : "08006",
				"PostgreSQL at %s closed an idle connection: %s", srv->address,
				e.message != NULL ? e.message : "(no message)");
	/* If settings fail in a reset, the server's settings are unknown; a missing statement (26000) does not
	 * matter. */
	is_lost_setting =
	    r->to == OWED_TO_GUCS && srv->state == SV_RESET && (e.sqlstate == NULL || strcmp(e.sqlstate, "26000") != 0);
	if (r->to == OWED_TO_RESET && srv->reset.step == RESET_STEP_MAY_FAIL_08003 && e.sqlstate != NULL &&
	    strcmp(e.sqlstate, "08003") == 0)
		return 0;
	if (r->to == OWED_TO_PING || r->to == OWED_TO_RESET || is_lost_setting)
		return fail_set(why, e.sqlstate != NULL ? e.sqlstate : "XX000",
				"PostgreSQL at %s answered pgweir's %s with: %s", srv->address,
				r->to == OWED_TO_PING	 ? "ping"
				: r->to == OWED_TO_RESET ? "clean-up"
							 : "settings",
				e.message != NULL ? e.message : "(no message)");
	if (r->to == OWED_TO_OWNER && r->is_owed) {
		srv->question_state = QUESTION_OF_OWNER_FAILED;
		if (fields_error_is_fatal(&e))
			server_condemn(srv, SERVER_IN_DOUBT);
		return 0;
	}
	if (srv->env->ops->error(srv, &e, r->to, r->is_owed, r->body - FRAME_HEAD_LEN, FRAME_HEAD_LEN + r->body_len))
		r->is_passed = false;
	return 0;
}

static int
inspect_parameter(struct walk *w, struct reply *r, struct fail *why)
{
	struct server *srv = w->srv;
	const char *name, *value;

	if (!fields_read_parameter(r->body, r->body_len, &name, &value))
		return fail_set(why, "08P01", "PostgreSQL at %s sent a malformed ParameterStatus", srv->address);
	if (!guc_describes_server(name) && gucs_update(&srv->gucs, name, value, true) < 0)
		return fail_memory(why, "a setting");
	server_role_reported(srv, name, value);
	if (srv->env->ops->parameter(srv, name, value, r->is_passed))
		r->is_passed = false;
	if (!r->is_passed)
		pass_run(w);
	return 0;
}

/* Returns true if e comes from quickdie(), which PostgreSQL runs in an immediate shutdown or after a crash. The backend
 * exits next. */
static bool
is_of_quickdie(const struct error_fields *e)
{
	return fields_error_is_of(e, "57P01", "quickdie") || fields_error_is_of(e, "57P02", "quickdie");
}

static void
inspect_notice(struct walk *w, struct reply *r)
{
	struct server *srv = w->srv;
	struct error_fields e;
	const struct owed *head = ledger_head(&srv->ledger);
	const char *digits;

	if (srv->borrower != NULL && head != NULL && head->kind == OWED_PARSE)
		srv->env->ops->parse_noticed(srv);
	if (!r->is_passed)
		return;
	if (r->is_whole && fields_is_drop_skipped_notice(r->body, r->body_len))
		srv->loan.skips++;
	fields_read_error(r->body, r->body_len, &e);
	if (srv->loan.standby != 0 && is_of_quickdie(&e)) {
		pass_run(w);
		r->is_passed = !srv->env->ops->ending(srv, &e);
		return;
	}
	/* In each language, the warning of a failed pg_cancel_backend() has the same digits and routine. */
	if (!fields_error_is_of(&e, "01000", "pg_signal_backend") || e.message == NULL)
		return;
	pass_run(w);
	digits = e.message + strcspn(e.message, "0123456789");
	srv->loan.next_row_is_true = srv->env->ops->no_such_pid(srv, (uint32_t)strtoul(digits, NULL, 10));
	r->is_passed = !srv->loan.next_row_is_true;
}

static void
inspect_row(struct walk *w, struct reply *r)
{
	static const uint8_t replayed[] = "\0\1\0\0\0\7success"; /* WAIT FOR LSN's row */
	static const uint8_t text[] = "D\0\0\0\13\0\1\0\0\0\1t", binary[] = "D\0\0\0\13\0\1\0\0\0\1\1";
	struct server *srv = w->srv;

	if (r->is_passed && srv->loan.next_row_is_true) {
		srv->loan.next_row_is_true = false;
		/* If this row, after the warning of pg_cancel_backend(), is a single `false`, passes `true` instead. */
		if (r->body_len == 7 && memcmp(r->body, text + FRAME_HEAD_LEN, 6) == 0 &&
		    (r->body[6] == 'f' || r->body[6] == 0)) {
			pass_run(w);
			srv->env->ops->pass(srv, r->body[6] == 'f' ? text : binary, sizeof(text) - 1);
			r->is_passed = false;
		}
	}
	if (r->to == OWED_TO_PGWEIR)
		srv->env->ops->probe_row(srv, r->body, r->body_len, r->is_whole);
	else if (r->to == OWED_TO_RESET)
		server_reset_take_row(srv, r->body, r->body_len, r->is_whole);
	else if (r->to == OWED_TO_COMMIT)
		srv->env->ops->commit_row(srv, r->body, r->body_len, r->is_whole);
	else if (r->to == OWED_TO_REPLAY && r->body_len == sizeof(replayed) - 1 &&
		 memcmp(r->body, replayed, sizeof(replayed) - 1) == 0)
		srv->loan.replay = REPLAY_DONE;
	else if (r->to == OWED_TO_OWNER)
		srv->env->owner_ops->answer_row(srv, r->body, r->body_len, r->is_whole);
}

static void
inspect_complete(struct walk *w, struct reply *r)
{
	struct server *srv = w->srv;
	const char *tag = (const char *)r->body;

	srv->loan.next_row_is_true = false;
	if (r->body_len == 0 || tag[r->body_len - 1] != '\0')
		return;
	/* The client that has run this command has gone without waiting for the reply: the pool notes the change. */
	if (srv->borrower == NULL && r->to == OWED_TO_CLIENT && (tag_read(tag).flags & TAG_CHANGES_CODE) != 0) {
		srv->loan.code = CODE_MADE;
		if ((tag_read(tag).flags & TAG_MAKES_CODE) != 0 && (srv->loan.risk & RISK_KEEPS) != 0)
			srv->reset.todo.parts |= STATE_BACKEND;
	}
	if (!r->is_passed)
		return;
	if (tag[0] == 'U' && tag[1] == 'N') /* an UNLISTEN may be swallowed */
		pass_run(w);
	r->is_passed = !srv->env->ops->complete(srv, tag, r->body_len - 1);
}

/* Handles the types that matter to pgweir or to the borrower's features. Returns -1 with *why set, or 0. */
static int
inspect(struct walk *w, struct reply *r, struct fail *why)
{
	if (!r->is_passed)
		pass_run(w);
	switch (r->type) {
	case 'E':
		return inspect_error(w, r, why);
	case 'S':
		return inspect_parameter(w, r, why);
	case 'N':
		inspect_notice(w, r);
		return 0;
	case 'D':
		inspect_row(w, r);
		return 0;
	case 'C':
		inspect_complete(w, r);
		return 0;
	case 'A':
		pass_run(w);
		if (r->is_passed && r->is_whole)
			r->is_passed = !w->srv->env->ops->notification(w->srv, r->body - FRAME_HEAD_LEN,
								       FRAME_HEAD_LEN + r->body_len);
		return 0;
	case 'G':
		if (w->srv->state == SV_RESET)
			server_reset_next(w->srv);
		return 0;
	case 'Z':
		if (w->srv->loan.passes_replies_early)
			pass_run(w);
		return 0;
	default:
		return 0;
	}
}

/* Ends a request; w->at is after its ReadyForQuery. */
static inline void
end_request(struct walk *w, const struct owed *ended, uint8_t tx)
{
	struct server *srv = w->srv;
	const char *question;

	/* Only a statement may end a transaction block, but here a Sync without a statement has ended one. This is a
	 * bug of PostgreSQL 18: if a Query follows an Execute without a Sync, PostgreSQL reports a block, forgets the
	 * writes of both at the Sync, and answers the next message, which would be another client's, with XX000. */
	if (srv->tx == 'T' && tx == 'I' && ended->kind == OWED_SYNC && ended->statements == 0 &&
	    ended->to == OWED_TO_CLIENT)
		server_condemn(srv, SERVER_IN_DOUBT);
	srv->tx = tx;
	srv->is_synced = srv->is_synced || srv->ledger.count == 0;
	/* passes earlier replies now, because request_done may end the client */
	if (srv->tx != 'I' && w->ready_end > w->run) {
		size_t at = w->at;

		w->at = w->ready_end;
		pass_run(w);
		w->at = at;
	}
	w->ready_end = w->at;
	if (ended->to == OWED_TO_CLIENT && srv->borrower != NULL) {
		if (srv->env->ops->request_done(srv, ended))
			w->run = w->at;
	} else if (ended->to == OWED_TO_CLIENT && srv->state == SV_RESET && tx == 'I')
		srv->env->owner_ops->abandoned_transaction_over(srv);
	else if (ended->to == OWED_TO_PGWEIR)
		srv->env->ops->probe_done(srv);
	else if (ended->to == OWED_TO_COMMIT)
		srv->env->ops->commit_answered(srv, ended);
	else if (ended->to == OWED_TO_OWNER) {
		ledger_advance(&srv->ledger); /* removes the entries of a COPY that PostgreSQL has not ended */
		question = srv->env->owner_ops->answered(srv, srv->question_state != QUESTION_OF_OWNER_FAILED);
		if (question != NULL)
			(void)server_ask(srv, question);
	} else if (srv->borrower != NULL)
		srv->env->ops->own_done(srv, ended->to);
}

static bool
is_well_formed(struct server *srv, const struct reply *r)
{
	if (r->to == OWED_TO_PING && !check_ping_answer(srv, r->type, r->body, r->body_len))
		return false;
	return r->type != 'Z' || (r->body_len == 1 && r->is_whole && memchr("ITE", r->body[0], 3) != NULL);
}

/* Call this before the ledger drops the messages that the error skips. Notes which replies the client is owed, for
 * commit_check/, and whether PostgreSQL could convert the SQL's text, for statements/unnamed.c. */
static void
note_error(struct server *srv, const struct reply *r)
{
	struct error_fields e;

	if (srv->loan.commit.phase != COMMIT_NOT)
		/* after a FATAL, the ledger no longer has all replies for which the client waits */
		server_note_owed(srv);
	fields_read_error(r->body, r->body_len, &e);
	srv->has_encoding_error = e.sqlstate != NULL && strcmp(e.sqlstate, "22021") == 0;
}

/* Sends a Close of a statement that does not exist, with a Sync. After PostgreSQL has answered these, no answer to a
 * Sync within the failed COPY can come any more. */
__attribute__((cold)) static int
ask_for_late_ready(struct server *srv)
{
	struct buf b = { 0 };

	message_close_statement(&b, "pgweir_none");
	message_sync(&b);
	ledger_push(&srv->ledger, OWED_CLOSE, OWED_TO_FEATURE, NULL);
	server_owe_sync(srv, OWED_TO_FEATURE);
	srv->is_synced = true;
	return server_send(srv, &b);
}

static int
walk_message(struct walk *w, const struct frame *f, struct fail *why)
{
	struct server *srv = w->srv;
	const struct owed *head = ledger_head(&srv->ledger);
	size_t avail = w->len - w->at - FRAME_HEAD_LEN;
	struct reply r = { .type = f->type, .is_owed = head != NULL, .body = w->p + w->at + FRAME_HEAD_LEN };
	enum ledger_verdict verdict;
	struct owed ended;
	bool is_end;

	r.body_len = f->body_len < avail ? f->body_len : avail;
	r.is_whole = r.body_len == f->body_len;
	r.to = head != NULL ? (enum owed_to)head->to : OWED_TO_CLIENT;
	if (!is_well_formed(srv, &r))
		return fail_violation(srv, r.type, why);
	if (is_description(head, r.type))
		srv->env->ops->described(srv, head, r.type, r.body, r.body_len, r.is_whole);
	if (r.type == 'E')
		note_error(srv, &r);
	verdict = ledger_receive(&srv->ledger, r.type, &ended, &is_end);
	if (verdict == LEDGER_VIOLATION)
		return fail_violation(srv, r.type, why);
	r.is_passed = verdict == LEDGER_PASS && srv->borrower != NULL;
	if (inspect(w, &r, why) < 0)
		return -1;
	srv->ledger.body_left = f->body_len - r.body_len;
	srv->is_body_swallowed = !r.is_passed;
	w->at += FRAME_HEAD_LEN + r.body_len;
	if (!r.is_passed)
		w->run = w->at;
	if (is_end && srv->ledger.copy == COPY_FAILED && srv->ledger.count == 0 && ask_for_late_ready(srv) < 0)
		return fail_memory(why, "a question to PostgreSQL");
	if (is_end)
		end_request(w, &ended, r.body[0]);
	send_local_replies(w);
	return 0;
}

static bool
take_ready(struct walk *w, uint32_t plain_kind, const uint8_t *body, size_t len)
{
	struct owed ended;

	if (len != 1 || (body[0] != 'I' && body[0] != 'T' && body[0] != 'E') ||
	    !ledger_take_ready(&w->srv->ledger, plain_kind, &ended))
		return false;
	if (w->srv->loan.passes_replies_early)
		pass_run(w);
	w->at += FRAME_HEAD_LEN + 1;
	end_request(w, &ended, body[0]);
	return true;
}

/* Handles a CommandComplete. Returns false if walk_message() must handle it: that of an UNLISTEN may be swallowed. */
static bool
take_complete(struct walk *w, uint32_t plain_kind, const char *tag, size_t len)
{
	struct server *srv = w->srv;

	if (len <= 2 || tag[len - 1] != 0 || (tag[0] == 'U' && tag[1] == 'N') ||
	    !ledger_take_plain(&srv->ledger, plain_kind, 'C'))
		return false;
	srv->env->ops->complete(srv, tag, len - 1);
	return true;
}

/* Steps over the replies that every query brings. Stops at a reply that is incomplete, is of another kind, or concerns
 * others than the borrower; walk_message() handles such replies. */
static void
walk_plain(struct walk *w)
{
	struct server *srv = w->srv;
	const uint8_t *p = w->p + w->at, *end = w->p + w->len;
	struct frame f;

	if (srv->loan.next_row_is_true)
		return;
	while (srv->borrower != NULL && frame_parse_whole(p, (size_t)(end - p), &f)) {
		uint32_t plain_kind = ledger_plain_kind(&srv->ledger);
		const uint8_t *body;
		bool is_taken, is_whole = true;

		while (is_whole && ledger_may_pass_through(plain_kind, f.type)) { /* all rows pass here */
			p += FRAME_HEAD_LEN + f.body_len;
			is_whole = frame_parse_whole(p, (size_t)(end - p), &f);
		}
		if (!is_whole)
			break;
		body = p + FRAME_HEAD_LEN;
		switch (f.type) {
		case 'Z':
			w->at = (size_t)(p - w->p);
			is_taken = take_ready(w, plain_kind, body, f.body_len);
			break;
		case 'C':
			is_taken = take_complete(w, plain_kind, (const char *)body, f.body_len);
			break;
		default:
			is_taken = ledger_take_plain(&srv->ledger, plain_kind, f.type);
		}
		if (!is_taken)
			break;
		p = body + f.body_len;
	}
	w->at = (size_t)(p - w->p);
}

/* Steps over the beginning of a row for the borrower, which can be passed before the rest has come. Returns false if
 * there is no such row at w->at. */
static bool
walk_part_of_row(struct walk *w, const struct frame *f, size_t avail)
{
	struct server *srv = w->srv;

	if (f->type != 'D' || f->body_len <= avail || srv->borrower == NULL || srv->loan.next_row_is_true ||
	    !ledger_expects_row(&srv->ledger))
		return false;
	w->at += FRAME_HEAD_LEN + avail;
	srv->ledger.body_left = f->body_len - avail;
	srv->is_body_swallowed = false;
	return true;
}

/*
 * Returns true if the error at w->at must wait for its request's ReadyForQuery, because an operator may have made this
 * primary read-only. PostgreSQL reports such a change after the error, but pgweir acts on the report before it passes
 * the error. Acts on the reports that have come already.
 */
__attribute__((cold)) static bool
hold_error_for_report(struct walk *w, const struct frame *f)
{
	struct server *srv = w->srv;
	const uint8_t *p = w->p + w->at + FRAME_HEAD_LEN, *end = w->p + w->len;
	enum target_session_attrs target = srv->target->upstream->target;
	const char *name, *value;
	struct error_fields e;
	struct frame next = *f;

	fields_read_error(p, f->body_len < (size_t)(end - p) ? f->body_len : (size_t)(end - p), &e);
	if (e.sqlstate == NULL || strcmp(e.sqlstate, "25006") != 0 || srv->borrower == NULL || !srv->is_synced ||
	    (target != TARGET_READ_WRITE && target != TARGET_PRIMARY) || w->len - w->run > SERVER_CARRY_MAX)
		return false;
	for (p = w->p + w->at; frame_parse_whole(p, (size_t)(end - p), &next); p += FRAME_HEAD_LEN + next.body_len) {
		if (next.type == 'Z')
			return false;
		if (next.type == 'S' && fields_read_parameter(p + FRAME_HEAD_LEN, next.body_len, &name, &value)) {
			server_role_reported(srv, name, value);
			srv->env->ops->parameter(srv, name, value, false);
		}
	}
	return true;
}

/* Handles the replies in w. Returns 0, or -1 with *why set if the server must be closed. The caller keeps the bytes
 * from w->at on: an incomplete message, an error that must wait, or replies to requests that were sent ahead. */
static int
walk_replies(struct walk *w, struct fail *why)
{
	struct server *srv = w->srv;

	while (w->at < w->len && srv->state != SV_DEAD) {
		struct frame f;
		enum frame_result r;
		size_t avail;

		if (srv->ledger.body_left > 0) {
			walk_body(w);
			continue;
		}
		walk_plain(w);
		if (w->at == w->len || ledger_ahead_is_next(&srv->ledger))
			break;
		if (ledger_local_is_due(&srv->ledger)) { /* the reply has waited for the end of the last message */
			send_local_replies(w);
			continue;
		}
		r = frame_parse(w->p + w->at, w->len - w->at, &f);
		if (r == FRAME_PARTIAL || srv->state == SV_DEAD)
			break;
		if (r == FRAME_BAD)
			return fail_set(why, "08P01", "PostgreSQL at %s sent a message of impossible length",
					srv->address);
		avail = w->len - w->at - FRAME_HEAD_LEN;
		if (walk_part_of_row(w, &f, avail))
			continue;
		/* Waits for the whole message unless it is too large to carry. An error has the needed fields first. */
		if (avail < f.body_len &&
		    (needs_body(srv, f.type) || is_description(ledger_head(&srv->ledger), f.type)) &&
		    FRAME_HEAD_LEN + (size_t)f.body_len <= SERVER_CARRY_MAX)
			break;
		if (avail < f.body_len && (f.type == 'S' || f.type == 'Z'))
			return fail_violation(srv, f.type, why);
		if (f.type == 'E' && hold_error_for_report(w, &f)) {
			srv->ledgered_len = (uint32_t)(w->at - w->run);
			w->at = w->run;
			return 0;
		}
		if (walk_message(w, &f, why) < 0)
			return -1;
	}
	pass_run(w);
	return 0;
}

static int
keep_carry(struct server *srv, const uint8_t *rest, size_t len, struct fail *why)
{
	if (srv->carry.bytes != NULL)
		buf_fini(&srv->carry);
	if (len == 0)
		return 0;
	assert(len <= SERVER_CARRY_MAX); /* a longer message is never carried */
	buf_put(&srv->carry, rest, len);
	return buf_ok(&srv->carry) ? 0 : fail_memory(why, "an unfinished message");
}

/*
 * Copies srv->carry to buf, in front of the `got` bytes that have come. Returns srv->ledgered_len. If the message is
 * still incomplete, appends the bytes to the carry and returns -1, so a message in many small pieces is not copied for
 * each piece.
 */
__attribute__((noinline)) static ssize_t
take_carry(struct server *srv, uint8_t *buf, size_t got)
{
	size_t have = srv->carry.len, ledgered_len = srv->ledgered_len;
	struct fail why;
	struct frame f;

	if (ledgered_len == 0 && frame_parse(srv->carry.bytes, have, &f) == FRAME_OK &&
	    have + got < FRAME_HEAD_LEN + (size_t)f.body_len) {
		buf_put(&srv->carry, buf + have, got);
		if (!buf_ok(&srv->carry)) {
			fail_memory(&why, "an unfinished message");
			server_fail(srv, &why);
		}
		return -1;
	}
	memcpy(buf, srv->carry.bytes, have);
	srv->ledgered_len = 0;
	return (ssize_t)ledgered_len;
}

static void
after_batch(struct server *srv)
{
	if (srv->state == SV_LENT)
		srv->env->ops->batch_end(srv);
	else if (srv->state == SV_PINGING && srv->ledger.count == 0) {
		if (srv->fitness == SERVER_MISPLACED) {
			server_end_misplaced(srv);
			return;
		}
		server_step(srv, SE_ANSWERED_PING);
		srv->env->owner_ops->pinged(srv, true);
	} else if (srv->state == SV_RESET)
		server_reset_next(srv);
}

/*
 * At a border (the borrower has all its replies, and the next message answers a request that was sent ahead) makes the
 * borrower give the server back. If the borrower keeps the server, disowns the request that was sent ahead. Returns
 * true if replies may follow; false if this is no border, or if the server has ended.
 */
__attribute__((noinline)) static bool
cross_border(struct server *srv)
{
	struct fail why;

	if (srv->state != SV_LENT || !ledger_ahead_is_next(&srv->ledger))
		return false;
	if (srv->tx != 'I') {
		log_error(srv->env->log,
			  "BUG: server %" PRIu64 ": a request went ahead behind one that has left a transaction open",
			  srv->id);
		fail_set(&why, "08006", "the connection to PostgreSQL at %s was closed because of an internal error",
			 srv->address);
		server_fail(srv, &why);
		return false;
	}
	after_batch(srv);
	if (srv->state != SV_DEAD && ledger_ahead_is_next(&srv->ledger))
		server_disown_ahead(srv);
	return srv->state != SV_DEAD;
}

__attribute__((always_inline)) static inline void
process(struct server *srv, const uint8_t *p, size_t len, size_t ledgered_len)
{
	struct walk w = { .srv = srv, .p = p, .len = len, .at = ledgered_len };
	struct fail why;
	ssize_t used;

	if (srv->state == SV_LOGIN && srv->tls_phase == STP_ASKED) {
		server_tls_take_answer(srv, p, len);
		if (srv->tls_phase != STP_REFUSED_WITH_ERROR)
			return;
	}
	if (srv->state == SV_LOGIN) {
		used = server_take_login_bytes(srv, p, len);
		if (used < 0)
			return;
		w.at = (size_t)used;
	} else {
		int r;

		do
			r = walk_replies(&w, &why);
		while (r == 0 && ledger_has_ahead(&srv->ledger) && cross_border(srv));
		if (r < 0) {
			pass_run(&w); /* replies before the violation still reach the borrower */
			server_fail(srv, &why);
			return;
		}
	}
	if (srv->state == SV_DEAD)
		return;
	if (srv->state == SV_IDLE && (w.at < len || srv->ledger.body_left > 0)) {
		fail_set(&why, "08P01", "PostgreSQL at %s sent part of a message on an idle connection", srv->address);
		server_fail(srv, &why);
		return;
	}
	if (keep_carry(srv, p + w.at, len - w.at, &why) < 0)
		server_fail(srv, &why);
	else
		after_batch(srv);
}

static void
lose_connection(struct server *srv, int error)
{
	struct fail why;

	if (error != 0)
		fail_set(&why, "08006", "the connection to PostgreSQL at %s failed: %s", srv->address, strerror(error));
	else
		fail_set(&why, "08006", "PostgreSQL at %s closed the connection", srv->address);
	if (srv->state == SV_LOGIN)
		server_host_failed(srv, CF_OTHER, false, &why);
	else
		server_fail(srv, &why);
}

static void
on_readable(struct stream *s)
{
	struct server *srv = (struct server *)s;
	uint8_t *buf = srv->env->read_buffer;
	size_t have = srv->carry.len, got;
	ssize_t at;

	assert(have <= SERVER_CARRY_MAX); /* the buffer is SERVER_CARRY_MAX bytes larger than read_cap */
	*srv->env->now_us = clock_now_us();
	switch (stream_read(&srv->stream, buf + have, srv->env->read_cap, &got)) {
	case STREAM_OK:
		srv->bytes_in += got;
		at = have == 0 ? 0 : take_carry(srv, buf, got);
		if (at >= 0)
			process(srv, buf, have + got, (size_t)at);
		return;
	case STREAM_AGAIN:
		return;
	case STREAM_EOF:
		lose_connection(srv, 0);
		return;
	case STREAM_ERROR:
		lose_connection(srv, errno);
		return;
	}
}

static void
on_readable_of_many_workers(struct stream *s)
{
	const struct server_env *env = ((struct server *)s)->env;

	on_readable(s);
	loop_run_between_events(env->deferred_frees, env->inbox);
}

static void
on_drained(struct stream *s)
{
	struct server *srv = (struct server *)s;

	*srv->env->now_us = clock_now_us();
	if (srv->state == SV_LENT)
		srv->env->ops->drained(srv);
}

/* Called when PostgreSQL has closed its side while pgweir does not read. The borrower still gets the unread bytes. */
static void
on_ended(struct stream *s, bool is_gone)
{
	struct server *srv = (struct server *)s;

	(void)is_gone; /* PostgreSQL never closes only its sending side */
	*srv->env->now_us = clock_now_us();
	if (server_has_borrower_only(srv) && srv->env->owner_ops->peer_closed != NULL)
		srv->env->owner_ops->peer_closed(srv);
}

const struct stream_ops server_stream_ops[2] = { { on_readable, on_drained, on_ended },
						 { on_readable_of_many_workers, on_drained, on_ended } };
