/*
 * src/state/compiled.c - which code of the database SQL may reach (seal/risk_names.h), and which plans of that code a
 * backend keeps; see state/state_state.h.
 *
 * PostgreSQL keeps the plans of functions, and constants in them, as they were made under the settings and the role of
 * the client that ran the functions first. So when SQL that names such code (RISK_CONTEXT) has run on a server,
 * srv->plan_gucs is that client's GUC set. The server's plans are discarded before a client whose context
 * (gucs_context()) differs in more than search_path runs such SQL. If no context does, this costs nothing.
 */
#include "state/compiled.h"
#include "state/state_state.h"
#include "pool/pool_defaults.h"
#include "wire/messages.h"
#include "server/server.h"
#include "session/gucs_effects.h"

#include <string.h>

/* --- risk --- */

__attribute__((noinline)) static unsigned
find_risk(const struct exchange *x, struct statement *st)
{
	size_t text_len = st->query_len + 1;

	return database_code_compute_risk(x->pool->code, *x->env->now_us, &st->risk, (const char *)st->bytes,
					  st->query_len, st->bytes + text_len, st->len - text_len);
}

inline unsigned
state_risk_of(const struct exchange *x, struct statement *st)
{
	unsigned risk;

	return database_code_get_kept_risk(x->pool->code, *x->env->now_us, &st->risk, &risk) ? risk : find_risk(x, st);
}

bool
state_is_read_only(const struct exchange *x, struct statement *st)
{
	size_t text_len = st->query_len + 1;

	return database_code_is_sql_repeatable(x->pool->code, *x->env->now_us, &st->risk, (const char *)st->bytes,
					       st->query_len, st->bytes + text_len, st->len - text_len);
}

unsigned
state_risk_of_unknown_sql(const struct exchange *x)
{
	return database_code_risk(x->pool->code, *x->env->now_us, NULL, NULL, 0, NULL, 0) | RISK_OPAQUE;
}

/* --- plans --- */

/* Returns true if settings may be in force under which the context (gucs_context()) is not that of x->gucs. */
static bool
may_be_in_other_context(const struct exchange *x)
{
	const struct client_session *s = x->session;
	const struct loan *l = &x->srv->loan;

	if (l->local == LOCAL_CONTEXT || l->has_local_parse_settings || (l->suspected & SCAN_ANY_SETTING) != 0)
		return true;
	for (unsigned i = 0; s != NULL && i < s->effect_count; i++)
		if (s->effects[i].name == NULL || guc_affects_context(s->effects[i].name))
			return true;
	return s != NULL && (s->parts & STATE_SETTINGS) != 0;
}

__attribute__((noinline)) static void
note_risk(struct exchange *x, unsigned risk)
{
	struct loan *l = &x->srv->loan;

	if (!exchange_is_followed(x))
		return;
	l->risk |= risk & ~(unsigned)RISK_UNDOES; /* observe.c records RISK_UNDOES, together with the extension */
	l->has_run_code = l->has_run_code || (risk & STATE_SETTINGS) != 0;
	if ((risk & RISK_CONTEXT) == 0) /* the SQL makes no plans */
		return;
	l->is_mixed = l->is_mixed || may_be_in_other_context(x) || !server_plans_suit(x->srv, x->gucs);
	if (x->srv->plan_gucs != NULL)
		return;
	l->has_own_plans = true;
	if (!l->is_mixed) /* if is_mixed is set, the plans are discarded after the loan */
		x->srv->plan_gucs = gucs_ref(x->gucs);
}

inline void
state_note_run(struct exchange *x, unsigned risk)
{
	x->srv->loan.has_run = true;
	if (risk != 0)
		note_risk(x, risk);
}

/* Returns the risk of the loan's SQL. First adds the assumed risk, if no answer is valid or a full answer is newer than
 * the loan: since the SQL was judged, DDL or this SQL itself may have changed the database's code. */
