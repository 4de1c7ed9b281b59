/* src/session/probe.c - see probe.h. */
#include "session/probe.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

#define EQ " OPERATOR(pg_catalog.=) "

/*
 * Temporary objects depend on their schema: an index finds them, as it does for PostgreSQL at the end of a session.
 * Settings that belong to a transaction (its isolation) are left out; the seed of random() can't be read.
 */
static const struct {
	unsigned part;
	const char *sql;
} arms[] = {
	{ STATE_SETTINGS, "SELECT 's', name, setting FROM pg_catalog.pg_settings WHERE source" EQ "'session'"
			  " AND pg_catalog.left(name, 12) OPERATOR(pg_catalog.<>) 'transaction_'"
			  " AND name OPERATOR(pg_catalog.<>) 'seed'"
			  " UNION ALL SELECT 'r', '', pg_catalog.current_setting('role')"
			  " UNION ALL SELECT 'u', '', session_user::pg_catalog.text" },
	{ PROBE_NAMES, "SELECT 'x', n, pg_catalog.current_setting(n, true) FROM pg_catalog.unnest($1) AS n"
		       " WHERE pg_catalog.current_setting(n, true) IS NOT NULL" },
	{ STATE_TEMP, "SELECT 't', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid" EQ
		      "2615::pg_catalog.oid AND refobjid" EQ "pg_catalog.pg_my_temp_schema())" },
	{ STATE_LOCKS, "SELECT 'l', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype" EQ "'advisory'"
		       " AND pid" EQ "pg_catalog.pg_backend_pid())" },
	{ STATE_CURSORS, "SELECT 'c', name, '' FROM pg_catalog.pg_cursors WHERE is_holdable" },
	{ STATE_PREPARED, "SELECT 'p', name, statement FROM pg_catalog.pg_prepared_statements WHERE from_sql" },
	{ STATE_LISTEN, "SELECT 'n', channel, '' FROM pg_catalog.pg_listening_channels() AS channel" },
};

#define TYPE_TEXT_ARRAY 1009

/* {"a.b","c.d"}: quotes and backslashes escaped. */
static void
put_array(struct buf *b, const char *const *names, size_t name_count)
{
	buf_put_u8(b, '{');
	for (size_t i = 0; i < name_count; i++) {
		buf_put(b, i == 0 ? "\"" : ",\"", i == 0 ? 1 : 2);
		for (const char *c = names[i]; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				buf_put_u8(b, '\\');
			buf_put_u8(b, (uint8_t)*c);
		}
		buf_put_u8(b, '"');
	}
	buf_put(b, "}", 2);
}

static void
put_parse(struct buf *out, unsigned parts)
{
	const char *before = MESSAGE_OURS;
	size_t begun = message_begin(out, 'P');

	buf_put_str(out, "");
	for (size_t i = 0; i < sizeof(arms) / sizeof(arms[0]); i++) {
		if (!(parts & arms[i].part))
			continue;
		buf_printf(out, "%s%s", before, arms[i].sql);
		before = " UNION ALL ";
	}
	buf_put_u8(out, 0);
	buf_put_u16(out, (uint16_t)((parts & PROBE_NAMES) != 0));
	if (parts & PROBE_NAMES)
		buf_put_u32(out, TYPE_TEXT_ARRAY);
	message_end(out, begun);
}

void
probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count)
{
	struct buf array = { 0 };

	parts = parts & STATE_SETTINGS ? parts : parts & ~PROBE_NAMES;
	if ((parts & STATE_SETTINGS) && name_count > 0)
		parts |= PROBE_NAMES;
	put_parse(out, parts);
	put_array(&array, names, name_count);
	if (!buf_ok(&array))
		out->is_broken = true;
	message_bind_text(out, "", (const char *const[]){ (const char *)array.bytes },
			  (parts & PROBE_NAMES) != 0 ? 1u : 0u);
	buf_fini(&array);
	message_execute(out);
	message_sync(out);
}

bool
probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row)
{
	const char *columns[3];
	size_t at = 2, to = 0;

	if (len < 2 || wire_u16(body) != 3)
		return false;
	for (size_t i = 0; i < 3; i++) {
		uint32_t n;

		if (len - at < 4)
			return false;
		n = wire_u32(body + at);
		at += 4;
		if (n == UINT32_MAX)
			n = 0;
		if (n > len - at)
			return false;
		memcpy(copy + to, body + at, n);
		columns[i] = copy + to;
		copy[to + n] = '\0';
		to += n + 1;
		at += n;
	}
	row->kind = (uint8_t)columns[0][0];
	row->name = columns[1];
	row->value = columns[2];
	return at == len;
}
