/* src/relay/reads_position.c - SHOW pgweir.lsn and SET pgweir.min_lsn; see reads.h. */
#include "relay/reads.h"
#include "base/own_settings.h"
#include "base/text.h"
#include "wire/messages.h"

/* Sets pgweir.lsn: on a standby, to the last position that it has replayed. On the primary, a position just after a
 * page's header (24 or 40 bytes), which no standby reports, becomes the page's beginning. */
static const char set_lsn_sql[] =
    "SELECT " MESSAGE_OURS "pg_catalog.set_config('" OWN_LSN "', CAST(CASE WHEN pg_catalog.pg_is_in_recovery() THEN "
    "pg_catalog.pg_last_wal_replay_lsn() ELSE (SELECT l OPERATOR(pg_catalog.-) CASE "
    "(l OPERATOR(pg_catalog.-) '0/0') OPERATOR(pg_catalog.%) 8192 WHEN 24 THEN 24 WHEN 40 THEN 40 ELSE 0 END FROM "
    "(SELECT pg_catalog.pg_current_wal_insert_lsn()) AS p(l)) END AS pg_catalog.text), false)";

static enum feature_step
send_set_lsn(struct exchange *x)
{
	struct buf b = { 0 };

	message_query(&b, set_lsn_sql);
	server_owe_query(x->srv, OWED_TO_FEATURE);
	outbox_put(&x->env->to_server, &b);
	x->srv->loan.settled_flags |=
	    SCAN_SETTING; /* so this setting is washed off before the server is lent to another client */
	return STEP_FORWARD;
}

/* Replaces m by SQL that casts the value to pg_lsn, so PostgreSQL's error says why the value is wrong. */
static enum feature_step
refuse(struct request *m, const char *value)
{
	struct buf sql = { 0 };

	buf_printf(&sql, "SELECT CAST(E'");
	for (; *value != '\0'; value++)
		buf_printf(&sql, *value == '\'' || *value == '\\' ? "\\%c" : "%c", *value);
	buf_put_str(&sql, "' AS pg_catalog.pg_lsn)");
	if (m->type == 'Q')
		message_put(&m->instead, 'Q', sql.bytes, sql.len);
	m->instead.is_broken |= !buf_ok(&sql);
	buf_fini(&sql);
	return buf_ok(&m->instead) ? STEP_REPLACED : STEP_FAILED;
}

static enum feature_step
check_minimum(struct exchange *x, struct request *m)
{
	const struct known_statement *k = request_single_known(x, m);
	uint64_t position, since_us;

	if ((k->kind != KNOWN_SET && k->kind != KNOWN_LOCAL) || strcmp(k->name, OWN_MIN_LSN) != 0)
		return STEP_FORWARD;
	if (k->value[0] != '\0' && !causality_parse(k->value, &position))
		return refuse(m, k->value);
	if (k->kind == KNOWN_SET && x->srv->tx == 'I' && x->srv->is_synced && x->srv->loan.route == ROUTE_UNMARKED &&
	    !ledger_owes_client(&x->srv->ledger,
				&since_us)) /* the SET is a whole request, and no earlier one is unfinished */
		reads_of(x)->silent_request = x->requests_done + 1;
	return STEP_FORWARD;
}

enum feature_step
reads_handle_position(struct exchange *x, struct request *m)
{
	size_t len;
	const char *sql;

	if (!request_has(m, SCAN_SETTING, SCAN_HINT_SHOW | SCAN_HINT_LOCAL) || (sql = request_sql(m, &len)) == NULL ||
	    !text_contains(sql, len, OWN_PREFIX))
		return STEP_FORWARD;
	if (x->pool->cluster != NULL)
		cluster_want(x->pool->cluster, CLUSTER_ALL); /* the read that needs the position follows soon */
	if (request_begins_with(m, WORD_SHOW))
		return x->srv->is_synced && text_contains(sql, len, OWN_LSN) ? send_set_lsn(x) : STEP_FORWARD;
	return m->type == 'Q' && text_contains(sql, len, OWN_MIN_LSN) ? check_minimum(x, m) : STEP_FORWARD;
}
