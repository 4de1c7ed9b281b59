/* src/relay/reads_marked.c - which requests are marked: they may go to a standby; see reads.h. */
#include "relay/reads_state.h"
#include "base/own_settings.h"
#include "base/text.h"
#include "state/state.h"
#include "statements/statements.h"
#include "wire/fields.h"

#define PRIMARY_SEARCH_MAX 16384u /* how many of the client's bytes are searched for SQL that is for the primary */

bool
reads_apply_settings(struct client_reads *r)
{
	const char *isolation, *min_lsn;

	if (r->gucs == r->x->gucs)
		return r->is_default;
	gucs_move(&r->gucs, gucs_ref(r->x->gucs));
	isolation = gucs_get(r->gucs, "default_transaction_isolation");
	r->is_default = gucs_is_on(r->gucs, "default_transaction_read_only") &&
			(isolation == NULL || strcasecmp(isolation, "serializable") != 0);
	min_lsn = gucs_get(r->gucs, OWN_MIN_LSN);
	r->min_due = 0;
	if (min_lsn == NULL || !causality_parse(min_lsn, &r->min_lsn))
		r->min_lsn = 0;
	else if (r->cluster != NULL)
		r->min_due = cluster_last_begun_reading(r->cluster) + 1;
	return r->is_default;
}

/* Returns true if the word may name a function or view of the primary's locks, snapshots, sessions or sequences. */
static bool
names_primary_only(const struct sql_token *t)
{
	static const char *const names[] = { "pg_advisory_",	  "pg_try_advisory_",	  "pg_export_snapshot",
					     "pg_cancel_backend", "pg_terminate_backend", "pg_prepared_xact",
					     "pg_sequence" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (text_contains(t->at, t->len, names[i]))
			return true;
	return false;
}

bool
reads_is_for_primary(const char *sql, size_t len)
{
	/* is_first: a statement begins here; is_value: the previous word is last_value */
	bool is_first = true, is_value = false;
	struct sql_lexer lx;

	if (!text_contains(sql, len, "pg_") && !text_contains(sql, len, "lock") && !text_contains(sql, len, LAST_VALUE))
		return false;
	sql_lexer_init(&lx, sql, len);
	for (struct sql_token t = sql_next(&lx); t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lx)) {
		if (is_first && sql_is_word(&t, "lock", 4))
			return true;
		if (is_value && (t.kind != SQL_PUNCT || t.at[0] != '(')) /* last_value( is the window function */
			return true;
		is_value = sql_is_word(&t, LAST_VALUE, sizeof(LAST_VALUE) - 1);
		if ((t.kind == SQL_WORD || t.kind == SQL_QUOTED) && names_primary_only(&t))
			return true;
		is_first = t.kind == SQL_PUNCT && t.at[0] == ';';
	}
	return is_value;
}

bool
reads_keeps_server(const struct sql_traits *v, const char *sql, size_t len)
{
	return (v->flags & (SCAN_CURSOR | SCAN_PREPARE | SCAN_BACKEND | SCAN_REPLICATION)) != 0 ||
	       text_contains(sql, len, OWN_PIN);
}

/* Like reads_is_for_primary() and reads_keeps_server(), for SQL that has no traits yet, and of which only a part may
 * have come. */
static bool
may_be_for_primary(const char *sql, size_t len)
{
	return reads_is_for_primary(sql, len) || text_contains(sql, len, "with hold") ||
	       text_contains(sql, len, "prepare ") || text_contains(sql, len, OWN_PIN);
}

const char *
reads_sql_of_message(const struct exchange *x, const struct frame *f, const uint8_t *body, size_t have, size_t *len,
		     struct statement **st)
{
	const char *portal, *name, *sql = NULL;
	size_t names_len, name_len = strnlen((const char *)body, have);

	*len = have;
	if (f->type == 'Q')
		sql = (const char *)body;
	else if (f->type == 'P' && name_len < have) {
		sql = (const char *)body + name_len + 1;
		*len = strnlen(sql, have - name_len - 1);
	} else if (f->type == 'B' && fields_read_bind(body, have, &portal, &name, &names_len) &&
		   (*st = statements_find(x, name)) != NULL) {
		sql = (const char *)(*st)->bytes;
		*len = (*st)->query_len;
	}
	return sql;
}

bool
reads_may_need_primary(const struct request_walk *w, bool is_one_request)
{
	const uint8_t *at = w->p + w->at, *end = w->p + w->len;
	size_t looked = 0, len;
	struct statement *st;
	struct frame f;

	while (looked < PRIMARY_SEARCH_MAX && frame_parse(at, (size_t)(end - at), &f) == FRAME_OK) {
		const uint8_t *body = at + FRAME_HEAD_LEN;
		size_t have = (size_t)(end - body) < f.body_len ? (size_t)(end - body) : f.body_len;
		const char *sql = reads_sql_of_message(w->x, &f, body, have, &len, &st);

		if (sql != NULL && may_be_for_primary(sql, len < PRIMARY_SEARCH_MAX ? len : PRIMARY_SEARCH_MAX))
			return true;
		looked += FRAME_HEAD_LEN + (sql == NULL ? have : len);
		at = body + have;
		if (is_one_request && f.type == 'S')
			break;
	}
	return false;
}

const char *
reads_sql_of(struct request_walk *w, size_t *len, const struct sql_traits **v)
{
	const struct request *m = &w->m;
	struct statement *st;
	const char *sql;

	if (m->type != 'B') {
		*len = m->sql_len;
		*v = m->traits;
		return m->type == 'Q' || m->type == 'P' ? m->sql : NULL;
	}
	sql = reads_sql_of_message(w->x, &(struct frame){ .type = 'B' }, m->message + FRAME_HEAD_LEN,
				   (m->have < m->total ? m->have : m->total) - FRAME_HEAD_LEN, len, &st);
	*v = sql == NULL ? NULL : statement_traits(st);
	return sql;
}

bool
reads_route_marked(struct request_walk *w, struct client_reads *r)
{
	struct exchange *x = w->x;
	const struct sql_traits *v;
	size_t len;
	const char *sql;
	struct known_statement k;

	if ((sql = reads_sql_of(w, &len, &v)) == NULL || v == NULL)
		return false;
	if ((v->first == WORD_BEGIN || v->first == WORD_START_TRANSACTION) &&
	    known_single_statement(&k, gucs_scan_options(x->gucs), sql, len) == KNOWN_BEGIN) {
		if (k.has_other_mode || !(k.is_read_only || reads_apply_settings(r)) || len >= sizeof(r->begin))
			return false;
		memcpy(r->begin, sql, len); /* to be repeated on another host */
		r->begin[len] = '\0';
		x->begin_modes = 0;
		x->rare->begin = r->begin;
	} else if (!reads_apply_settings(r))
		return false;
	if (exchange_keeps_server(x) || x->listen != NULL || state_asks_for_pin(x))
		r->route = ROUTE_TIED;
	else if (reads_may_need_primary(w, false) || reads_is_for_primary(sql, len) || reads_keeps_server(v, sql, len))
		r->route = ROUTE_PRIMARY_ONLY;
	return r->route == ROUTE_UNMARKED;
}
