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
#include "session/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_NAMES (1u << 31) /* probe_put's own part: there are names to ask for */

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

/* Parse, Bind, Execute and Sync. parts: enum state_part up to STATE_LISTEN, not 0. names: custom settings to ask for,
 * with SETTINGS. */
void probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count);
/* A DataRow's body; copy has len + 2 bytes, row points into it. False: not a row of the probe's. */
bool probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row);

#endif
