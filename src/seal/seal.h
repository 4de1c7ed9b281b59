/*
 * src/seal/seal.h - makes the SQL that washes session state off a server connection before another client gets it. The
 * functions do no I/O.
 *
 * Session state outlives a transaction, and SQL does not always show that it changes session state. For example, client
 * A runs SELECT remember('x') on a connection, and the body of remember() calls set_config('app.user', 'x', false).
 * Client B gets the connection next, and must not read A's app.user. DISCARD ALL after every transaction would ensure
 * this, but costs a round trip each time. So pgweir washes only those parts of the state that may have changed. In the
 * example, pgweir knows that the name remember reaches set_config, so pgweir washes STATE_SETTINGS before B's first
 * statement. After a plain SELECT, pgweir washes nothing.
 *
 * A part that can be washed is washed unless SQL since the last wash has certainly left the part unchanged: the SQL's
 * words show no change of the part (scan.h), none of the SQL's names reaches code of the database that may change the
 * part (risk_names.h), and the client's settings do not cause a change (seal_parts_of_gucs()).
 *
 * Always: each statement of a wash contains the comment MESSAGE_OURS.
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"
#include "wire/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The parts of session state. The bits of this enum, enum code_risk, enum wash and RISK_BY_CALLS() are all different.
 * The *risk* of SQL is the set of things that the SQL may do: bits of enum state_part, enum code_risk and
 * RISK_BY_CALLS(), WASH_LATE_TIMEOUT and WASH_POINT_SEED. A set of parts to wash has bits of enum state_part and enum
 * wash. database_code*.sql and extensions.awk have many of these bits as numbers. */
enum state_part {
	STATE_SETTINGS = 1u << 0, /* settings, with role and session authorization */
	STATE_TEMP = 1u << 1, /* temporary objects */
	STATE_LOCKS = 1u << 2, /* session advisory locks */
	STATE_CURSORS = 1u << 3, /* cursors WITH HOLD */
	STATE_PREPARED = 1u << 4, /* statements that SQL PREPARE made */
	STATE_LISTEN = 1u << 5,
	STATE_SEQUENCES = 1u << 6, /* the values that currval() and lastval() return */
	STATE_SEED = 1u << 7, /* the seed of random() */
	STATE_BACKEND = 1u << 8, /* state that no SQL resets: libraries, globals of languages, ... */
	STATE_REMOTE = 1u << 9, /* sessions on other servers, which dblink and postgres_fdw open */
	STATE_PROBED = 0x3fu, /* the parts that a probe can ask about in full (probe.h) */
	STATE_WASHABLE = 0x2ffu /* all but STATE_BACKEND */
};
/* The other risks of SQL, besides the session state that it may change. */
enum code_risk {
	RISK_CONTEXT = 1u << 10, /* makes PostgreSQL keep plans that depend on settings (gucs_context()) */
	RISK_CODE = 1u << 11, /* may change the database's code: calls a function that has DDL or composes SQL */
	/* may do more than read, so must not run twice: for example, calls a VOLATILE function */
	RISK_EFFECTS = 1u << 12,
	RISK_UNREAD = 1u << 13, /* may run code that pgweir has not read; that code may set any custom setting */
	RISK_OPAQUE = 1u << 14, /* the SQL is opaque: its words don't show what it runs (risk_names.h) */
	/* The SQL is opaque, and may make code that leaves state which nothing resets. As the risk of a name, this bit
	 * gives STATE_BACKEND to SQL that has the name, but not to opaque SQL without the name. */
	RISK_KEEPS = 1u << 15,
	RISK_WANTED = 1u << 27, /* calls a function whose effect the client needs ("wanted" in extensions.tsv) */
	RISK_UNDOES = 1u << 28, /* calls a function that undoes such effects */
	RISK_OWN_WORDS = 1u << 29, /* STATE_BACKEND may come from the SQL's own words, names or types */
	RISK_ASSUMED = 1u << 30, /* STATE_BACKEND is assumed, because there is no valid answer (database_code.h) */
	/* the bits that an answer about a database's code may give to a name */
	RISK_ASKED = 0x1c009fffu
};
/* Bits 20 to 25 of a risk are a second copy of STATE_PROBED: the parts that may be changed by functions that the SQL
 * itself calls. The client may want such a change, so a probe asks about these parts. Parts that only triggers and
 * views may change are washed without a probe. */
