/*
 * src/seal/probe.h - the probe: asks a server connection which session state it has.
 *
 * The probe is one simple Query on PostgreSQL's catalogs. pgweir sends the probe after a transaction that may have
 * changed session state (scan.h), before another client can get the connection. All names in the probe, also those of
 * operators, are qualified, because the session may have any search_path. SET LOCAL overrides settings of the session
 * that could delay or cancel the probe.
 *
 * No catalog lists custom settings (a.b), so the probe asks for these by name. No catalog shows the values of currval()
 * or the seed of random(), so the probe can't find these out.
 */
#pragma once

#include "base/buf.h"
#include "seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds of rows. The comments say what a row shows, or what its name and value are. */
enum probe_kind {
	PROBE_SETTING = 's', /* name and value of a setting that was set in this session */
	/* like PROBE_SETTING, but a setting that only superusers and users with a grant may set */
	PROBE_SUPERUSER_SETTING = 'S',
	PROBE_ROLE = 'r', /* "" and the role */
	PROBE_USER = 'u', /* "" and session_user */
	PROBE_CUSTOM = 'x', /* name and value of a custom setting */
	PROBE_LOCK = 'l', /* session advisory locks are held */
	PROBE_CHANNEL = 'n', /* name: a channel that the session listens to */
	PROBE_STATEMENT = 'p', /* name and text of a statement that SQL PREPARE made */
	PROBE_CURSOR = 'c', /* a cursor WITH HOLD is open */
	PROBE_TEMPORARY = 't', /* temporary objects exist */
	PROBE_REPLICATION = 'b', /* a temporary replication slot exists, or a replication origin is set up */
	/* "" and the value of a setting that the probe overrides; probe_overridden_setting() returns its name */
	PROBE_OVERRIDDEN = 'o'
};

struct gucs; /* session/gucs.h */

struct probe_row {
	uint8_t kind; /* enum probe_kind */
	const char *name, *value; /* pointers into probe_read_row()'s copy; value is "" for SQL's NULL */
};

#define PROBE_ORIGIN (1u << 20) /* a bit of probe_put()'s parameter `parts` */

/*
 * Appends the probe for these parts, which must not be 0: bits of STATE_PROBED, and three more. STATE_BACKEND asks for
 * temporary replication slots. PROBE_ORIGIN asks for the replication origin; the probe fails if the role has no right
 * to ask for that. RISK_UNREAD asks for the custom settings that functions of the database mention. names: more custom
 * settings, which STATE_SETTINGS asks for. startup: the settings of the client's startup packet; NULL without any.
 *
 * With STATE_SETTINGS, the first rows are about settings that the probe overrides: at most a PROBE_SETTING row for a
 * setting that `startup` has, else two PROBE_OVERRIDDEN rows: the session's value, then the default.
 */
void probe_put(struct buf *out, unsigned parts, const char *const *names, size_t name_count,
	       const struct gucs *startup);
/* Returns the setting that PROBE_OVERRIDDEN rows 2n and 2n + 1 are about; NULL if there can be no such rows. */
const char *probe_overridden_setting(const struct gucs *startup, size_t n);
/* Reads the body of a DataRow into row, whose pointers point into copy, the caller's buffer of len + 2 bytes. Returns
 * false if the DataRow cannot be a row of the probe. */
bool probe_read_row(const uint8_t *body, size_t len, char *copy, struct probe_row *row);
