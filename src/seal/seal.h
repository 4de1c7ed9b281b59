/*
 * src/seal/seal.h - washes session state off a server connection before another client gets it. Pure.
 *
 * Session state outlives a transaction, and SQL does not always show it. At 0 ms client A runs SELECT remember('x') on
 * a connection, and the body of remember() calls set_config('app.user', 'x', false). At 4 ms A is done, and client B,
 * which gets the connection next, must not read that app.user. DISCARD ALL after every transaction would ensure this,
 * at the cost of a round trip each time. So pgweir washes only a part of the state. Here the name remember is known to
 * reach set_config, so pgweir washes STATE_SETTINGS at 4 ms, before B's first statement. After a plain SELECT it washes
 * nothing.
 *
 * pgweir washes each part that it can't prove to be unchanged. A part is unchanged if no SQL since the last seal
 * changes the part by its own words (scan.h), and no name in that SQL reaches code of the database that could change
 * the part (risk_names.h).
 *
 * Always: each statement of pgweir's own has the mark MESSAGE_OURS.
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"
#include "wire/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of session state. The bits of this enum, enum code_risk and enum wash are disjoint. The risk of SQL has bits of
 * the first two, WASH_POINTS, and the bits of RISK_BY_CALLS. A set of parts to wash has bits of enum state_part and
 * enum wash. database_code.sql has the values of enum state_part and enum code_risk as numbers. */
enum state_part {
	STATE_SETTINGS = 1u << 0, /* settings, with role and session authorization */
	STATE_TEMP = 1u << 1, /* temporary objects */
	STATE_LOCKS = 1u << 2, /* session advisory locks */
	STATE_CURSORS = 1u << 3, /* cursors WITH HOLD */
	STATE_PREPARED = 1u << 4, /* statements that SQL PREPARE made */
	STATE_LISTEN = 1u << 5,
	STATE_SEQUENCES = 1u << 6, /* what currval() and lastval() return */
	STATE_SEED = 1u << 7, /* the seed of random() */
	STATE_BACKEND = 1u << 8, /* state that no SQL resets: libraries, globals of languages, ... */
	STATE_REMOTE = 1u << 9, /* sessions on other servers, as dblink and postgres_fdw have */
	STATE_PROBED = 0x3fu, /* the parts that a probe can ask about (probe.h) */
	STATE_WASHABLE = 0x2ffu /* all but STATE_BACKEND */
};
/* Risks of SQL besides the session state that it may touch. */
enum code_risk {
	RISK_CONTEXT = 1u << 10, /* makes PostgreSQL keep plans, which depend on settings (gucs_context) */
	RISK_CODE = 1u << 11, /* may change the database's code: by DDL in a body, or by SQL that a body composes */
	RISK_EFFECTS = 1u << 12, /* may do more than read, so it is not run twice: VOLATILE functions, foreign tables */
	RISK_UNREAD = 1u << 13, /* may run code that was not read, and set unknown custom settings */
	RISK_OPAQUE = 1u << 14, /* its words don't show what it runs (risk_names.h) */
	/* The SQL is opaque, and code that it makes may keep state that nothing resets. In the risk of a name, this bit
	 * stands for STATE_BACKEND, but only in SQL that has the name. */
	RISK_KEEPS = 1u << 15,
	RISK_WANTED = 1u << 27, /* calls a function whose effect its client needs ("wanted" in extensions.tsv) */
	RISK_UNDOES = 1u << 28, /* calls a function that undoes such effects */
	RISK_OWN_WORDS = 1u << 29, /* the SQL has STATE_BACKEND because of its own words */
	RISK_ASSUMED = 1u << 30, /* the SQL has STATE_BACKEND only because at that time all SQL was taken to have it */
	/* the bits that the risk of a name may have in a database's answer: of this enum, of enum state_part, and
	 * WASH_POINTS */
	RISK_ASKED = 0x1c009fffu
};
/* A risk has, in bits 20 to 25, those of its parts that functions called by the SQL may change. A client calls a
 * function for its effects, so a probe asks about these parts; what only triggers and views may change is just washed
 * off. */
