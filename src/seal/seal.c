#include "seal/seal.h"
#include "seal/probe.h"
#include "session/statement_store.h"
#include "sql/scan.h"
#include "wire/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The statements of a wash, in the order in which they are sent. The session's role may lack rights for some
 * statements, so the role is reset early; then PostgreSQL refuses no statement. After RESET ALL, the session's settings
 * (such as search_path) can't change what a statement means. Queries (WASH_QUERIES) come after settings for them: with
 * a client's jit, isolation level or statement_timeout, they could be compiled for seconds, wait for other
 * transactions, or be cancelled. No statement is prepared: utility commands, which the others are, would gain nothing,
 * and clients could see the statements' names. Functions are in FROM, so that their rows have no columns. Each
 * statement has MESSAGE_OURS, for pg_stat_statements.
 */
#define WASH_QUERIES (STATE_LOCKS | STATE_PREPARED | STATE_REMOTE | WASH_POINT_SEED)
static const struct {
	unsigned part;
	const char *sql;
} washes[] = {
	{ WASH_LATE_TIMEOUT, "" },
	{ WASH_QUERIES, "SET " MESSAGE_OURS "TRANSACTION ISOLATION LEVEL READ COMMITTED" },
	{ STATE_SETTINGS, "SET " MESSAGE_OURS "SESSION AUTHORIZATION DEFAULT" },
	{ STATE_SETTINGS, "RESET " MESSAGE_OURS "ROLE" },
	{ STATE_SETTINGS, "RESET " MESSAGE_OURS "ALL" },
	{ WASH_QUERIES, "SET " MESSAGE_OURS "LOCAL jit = off" },
	{ WASH_QUERIES, "SET " MESSAGE_OURS "LOCAL statement_timeout = 0" },
	{ STATE_CURSORS, "CLOSE " MESSAGE_OURS "ALL" },
	{ STATE_LISTEN, "UNLISTEN " MESSAGE_OURS "*" },
	{ STATE_LOCKS, "SELECT " MESSAGE_OURS "FROM pg_catalog.pg_advisory_unlock_all()" },
	{ STATE_TEMP, "DISCARD " MESSAGE_OURS "TEMP" },
	{ STATE_SEQUENCES, "DISCARD " MESSAGE_OURS "SEQUENCES" },
	{ WASH_PLANS, "DISCARD " MESSAGE_OURS "PLANS" },
	{ WASH_STATEMENTS, "DEALLOCATE " MESSAGE_OURS "ALL" },
	{ STATE_PREPARED, "SELECT " MESSAGE_OURS "CASE WHEN from_sql THEN name END, pg_catalog.count(*)"
			  " FROM pg_catalog.pg_prepared_statements"
			  " WHERE from_sql OR pg_catalog.right(name, 5) OPERATOR(pg_catalog.<>) '" STATEMENT_PLACEHOLDER
			  "' GROUP BY 1" },
	/* A single scan looks for all three names, because the query is planned each time, and planning several scans
	 * would take longer than running them. */
	{ STATE_REMOTE, "SELECT " MESSAGE_OURS
			"CASE proname WHEN 'dblink_get_connections' THEN 'd' WHEN 'postgres_fdw_handler' THEN 'h'"
			" ELSE 'f' END, pronamespace::pg_catalog.regnamespace::pg_catalog.text,"
			" pg_catalog.current_setting('plpgsql.variable_conflict', true) FROM pg_catalog.pg_proc"
			" WHERE proname OPERATOR(pg_catalog.=) ANY ('{dblink_get_connections,postgres_fdw_handler"
			",postgres_fdw_disconnect_all}'::pg_catalog.name[]) AND prolang OPERATOR(pg_catalog.=) 13"
			" ORDER BY 1" },
	{ WASH_POINT_SEED, "SELECT " MESSAGE_OURS "'p', pronamespace::pg_catalog.regnamespace::pg_catalog.text, ''"
			   " FROM pg_catalog.pg_proc WHERE proname OPERATOR(pg_catalog.=) 'st_generatepoints'"
			   " AND prolang OPERATOR(pg_catalog.=) 13 AND pronargs OPERATOR(pg_catalog.=) 3" },
};