__attribute__((noinline)) static unsigned
add_risk_since_loan(struct exchange *x)
{
	const struct database_code *code = x->pool->code;
	struct loan *l = &x->srv->loan;

	if (!database_code_is_known(code, *x->env->now_us) || code->full_answer_us > l->lent_us)
		note_risk(x, database_code_assumed_risk_after_wash(code, *x->env->now_us));
	if (code->new_backend_names_us > l->lent_us)
		note_risk(x, risk_of_opaque_sql(code->answer->risks) & STATE_BACKEND);
	return (l->risk & RISK_CODE) != 0 ? l->risk | (STATE_WASHABLE & ~(unsigned)STATE_REMOTE) : l->risk;
}

inline unsigned
state_risk_of_loan(struct exchange *x)
{
	const struct database_code *code = x->pool->code;
	const struct loan *l = &x->srv->loan;

	if (l->has_run && (!database_code_is_known(code, *x->env->now_us) || code->full_answer_us > l->lent_us ||
			   (l->risk & RISK_CODE) != 0))
		return add_risk_since_loan(x);
	return l->risk;
}

unsigned
state_plans_to_wash(const struct loan *l)
{
	/* A temporary table counts, too, because code that its column defaults run is not recorded each time. */
	bool is_mixed = l->is_mixed || ((l->settled_flags | l->suspected) & (SCAN_ANY_SETTING | SCAN_TEMP)) != 0 ||
			(l->risk & STATE_SETTINGS) != 0;

	return is_mixed ? WASH_PLANS : 0;
}

/* --- SQL that changes the code --- */

/* If SQL has no flags but these, and no risk, the tables, views or indexes that it makes reach no code. */
#define SCAN_HARMLESS                                                                                                  \
	((uint32_t)(SCAN_CREATE | SCAN_LASTING | SCAN_TABLE | SCAN_TEMP | SCAN_UNDO | SCAN_INSERT | SCAN_DEFAULTS |    \
		    SCAN_NEXTVAL | SCAN_SAVEPOINT))

/*
 * Returns true if the command that has just completed has made nothing through which SQL could reach code. Temporary
 * tables are never among the risky names. A table, view or index uses only what the words of its DDL name, so it
 * reaches no code if these words have no risk. A DO changes code only if its words have a risk. But if the database had
 * no sequence, a new table may have made the first one.
 */
static bool
has_made_only_harmless(struct exchange *x, struct server *srv)
{
	const struct code_answer *answer = x->pool->code->answer;
	const char *tag = srv->loan.tag_text;
	uint32_t flags = srv->loan.suspected;
	bool is_made;

	if (!exchange_is_followed(x))
		return false;
	is_made = srv->loan.tag.id == TAG_SELECT || strcmp(tag, "CREATE TABLE") == 0 ||
		  strcmp(tag, "CREATE VIEW") == 0 || strcmp(tag, "CREATE INDEX") == 0;
	if (is_made && (flags & (SCAN_TEMP | SCAN_LASTING)) == SCAN_TEMP)
		return true;
	if (answer == NULL || (answer->has_no_sequence && strcmp(tag, "CREATE INDEX") != 0))
		return false;
	if (strcmp(tag, "DO") == 0)
		return (state_risk_of_loan(x) & ~(unsigned)RISK_CONTEXT) == 0;
	return is_made && (flags & ~SCAN_HARMLESS) == 0 && state_risk_of_loan(x) == 0;
}

void
state_note_code_change(struct exchange *x)
{
	struct loan *loan = &x->srv->loan;
	bool has_made_code =
	    (loan->tag.flags & TAG_MAKES_CODE) != 0 && ((loan->risk & RISK_KEEPS) != 0 || !exchange_is_followed(x));
	/* CREATE TABLE AS and SELECT INTO have made a table; if it has a column of a domain, the domain's check
	 * runs. */
	bool has_made_table = loan->tag.id == TAG_SELECT && (loan->suspected & SCAN_TABLE) != 0;

	if (((loan->tag.flags & TAG_CHANGES_CODE) == 0 && !has_made_table) || has_made_only_harmless(x, x->srv))
		return;
	if (loan->code != CODE_MADE)
		loan->code = has_made_code ? CODE_MADE : CODE_CHANGED;
	/* The loan itself gets the risk, because answers about the database's code leave out code that is in pg_temp,
	 * was rolled back, or was dropped again. */
	note_risk(x, database_code_assumed_risk(x->pool->code) | RISK_CONTEXT | (has_made_code ? STATE_BACKEND : 0u));
}

