/*
 * src/session/seal.h - washes session state off a server connection before another client gets it. Pure.
 *
 * The seal does not depend on reading SQL: each part is washed unless it is proved that nothing can have changed it.
 * The proof has two halves: no SQL since the last seal shows it (scan.h), and the database's own code can't change it
 * (pool/database_code.h).
 */
#ifndef PGWEIR_SESSION_SEAL_H
#define PGWEIR_SESSION_SEAL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of session state. The numbers are those of the question in pool/database_code_sql.h, too. */
enum state_part {
	STATE_SETTINGS = 1u << 0, /* with role and session authorization */
	STATE_TEMP = 1u << 1, /* temporary objects */
	STATE_LOCKS = 1u << 2, /* session advisory locks */
	STATE_CURSORS = 1u << 3, /* WITH HOLD */
	STATE_PREPARED = 1u << 4, /* by SQL PREPARE */
	STATE_LISTEN = 1u << 5,
	STATE_SEQUENCES = 1u << 6, /* what currval() and lastval() return */
	STATE_SEED = 1u << 7, /* of random() */
	STATE_BACKEND = 1u << 8, /* what nothing resets: libraries, globals of languages, ... */
	STATE_REMOTE = 1u << 9, /* sessions on other servers, which dblink and postgres_fdw keep */
	STATE_PLANS = 1u << 10, /* constants in plans, of functions that are not as IMMUTABLE as declared */
	/*
	 * What PL/pgSQL keeps of a function from its first run in a backend on, if it may be another for another
	 * client. No statement makes it forget the types of variables.
	 */
	STATE_TYPES = 1u << 11, /* types that another search_path finds elsewhere, and that differ there */
	STATE_PATHS = 1u << 12, /* with these, and no state of its own: code that may run under another search_path */
	STATE_SHADOWED = 1u << 13, /* types that a temporary table of that name hides */
	STATE_READINGS = 1u << 14 /* constants that were read or computed under the first one's settings or role */
};
#define STATE_WASHABLE 0x6ffu
#define STATE_COMPILED (STATE_TYPES | STATE_PATHS | STATE_SHADOWED | STATE_READINGS)
#define STATE_PARTS 15u

#define STATE_TEXT_MAX 256
/* "settings, cursors"; "none". Returns out. */
const char *state_text(unsigned parts, char out[static STATE_TEXT_MAX]);
/*
 * Returns what SQL with these flags (enum scan_flag) may have changed, in a database whose code can change code_parts:
 * a subset of STATE_WASHABLE and STATE_BACKEND.
 */
unsigned seal_parts_of(uint32_t scan_flags, unsigned code_parts);
static inline unsigned
seal_parts(uint32_t scan_flags, unsigned code_parts)
{
	return (scan_flags | code_parts) == 0 ? 0 : seal_parts_of(scan_flags, code_parts); /* nearly always */
}
/* A schema's name as SQL, quoted where that is needed, with terminator. */
#define SEAL_SCHEMA_MAX 132
/*
 * Appends the one simple Query that washes these parts (of STATE_WASHABLE). With STATE_SHADOWED, too, it returns a row
 * of one column if the backend has ever had temporary objects. With STATE_PREPARED it returns a row for
 * each statement that SQL PREPARE made, which must be deallocated by seal_put_deallocate; and one row with the number
 * of all others. seed: a random number, used with STATE_SEED. fdw_schema: with STATE_REMOTE, the schema of postgres_fdw
 * if nothing else can have connected; "": the catalogs are searched for what may have, which costs more than all the
 * rest.
 */
void seal_put(struct buf *out, unsigned parts, uint64_t seed, const char *fdw_schema);
struct seal_statement {
	const char *name; /* in copy; NULL: all that were prepared by the protocol */
	uint64_t count;
};
/* Reads the body of such a row; copy has len bytes. Returns false: it is a row of another kind. */
bool seal_read_statement(const uint8_t *body, size_t len, char *copy, struct seal_statement *row);
/* Appends a simple Query that deallocates these statements: names, each terminated. */
void seal_put_deallocate(struct buf *out, const struct buf *names);

#endif
