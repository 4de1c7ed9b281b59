/*
 * src/session/probe.h - asks a server connection what session state it carries.
 *
 * One query, sent behind the answers of a transaction that was suspected (scan.h), before the connection may go to
 * another client. PostgreSQL's catalogs know for certain; nothing is guessed. All names are qualified, operators too:
 * the session's search_path may be anything. It is the unnamed statement: a named one would be seen in
 * pg_prepared_statements.
 *
 * What no catalog tells: custom settings (a.b) are asked for by name; sequences' cached values; random's seed.
 */
#ifndef PGWEIR_SESSION_PROBE_H
#define PGWEIR_SESSION_PROBE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum probe_part {
	PROBE_SETTINGS = 1u << 0,
	PROBE_TEMP = 1u << 1,
	PROBE_LOCKS = 1u << 2,
	PROBE_CURSORS = 1u << 3,
	PROBE_PREPARED = 1u << 4,
	PROBE_LISTEN = 1u << 5,
	PROBE_FUNCTIONS = 1u << 6, /* with SETTINGS: custom settings that user-defined functions name, too */
	PROBE_NAMES = 1u << 7 /* probe_put's own: there are names to ask for */
};

enum probe_kind {
	PROBE_SETTING = 's', /* name, value: set in this session */
	PROBE_ROLE = 'r', /* "", role */
	PROBE_USER = 'u', /* "", session_user */
	PROBE_CUSTOM = 'x', /* name, value of a custom setting */
	PROBE_LOCK = 'l', /* session advisory locks are held */
	PROBE_CHANNEL = 'n', /* name: listens to */
	PROBE_STATEMENT = 'p', /* name, text of what SQL PREPARE made */
	PROBE_CURSOR = 'c', /* a cursor WITH HOLD is open */
	PROBE_TEMPORARY = 't' /* temporary objects exist */
};

struct probe_row {
	uint8_t kind; /* enum probe_kind */
	const char *name, *value; /* in the body; terminated in probe_row's copy; value "" if NULL */
};

/* Parse, Bind, Execute and Sync. parts: enum probe_part, not 0. names: custom settings to ask for, with SETTINGS. */
void probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count);
/* A DataRow's body; copy has len + 2 bytes, row points into it. False: not a row of the probe's. */
bool probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row);

#endif