void
state_assume_unseen_code(struct exchange *x)
{
	if (!exchange_is_followed(x))
		x->srv->loan.risk |= RISK_CODE | RISK_KEEPS;
}

void
state_end_code_changes(struct exchange *x, bool is_committed)
{
	struct loan *loan = &x->srv->loan;

	/* Even if the transaction was rolled back, a procedure may have committed the change before. */
	is_committed = is_committed || !exchange_is_followed(x) ||
		       ((loan->suspected | loan->settled_flags) & (SCAN_CALL | SCAN_CODE | SCAN_EXECUTE)) != 0;
	if (is_committed && loan->code != CODE_AS_BEFORE)
		pool_code_note_ddl(x->pool, (loan->risk & (RISK_OWN_WORDS | RISK_ASSUMED)) |
						(loan->code == CODE_MADE ? RISK_KEEPS : 0u));
	loan->code = CODE_AS_BEFORE;
	/* if replies are owed, these risks may belong to requests in progress */
	if (x->srv->ledger.count == 0 && exchange_is_followed(x))
		loan->risk &= ~(unsigned)(RISK_KEEPS | RISK_OWN_WORDS | RISK_ASSUMED);
}

/* --- SQL for any server --- */

/* Returns true if the SQL is a transaction of its own, and leaves nothing that could keep the client on the server. */
static bool
is_alone(const struct sql_traits *v, const char *sql, size_t len)
{
	const char *semicolon = memchr(sql, ';', len);

	return traits_are_plain(v->flags & ~(uint32_t)SCAN_FUNCTION, v->hints) && v->first != WORD_BEGIN &&
	       v->first != WORD_START_TRANSACTION && (semicolon == NULL || semicolon == sql + len - 1);
}

bool
state_needs_plans(const struct exchange *x, const char *sql, size_t len, unsigned risk)
{
	const unsigned kinds = 1u << KNOWN_SET | 1u << KNOWN_RESET | 1u << KNOWN_RESET_ALL | 1u << KNOWN_RESET_USER |
			       1u << KNOWN_DISCARD_ALL;
	struct sql_traits v;
	struct known_reader r;
	struct known_statement k;

	traits_set_for_all_options(&v, sql, len);
	if ((risk & ~(unsigned)(RISK_CONTEXT | STATE_SEQUENCES)) == 0 && is_alone(&v, sql, len))
		return (risk & RISK_CONTEXT) != 0;
	if (risk != 0)
		return true;
	/* SQL that only sets or resets needs no plans, either; it leaves nothing that keeps the client on the server.
	 */
	for (known_begin(&r, gucs_scan_options(x->gucs), sql, len); known_next_statement(&r, &k);)
		if ((kinds & 1u << k.kind) == 0)
			return true;
	return !known_is_whole(&r);
}

bool
state_must_run_elsewhere(const struct exchange *x)
{
	return x->srv->loan.has_foreign_plans && x->srv->ledger.count > 0 && x->srv->tx == 'I';
}

__attribute__((noinline)) static void
discard_plans(struct exchange *x)
{
	gucs_unref(x->srv->plan_gucs);
	x->srv->plan_gucs = NULL;
	/* If PostgreSQL planned these statements again, it would read their literals under other settings. */
	server_statements_outdate(&x->srv->statements);
	state_run_ahead(x, "DISCARD " MESSAGE_OURS "PLANS", NULL);
}

void
state_begin_context_change(struct exchange *x)
{
	x->srv->loan.has_foreign_plans = x->srv->loan.has_foreign_plans || x->srv->plan_gucs != NULL;
}