#define RISK_BY_CALLS(parts) (((parts) & (unsigned)STATE_PROBED) << 20)
#define RISK_CALLED(risk) ((risk) >> 20 & (unsigned)STATE_PROBED)
/* Actions of seal_put() besides washing parts of state. */
enum wash {
	WASH_PLANS = 1u << 16, /* forgets plans */
	WASH_STATEMENTS = 1u << 17, /* instead of STATE_PREPARED, if pgweir has prepared no statements there */
	WASH_TIMERS = 1u << 18, /* undoes timers that the client has set (guc_is_timer()) */
	/* Washes nothing, but sends a Query: if PostgreSQL notices late that a time limit has expired, this Query
	 * fails, not the next client's request. Set for requests that take GUC_SHORT_LIMIT_US or longer, and for
	 * sessions with a shorter limit. */
	WASH_LATE = 1u << 19,
	/* Seeds PostGIS' ST_GeneratePoints() anew. In the risk of a name, this bit counts only for SQL that has the
	 * name. */
	WASH_POINTS = 1u << 26
};
/* the number of bits that seal_state_text() names: enum state_part, RISK_CONTEXT, RISK_CODE and RISK_EFFECTS */
#define SEAL_PARTS 13u

#define SEAL_STATE_TEXT_MAX 256
/* Writes the names of parts, such as "settings, cursors", or "none". Returns out. */
const char *seal_state_text(unsigned parts, char out[static SEAL_STATE_TEXT_MAX]);
/* Returns the parts that SQL with these flags (enum scan_flag) and this risk may have changed, and that must be washed:
 * bits of STATE_WASHABLE, STATE_BACKEND, WASH_LATE and WASH_POINTS. STATE_SEQUENCES is never among them, because it is
 * washed only before a client may ask for it. */
unsigned seal_parts_of(uint32_t scan_flags, unsigned risk);
static inline unsigned
seal_parts(uint32_t scan_flags, unsigned risk)
{
	return (scan_flags | risk) == 0 ? 0 : seal_parts_of(scan_flags, risk); /* nearly always */
}
/* Returns the parts (enum state_part, WASH_LATE) that any SQL may change in a session with these settings (a set of
 * enum gucs_risk). */
unsigned seal_parts_left_by(unsigned leaves);
static inline unsigned
seal_parts_of_gucs(const struct gucs *gucs)
{
	unsigned leaves = gucs_side_effects(gucs);

	return leaves == 0 ? 0 : seal_parts_left_by(leaves); /* nearly always */
}
/* Bytes of a schema's name as SQL has it, quoted if needed, with terminator. */
#define SEAL_SCHEMA_MAX 132
/*
 * Appends one simple Query that washes these parts (of STATE_WASHABLE and enum wash). With STATE_PREPARED, the Query
 * returns a row for each statement that SQL PREPARE made, for seal_put_deallocate(), and one row with the number of all
 * other statements. seed is a random number for STATE_SEED. For STATE_REMOTE, fdw_schema is the schema of postgres_fdw
 * if no other extension can have opened sessions. If fdw_schema is "", the Query searches the catalogs, which costs as
 * much as the rest of the Query, and returns rows of three columns for seal_put_for_row().
 */
void seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema);
#define SEAL_SEED_MAX 48
/* Writes SQL that seeds random() and needs no plan. Returns out. From then on pg_settings shows seed as set in the
 * session, because since PostgreSQL 16 nothing resets a seed. */
const char *seal_seed_sql(char out[static SEAL_SEED_MAX], uint64_t seed);
struct probe_row; /* seal/probe.h */
/* Appends the statements that a row of seal_put()'s Query asks for: they close sessions on other servers, or seed
 * ST_GeneratePoints(). Each statement must be sent alone. It is appended as a '?' if it may fail with 08003, else a
 * '-', then its SQL and a terminator. Returns false if the server must be closed because no SQL closes its sessions. */
bool seal_put_for_row(struct buf *out, const struct probe_row *row);
struct seal_statement {
	/* points into seal_read_statement()'s copy; NULL in the row that counts statements prepared by the protocol */
	const char *name;
	uint64_t count;
};
/* Reads the body of a DataRow about statements; copy has len bytes. Returns false if it is a row of another kind. */
bool seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row);
/* Appends a simple Query that deallocates the statements in names, each of which is terminated. */
void seal_put_deallocate(struct buf *out, const struct buf *names);