const char *
seal_state_text(unsigned parts, char out[static SEAL_STATE_TEXT_MAX])
{
	static const char *const names[SEAL_PARTS] = {
		"settings", "temporary_objects", "advisory_locks", "cursors", "prepared_statements",
		"listen",   "sequences",	 "random_seed",	   "backend", "remote_sessions",
		"context",  "new_code",		 "effects"
	};
	size_t len = 0;

	snprintf(out, SEAL_STATE_TEXT_MAX, "none");
	for (unsigned i = 0; i < SEAL_PARTS; i++)
		if (parts & 1u << i)
			len += (size_t)snprintf(out + len, SEAL_STATE_TEXT_MAX - len, "%s%s", len == 0 ? "" : ", ",
						names[i]);
	return out;
}

unsigned
seal_parts_of(uint32_t flags, unsigned risk)
{
	static const struct {
		uint32_t flags;
		unsigned parts;
	} rules[] = {
		{ SCAN_CODE | SCAN_EXECUTE, STATE_WASHABLE },
		{ SCAN_SETTING | SCAN_NAMES_LOST, STATE_SETTINGS },
		{ SCAN_TEMP | SCAN_CREATE, STATE_TEMP },
		{ SCAN_LOCK, STATE_LOCKS },
		{ SCAN_CURSOR, STATE_CURSORS },
		{ SCAN_PREPARE, STATE_PREPARED },
		{ SCAN_LISTEN, STATE_LISTEN },
		{ SCAN_SEED, STATE_SEED },
		{ SCAN_BACKEND | SCAN_REPLICATION, STATE_BACKEND },
	};
	unsigned parts = risk & (STATE_WASHABLE | STATE_BACKEND | WASH_LATE_TIMEOUT | WASH_POINT_SEED);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (flags & rules[i].flags)
			parts |= rules[i].parts;
	/* SQL that may have changed settings may have set a search_path that begins with pg_temp, or a role that owns
	 * what is made next, and seed is a setting, too: so temporary objects and the seed are washed as well. */
	parts &= ~(unsigned)STATE_SEQUENCES;
	return parts & STATE_SETTINGS ? parts | STATE_TEMP | STATE_SEED : parts;
}

unsigned
seal_parts_left_by(unsigned leaves)
{
	return ((leaves & GUCS_LEAVES_TEMP) != 0 ? STATE_TEMP : 0u) |
	       ((leaves & GUCS_LEAVES_ANYTHING) != 0 ? STATE_WASHABLE : 0u) |
	       ((leaves & GUCS_LEAVES_OPTIONS) != 0 ? STATE_BACKEND : 0u) |
	       ((leaves & GUCS_LEAVES_LATE) != 0 ? WASH_LATE_TIMEOUT : 0u);
}

void
seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema)
{
	bool is_schema_known = (parts & STATE_REMOTE) != 0 && fdw_schema[0] != '\0';
	size_t begun = message_begin(out, 'Q');
	char text[SEAL_SEED_MAX];

	for (size_t i = 0; i < sizeof(washes) / sizeof(washes[0]); i++)
		if (parts & washes[i].part & ~(is_schema_known ? (unsigned)STATE_REMOTE : 0u))
			buf_printf(out, "%s;", washes[i].sql);
	if (is_schema_known)
		buf_printf(out, "SELECT " MESSAGE_OURS "FROM %s.postgres_fdw_disconnect_all();", fdw_schema);
	if (parts & STATE_SEED)
		buf_printf(out, "%s;", seal_seed_sql(text, seed));
	buf_put_u8(out, 0);
	message_end(out, begun);
}

