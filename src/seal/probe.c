#include "seal/probe.h"
#include "session/gucs.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

#define EQ " OPERATOR(pg_catalog.=) "

/*
 * The settings that the probe overrides: with a client's values, the probe could be JIT-compiled for seconds, or be
 * cancelled. Once a setting is overridden, pg_settings has the probe's value. So before the override, the probe asks
 * for the session's value and the default by SHOW, which is never planned. If the client's startup packet has the
 * setting, RESET would give the client that value instead of the default, so the probe asks pg_settings.
 */
static const struct {
	const char *name, *value;
} overridden[] = {
	{ "jit", "off" },
	{ "statement_timeout", "0" },
};
#define OVERRIDDEN_NAMES "'{jit,statement_timeout}'"

/* The queries of the probe, one for each part. Temporary objects depend on their schema, so an index of pg_depend finds
 * them. The queries leave out settings of a transaction (isolation), `overridden`, and seed, which can't be read. */
static const struct {
	unsigned part;
	const char *sql;
} queries[] = {
	{ STATE_SETTINGS, "CASE WHEN context" EQ "'superuser' THEN 'S' ELSE 's' END, name, setting"
			  " FROM pg_catalog.pg_settings WHERE source" EQ "'session'"
			  " AND pg_catalog.left(name, 12) OPERATOR(pg_catalog.<>) 'transaction_'"
			  " AND name OPERATOR(pg_catalog.<>) 'seed'"
			  " AND name OPERATOR(pg_catalog.<>) ALL (" OVERRIDDEN_NAMES "::pg_catalog.text[])"
			  " UNION ALL SELECT 'r', '', pg_catalog.current_setting('role')"
			  " UNION ALL SELECT 'u', '', session_user::pg_catalog.text" },
	{ STATE_TEMP, "'t', '', '' WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0"
		      " AND EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid" EQ
		      "2615::pg_catalog.oid AND refobjid" EQ "pg_catalog.pg_my_temp_schema())" },
	{ STATE_LOCKS, "'l', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype" EQ "'advisory'"
		       " AND pid" EQ "pg_catalog.pg_backend_pid())" },
	{ STATE_CURSORS, "'c', name, '' FROM pg_catalog.pg_cursors WHERE is_holdable" },
	{ STATE_PREPARED, "'p', name, statement FROM pg_catalog.pg_prepared_statements WHERE from_sql" },
	{ STATE_LISTEN, "'n', channel, '' FROM pg_catalog.pg_listening_channels() AS channel" },
	{ STATE_BACKEND, "'b', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE temporary "
			 "AND active_pid" EQ "pg_catalog.pg_backend_pid())" },
	{ PROBE_ORIGIN, "'b', '', '' WHERE pg_catalog.pg_replication_origin_session_is_setup()" },
	{ RISK_UNREAD, "'x', n, pg_catalog.current_setting(n, true) FROM (SELECT DISTINCT "
		       "pg_catalog.lower(coalesce(m[1], m[2]))"
		       " FROM pg_catalog.pg_proc, pg_catalog.regexp_matches(prosrc,"
		       " $r$'([a-z_][a-z0-9_$]*[.][a-z0-9_$.]+)'|\\mset\\s+(?:session\\s+)?([a-z_][a-z0-9_$]*[.][a-z0-"
		       "9_$.]+)$r$, 'gi') AS m"
		       " WHERE oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid) AS b(n)"
		       " WHERE pg_catalog.current_setting(n, true) OPERATOR(pg_catalog.<>) ''" },
};

static bool
any_contains(const char *const *names, size_t name_count, const char *text)
{
	for (size_t i = 0; i < name_count; i++)
		if (strstr(names[i], text) != NULL)
			return true;
	return false;
}

/*
 * Writes the query for custom settings. Names are in dollar quotes, because the meaning of other quotes depends on
 * settings and the encoding. `quote` is the opening quote without its last $. No name contains `quote`, because a name
 * that ended in `quote` would close the quote early, with the $ after it.
 */
static void
put_custom_settings(struct buf *out, const char *const *names, size_t name_count)
{
	char quote[16] = "$p";

	for (unsigned n = 1; any_contains(names, name_count, quote); n++)
		snprintf(quote, sizeof(quote), "$p%u", n);
	buf_printf(out, "'x', n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest(ARRAY[");
	for (size_t i = 0; i < name_count; i++)
		buf_printf(out, "%s%s$%s%s$", i == 0 ? "" : ",", quote, names[i], quote);
	buf_printf(out, "]::pg_catalog.text[]) AS n WHERE pg_catalog.current_setting(n, true) IS NOT NULL");
}

/* Returns true if the client's startup packet had overridden[n]. */
static bool
has_startup(const struct gucs *startup, size_t n)
{
	return startup != NULL && gucs_get(startup, overridden[n].name) != NULL;
}

static void
put_overrides(struct buf *out, bool is_shown, const struct gucs *startup)
{
	buf_printf(out, "SET " MESSAGE_OURS "TRANSACTION ISOLATION LEVEL READ COMMITTED;");
	for (size_t i = 0; i < sizeof(overridden) / sizeof(overridden[0]); i++) {
		if (is_shown && has_startup(startup, i))
			buf_printf(out,
				   "SELECT " MESSAGE_OURS
				   "'s', name, setting FROM pg_catalog.pg_settings WHERE source" EQ
				   "'session' AND name" EQ "'%s';",
				   overridden[i].name);
		else if (is_shown)
			buf_printf(out,
				   "SHOW " MESSAGE_OURS "%s;"
				   "SET " MESSAGE_OURS "LOCAL %s TO DEFAULT;"
				   "SHOW " MESSAGE_OURS "%s;",
				   overridden[i].name, overridden[i].name, overridden[i].name);
		buf_printf(out, "SET " MESSAGE_OURS "LOCAL %s = %s;", overridden[i].name, overridden[i].value);
	}
}

void
probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count, const struct gucs *startup)
{
	bool has_settings = (parts & STATE_SETTINGS) != 0;
	const char *before = "SELECT " MESSAGE_OURS;
	size_t begun = message_begin(out, 'Q');

	put_overrides(out, has_settings, startup);
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		if (!(parts & queries[i].part))
			continue;
		buf_printf(out, "%s%s", before, queries[i].sql);
		before = " UNION ALL SELECT ";
	}
	if (has_settings && name_count > 0) {
		buf_printf(out, "%s", before);
		put_custom_settings(out, names, name_count);
	}
	buf_put_u8(out, 0);
	message_end(out, begun);
}

const char *
probe_overridden_setting(const struct gucs *startup, size_t n)
{
	for (size_t i = 0; i < sizeof(overridden) / sizeof(overridden[0]); i++)
		if (!has_startup(startup, i) && n-- == 0)
			return overridden[i].name;
	return NULL;
}

bool
probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row)
{
	const char *columns[3] = { (const char[]){ PROBE_OVERRIDDEN, 0 }, "" };
	struct value_list values;
	const uint8_t *value;
	size_t n, count = fields_begin_row(body, len, &values);

	if (count != 3 && count != 1)
		return false;
	for (size_t i = 3 - count; i < 3; i++, copy += n + 1) {
		if (!fields_next_value(&values, &value, &n))
			return false;
		if (value != NULL)
			memcpy(copy, value, n);
		copy[n] = '\0';
		columns[i] = copy;
	}
	row->kind = (uint8_t)columns[0][0];
	row->name = columns[1];
	row->value = columns[2];
	return values.at == values.end;
}
