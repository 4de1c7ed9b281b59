/*
 * src/state/context.c - which clients may share a prepared statement with the same SQL.
 *
 * PostgreSQL reads literals when it parses: '01/02/2020' under DateStyle, '12:00' under TimeZone, 'a\\b' under
 * standard_conforming_strings. Only clients that have the same values of these settings share SQL with literals. What
 * 'now' or 'today' means, and which columns EXECUTE and FETCH have, is also decided at the Parse, so such SQL is not
 * shared. The role (role, session_authorization) decides what PostgreSQL may look up and compute at the Parse, so it
 * matters for all SQL; so do settings under which PostgreSQL's planner makes other constants (gucs_affect_plans()).
 * Nothing is shared within a transaction that sets anything of this kind, except after a SET LOCAL search_path. After
 * code of the database has run that may make settings, which pgweir can't see, SQL with literals is not shared.
 */
#include "base/text.h"
#include "state/observe.h"
#include "state/compiled.h"
#include "state/state.h"
#include "state/state_state.h"
#include "session/gucs_effects.h"

#include <strings.h>

bool
state_has_uncommitted_effects(const struct exchange *x)
{
	const struct client_session *s = x->session;

	return x->srv != NULL && ((x->srv->loan.has_local_parse_settings && x->srv->loan.local_context == 0) ||
				  (x->srv->loan.suspected & SCAN_SETTING) != 0 ||
				  (s != NULL && (s->effect_count > 0 || (s->parts & STATE_SETTINGS) != 0)));
}

bool
state_reads_as_gucs(const struct exchange *x)
{
	return !state_has_uncommitted_effects(x) && (x->srv == NULL || !x->srv->loan.has_run_code);
}

/* Returns the context of the client's GUC set with this search_path, or GUCS_CONTEXT_NONE. Statements are not shared
 * between search_paths: PostgreSQL looks up the tables again, but refuses a statement if the columns differ. */
static uint32_t
context_of_path(struct exchange *x, const char *path)
{
	struct client_session *s = client_session_get_or_create(x);
	struct gucs *gucs = gucs_ref(x->gucs);

	if (s == NULL || gucs_update(&gucs, "search_path", path, GUC_OTHER) < 0) {
		gucs_unref(gucs);
		return GUCS_CONTEXT_NONE;
	}
	gucs_move(&s->local, gucs);
	return gucs_context(gucs);
}

void
state_note_local_name(struct exchange *x, const char *name, const char *value)
{
	struct loan *l = &x->srv->loan;
	enum loan_local local = name[0] == '\0' || guc_affects_context(name) ? LOCAL_CONTEXT : LOCAL_SETTING;

	if (strcasecmp(name, GUC_STATEMENT_TIMEOUT) == 0 && guc_is_short_limit(value))
		l->risk |= WASH_LATE_TIMEOUT;
	if (strcasecmp(name, "client_encoding") == 0)
		state_note_encoding(x, value);
	if (name[0] == '\0' || guc_affects_parsing_or_user(name)) {
		l->has_local_parse_settings = true;
		l->local_context = 0;
	} else if (strcasecmp(name, "search_path") == 0 && (!l->has_local_parse_settings || l->local_context != 0)) {
		l->has_local_parse_settings = true;
		l->local_context = context_of_path(x, value);
	}
	if (l->local < local)
		l->local = (uint8_t)local;
	if (l->local == LOCAL_CONTEXT)
		state_begin_context_change(x);
}

/* If the SQL can't be read to its end, assumes that it may set anything. */
enum feature_step
state_note_local(struct exchange *x, struct request *m)
{
	size_t len;
	const char *sql = request_sql(m, &len);
	struct known_reader r;
	struct known_statement k;

	if (sql != NULL && request_has(m, SCAN_SETTING, SCAN_HINT_LOCAL) && text_contains(sql, len, GUC_GDAL))
		state_note_left_by_setting(x->srv);
	if (!request_has(m, 0, SCAN_HINT_LOCAL) || sql == NULL)
		return STEP_FORWARD;
	for (known_begin(&r, gucs_scan_options(x->gucs), sql, len); known_next_statement(&r, &k);)
		if (k.kind == KNOWN_LOCAL && k.is_local)
			state_note_local_name(x, k.name, k.value);
	if (!known_is_whole(&r))
		state_note_local_name(x, "", "");
	return STEP_FORWARD;
}

bool
state_statement_context(const struct exchange *x, const struct sql_traits *v, uint32_t *context)
{
	const struct server *srv = x->srv;
	uint32_t local = srv == NULL ? 0 : srv->loan.local_context;

	*context = 0;
	/* EXECUTE and FETCH get their columns at the Parse. */
	if (state_has_uncommitted_effects(x) || (v->flags & SCAN_EXECUTE) != 0 || v->first == WORD_FETCH ||
	    (srv != NULL && srv->loan.has_run_code && (v->hints & (TRAITS_LITERALS | TRAITS_NULL)) != 0) ||
	    (local != 0 && (srv->tx != 'T' || srv->loan.has_savepoint))) /* the local search_path may have ended */
		return false;
	if ((v->hints & TRAITS_LITERALS) == 0 && local == 0 && !gucs_affect_plans(x->gucs))
		return true;
	*context = local != 0 ? local : gucs_context(x->gucs);
	return *context != GUCS_CONTEXT_NONE && (v->hints & TRAITS_MOMENT) == 0;
}