const char *
seal_seed_sql(char out[static SEAL_SEED_MAX], uint64_t seed)
{
	snprintf(out, SEAL_SEED_MAX, "SET " MESSAGE_OURS "seed = 0.%015" PRIu64, seed % 1000000000000000u);
	return out;
}

/*
 * No query shows whether dblink has an unnamed connection, and to close one that does not exist fails (08003), which
 * PostgreSQL logs. PL/pgSQL can catch that error, but is used only if the session has already loaded PL/pgSQL: loading
 * makes SET plpgsql.x fail, which a client would notice.
 */
bool
seal_put_for_row(struct buf *out, const struct probe_row *row)
{
	static const char disconnect[] = "postgres_fdw_disconnect_all";
	const char *schema = row->name;
	bool has_plpgsql = row->value[0] != '\0';

	/* If no row 'f' came before, this is postgres_fdw before 1.1, whose sessions no SQL can close. */
	if (row->kind == 'h')
		return out->len > 0 && memmem(out->bytes, out->len, disconnect, sizeof(disconnect) - 1) != NULL;
	/* The seed is from gen_random_uuid(), because a client may have seeded random(). */
	if (row->kind == 'p') {
		buf_printf(out,
			   "-SELECT " MESSAGE_OURS
			   "FROM %s.st_generatepoints('POLYGON((0 0,1 0,1 1,0 0))'::%s.geometry, 1,"
			   " pg_catalog.hashtext(pg_catalog.gen_random_uuid()::pg_catalog.text)"
			   " OPERATOR(pg_catalog.&) 1073741823 OPERATOR(pg_catalog.|) 1)",
			   schema, schema);
		buf_put_u8(out, 0);
		return true;
	}
	if (row->kind == 'f') {
		buf_printf(out, "-SELECT " MESSAGE_OURS "FROM %s.postgres_fdw_disconnect_all()", schema);
		buf_put_u8(out, 0);
	}
	if (row->kind != 'd' || (has_plpgsql && strstr(schema, "$_$") != NULL))
		return row->kind == 'f';
	buf_printf(out,
		   "-SELECT " MESSAGE_OURS "FROM pg_catalog.unnest(%s.dblink_get_connections()) AS c,"
		   " %s.dblink_disconnect(c)",
		   schema, schema);
	buf_put_u8(out, 0);
	if (has_plpgsql)
		buf_printf(out,
			   "-DO " MESSAGE_OURS "LANGUAGE plpgsql $_$BEGIN PERFORM %s.dblink_disconnect();"
			   " EXCEPTION WHEN connection_does_not_exist THEN NULL; END$_$",
			   schema);
	else
		buf_printf(out, "?SELECT " MESSAGE_OURS "FROM %s.dblink_disconnect()", schema);
	buf_put_u8(out, 0);
	return true;
}

bool
seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row)
{
	struct value_list values;
	const uint8_t *name, *count;
	size_t name_len, count_len;

	if (fields_begin_row(body, len, &values) != 2 || !fields_next_value(&values, &name, &name_len) ||
	    !fields_next_value(&values, &count, &count_len) || values.at != values.end || count == NULL ||
	    (name != NULL && memchr(name, 0, name_len) != NULL))
		return false;
	memcpy(copy, count, count_len);
	copy[count_len] = '\0';
	row->count = strtoull(copy, NULL, 10);
	row->name = name == NULL ? NULL : memcpy(copy, name, name_len);
	copy[name_len] = '\0';
	return true;
}

void
seal_put_deallocate(struct buf *out, const struct buf *names)
{
	size_t begun = message_begin(out, 'Q');

	for (size_t at = 0; at < names->len; at += strlen((const char *)names->bytes + at) + 1) {
		buf_printf(out, "DEALLOCATE " MESSAGE_OURS);
		guc_put_identifier(out, (const char *)names->bytes + at, false);
		buf_put_u8(out, ';');
	}
	buf_put_u8(out, 0);
	message_end(out, begun);
}
