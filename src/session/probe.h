/*
 * src/session/probe.h - asks a server connection what session state it carries.
 *
 * The probe is one query, sent behind the replies of a transaction that was suspected (scan.h), before another client
 * may get the connection. PostgreSQL's catalogs are certain; nothing is guessed. All names are qualified, operators
 * too, as the session's search_path may be anything. It uses the unnamed statement: a named one would appear in
 * pg_prepared_statements.
 *
 * No catalog has these: custom settings (a.b), which are asked for by name; cached values of sequences; random's seed.
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
/* Reads a DataRow's body; copy has len + 2 bytes, row points into it. Returns false: it is no row of the probe. */
bool probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row);

#endif
