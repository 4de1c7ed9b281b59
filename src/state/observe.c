/*
 * src/state/observe.c - what a client's SQL may leave in the session; see state/state_state.h.
 *
 * Nearly all SQL leaves nothing in the session; it costs one scan, or none if it was prepared. What other SQL leaves is
 * recorded (notes.c), and settled when the transaction has ended (commit.c).
 */
#include "state/observe.h"
#include "state/state_state.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "state/state.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Returns true if the client's SQL must be looked at. In session mode the client keeps its server, but RESET must still
 * restore the client's own startup values. A replication client's server got these values in its own startup packet. */
static bool
must_look_at_sql(const struct exchange *x)
{
	return x->replication == 0 && (x->settings->session_state != SESSION_ALLOW || x->is_session);
}

bool
state_may_misread(const struct exchange *x)
{
	return state_has_uncommitted_effects(x) ||
	       (x->srv != NULL && x->srv->ledger.count > 0 && x->srv->loan.has_run_code);
}

/* --- simple Queries --- */

static enum feature_step
begin_pieces(struct exchange *x, const char *sql, size_t have, bool is_parse)
{
	struct client_session *s = client_session_get_or_create(x);

	if (s == NULL || (s->scan == NULL && (s->scan = calloc(1, sizeof(*s->scan))) == NULL))
		return STEP_FAILED;
	scan_init(s->scan, gucs_scan_options(x->gucs));
	s->scan->flags |= state_may_misread(x) ? SCAN_PROBED | SCAN_UNDO : 0;
	scan_feed(s->scan, sql, have);
	s->is_parse_scanned = is_parse;
	/* The rest of the SQL may do anything, and once the rest has come, it is too late for a DISCARD ahead of it. */
	state_prepare_sequence_use(x, SCAN_CODE);
	return STEP_FORWARD;
}

void
state_observe_text(struct exchange *x, const uint8_t *bytes, size_t len, bool is_end)
{
	struct client_session *s = x->session;

	if (s->scan == NULL)
		return;
	if (is_end) {
		const uint8_t *end = memchr(bytes, 0, len); /* a Parse has more fields after its SQL */

		if (end != NULL)
			len = (size_t)(end - bytes);
	}
	scan_feed(s->scan, (const char *)bytes, len);
	if (!is_end)
		return;
	scan_end(s->scan);
	if (s->is_parse_scanned)
		s->passed_flags |= s->scan->flags;
	if (x->srv != NULL) {
		bool is_own = x->srv->sequences_of == x->waiter.id;

		x->srv->sequences_of = x->waiter.id; /* keeps state_suspect() from sending anything now */
		state_suspect(x, s->scan->flags, s->scan);
		x->srv->sequences_of = is_own ? x->waiter.id : SEQUENCES_OF_MANY;
		if ((s->scan->hints & SCAN_HINT_LOCAL) != 0 || s->scan->flags == SCAN_ALL)
			state_note_local_name(x, "", ""); /* the name of the setting was not kept */
	}
	free(s->scan);
	s->scan = NULL;
}

/*
 * Returns true if nothing that restores startup values may be appended to the text. After a COMMIT or ROLLBACK, the
 * appended SQL would run in another transaction than the RESET; after a SET LOCAL, it would undo the SET LOCAL for the
 * rest of the transaction.
 */
static bool
forbids_appending(const struct exchange *x, const struct known_text *text)
{
	bool is_alone = x->srv->tx == 'I' &&
			!ledger_may_change_block(
			    &x->srv->ledger); /* the text is a transaction of its own, so its SET LOCALs end with it */

	for (unsigned i = 0; i < text->count; i++)
		if (text->statements[i].kind == KNOWN_BEGIN || text->statements[i].kind == KNOWN_COMMIT ||
		    text->statements[i].kind == KNOWN_ROLLBACK ||
		    (text->statements[i].kind == KNOWN_LOCAL && !is_alone))
			return true;
	return false;
}

/* The effects that are recorded for known SQL are only its final settings. Makes the probe look for what else the SQL
 * may leave (temporary tables, a new seed). */
