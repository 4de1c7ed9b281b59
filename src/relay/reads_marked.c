/* src/relay/reads_marked.c - which requests are marked: they may go to a standby; see reads.h. */
#include "relay/reads_state.h"

#include "base/text.h"
#include "state/state.h"
#include "statements/statements.h"
#include "wire/fields.h"

#include <string.h>

#define FORBIDDEN_LOOK_MAX 16384u /* bytes of what follows a BEGIN that are looked into */

static bool
is_on(const struct image *img, const char *name)
{
	const char *value = image_get(img, name);

	return value != NULL && strcmp(value, "on") == 0;
}

void
reads_heed_settings(struct client_reads *r)
{
	const char *isolation, *min_lsn;

	if (r->image == r->x->image)
		return;
	image_unref(r->image);
	r->image = image_ref(r->x->image);
	isolation = image_get(r->image, "default_transaction_isolation");
	r->is_default = is_on(r->image, "default_transaction_read_only") &&
			(isolation == NULL || strcasecmp(isolation, "serializable") != 0);
	min_lsn = image_get(r->image, READS_MIN_LSN);
	r->min_due = 0;
	if (min_lsn == NULL || !causality_parse(min_lsn, strlen(min_lsn), &r->min_lsn))
		r->min_lsn = 0;
	else if (r->cluster != NULL)
		r->min_due = cluster_begun(r->cluster) + 1;
}

bool
reads_is_default(struct client_reads *r)
{
	reads_heed_settings(r);
	return r->is_default;
}

bool
reads_is_for_primary(const char *sql, size_t len)
{
	struct sql_token t;
	struct sql_lexer lx;

	if (!text_mentions(sql, len, "pg_") && !text_mentions(sql, len, "lock"))
		return false;
	sql_lexer_init(&lx, sql, len);
	t = sql_next(&lx);
	if (sql_is_word(&t, "lock", 4))
		return true;
	for (; t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lx))
		if ((t.kind == SQL_WORD || t.kind == SQL_QUOTED) &&
		    (text_mentions(t.at, t.len, "pg_advisory_") || text_mentions(t.at, t.len, "pg_try_advisory_") ||
		     text_mentions(t.at, t.len, "pg_export_snapshot")))
			return true;
	return false;
}

bool
reads_leaves(const struct sql_verdict *v)
{
	return (v->flags & (SCAN_CURSOR | SCAN_PREPARE | SCAN_LOAD)) != 0;
}

bool
reads_mentions_primary(const struct request_walk *w)
{
	size_t skipped = w->m.type == 'B' && w->m.total <= w->len - w->at ? w->m.total : 0;
	const char *from = (const char *)w->p + w->at + skipped;
	size_t len = w->len - w->at - skipped;

	len = len < FORBIDDEN_LOOK_MAX ? len : FORBIDDEN_LOOK_MAX;
	return text_mentions(from, len, "advisory_") || text_mentions(from, len, "export_snapshot") ||
	       text_mentions(from, len, "lock ") || text_mentions(from, len, "with hold") ||
	       text_mentions(from, len, "prepare ");
}

const char *
reads_sql_of(struct request_walk *w, size_t *len, const struct sql_verdict **v)
{
	struct request *m = &w->m;
	const char *portal, *name;
	struct statement *st;
	size_t have, names_len;

	if (m->type != 'B') {
		*len = m->sql_len;
		*v = m->verdict;
		return m->type == 'Q' || m->type == 'P' ? m->sql : NULL;
	}
	have = m->have < m->total ? m->have : m->total;
	if (!fields_bind(m->message + FRAME_HEAD_LEN, have - FRAME_HEAD_LEN, &portal, &name, &names_len) ||
	    (st = statements_called(w->x, name)) == NULL)
		return NULL;
	*len = st->query_len;
	*v = statement_verdict(st);
	return (const char *)st->bytes;
}

bool
reads_is_marked(struct request_walk *w, struct client_reads *r)
{
	struct exchange *x = w->x;
	const struct sql_verdict *v;
	size_t len;
	const char *sql;
	struct known k;

	if ((sql = reads_sql_of(w, &len, &v)) == NULL || v == NULL)
		return false;
	if (known_only(&k, image_scan_options(x->image), sql, len) == KNOWN_BEGIN) {
		if (k.has_other_mode || !(k.is_read_only || reads_is_default(r)) || len >= sizeof(r->begin))
			return false;
		memcpy(r->begin, sql, len); /* to be run again elsewhere */
		r->begin[len] = '\0';
	} else if (!reads_is_default(r))
		return false;
	if (x->is_session || x->pins != 0 || x->listen != NULL || x->commit != EXCHANGE_NO_COMMIT)
		r->route = ROUTE_TIED;
	else if (reads_mentions_primary(w) || reads_is_for_primary(sql, len) || reads_leaves(v))
		r->route = ROUTE_PRIMARY_ONLY;
	return r->route == ROUTE_UNMARKED;
}
