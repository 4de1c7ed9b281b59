/*
 * src/sql/traits.h - facts about SQL, by which each feature of pgweir tells whether it must handle the SQL.
 *
 * The traits of a simple Query are made when the Query comes, and the traits of a prepared statement when the statement
 * first comes (statement_traits()). A feature parses the SQL itself (known.h, sql_token.h) only if the traits show that
 * it must. The functions own nothing.
 */
#pragma once

#include "base/buf.h"
#include "sql/scan.h"
#include "sql/sql_words.h"

#include <stdbool.h>
#include <stddef.h>

struct sql_traits {
	uint32_t flags; /* enum scan_flag: what the SQL may leave in the session */
	uint16_t hints; /* enum scan_hint and enum traits_hint */
	uint8_t first; /* as in struct scan */
	bool is_plain; /* the result of traits_are_plain() */
};

/* Hints for the SQL of a Parse. They decide whether clients with different settings may share the statement, and
 * whether keep_plans (statements/keep.h) may give the statement a name. */
enum traits_hint {
	TRAITS_LITERALS = 1u << 8, /* the SQL may have literals, or is not ASCII */
	TRAITS_MOMENT = 1u << 9, /* the SQL may have literals like 'now', which stand for the time of the Parse */
	TRAITS_NULL = 1u << 10, /* the SQL has "= NULL", whose meaning depends on the setting transform_null_equals */
	TRAITS_PARSE_HINTS_ADDED =
	    1u << 11, /* traits_add_parse_hints() has run, so the other hints of this enum are valid */
	TRAITS_MAY_FAIL = 1u << 12, /* the SQL has parameters, and an expression that may fail for some values */
	TRAITS_NOTICED = 1u << 13, /* a Parse of the SQL was answered with a notice; set by statements/keep.c */
	TRAITS_PARSE_ALL = 0x3fu << 8 /* TRAITS_LITERALS to TRAITS_NOTICED */
};

/*
 * SCAN_SEQUENCES has the flags of SQL that may use sequences. SCAN_PLAIN has these flags and SCAN_SAVEPOINT, because
 * savepoints leave nothing in the session. SQL without other flags needs no probe.
 */
#define SCAN_SEQUENCES (SCAN_CURRVAL | SCAN_NEXTVAL | SCAN_INSERT | SCAN_DEFAULTS)
#define SCAN_PLAIN (SCAN_SEQUENCES | SCAN_SAVEPOINT)

/* Returns true for ordinary SQL that leaves nothing in the session but, perhaps, values of sequences. */
static inline bool
traits_are_plain(uint32_t flags, uint32_t hints)
{
	return (flags & ~(uint32_t)SCAN_PLAIN) == 0 && (hints & ~(uint32_t)(SCAN_HINT_NOTIFY | SCAN_HINT_ENDS)) == 0;
}

/* Returns true for a statement that PostgreSQL plans, judged by its first word (enum sql_word). */
static inline bool
traits_are_plannable(uint32_t first)
{
	switch ((enum sql_word)first) {
	case WORD_SELECT:
	case WORD_INSERT:
	case WORD_UPDATE:
	case WORD_DELETE:
	case WORD_MERGE:
	case WORD_VALUES:
	case WORD_WITH:
	case WORD_TABLE:
		return true;
	default:
		return false;
	}
}

/* Sets the traits from s, the scan of this SQL, which must lie in one piece. */
void traits_set_from_scan(struct sql_traits *v, const struct scan *s, const char *sql, size_t len);
/* Sets the union of the traits that this SQL has under all settings of the session (scan_text_all_options()). */
void traits_set_for_all_options(struct sql_traits *v, const char *sql, size_t len);
/* Adds the hints of enum traits_hint to v, unless v has them. */
void traits_add_parse_hints(struct sql_traits *v, const char *sql, size_t len);

/*
 * --- listen_text.c: replaces the SQL of a LISTEN, for a server that must not listen.
 *
 * Another connection listens for the client (listen/listen.h). In place of the LISTEN, the server that the client has
 * borrowed runs a substitute: an UNLISTEN of the same channel, with a comment that marks it. The UNLISTEN leaves
 * nothing in the session, but PostgreSQL accepts or refuses it exactly as it would the LISTEN, with the same notice if
 * the channel's name is too long.
 */
/* Appends the substitute for sql, without a terminator. sql must be a single statement that known_parse() takes for a
 * LISTEN. Returns false if sql does not begin with LISTEN. */
bool listen_text_substitute(const char *sql, size_t len, struct buf *out);
/* Returns true if listen_text_substitute() made this SQL. */
bool listen_text_is_substitute(const char *sql, size_t len);

/*
 * --- trailing_comment.c: finds the comment (sqlcommenter) in which frameworks name a query's web request.
 *
 * The comment has the form key='value',..., and differs each time, so one statement looks like thousands.
 *
 * Returns the length of the SQL without such a comment, and without the white space before the comment. Only white
 * space and a semicolon may follow the comment. Returns len if there is no such comment.
 */
size_t trailing_comment_at(const char *sql, size_t len);