static void
suspect_side_effects(struct exchange *x, uint32_t flags)
{
	if (exchange_is_followed(x))
		x->srv->loan.suspected |= flags & (SCAN_TEMP | SCAN_SEED);
}

/* Records literals that look like names of custom settings, because code that the SQL calls may make such settings. */
static void
note_literal_names(struct exchange *x, const char *sql, size_t len)
{
	char name[KNOWN_NAME_MAX];
	struct known_reader r;

	known_begin(&r, gucs_scan_options(x->gucs), sql, len);
	while (known_next_custom_name(&r, name))
		state_note_setting_name(x->session, x->srv, name);
}

/* Records which extension's state the SQL leaves for its client (part is RISK_WANTED), or that the SQL removes that
 * state (RISK_UNDOES). risk_names_blame() returns a text that ends with the extension's name. */
static void
note_extension(struct exchange *x, unsigned part, const char *sql, size_t len)
{
	const char *why = risk_names_blame(x->pool->code->answer->risks, part, sql, len);
	struct buf *cause = &x->session->extension_cause;
	const char *name = cause->len == 0 ? NULL : strrchr((const char *)cause->bytes, ' ');
	bool is_same = why != NULL && name != NULL && memmem(why, strlen(why) + 1, name, strlen(name) + 1) != NULL;

	x->srv->loan.risk &= ~(uint32_t)RISK_UNDOES;
	x->srv->loan.risk |= is_same ? part & RISK_UNDOES : 0u;
	if (part == RISK_UNDOES || is_same || why == NULL)
		return;
	cause->len = 0;
	buf_printf(cause, ": %s%c", name == NULL ? why : "several extensions", 0);
}

/* Records suspicions for SQL of which not everything is known, and for statements of SQL PREPARE that it executes. */
static enum feature_step
suspect_all(struct exchange *x, struct request *m, uint32_t flags, const struct scan *names)
{
	enum feature_step step;
	struct known_reader r;
	struct known_statement k;
	const char *sql;
	size_t len;

	if (!exchange_is_followed(x))
		return STEP_FORWARD;
	step = state_suspect(x, flags, names);
	sql = request_sql(m, &len);
	if (step == STEP_FORWARD && (flags & SCAN_FUNCTION) != 0 && (RISK_CALLED(m->risk) & STATE_SETTINGS) != 0)
		note_literal_names(x, sql, len);
	if (step == STEP_FORWARD && (m->risk & (RISK_WANTED | RISK_UNDOES)) != 0)
		note_extension(x, (m->risk & RISK_WANTED) != 0 ? RISK_WANTED : RISK_UNDOES, sql, len);
	if ((flags & SCAN_EXECUTE) == 0)
		return step;
	known_begin(&r, gucs_scan_options(x->gucs), sql, len);
	while (step == STEP_FORWARD && known_next_statement(&r, &k))
		if (k.kind == KNOWN_EXECUTE || k.kind == KNOWN_EXECUTE_ANY)
			step = state_note_execute(x, k.name);
	return step;
}

/* Handles a Query that has the same flags in each way in which PostgreSQL may read its strings. */
static enum feature_step
handle_flagged_query(struct exchange *x, struct request *m)
{
	const struct known_text *text;
	enum feature_step step;
	uint32_t flags = m->traits->flags;
	struct buf sql = { 0 };

	if ((flags & ~(uint32_t)SCAN_PLAIN) == 0)
		return exchange_is_followed(x) ? state_suspect(x, flags, m->scan) : STEP_FORWARD;
	if (client_session_get_or_create(x) == NULL)
		return STEP_FAILED;
	text = request_known(x, m);
	if (!state_is_known(x, text) || (forbids_appending(x, text) && state_resets_startup(x, text)))
		return suspect_all(x, m, m->traits->flags, m->scan);
	suspect_side_effects(x, flags);
	step = state_note_all(x, text);
	if (step != STEP_FORWARD || !state_resets_startup(x, text))
		return step;
	buf_put(&sql, m->sql, m->sql_len);
	state_put_reset(x, text, &sql);
	message_put(&m->instead, 'Q', sql.bytes, sql.len);
	m->shown_count = text->count;
	m->instead.is_broken = m->instead.is_broken || !buf_ok(&sql);
	buf_fini(&sql);
	return STEP_REPLACED;
}

