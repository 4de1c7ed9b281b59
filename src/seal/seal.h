/*
 * src/seal/seal.h - makes the SQL that washes session state off a server connection before another client gets it. The
 * functions do no I/O.
 *
 * Session state outlives a transaction, and SQL does not always show that it changes session state. For example, client
 * A runs SELECT remember('x') on a connection, and the body of remember() calls set_config('app.user', 'x', false).
 * Client B gets the connection next, and must not read A's app.user. DISCARD ALL after every transaction would ensure
 * this, but costs a round trip each time. So pgweir washes only those parts of the state that may have changed. In the
 * example, pgweir knows that the name remember reaches set_config, so it washes STATE_SETTINGS before B's first
 * statement. After a plain SELECT, pgweir washes nothing.
 *
 * pgweir washes each part unless it can prove that the part is unchanged. A part is unchanged if no SQL since the last
 * wash shows by its own words that it changes the part (scan.h), and no name in that SQL reaches code of the database
 * that could change the part (risk_names.h).
 *
 * Always: each statement that pgweir itself sends contains the comment MESSAGE_OURS.
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"
#include "wire/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The parts of session state. No bit is used twice in this enum, enum code_risk and enum wash. The *risk* of SQL says
 * what the SQL may do. It is a set of bits of enum state_part and enum code_risk, WASH_POINT_SEED, and bits of
 * RISK_BY_CALLS(). A set of parts to wash has bits of enum state_part and enum wash. database_code.sql has the values
 * of enum state_part and enum code_risk as numbers. */
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
	STATE_PROBED = 0x3fu, /* the parts that a probe can ask about (probe.h) */
	STATE_WASHABLE = 0x2ffu /* all but STATE_BACKEND */
};
/* The other risks of SQL, besides the session state that it may change. */
enum code_risk {
	RISK_CONTEXT = 1u << 10, /* makes PostgreSQL keep plans that depend on settings (gucs_context()) */
	RISK_CODE = 1u << 11, /* may change the database's code: a function has DDL in its body, or composes SQL */
	/* may do more than read, so it must not run twice: VOLATILE functions, foreign tables */
	RISK_EFFECTS = 1u << 12,
	RISK_UNREAD = 1u << 13, /* may run code that pgweir has not read, which may set any custom setting */
	RISK_OPAQUE = 1u << 14, /* the SQL is opaque: its words don't show what it runs (risk_names.h) */
	/* The SQL is opaque, and may make code whose state nothing resets. In the risk of a name, this bit means
	 * STATE_BACKEND, but only for SQL that has the name. */
	RISK_KEEPS = 1u << 15,
	RISK_WANTED = 1u << 27, /* calls a function whose effect the client needs ("wanted" in extensions.tsv) */
	RISK_UNDOES = 1u << 28, /* calls a function that undoes such effects */
	RISK_OWN_WORDS = 1u << 29, /* the SQL has STATE_BACKEND because of its own words */
	RISK_ASSUMED = 1u << 30, /* the SQL has STATE_BACKEND only because there is no valid answer */
	/* the bits that the answer about a database's code (database_code.h) may give to a name */
	RISK_ASKED = 0x1c009fffu
};
/* Bits 20 to 25 of a risk are a second copy of the bits of STATE_PROBED. They are set for the parts that may be changed
 * by functions that the SQL itself calls. The client may want what such a call changes, so a probe asks about these
 * parts. Parts that only triggers and views may change are washed without a probe. */
#define RISK_BY_CALLS(parts) (((parts) & (unsigned)STATE_PROBED) << 20)
#define RISK_CALLED(risk) ((risk) >> 20 & (unsigned)STATE_PROBED)
/* Actions of seal_put() besides washing parts of state. */
enum wash {
	WASH_PLANS = 1u << 16, /* drops PostgreSQL's plans */
	/* deallocates all prepared statements; in place of STATE_PREPARED, if pgweir itself has prepared none */
	WASH_STATEMENTS = 1u << 17,
	WASH_TIMERS = 1u << 18, /* resets timers that the client has set (guc_may_hit_next_client()) */
	/* Washes nothing, but sends a Query: if PostgreSQL notices late that a time limit of the client's has expired,
	 * this Query fails, not the next client's request. Used after requests that took GUC_SHORT_LIMIT_US or longer,
	 * and in sessions with a shorter limit. */
	WASH_LATE = 1u << 19,
	/* Seeds ST_GeneratePoints() of PostGIS anew. In the risk of a name, this bit counts only for SQL that has the
	 * name. */
	WASH_POINT_SEED = 1u << 26
};
/* How many bits have names in seal_state_text(): those of enum state_part, RISK_CONTEXT, RISK_CODE and RISK_EFFECTS. */
#define SEAL_PARTS 13u