/* Returns true if the SQL, or the part of a Query's SQL that has come, may change settings. */
static bool
changes_settings(const struct exchange *x, const struct request *m)
{
	struct scan scan;

	if (m->traits != NULL || m->type != 'Q')
		return request_has(m, SCAN_SETTING, SCAN_HINT_LOCAL);
	scan_init(&scan, gucs_scan_options(x->gucs));
	scan_feed(&scan, (const char *)m->message + FRAME_HEAD_LEN, request_body_len(m));
	return (scan.flags & SCAN_SETTING) != 0 || (scan.hints & SCAN_HINT_LOCAL) != 0;
}

/*
 * Returns true if the SQL may meet plans that another client has made, although the settings under which it runs may
 * differ from those of the plans. The plans may suit x's GUC set, but requests in progress, this transaction or this
 * SQL itself may change settings.
 */
static bool
meets_others_plans(const struct exchange *x, const struct request *m)
{
	const struct server *srv = x->srv;

	if (srv->plan_gucs == NULL || srv->loan.has_own_plans || (srv->tx == 'E' && srv->ledger.count == 0) ||
	    !exchange_is_followed(x))
		return false;
	return (m->risk & RISK_CONTEXT) != 0 &&
	       (may_be_in_other_context(x) || !server_plans_suit(srv, x->gucs) || changes_settings(x, m));
}

/* If m may meet other clients' plans, discards these ahead of m. While replies are owed, m is held instead; outside of
 * a transaction, the server is given back before m is sent, because by then the client's GUC set is known. */
static enum feature_step
discard_others_plans(struct exchange *x, struct request *m)
{
	/* Only these and the plannable statements are certain to run after a DISCARD in the same request; others may
	 * have to be alone in their transaction, or end it. */
	static const uint8_t more[] = { WORD_PREPARE, WORD_EXECUTE, WORD_DECLARE, WORD_EXPLAIN };
	bool may_be_first = m->traits != NULL && (traits_are_plannable(m->traits->first) ||
						  memchr(more, m->traits->first, sizeof(more)) != NULL);

	if (!meets_others_plans(x, m) || (!x->srv->is_synced && !may_be_first))
		return STEP_FORWARD;
	if (x->srv->ledger.count > 0) {
		x->srv->loan.has_foreign_plans = x->srv->loan.has_foreign_plans || x->srv->tx == 'I';
		return STEP_HOLD;
	}
	discard_plans(x);
	x->srv->loan.has_own_plans = true;
	return request_hold_behind_ours(x, m);
}

enum feature_step
state_avoid_foreign_plans(struct exchange *x, struct request *m)
{
	size_t len;
	const char *sql = request_sql(m, &len);

	if (!state_must_run_elsewhere(x))
		return discard_others_plans(x, m);
	return sql != NULL && !state_needs_plans(x, sql, len, m->risk) ? STEP_FORWARD : STEP_HOLD;
}

/* Makes random() begin anew ahead of x's message, because another client may know its next values. */
__attribute__((noinline)) static void
begin_random_anew(struct exchange *x)
{
	struct buf b = { 0 };

	server_put_seed(x->srv, pool_set_random(x->pool->set), &b);
	outbox_put(&x->env->to_server, &b);
}

void
state_add_risk(struct exchange *x, unsigned risk)
{
	if (risk == 0)
		return;
	if (exchange_is_followed(x) && !server_plans_suit(x->srv, x->gucs))
		discard_plans(x);
	state_note_run(x, risk);
}

bool
state_plans_may_differ(const struct exchange *x)
{
	return exchange_is_followed(x) && database_code_context_risk(x->pool->code) != 0 &&
	       !server_plans_suit(x->srv, x->gucs);
}

void
state_prepare_shared_server(struct exchange *x, bool needs_plans)
{
	if (x->srv->random_known_to != 0 && x->srv->random_known_to != x->waiter.id)
		begin_random_anew(x);
	if (!state_plans_may_differ(x))
		return;
	if (needs_plans)
		discard_plans(x);
	else
		x->srv->loan.has_foreign_plans = true;
}