/* Returns true if code of the database may read what a sequence has returned. */
static bool
reads_sequences_unseen(const struct exchange *x, const struct request *m)
{
	/* All other statements count as reading no sequence: some of them must be alone in their transaction, and none
	 * returns rows that could show what it has read. */
	static const uint8_t more[] = { WORD_COPY, WORD_CALL, WORD_FETCH, WORD_EXPLAIN, WORD_DECLARE };

	return (m->risk & STATE_SEQUENCES) != 0 && exchange_is_followed(x) && m->traits != NULL &&
	       (traits_are_plannable(m->traits->first) || memchr(more, m->traits->first, sizeof(more)) != NULL);
}

static enum feature_step
prepare_unseen_sequence_use(struct exchange *x, const struct request *m)
{
	uint64_t of = x->srv->sequences_of;

	if (!reads_sequences_unseen(x, m))
		return STEP_FORWARD;
	if (of != 0 && of != x->waiter.id && request_must_wait(x, m))
		return STEP_HOLD;
	state_prepare_sequence_use(x, SCAN_CURRVAL);
	return of != 0 && of != x->srv->sequences_of ? request_hold_behind_ours(x, m) : STEP_FORWARD;
}

enum feature_step
state_query_hide_sequences(struct exchange *x, struct request *m)
{
	uint64_t of = x->srv->sequences_of;
	uint32_t flags;

	if (of == 0 || (of == x->waiter.id && !x->srv->is_discarding_sequences) || !exchange_is_followed(x))
		return prepare_unseen_sequence_use(x, m);
	flags = m->traits == NULL ? SCAN_CODE : m->traits->flags; /* SQL that comes in pieces may do anything */
	flags |= reads_sequences_unseen(x, m) ? SCAN_CURRVAL : 0u;
	if (state_waits_for_sequences(x, flags))
		return STEP_HOLD;
	if (!state_must_not_read_sequences(x, flags) || (m->sql != NULL && memchr(m->sql, ';', m->sql_len) == NULL))
		return prepare_unseen_sequence_use(x, m);
	/* In a failed transaction, PostgreSQL refuses everything but the transaction's end. SQL that may go on after
	 * that end is not sent; a SELECT, which PostgreSQL refuses, takes its place. */
	message_put(&m->instead, 'Q', "SELECT 1", sizeof("SELECT 1"));
	return STEP_REPLACED;
}

enum feature_step
state_observe_query(struct exchange *x, struct request *m)
{
	const char *sql = (const char *)m->message + FRAME_HEAD_LEN;
	size_t have = request_body_len(m), len = m->total - FRAME_HEAD_LEN;

	/* A Query that has come whole, but has no traits, is malformed: PostgreSQL refuses it. */
	if (!must_look_at_sql(x) || len == 0 || (have == len && (m->traits == NULL || m->traits->flags == 0)))
		return STEP_FORWARD;
	if (have < len)
		return exchange_is_followed(x) ? begin_pieces(x, sql, have, false) : STEP_FORWARD;
	state_audit(x, m->traits->flags);
	if (m->traits->flags & SCAN_SEQUENCE_USES)
		state_note_sequence_use(x, m->traits->flags);
	if (m->traits->flags != m->scan->flags) /* PostgreSQL may read the SQL differently */
		return suspect_all(x, m, m->traits->flags, m->scan);
	return handle_flagged_query(x, m);
}

/* --- the extended protocol --- */

enum feature_step
state_observe_passed_parse(struct exchange *x, const char *sql, size_t have, size_t len)
{
	const char *end;
	struct scan scan;

	if (!exchange_is_followed(x) || client_session_get_or_create(x) == NULL)
		return exchange_is_followed(x) ? STEP_FAILED : STEP_FORWARD;
	if (have < len)
		return begin_pieces(x, sql, have, true);
	end = memchr(sql, 0, len);
	scan_text_all_options(&scan, sql, end == NULL ? len : (size_t)(end - sql));
	x->session->passed_flags |= scan.flags;
	return STEP_FORWARD;
}