#define RISK_BY_CALLS(parts) (((parts) & (unsigned)STATE_PROBED) << 20)
#define RISK_CALLED(risk) ((risk) >> 20 & (unsigned)STATE_PROBED)
/* Actions of seal_put() besides washing parts of state. */
enum wash {
	WASH_PLANS = 1u << 16, /* drops PostgreSQL's plans */
	/* deallocates all prepared statements; used in place of STATE_PREPARED if pgweir itself has prepared none */
	WASH_STATEMENTS = 1u << 17,
	WASH_TIMERS = 1u << 18, /* resets timers that the client has set (guc_may_hit_next_client()) */
	/* Washes nothing, but sends a Query. If PostgreSQL notices late that a time limit of the client's has expired,
	 * the Query fails instead of the next client's request. Used after requests that took GUC_SHORT_LIMIT_US or
	 * longer, and in sessions with a shorter limit. */
	WASH_LATE_TIMEOUT = 1u << 19,
	/* seeds ST_GeneratePoints() of PostGIS anew; as the risk of a name, counts only for SQL that has the name */
	WASH_POINT_SEED = 1u << 26
};
/* The number of bits that have names in seal_state_text(): the parts, RISK_CONTEXT, RISK_CODE and RISK_EFFECTS. */
#define SEAL_PARTS 13u

#define SEAL_STATE_TEXT_MAX 256
/* Writes the names of the parts to out, such as "settings, cursors"; writes "none" if parts is 0. Returns out. */
const char *seal_state_text(unsigned parts, char out[static SEAL_STATE_TEXT_MAX]);
/* Returns the parts that must be washed after SQL with these flags (enum scan_flag) and this risk: bits of
 * STATE_WASHABLE, STATE_BACKEND, WASH_LATE_TIMEOUT and WASH_POINT_SEED. Never returns STATE_SEQUENCES, because sequence
 * values are washed only before SQL of another client that may read these values. */
unsigned seal_parts_of(uint32_t scan_flags, unsigned risk);
/* Does what seal_parts_of() does, but nearly always without a function call. */
static inline unsigned
seal_parts(uint32_t scan_flags, unsigned risk)
{
	return (scan_flags | risk) == 0 ? 0 : seal_parts_of(scan_flags, risk); /* nearly always */
}
/* Returns the parts (and WASH_LATE_TIMEOUT) that any SQL may change because of the session's settings. leaves: the
 * result of gucs_side_effects() for these settings. */
unsigned seal_parts_left_by(unsigned leaves);
/* Does what seal_parts_left_by() does, for these settings. */
static inline unsigned
seal_parts_of_gucs(const struct gucs *gucs)
{
	unsigned leaves = gucs_side_effects(gucs);

	return leaves == 0 ? 0 : seal_parts_left_by(leaves); /* nearly always */
}
/* The most bytes of a schema's name, in quotes if it needs them, with terminator. */
#define SEAL_SCHEMA_MAX 132
/*
 * Appends one simple Query that washes these parts (bits of STATE_WASHABLE and enum wash). With STATE_PREPARED, the
 * Query deallocates nothing; it returns rows for seal_read_statement(), and the caller deallocates the statements. With
 * WASH_POINT_SEED, or STATE_REMOTE and an fdw_schema of "", the Query searches the catalogs for extensions, which costs
 * as much as the rest of the Query, and returns rows of three columns for seal_put_for_row(). seed: a random number,
 * used with STATE_SEED. fdw_schema: used with STATE_REMOTE; the schema of postgres_fdw if no other extension can have
 * opened sessions on other servers, else "".
 */
void seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema);
#define SEAL_SEED_MAX 48
/* Writes to out SQL that seeds random() and needs no plan. Returns out. After this SQL, pg_settings shows for good that
 * the session has set seed, because since PostgreSQL 16 nothing resets seed. */
const char *seal_seed_sql(char out[static SEAL_SEED_MAX], uint64_t seed);
struct probe_row; /* seal/probe.h */
/* Appends to out the statements that a row of three columns asks for. The statements close sessions on other servers,
 * or seed ST_GeneratePoints(). Each statement must be sent alone. A statement is appended as a '?' if the statement may
 * fail with 08003, or else as a '-'; then come its SQL and a terminator. Returns false if no SQL can close the
 * sessions; the server must then be closed. */
bool seal_put_for_row(struct buf *out, const struct probe_row *row);
/* A row that seal_put() asks for with STATE_PREPARED. */
struct seal_statement {
	/* the name of a statement that SQL PREPARE made; NULL in the row for all other statements but placeholders */
	const char *name;
	uint64_t count; /* how many statements the row is about; never 0 */
};
/* Reads the body of a DataRow into row, whose name points into copy, the caller's buffer of len bytes. Returns false if
 * the DataRow is of another kind. */
bool seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row);
/* Appends a simple Query that deallocates the statements whose names are in `names`, each with a terminator. */
void seal_put_deallocate(struct buf *out, const struct buf *names);