#define SEAL_STATE_TEXT_MAX 256
/* Writes the names of parts to out, such as "settings, cursors", or "none". Returns out. */
const char *seal_state_text(unsigned parts, char out[static SEAL_STATE_TEXT_MAX]);
/* Returns the parts that must be washed after SQL with these flags (enum scan_flag) and this risk: bits of
 * STATE_WASHABLE, STATE_BACKEND, WASH_LATE and WASH_POINT_SEED. STATE_SEQUENCES is never among them, because sequence
 * values are washed only before SQL of another client that may read them. */
unsigned seal_parts_of(uint32_t scan_flags, unsigned risk);
/* Does what seal_parts_of() does, but nearly always without a function call. */
static inline unsigned
seal_parts(uint32_t scan_flags, unsigned risk)
{
	return (scan_flags | risk) == 0 ? 0 : seal_parts_of(scan_flags, risk); /* nearly always */
}
/* Returns the parts (enum state_part, WASH_LATE) that any SQL may change in a session. leaves: the session's
 * gucs_side_effects(). */
unsigned seal_parts_left_by(unsigned leaves);
/* Returns the parts that any SQL may change in a session with these settings. */
static inline unsigned
seal_parts_of_gucs(const struct gucs *gucs)
{
	unsigned leaves = gucs_side_effects(gucs);

	return leaves == 0 ? 0 : seal_parts_left_by(leaves); /* nearly always */
}
/* The most bytes of a schema's name, quoted if needed, with terminator. */
#define SEAL_SCHEMA_MAX 132
/*
 * Appends one simple Query that washes these parts (bits of STATE_WASHABLE and enum wash). With STATE_PREPARED, the
 * Query returns a row for each statement that SQL PREPARE made, for seal_put_deallocate(), and one row with the number
 * of all other statements. seed: a random number, used with STATE_SEED. fdw_schema: used with STATE_REMOTE; the schema
 * of postgres_fdw if no other extension can have opened sessions, otherwise "". With "", the Query searches the
 * catalogs for extensions, which costs as much as the rest of the Query, and returns rows of three columns for
 * seal_put_for_row().
 */
void seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema);
#define SEAL_SEED_MAX 48
/* Writes SQL to out that seeds random() and needs no plan. Returns out. After this SQL, pg_settings shows seed as set
 * in the session for good, because since PostgreSQL 16 nothing resets a seed. */
const char *seal_seed_sql(char out[static SEAL_SEED_MAX], uint64_t seed);
struct probe_row; /* seal/probe.h */
/* Appends to out the statements that a row of three columns demands, which close sessions on other servers or seed
 * ST_GeneratePoints(). Each statement must be sent alone. A statement is appended as a '?' if it may fail with 08003,
 * or a '-' if not, then its SQL and a terminator. Returns false if no SQL can close the sessions, so the server must be
 * closed. */
bool seal_put_for_row(struct buf *out, const struct probe_row *row);
/* A row of the Query with STATE_PREPARED. */
struct seal_statement {
	/* the name of a statement that SQL PREPARE made; NULL in the row that counts all other statements */
	const char *name;
	uint64_t count; /* how many statements the row is about */
};
/* Reads the body of a DataRow into row, whose name points into copy, the caller's buffer of len bytes. Returns false if
 * it is another kind of row. */
bool seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row);
/* Appends a simple Query that deallocates the statements whose names are in `names`, each with a terminator. */
void seal_put_deallocate(struct buf *out, const struct buf *names);
