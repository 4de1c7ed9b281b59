/*
 * src/sql/traits.h - the facts about SQL by which each feature can tell whether the SQL concerns it.
 *
 * The SQL of a simple Query is read when the Query comes; the SQL of a prepared statement when the statement is first
 * seen (statement_traits()). While a query is relayed, no other code looks into its SQL, except that a feature which
 * the traits concern may parse the SQL (known.h, sql_token.h). The functions are pure.
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
	uint8_t first; /* enum sql_word: the first word with which a statement in the SQL begins */
	bool is_plain; /* traits_are_plain() */
};

/* Hints for SQL of a Parse: they decide whether clients with other settings may share the statement. */
enum traits_hint {
	TRAITS_LITERALS = 1u << 8, /* the SQL may have literals, or is not ASCII */
	TRAITS_MOMENT = 1u << 9, /* the SQL may have literals like 'now', which mean the time of the Parse */
	TRAITS_NULL = 1u << 10, /* the SQL compares something with NULL: see transform_null_equals */
	TRAITS_OF_PARSE = 1u << 11, /* traits_of_parse() has run, so the other hints of this enum are valid */
	TRAITS_MAY_FAIL = 1u << 12, /* the SQL has parameters, and an expression that may fail when the plan runs */
	TRAITS_NOTICED = 1u << 13, /* a Parse of the SQL was answered with a notice; set by statements/keep.c */
	TRAITS_PARSE_ALL = 0x3fu << 8 /* TRAITS_LITERALS to TRAITS_NOTICED */
};

/*
 * SCAN_SEQUENCES has the flags of SQL that may use sequences. SCAN_PLAIN adds savepoints, which leave nothing in the
 * session, so SQL with no other flags needs no probe.
 */
#define SCAN_SEQUENCES (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT | SCAN_WRITES)
#define SCAN_PLAIN (SCAN_SEQUENCES | SCAN_SAVEPOINT)

/* Returns true for SQL that leaves nothing behind except, perhaps, the backend's memory of sequences. */
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
void traits_of_scan(struct sql_traits *v, const struct scan *s, const char *sql, size_t len);
/* Sets traits that hold whichever settings PostgreSQL reads this SQL under (scan_text_all_options). */
void traits_of_all_options(struct sql_traits *v, const char *sql, size_t len);
/* Adds the hints of a Parse, unless v has them. */
void traits_of_parse(struct sql_traits *v, const char *sql, size_t len);

/* --- SQL that is replaced or cut: a LISTEN, a comment at the end. The functions are pure --- */

/*
 * --- listen_text.c: replaces the SQL of a LISTEN, for a server that must not listen.
 *
 * Another connection listens for the client (listen/listen.h). In place of the LISTEN, the server that the client has
 * borrowed runs an UNLISTEN of the same channel. The UNLISTEN parses, fails and commits where the LISTEN would, names
 * the same channel (also in the notice that a name was truncated), and leaves nothing behind. A comment marks it. The
 * functions are pure.
 */
/* Appends the substitute for sql, a single LISTEN (known_parse()), unterminated. Returns false if sql is no LISTEN. */
bool listen_text_substitute(const char *sql, size_t len, struct buf *out);
/* Returns true if listen_text_substitute() made this SQL. */
bool listen_text_is_substitute(const char *sql, size_t len);

/*
 * --- trailing_comment.c: finds the comment at the end of a query by which frameworks name the query's origin
 * (sqlcommenter). The functions are pure.
 *
 * Frameworks append key='value',... about the web request, so one statement looks like thousands.
 */
/*
 * Returns the length of the SQL without a comment of that form and the white space before it. Only white space and a
 * semicolon may follow the comment. Returns len if there is none.
 */
size_t trailing_comment_at(const char *sql, size_t len);
