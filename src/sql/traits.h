/*
 * src/sql/traits.h - one reading of SQL: all that a feature must know to tell whether it is concerned.
 *
 * Each SQL is read once: a simple Query's when it comes, a statement's when it is first seen (statement_traits()). No
 * other code looks into SQL on the way of a query, except a feature that the traits concern: that may take the SQL
 * apart (known.h, sql_token.h). Pure.
 */
#pragma once

#include "base/buf.h"
#include "sql/scan.h"
#include "sql/sql_words.h"

#include <stdbool.h>
#include <stddef.h>

struct sql_traits {
	uint32_t flags; /* enum scan_flag: what it may leave in the session */
	uint16_t hints; /* enum scan_hint and enum traits_hint */
	uint8_t first; /* enum sql_word: the first one that a statement in it begins with */
	bool is_plain; /* traits_are_plain() */
};

/* For SQL of a Parse: what decides whether clients with other settings may share the statement. */
enum traits_hint {
	TRAITS_LITERALS = 1u << 8, /* it may have literals, or is not ASCII */
	TRAITS_MOMENT = 1u << 9, /* literals like 'now': they mean the time of the Parse */
	TRAITS_NULL = 1u << 10, /* it compares something with NULL: see transform_null_equals */
	TRAITS_OF_PARSE = 1u << 11, /* these hints were looked for */
	TRAITS_PARSE_ALL = TRAITS_LITERALS | TRAITS_MOMENT | TRAITS_NULL | TRAITS_OF_PARSE
};

/* The flags of SQL that may use sequences; and all that need no probe: a savepoint leaves nothing in the session. */
#define SCAN_SEQUENCES (SCAN_SEQUENCE | SCAN_NEXTVAL | SCAN_INSERT | SCAN_WRITES)
#define SCAN_PLAIN (SCAN_SEQUENCES | SCAN_SAVEPOINT)

/* Returns true for SQL that leaves nothing but, perhaps, the backend's memory of sequences. */
static inline bool
traits_are_plain(uint32_t flags, uint32_t hints)
{
	return (flags & ~(uint32_t)SCAN_PLAIN) == 0 && (hints & ~(uint32_t)(SCAN_HINT_NOTIFY | SCAN_HINT_ENDS)) == 0;
}

/* Returns true for a statement that PostgreSQL makes a plan of, by its first word (enum sql_word). */
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

/* s: the scan of this SQL, which lies in one piece. */
void traits_of_scan(struct sql_traits *v, const struct scan *s, const char *sql, size_t len);
/* The traits whichever settings PostgreSQL reads this SQL under (scan_text_anyhow). */
void traits_anyhow(struct sql_traits *v, const char *sql, size_t len);
/* Adds the hints of a Parse, unless v has them. */
void traits_of_parse(struct sql_traits *v, const char *sql, size_t len);

/* --- texts that are replaced or cut: a LISTEN, a comment at the end. Pure --- */

/*
 * --- listen_text.c: replaces the SQL of a LISTEN, for a server that must not listen.
 *
 * Another connection listens for a client (listen/listen.h). The server it has borrowed runs UNLISTEN of the same name
 * in place of LISTEN: that parses, fails and commits where LISTEN would, has the same name (also in the notice that a
 * name was truncated), and leaves nothing behind. A comment in it marks it, so that it is recognised later. Pure.
 */
/* sql is one LISTEN (by known_parse): appends the substitute, without a terminator. Returns false if it is none. */
bool listen_text_substitute(const char *sql, size_t len, struct buf *out);
/* Returns true if listen_text_substitute has made it. */
bool listen_text_is_substitute(const char *sql, size_t len);

/*
 * --- trailing_comment.c: the comment at the end of a query that names its origin (sqlcommenter). Pure.
 *
 * Frameworks append key='value',... of the web request: so one statement looks like thousands.
 */
/*
 * Returns the length of the SQL without a comment of that form and the white space before it. Only white space and a
 * semicolon may follow the comment. Returns len if there is none.
 */
size_t trailing_comment_at(const char *sql, size_t len);
