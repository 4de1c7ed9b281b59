/*
 * src/seal/probe.h - the probe: asks a server connection which session state it has.
 *
 * The probe is one Query on PostgreSQL's catalogs. It is sent after the replies of a transaction that may have changed
 * session state (scan.h), before another client may get the connection. All names in it, also those of operators, are
 * qualified, because the session may have any search_path. By SET LOCAL, the probe overrides settings of the session
 * that would delay the probe or change its result; for this it must be a simple Query, which PostgreSQL runs as one
 * transaction.
 *
 * No catalog lists custom settings (a.b), so the probe asks for these by name. The probe can't find out which values
 * currval() would return, or the seed of random(), because no catalog shows them.
 */
#pragma once

#include "base/buf.h"
#include "seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum probe_kind {
	PROBE_SETTING = 's', /* name and value of a setting that was set in this session */
	/* the same, but the setting is one that only superusers, or users with a grant, may set */
	PROBE_SUPERUSERS = 'S',
	PROBE_ROLE = 'r', /* "", role */
	PROBE_USER = 'u', /* "", session_user */
	PROBE_CUSTOM = 'x', /* name, value of a custom setting */
	PROBE_LOCK = 'l', /* session advisory locks are held */
	PROBE_CHANNEL = 'n', /* name: a channel that the session listens to */
	PROBE_STATEMENT = 'p', /* name and text of a statement that SQL PREPARE made */
	PROBE_CURSOR = 'c', /* a cursor WITH HOLD is open */
	PROBE_TEMPORARY = 't', /* temporary objects exist */
	PROBE_REPLICATION = 'b', /* a temporary replication slot exists, or a replication origin is set up */
	PROBE_OVERRIDDEN = 'o' /* "", value of a setting that the probe overrides: probe_own_setting() has its name */
};

struct gucs; /* session/gucs.h */

struct probe_row {
	uint8_t kind; /* enum probe_kind */
	const char *name, *value; /* in the copy of probe_read_row(); value is "" for SQL's NULL */
};

#define PROBE_ORIGIN (1u << 20) /* for the parameter parts of probe_put() */

/*
 * Appends the probe for these parts, which must not be 0. Besides parts of STATE_PROBED, they may have STATE_BACKEND,
 * which asks for temporary replication slots; PROBE_ORIGIN, which asks for the replication origin, and fails if the
 * role has no right to ask; and RISK_UNREAD, which asks for the custom settings that functions of the database mention.
 * names: with STATE_SETTINGS, more custom settings to ask for. startup: the settings that RESET gives the client; NULL
 * if it has sent none at startup.
 *
 * With STATE_SETTINGS, the answer begins with two rows PROBE_OVERRIDDEN for each setting that the probe overrides and
 * startup does not have: the setting's value in the session, then the setting's default.
 */
void probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count,
	       const struct gucs *startup);
/* Returns the name of the setting that rows 2n and 2n + 1 of PROBE_OVERRIDDEN are about; NULL if there are no such
 * rows.
 */
const char *probe_own_setting(const struct gucs *startup, size_t n);
/* Reads the body of a DataRow into row, which points into copy (len + 2 bytes). Returns false if it is no row of the
 * probe. */
bool probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row);
