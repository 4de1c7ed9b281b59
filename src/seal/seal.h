/*
 * src/seal/seal.h - washes session state off a server connection before another client gets it. Pure.
 *
 * Session state outlives a transaction, and SQL does not always show it. At 0 ms client A runs SELECT remember('x') on
 * a connection, and the body of remember() calls set_config('app.user', 'x', false). At 4 ms A is done, and client B,
 * which gets the connection next, must not read that app.user. DISCARD ALL after every transaction would ensure this,
 * at the cost of a round trip each time. So only a part of the state (here STATE_SETTINGS, because the name remember is
 * known to reach set_config) is washed at 4 ms, before B's first statement; after a plain SELECT nothing is washed.
 *
 * Each part is washed unless it is proved that nothing can have changed it. The proof has two halves: no SQL since the
 * last seal shows it (scan.h), and no name in that SQL reaches code of the database that could (risk_names.h).
 *
 * Always: each statement of pgweir's own has its mark (MESSAGE_OURS).
 */
#pragma once

#include "base/buf.h"
#include "session/gucs.h"
#include "wire/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Kinds of session state. These bits and those of enum code_risk and enum wash are disjoint: what SQL could touch has
 * bits of the first two, what is to be washed of the first and the third. The question about a database's code
 * (database_code.sql) has the numbers of the first two.
 */
enum state_part {
	STATE_SETTINGS = 1u << 0, /* settings, with role and session authorization */
	STATE_TEMP = 1u << 1, /* temporary objects */
	STATE_LOCKS = 1u << 2, /* session advisory locks */
	STATE_CURSORS = 1u << 3, /* WITH HOLD */
	STATE_PREPARED = 1u << 4, /* by SQL PREPARE */
	STATE_LISTEN = 1u << 5,
	STATE_SEQUENCES = 1u << 6, /* what currval() and lastval() return */
	STATE_SEED = 1u << 7, /* of random() */
	STATE_BACKEND = 1u << 8, /* what nothing resets: libraries, globals of languages, ... */
	STATE_REMOTE = 1u << 9, /* sessions on other servers, which dblink and postgres_fdw keep */
	STATE_PROBED = 0x3fu, /* the parts that a probe can ask about (probe.h) */
	STATE_WASHABLE = 0x2ffu /* all but STATE_BACKEND */
};
/* Risks of SQL besides session state that it touches. */
enum code_risk {
	RISK_CONTEXT = 1u << 10, /* makes plans, which depend on the settings that SQL is parsed under (gucs_context) */
	RISK_CODE = 1u << 11, /* may change the code itself: DDL in a body, and SQL that a body makes */
	RISK_EFFECTS = 1u << 12, /* may do more than read, so it is not run twice: VOLATILE functions, foreign tables */
	RISK_UNREAD = 1u << 13, /* may run code that was not read yet; names of settings in it are not known */
	RISK_OPAQUE = 1u << 14, /* its words don't show what it runs, though the database may have nothing to reach */
	/* The SQL is opaque, and code that it makes may keep state that nothing resets. In the risk of a name:
	 * STATE_BACKEND if SQL shows it. */
	RISK_KEEPS = 1u << 15,
	RISK_WANTED = 1u << 27, /* calls itself what leaves something that its client is to meet again */
	RISK_UNDOES = 1u << 28, /* the same, of what undoes that */
	RISK_REACHES = 1u << 29, /* the SQL has STATE_BACKEND by its own words */
	RISK_FEARED = 1u << 30, /* the SQL has STATE_BACKEND by what was feared of any SQL */
	RISK_ASKED = 0x1c009fffu /* what the question about a database's code may tell of SQL, with the state */
};
/*
 * In a risk, besides: what of it is due to functions that the SQL calls. That its client means, so it is asked about;
 * what triggers and views do is only washed off.
 */
