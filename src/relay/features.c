/*
 * src/relay/features.c - the order of features; see features.h.
 *
 * The order is the contract. A message is shown to the rows of its table from the first row on; the first row that does
 * not return STEP_FORWARD decides, and is the last to see the message. Comments say why a row stands in its place.
 * tests/unit/test_features.c holds the tables.
 */
#include "relay/features.h"
#include "relay/query_timeout.h"
#include "relay/forbid.h"
#include "relay/relay.h"
#include "exchange/report.h"
#include "relay/resend.h"
#include "state/compiled.h"
#include "state/linger.h"

#include <string.h>

struct feature_row {
	enum feature_step (*handler)(struct exchange *x, struct request *m);
	bool is_for_all; /* if false, the row is left out where statements_pass_through() is true: in session mode,
			    after an error, when the server skips messages, and within COPY IN */
};

/* --- a Query --- */

static const struct feature_row on_query[] = {
	{ reads_handle_position, true }, /* first: what it sends ahead of a SHOW precedes all that other rows send */
	{ state_avoid_foreign_plans, false }, /* may drop plans, or make the Query start again on another server */
	/* holds the Query, or sends a question ahead of everything that other rows put in front of a COMMIT */
	{ commit_check_before_query, true },
	{ state_query_hide_sequences, false }, /* a Query that it holds or replaces must reach no later row */
	{ exclusive_make_room, true }, /* as soon as the Query is certain to be sent: servers take a moment to leave */
	/* before the rows that send something ahead of the Query, because the SQL's local settings affect these
	 * messages */
	{ state_note_local, false },
	{ statements_note_drop, false }, /* before the rows below send anything: needs an empty ledger */
	/* makes the server listen, as a request of its own, before anything of the Query runs */
	{ listen_before_sql, false },
	{ statements_deallocate_query,
	  false }, /* makes sure that the server has the statement that the Query deallocates */
	{ listen_query, true }, /* replaces a LISTEN by SQL that state_observe_query must see */
	{ state_observe_query, true }, /* records the session state that the Query leaves, and may add to the SQL */
	{ commit_check_note_query, true }, /* last: no other row can hold the Query back after this one */
};

/* --- a Parse --- */

static const struct feature_row on_parse[] = {
	{ reads_handle_position, true }, /* as for a Query */
	{ state_discard_before_parse,
	  false }, /* may send a DISCARD, which must not become the first command of the request's transaction */
	{ commit_check_before_parse, true }, /* as for a Query */
	{ exclusive_make_room, true }, /* as for a Query; the Parse's Bind follows, or comes soon */
	{ state_audit_parse, true }, /* for session mode, in which no later row sees the Parse */
	{ listen_before_sql, false }, /* as for a Query */
	{ listen_parse, false }, /* replaces a LISTEN before the SQL is stored */
	{ statements_parse, false }, /* last: takes the name, and answers or sends */
};

/* --- Bind, Describe, Close --- */

static const struct feature_row on_bind[] = {
	{ statements_find_bound, false }, /* finds the statement, which the rows below ask about */
	{ reads_handle_position, true }, /* as for a Query */
	{ state_avoid_foreign_plans, false }, /* as for a Query */
	{ commit_check_before_bind, true }, /* as for a Query; the question drops the server's unnamed statement */
	{ state_bind_hide_sequences, false }, /* as for a Query */
	{ listen_before_sql, false }, /* as for a Query */
	{ statements_deallocate_bind,
	  false }, /* makes sure that the server has the statement that the Bind deallocates */
	{ state_note_local, false }, /* as for a Query */
	{ state_observe_bind, false }, /* may send something ahead of the statement's Parse, and of the Bind */
	{ listen_bind, false }, /* records which portal runs a LISTEN */
	{ commit_check_note_bind, true }, /* only the next row may hold the Bind back */
	{ statements_bind, false }, /* last: makes sure that the server has the statement */
};

