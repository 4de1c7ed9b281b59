/* src/session/seal.c - see seal.h. */
#include "session/seal.h"

#include "session/image.h"
#include "sql/scan.h"
#include "session/statement_store.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Closes the connections that dblink and postgres_fdw keep open, if these are installed. Only a superuser can create
 * functions in C, so these are the extensions' own. It can't be known whether dblink has an unnamed connection, so
 * closing that may fail (08003).
 */
#define CLOSE_REMOTE                                                                                                   \
	"DO LANGUAGE plpgsql $_$"                                                                                      \
	"DECLARE f pg_catalog.record; is_closed pg_catalog.bool := false;"                                             \
	"BEGIN"                                                                                                        \
	" FOR f IN SELECT proname AS name, pronamespace::pg_catalog.regnamespace AS schema FROM pg_catalog.pg_proc"    \
	"  WHERE prolang OPERATOR(pg_catalog.=) 13 AND proname OPERATOR(pg_catalog.=) ANY"                             \
	"  ('{dblink_get_connections,postgres_fdw_disconnect_all,postgres_fdw_handler}'::pg_catalog.name[]) ORDER BY " \
	"1"                                                                                                            \
	" LOOP"                                                                                                        \
	"  IF f.name OPERATOR(pg_catalog.=) 'dblink_get_connections' THEN"                                             \
	"   EXECUTE pg_catalog.format('SELECT %1$s.dblink_disconnect(c)"                                               \
	" FROM pg_catalog.unnest(%1$s.dblink_get_connections()) AS c', f.schema);"                                     \
	"   BEGIN"                                                                                                     \
	"    EXECUTE pg_catalog.format('SELECT %s.dblink_disconnect()', f.schema);"                                    \
	"   EXCEPTION WHEN connection_does_not_exist THEN NULL;"                                                       \
	"   END;"                                                                                                      \
	"  ELSIF f.name OPERATOR(pg_catalog.=) 'postgres_fdw_disconnect_all' THEN"                                     \
	"   EXECUTE pg_catalog.format('SELECT %s.postgres_fdw_disconnect_all()', f.schema);"                           \
	"   is_closed := true;"                                                                                        \
	"  ELSIF NOT is_closed AND EXISTS (SELECT FROM pg_catalog.pg_foreign_server) THEN"                             \
	"   RAISE 'postgres_fdw 1.0 keeps its sessions';"                                                              \
	"  END IF;"                                                                                                    \
	" END LOOP;"                                                                                                   \
	"END $_$;"

/*
 * The order matters: the role that the session acts as may not have the right to the later ones. None of these is ever
 * refused, and the session's settings (search_path, for one) can't change their meaning once the first three have run.
 * The functions are in FROM, so that their row has no column.
 */
static const struct {
	unsigned part;
	const char *sql;
} washes[] = {
	{ STATE_SETTINGS, "SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL;" },
	{ STATE_CURSORS, "CLOSE ALL;" },
	{ STATE_LISTEN, "UNLISTEN *;" },
	{ STATE_LOCKS, "SELECT FROM pg_catalog.pg_advisory_unlock_all();" },
	{ STATE_TEMP, "DISCARD TEMP;" },
	{ WASH_TEMP_ASKED, "SELECT 1 WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0;" },
	{ STATE_SEQUENCES, "DISCARD SEQUENCES;" },
	{ WASH_PLANS, "DISCARD PLANS;" },
	{ STATE_PREPARED, "SELECT CASE WHEN from_sql THEN name END, pg_catalog.count(*)"
			  " FROM pg_catalog.pg_prepared_statements"
			  " WHERE from_sql OR pg_catalog.right(name, 5) OPERATOR(pg_catalog.<>) '" STATEMENT_PLACEHOLDER
			  "' GROUP BY 1;" },
};

const char *
state_text(unsigned parts, char out[static STATE_TEXT_MAX])
{
	static const char *const names[STATE_PARTS] = {
		"settings", "temporary_objects",   "advisory_locks", "cursors", "prepared_statements",
		"listen",   "sequences",	   "random_seed",    "backend", "remote_sessions",
		"context",  "immutable_functions", "compiled_types"
	};
	size_t len = 0;

	snprintf(out, STATE_TEXT_MAX, "none");
	for (unsigned i = 0; i < STATE_PARTS; i++)
		if (parts & 1u << i)
			len +=
			    (size_t)snprintf(out + len, STATE_TEXT_MAX - len, "%s%s", len == 0 ? "" : ", ", names[i]);
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
		{ SCAN_LOAD, STATE_BACKEND },
	};
	unsigned parts = risk & (STATE_WASHABLE | STATE_BACKEND);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (flags & rules[i].flags)
			parts |= rules[i].parts;
	/*
	 * A search_path that nobody saw may begin with pg_temp; a role may own what comes next; seed is a setting, too.
	 */
	parts &= ~(unsigned)STATE_SEQUENCES;
	return parts & STATE_SETTINGS ? parts | STATE_TEMP | STATE_SEED : parts;
}

void
seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema)
{
	size_t begun = message_begin(out, 'Q');

	buf_put(out, MESSAGE_OURS, strlen(MESSAGE_OURS));
	for (size_t i = 0; i < sizeof(washes) / sizeof(washes[0]); i++)
		if (parts & washes[i].part)
			buf_put(out, washes[i].sql, strlen(washes[i].sql));
	if ((parts & STATE_REMOTE) && fdw_schema[0] != '\0')
		buf_printf(out, "SELECT FROM %s.postgres_fdw_disconnect_all();", fdw_schema);
	else if (parts & STATE_REMOTE)
		buf_put(out, CLOSE_REMOTE, strlen(CLOSE_REMOTE));
	if (parts & STATE_SEED)
		buf_printf(out, "SELECT FROM pg_catalog.setseed(0.%09u);", (unsigned)(seed % 1000000000u));
	buf_put_u8(out, 0);
	message_end(out, begun);
}

bool
seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row)
{
	uint32_t name_len, count_len;

	if (len < 10 || wire_u16(body) != 2)
		return false;
	name_len = wire_u32(body + 2);
	row->name = name_len == UINT32_MAX ? NULL : copy;
	name_len = name_len == UINT32_MAX ? 0 : name_len;
	if (name_len > len - 10)
		return false;
	count_len = wire_u32(body + 6 + name_len);
	if (count_len != len - 10 - name_len || memchr(body + 6, 0, name_len) != NULL)
		return false;
	memcpy(copy, body + 6, name_len);
	copy[name_len] = '\0';
	memcpy(copy + name_len + 1, body + 10 + name_len, count_len);
	copy[name_len + 1 + count_len] = '\0';
	row->count = strtoull(copy + name_len + 1, NULL, 10);
	return true;
}

void
seal_put_deallocate(struct buf *out, const struct buf *names)
{
	size_t begun = message_begin(out, 'Q');

	buf_put(out, MESSAGE_OURS, strlen(MESSAGE_OURS));
	for (size_t at = 0; at < names->len; at += strlen((const char *)names->bytes + at) + 1) {
		buf_printf(out, "DEALLOCATE ");
		image_put_identifier(out, (const char *)names->bytes + at, false);
		buf_put_u8(out, ';');
	}
	buf_put_u8(out, 0);
	message_end(out, begun);
}
