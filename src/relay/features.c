/*
 * src/relay/features.c - the order of features; see features.h.
 *
 * The order is the contract. The rows of a message's table see it from top to bottom; the first one that does not
 * return FORWARD decides. A comment at each row says why it stands there. tests/unit/test_features.c holds the tables.
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
	bool is_for_all; /* else only where names and settings are followed: not in session mode, nor where the server
			  * skips what it is sent */
};

/* --- a Query --- */

static const struct feature_row on_query[] = {
	{ reads_position, true }, /* what it sends ahead of a SHOW comes first of all */
	{ state_run_elsewhere, false }, /* it is handled again from the beginning, on another server */
	{ commit_check_before_query, true }, /* waits, or asks ahead of whatever others put in front of a COMMIT */
	{ state_query_of_sequences, false }, /* nothing is noted of a Query that waits, or is not sent */
	{ exclusive_sql, true }, /* as early as it is certain that it is sent: servers take a moment to leave */
	{ state_note_local, false }, /* what others put in front is prepared under what SQL sets locally, too */
	{ statements_note_drop, false }, /* nothing of pgweir's own is owed yet */
	{ listen_before_sql, false }, /* makes the server listen, as a request of its own, before anything of it runs */
	{ statements_deallocate_query, false }, /* what it deallocates has to be there */
	{ listen_query, true }, /* replaces a LISTEN, which state must not suspect then */
	{ state_query, true }, /* notes what it leaves behind, and may add to the SQL */
	{ commit_check_query, true }, /* last: nobody holds it back any more */
};

/* --- a Parse --- */

static const struct feature_row on_parse[] = {
	{ reads_position, true }, /* as for a Query */
	{ state_parse_ahead, false }, /* as for a Query; with its Bind it would be within the client's Sync group */
	{ commit_check_before_parse, true }, /* as for a Query */
	{ exclusive_sql, true }, /* as for a Query; its Bind follows, or comes soon */
	{ state_audit_parse, true }, /* where it is sent as it is, nobody looks at it later */
	{ listen_before_sql, false }, /* as for a Query */
	{ listen_parse, false }, /* replaces a LISTEN: as such it is stored */
	{ statements_parse, false }, /* last: it takes the name, and answers or sends */
};

/* --- Bind, Describe, Close --- */

static const struct feature_row on_bind[] = {
	{ statements_find_bound, false }, /* which statement it is: what those below ask about */
	{ reads_position, true }, /* as for a Query */
	{ state_run_elsewhere, false }, /* as for a Query */
	{ commit_check_before_bind, true }, /* as for a Query; what it asks drops the unnamed statement there */
	{ state_bind_of_sequences, false }, /* as for a Query */
	{ listen_before_sql, false }, /* as for a Query */
	{ statements_deallocate_bind, false }, /* what it deallocates has to be there */
	{ state_note_local, false }, /* as for a Query */
	{ state_bind, false }, /* may send something ahead of the statement's Parse, and of the Bind */
	{ listen_bind, false }, /* which portal runs a LISTEN */
	{ commit_check_bind, true }, /* nobody but the next may hold it back */
	{ statements_bind, false }, /* last: it sees to it that the server has the statement */
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
	{ state_before_execute, true }, /* its effect counts from here on, unless it has to wait */
	{ listen_execute, true }, /* may be refused in its place */
	{ commit_check_execute, true }, /* last: nobody holds it back any more */
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

	if (retry_wanted(x, e)) /* first: a request that is sent once more has not failed */
		return true;
	if (forbidden != FORBIDDEN_NOTHING) {
		shown.sqlstate = "42501";
		e = &shown;
	}
	loan_note_undone(loan, UNDONE_FAILED);
	loan->canceled_by = report_canceler(x, e);
	memcpy(loan->sqlstate, e->sqlstate != NULL ? e->sqlstate : "?????", sizeof(loan->sqlstate));
	if (fields_error_is_fatal(e)) /* a request that the client still sends begins another sqlstate */
		server_keep_last_words(x->srv, e);
	report_error(x->pool, forbidden == FORBIDDEN_NOTHING ? EO_SERVER : EO_PROXY, e->sqlstate);
	if (loan->commit.phase != COMMIT_NOT) /* if it is a COMMIT's, that is answered */
		commit_check_error(x);
	if (x->session != NULL) /* its effects are void, whatever the client is sent */
		state_request_failed(x);
	return listen_error(x, e) || /* a LISTEN that the listener refused has an error of its own */
	       state_hint_at_returning(x, e, message, len) || /* of a value that no sequence has there */
	       statements_rewrite_error(x, e->sqlstate, message, len) || /* it only changes the message's words */
	       forbid_answer(x, forbidden) || /* the same, of what the setting refuse forbids */
	       query_timeout_answer(x); /* the same, of what query_timeout has cancelled */
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
	report_done(x, x->srv, ended); /* before its replies are sent */
	return x->listen != NULL &&
	       listen_request_done(x); /* last: it may keep ReadyForQuery, and what is committed is known */
}

inline bool
features_release(struct exchange *x)
{
	/* State is last: what it asks about is final. */
	return (x->listen == NULL || !listen_holds_server(x)) && state_may_release(x, statements_hold_server(x));
}
