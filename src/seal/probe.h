/*
 * src/seal/probe.h - asks a server connection what session state it carries.
 *
 * The probe is one query, sent after the replies of a transaction that may have changed session state (scan.h), before
 * another client may get the connection. PostgreSQL's catalogs are certain; nothing is guessed. All names are
 * qualified, operators too, because the session's search_path may be anything; the probe overrides for itself other
 * settings of the session that would delay or mislead it. So it is a simple Query, which is a transaction block to
 * PostgreSQL.
 *
 * No catalog has custom settings (a.b), which are asked for by name, the cached values of sequences, or random's seed.
 */
#pragma once

#include "base/buf.h"
#include "seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum probe_kind {
	PROBE_SETTING = 's', /* name, value: set in this session */
	/* name, value: set in this session; only superusers, or users that were granted it, may set it */
	PROBE_SUPERUSERS = 'S',
	PROBE_ROLE = 'r', /* "", role */
	PROBE_USER = 'u', /* "", session_user */
	PROBE_CUSTOM = 'x', /* name, value of a custom setting */
	PROBE_LOCK = 'l', /* session advisory locks are held */
	PROBE_CHANNEL = 'n', /* name: listens to */
	PROBE_STATEMENT = 'p', /* name, text of what SQL PREPARE made */
	PROBE_CURSOR = 'c', /* a cursor WITH HOLD is open */
	PROBE_TEMPORARY = 't', /* temporary objects exist */
	PROBE_SLOT = 'b', /* a temporary replication slot exists */
	PROBE_OWN = 'o' /* value of a setting that the probe has changed for itself */
};

struct gucs; /* session/gucs.h */

struct probe_row {
	uint8_t kind; /* enum probe_kind */
	const char *name, *value; /* in the body; terminated in probe_row's copy; value "" if NULL */
};

/*
 * Appends one simple Query. parts: enum state_part up to STATE_LISTEN, not 0; with STATE_BACKEND, too, it asks for
 * slots; with RISK_UNREAD, for the custom settings that the database's functions name. names: others to ask for, with
 * SETTINGS. startup: the settings that RESET gives the client, or NULL. With SETTINGS each setting that the probe
 * changes for itself, and that startup has not, brings two rows PROBE_OWN, ahead of all others: its value in the
 * session, and its default.
 */
void probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count,
	       const struct gucs *startup);
/* Returns the name of the setting that rows 2n and 2n + 1 of PROBE_OWN are about, or NULL if there is none. */
const char *probe_own_setting(const struct gucs *startup, size_t n);
/* Reads a DataRow's body; copy has len + 2 bytes, row points into it. Returns false if it is no row of the probe. */
bool probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row);