enum feature_step
state_audit_parse(struct exchange *x, struct request *m)
{
	if (!x->is_session)
		return STEP_FORWARD;
	state_audit(x, m->traits->flags);
	x->srv->loan.has_run = true; /* reading a constant may run the check of a domain */
	if (request_begins_with(m, WORD_DISCARD) && client_session_get_or_create(x) != NULL)
		x->session->passed_flags |= m->traits->flags;
	return STEP_FORWARD;
}

static void
unbind(struct client_session *s)
{
	statement_unref(s->bound);
	s->bound = NULL;
	free(s->bound_known);
	s->bound_known = NULL;
}

#define TYPE_BOOL 16u
#define TYPE_TEXT 25u
#define TYPE_VARCHAR 1043u

/* Returns true if parameter number `param` (from 1; 0 if there is none) is of one of these types, or of none. If the
 * parameter is declared as an integer, for example, $1::text has other bytes than the client has sent. */
static bool
is_declared_as(const struct statement *st, unsigned param, uint32_t type, uint32_t or_type)
{
	const uint8_t *types = st->bytes + st->query_len + 1;
	uint32_t declared;

	if (param == 0 || param > wire_u16(types))
		return true;
	declared = wire_u32(types + 2 + 4 * (size_t)(param - 1));
	return declared == 0 || declared == type || declared == or_type;
}

static bool
uses_values_as_sent(const struct statement *st, const struct known_text *text)
{
	for (unsigned i = 0; i < text->count; i++) {
		const struct known_statement *k = &text->statements[i];

		if (!is_declared_as(st, k->name_param, TYPE_TEXT, TYPE_VARCHAR) ||
		    !is_declared_as(st, k->value_param, TYPE_TEXT, TYPE_VARCHAR) ||
		    !is_declared_as(st, k->local_param, TYPE_BOOL, TYPE_BOOL))
			return false;
	}
	return true;
}

/* If each statement in the SQL of the unnamed portal is known, keeps these statements for the portal's Execute, which
 * records their effects, and returns true. */
static bool
bind_known(struct exchange *x, struct request *m, const uint8_t *body, size_t len)
{
	struct client_session *s = x->session;

	s->bound_known = malloc(sizeof(*s->bound_known));
	if (s->bound_known == NULL)
		return false; /* then the SQL is recorded as a suspicion */
	*s->bound_known = *request_known(x, m);
	s->bound = statement_ref(m->statement);
	if (state_fill_in(s->bound_known, body, len) && state_is_known(x, s->bound_known) &&
	    uses_values_as_sent(m->statement, s->bound_known))
		return true;
	unbind(s);
	return false;
}

/* Records values of a Bind that look like the name of a custom setting. */
static void
note_bound_names(struct exchange *x, const uint8_t *body, size_t len)
{
	char name[KNOWN_NAME_MAX];
	struct value_list values;
	const uint8_t *bytes;
	size_t n;

	fields_begin_values(body, len, &values);
	while (fields_next_value(&values, &bytes, &n))
		if (bytes != NULL && known_copy_custom_name(name, (const char *)bytes, n))
			state_note_setting_name(x->session, x->srv, name);
}

/* Returns the flags of values that, as a name or value of set_config(), leave more than a setting. */
static uint32_t
flags_of_values(const uint8_t *body, size_t len)
{
	struct value_list values;
	const uint8_t *bytes;
	uint32_t flags = 0;
	size_t n;

	fields_begin_values(body, len, &values);
	while (fields_next_value(&values, &bytes, &n)) {
		if (bytes == NULL)
			continue;
		if (n == 4 && strncasecmp((const char *)bytes, "seed", n) == 0)
			flags |= SCAN_SEED;
		if (scan_path_has_pg_temp((const char *)bytes, n))
			flags |= SCAN_TEMP;
	}
	return flags;
}