#define RISK_BY_CALLS(parts) (((parts) & (unsigned)STATE_PROBED) << 20)
#define RISK_CALLED(risk) ((risk) >> 20 & (unsigned)STATE_PROBED)
/* Orders to seal_put() besides the parts that are washed. */
enum wash {
	WASH_PLANS = 1u << 16, /* forgets plans */
	WASH_STATEMENTS = 1u << 17, /* instead of STATE_PREPARED, where pgweir has prepared none */
	WASH_TIMERS = 1u << 18, /* undoes timers of a client's own: guc_is_timer() */
	/*
	 * Nothing: takes the error of a limit on time that PostgreSQL notices late, and fails. For requests that last
	 * GUC_SHORT_LIMIT_US, and for sessions with a shorter limit.
	 */
	WASH_LATE = 1u << 19,
	/* Seeds PostGIS' ST_GeneratePoints() anew. Of a name it is no risk of SQL whose words don't show that. */
	WASH_POINTS = 1u << 26
};
#define SEAL_PARTS 13u /* that have a name: of enum state_part, and RISK_CONTEXT, RISK_CODE and RISK_EFFECTS */

#define SEAL_STATE_TEXT_MAX 256
/* "settings, cursors"; "none". Returns out. */
const char *seal_state_text(unsigned parts, char out[static SEAL_STATE_TEXT_MAX]);
/*
 * Returns what SQL with these flags (enum scan_flag) and this risk may have changed: a subset of STATE_WASHABLE and
 * STATE_BACKEND. The last values of sequences are not included: they are forgotten before a client may ask for them.
 */
unsigned seal_parts_of(uint32_t scan_flags, unsigned risk);
static inline unsigned
seal_parts(uint32_t scan_flags, unsigned risk)
{
	return (scan_flags | risk) == 0 ? 0 : seal_parts_of(scan_flags, risk); /* nearly always */
}
/* Returns what any SQL of such a session may leave (enum state_part, WASH_LATE). */
unsigned seal_parts_of_leavings(unsigned leaves);
static inline unsigned
seal_parts_of_gucs(const struct gucs *gucs)
{
	unsigned leaves = gucs_leaves(gucs);

	return leaves == 0 ? 0 : seal_parts_of_leavings(leaves); /* nearly always */
}
/* A schema's name as SQL, quoted where that is needed, with terminator. */
#define SEAL_SCHEMA_MAX 132
/*
 * Appends the one simple Query that washes these parts (of STATE_WASHABLE, and WASH_...). With STATE_PREPARED it
 * returns a row for each statement that SQL PREPARE made, which must be deallocated by seal_put_deallocate; and one row
 * with the number of all others. seed: a random number, used with STATE_SEED. fdw_schema: with STATE_REMOTE, the schema
 * of postgres_fdw if nothing else can have connected; "": the catalogs are searched for what may have, which costs as
 * much as all the rest, and returns rows of three columns for seal_put_remote.
 */
void seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema);
#define SEAL_SEED_MAX 48
/*
 * Writes the SQL that begins random() anew. No plan is made. pg_settings shows the seed as the session's from then on:
 * since PostgreSQL 16 nothing resets a seed. Returns out.
 */
const char *seal_seed_sql(char out[static SEAL_SEED_MAX], uint64_t seed);
struct probe_row; /* seal/probe.h */
/*
 * Appends SQL that closes sessions on other servers, or seeds ST_GeneratePoints(). Each statement is to be sent alone:
 * it begins with '-', or '?' if it may fail with 08003, then comes the SQL, terminated. Returns false if the server
 * must be closed because no SQL closes the sessions.
 */
bool seal_put_remote(struct buf *out, const struct probe_row *row);
struct seal_statement {
	const char *name; /* points into copy; NULL stands for all statements that were prepared by the protocol */
	uint64_t count;
};
/* Reads the body of a row about a statement; copy has len bytes. Returns false if it is a row of another kind. */
bool seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row);
/* Appends a simple Query that deallocates these statements: names, each terminated. */
void seal_put_deallocate(struct buf *out, const struct buf *names);