static const struct feature_row on_describe[] = {
	{ statements_find_described, false },
	{ listen_before_sql, false },
	{ statements_describe, false },
};

static const struct feature_row on_close[] = {
	{ statements_close, false },
};

/* --- an Execute --- */

static const struct feature_row on_execute[] = {
	{ state_before_execute, true }, /* the Execute's effect counts from here on, unless the Execute has to wait */
	{ listen_execute, true }, /* may refuse the Execute in PostgreSQL's place */
	{ commit_check_note_execute, true }, /* last: no other row can hold the Execute back after this one */
};

#define TABLE(rows)                                                                                                    \
	{                                                                                                              \
		rows, sizeof(rows) / sizeof((rows)[0])                                                                 \
	}

enum feature_step
features_request(struct exchange *x, struct request *m)
{
	static const struct {
		const struct feature_row *rows;
		size_t count;
	} tables[128] = {
		['Q'] = TABLE(on_query),    ['P'] = TABLE(on_parse), ['B'] = TABLE(on_bind),
		['D'] = TABLE(on_describe), ['C'] = TABLE(on_close), ['E'] = TABLE(on_execute),
	};
	enum feature_step step = STEP_FORWARD;
	bool is_passed_through = statements_pass_through(x);

	for (size_t i = 0; i < tables[m->type].count && step == STEP_FORWARD; i++)
		if (tables[m->type].rows[i].is_for_all || !is_passed_through)
			step = tables[m->type].rows[i].handler(x, m);
	return step;
}

/* --- an error --- */

bool
features_error(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len)
{
	struct loan *loan = &x->srv->loan;
	enum forbidden forbidden = forbid_of_error(e);
	struct error_fields shown = *e;

	if (retry_begin(x, e)) /* first: a request that is sent once more has not failed */
		return true;
	if (forbidden != FORBIDDEN_NOTHING) {
		shown.sqlstate = "42501";
		e = &shown;
	}
	loan_note_undone(loan, UNDONE_FAILED);
	loan->canceled_by = report_take_canceler(x, e);
	memcpy(loan->sqlstate, e->sqlstate != NULL ? e->sqlstate : "?????", sizeof(loan->sqlstate));
	if (fields_error_is_fatal(e)) /* the next request of the client clears loan.sqlstate */
		server_keep_last_words(x->srv, e);
	report_count_error(x->pool, forbidden == FORBIDDEN_NOTHING ? EO_SERVER : EO_PROXY, e->sqlstate);
	if (loan->commit.phase != COMMIT_NOT) /* this may be the answer to the COMMIT itself */
		commit_check_error(x);
	if (x->session != NULL) /* the request's effects are void, even if the client gets another error */
		state_request_failed(x);
	return listen_take_error(x, e) || /* a LISTEN that the listener refused has an error of its own */
	       state_send_with_hint(
		   x, e, message,
		   len) || /* adds a hint to the error of a currval() or lastval() that this server can't answer */
	       statements_rewrite_error(x, e->sqlstate, message, len) || /* changes only the words of the message */
	       /* changes the words of an error for SQL that the setting refuse forbids */
	       forbid_answer(x, forbidden) ||
	       query_timeout_answer(x); /* changes the words of an error for a query that query_timeout has cancelled */
}

/* --- the end of a request, and a hand-over --- */

inline bool
features_request_done(struct exchange *x, const struct owed *ended)
{
	statements_request_done(x);
	if (x->session != NULL)
		state_request_done(x);
	if (x->srv->loan.commit.is_on)
		commit_check_request_done(x);
	report_done(x, x->srv, ended); /* before the replies that end the request are sent */
	return x->listen != NULL &&
	       listen_request_done(x); /* last: listen may withhold ReadyForQuery, and needs to know the commits */
}

inline bool
features_release(struct exchange *x)
{
	/* State is last, because its questions are about the final state. */
	return (x->listen == NULL || !listen_hold_server(x)) && state_settle(x, statements_need_server(x));
}