static enum feature_step
bind_unknown(struct exchange *x, const char *name)
{
	uint32_t flags = x->session == NULL ? 0 : x->session->passed_flags;

	if (name[0] != '\0' && ((x->pins & 1u << PIN_STATEMENT) != 0 || (x->srv->loan.suspected & SCAN_PREPARE) != 0))
		return state_note_execute(x, name);
	return flags == 0 ? STEP_FORWARD : state_suspect(x, flags, NULL);
}

enum feature_step
state_bind_hide_sequences(struct exchange *x, struct request *m)
{
	uint32_t flags = m->traits != NULL ? m->traits->flags : SCAN_CODE;

	flags |= reads_sequences_unseen(x, m) ? SCAN_CURRVAL : 0u;
	return state_waits_for_sequences(x, flags) ? STEP_HOLD : prepare_unseen_sequence_use(x, m);
}

enum feature_step
state_discard_before_parse(struct exchange *x, struct request *m)
{
	const uint8_t *types = m->parse.rest + m->sql_len + 1;
	enum feature_step step;

	if (m->traits == NULL || !state_may_need_discard(x) || !exchange_is_followed(x))
		return STEP_FORWARD;
	m->risk = database_code_risk(x->pool->code, *x->env->now_us, NULL, m->sql, m->sql_len, types,
				     m->parse.rest_len - m->sql_len - 1);
	if ((step = state_avoid_foreign_plans(x, m)) != STEP_FORWARD ||
	    (step = state_bind_hide_sequences(x, m)) != STEP_FORWARD)
		return step;
	if (m->traits->flags & SCAN_READS_SEQUENCES)
		state_prepare_sequence_use(x, m->traits->flags);
	return STEP_FORWARD;
}

/* If SQL has no flags but these, it has no known statement (known.h) and no names of settings. */
#define SCAN_WITHOUT_NAMES (SCAN_PLAIN | SCAN_FUNCTION | SCAN_CALL | SCAN_CREATE | SCAN_LASTING | SCAN_TABLE)

/* Returns false if this Bind of a DISCARD must wait until nothing is owed. With a named portal, the DISCARD counts as
 * sent from the Bind on, because the Execute has only the portal's name. */
static bool
try_begin_discard(struct exchange *x, const char *portal)
{
	if (portal[0] == '\0')
		return true; /* state_before_execute() handles the unnamed portal's Execute */
	if (x->srv->ledger.count > 0)
		return false;
	x->session->discard = DISCARD_SENT;
	return true;
}

enum feature_step
state_observe_bind(struct exchange *x, struct request *m)
{
	struct statement *st = m->statement;
	const char *portal = m->names.portal, *name = m->names.statement;
	const uint8_t *body = m->message + FRAME_HEAD_LEN;
	size_t len = request_body_len(m);
	struct scan scan;
	uint32_t flags;

	scan.flags = scan.name_count = 0;
	if (!must_look_at_sql(x))
		return STEP_FORWARD;
	if (x->session != NULL && portal[0] == '\0')
		unbind(x->session);
	if (st == NULL)
		return exchange_is_followed(x) ? bind_unknown(x, name) : STEP_FORWARD;
	flags = m->traits->flags;
	if (flags & SCAN_SEQUENCE_USES)
		state_note_sequence_use(x, flags);
	/* The DISCARD is sent at the Bind, although the effect counts from the Execute on, because nothing may be sent
	 * between Bind and Execute. (Usually state_discard_before_parse() has done this already.) */
	if (flags & (SCAN_CODE | SCAN_EXECUTE))
		state_prepare_sequence_use(x, flags);
	if ((flags & ~(uint32_t)SCAN_PLAIN) == 0)
		return flags != 0 && exchange_is_followed(x) ? state_suspect(x, flags, NULL) : STEP_FORWARD;
	if (client_session_get_or_create(x) == NULL)
		return STEP_FAILED;
	if (m->traits->first == WORD_DISCARD && !try_begin_discard(x, portal))
		return STEP_HOLD;
	state_audit(x, flags);
	suspect_side_effects(x, flags | ((flags & SCAN_SETTING) != 0 ? flags_of_values(body, len) : 0));
	if ((flags & ~(uint32_t)SCAN_WITHOUT_NAMES) != 0) {
		scan_text(&scan, gucs_scan_options(x->gucs), (const char *)st->bytes, st->query_len);
		if (portal[0] == '\0' && scan.flags == flags && bind_known(x, m, body, len))
			return STEP_FORWARD;
	}
	if (!exchange_is_followed(x))
		return STEP_FORWARD;
	flags |= scan.flags;
	if (flags & (SCAN_SETTING | SCAN_CODE | SCAN_FUNCTION))
		note_bound_names(x, body, len);
	return suspect_all(x, m, flags & ~(uint32_t)SCAN_NAME_BOUND,
			   &scan); /* note_bound_names() has recorded the names among the values */
}

enum feature_step
state_before_execute(struct exchange *x, struct request *m)
{
	struct client_session *s = x->session;

	return s == NULL || s->bound == NULL || m->portal[0] != '\0' ? STEP_FORWARD : state_note_all(x, s->bound_known);
}

void
state_after_execute(struct exchange *x, const char *portal)
{
	struct client_session *s = x->session;

	if (s->bound == NULL || portal[0] != '\0')
		return;
	if (state_resets_startup(x, s->bound_known))
		state_follow_reset(x, s->bound_known);
	unbind(s);
}

/* A FunctionCall has only the function's OID, so it may do anything. */
void
state_observe_function_call(struct exchange *x)
{
	if (!exchange_is_followed(x))
		return;
	x->srv->loan.suspected |= SCAN_CODE;
	state_note_run(x, state_risk_of_unknown_sql(x));
	state_prepare_sequence_use(x, SCAN_CODE);
}

bool
state_must_ask_first(const struct exchange *x)
{
	return x->session != NULL && x->session->may_be_reset && x->srv->tx == 'I' && x->srv->is_synced;
}

bool
state_holds(const struct exchange *x)
{
	const struct client_session *s = x->session;
	const struct ledger *l = &x->srv->ledger;

	if (l->count == 0)
		return false;
	if (x->is_session && s->passed_flags != 0 && ledger_at(l, l->count - 1)->kind == OWED_EXECUTE)
		return true; /* the Execute may run a DISCARD ALL */
	/* Messages wait until a probe is answered: if the probe finds a RESET, startup values must be set first, and if
	 * the probe is cancelled, the cancel must hit nothing else. */
	return s->discard != DISCARD_NOT || s->parts != 0 || state_must_ask_first(x);
}

bool
state_end_discard_request(struct exchange *x)
{
	if (x->session->discard == DISCARD_SYNCED)
		state_request_done(x);
	if (x->session->discard != DISCARD_DONE)
		return false;
	server_owe_sync(x->srv, OWED_TO_GUCS);
	outbox_copy(&x->env->to_server, "S\0\0\0\4", 5);
	x->session->discard = DISCARD_SYNCED;
	return true;
}

/* --- the fast lane --- */

bool
state_is_quiet(const struct exchange *x)
{
	const struct client_session *s = x->session;

	return s == NULL || (s->parts == 0 && s->effect_count == 0 && s->bound == NULL && s->passed_flags == 0 &&
			     !s->may_be_reset && s->discard == DISCARD_NOT && s->refusal == NULL && s->scan == NULL);
}

void
state_observe_plain_query(struct exchange *x, uint32_t flags)
{
	if (flags == 0)
		return;
	state_audit(x, flags);
	state_observe_plain_bind(x, flags);
}

void
state_observe_plain_bind(struct exchange *x, uint32_t flags)
{
	if (flags & SCAN_SEQUENCE_USES)
		state_note_sequence_use(x, flags);
	if ((flags & SCAN_SEQUENCES) != 0 && exchange_is_followed(x))
		state_prepare_sequence_use(x, flags);
}
