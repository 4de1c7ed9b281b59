/* src/sql/recognise.h - SQL that is one thing and nothing else: COMMIT, DEALLOCATE, LISTEN, a signal, a comment. Pure.
 */
#ifndef PGWEIR_SQL_RECOGNISE_H
#define PGWEIR_SQL_RECOGNISE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* --- commit_text.c: recognises SQL that is one COMMIT and nothing else, in all its spellings. Pure. */
enum commit_text {
	COMMIT_TEXT_NOT, /* other SQL, several statements, COMMIT PREPARED */
	COMMIT_TEXT_PLAIN, /* COMMIT, END [WORK|TRANSACTION] [AND NO CHAIN] [;] */
	COMMIT_TEXT_CHAIN /* ... AND CHAIN */
};

/* sql has no terminator within len. Comments and white space are skipped as PostgreSQL does. */
enum commit_text commit_text_read(const char *sql, size_t len);

/*
 * --- deallocate_text.c: recognises SQL that deallocates prepared statements: DEALLOCATE, DISCARD ALL.
 *
 * Pure; reads the first words only; white space and comments (nested, too) are skipped as PostgreSQL does (manual
 * 4.1.5). Among several statements, only a DEALLOCATE ALL or DISCARD ALL at the beginning is recognised.
 */
enum deallocate_kind {
	DEALLOCATE_NONE,
	DEALLOCATE_NAME, /* DEALLOCATE [PREPARE] name */
	DEALLOCATE_ALL /* DEALLOCATE [PREPARE] ALL, DISCARD ALL */
};

#define DEALLOCATE_NAME_MAX 64 /* bytes with terminator: NAMEDATALEN; longer ones are cut as PostgreSQL does */

/* name: the identifier as PostgreSQL reads it (folded to lower case unless quoted). */
enum deallocate_kind deallocate_parse(const char *sql, size_t len, char name[static DEALLOCATE_NAME_MAX]);

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
/* Appends the name as a quoted identifier. */
void listen_text_quote(struct buf *out, const char *channel);

/*
 * --- signal_text.c: recognises SQL that is one call of pg_cancel_backend() or pg_terminate_backend() and nothing
 * else, so that nobody but whoever runs it can have called the function. Pure.
 */
enum signal_text {
	SIGNAL_TEXT_NOT, /* other SQL, several statements, arguments that are more than constants and parameters */
	SIGNAL_TEXT_CANCEL, /* SELECT [* FROM] [pg_catalog.]pg_cancel_backend(...) [[AS] name] [;] */
	SIGNAL_TEXT_TERMINATE /* the same of pg_terminate_backend() */
};

/*
 * sql has no terminator within len. Comments and white space are skipped as PostgreSQL does. SQL with a backslash or
 * bytes beyond ASCII is none: how it is read depends on settings.
 */
enum signal_text signal_text_read(const char *sql, size_t len);

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

#endif
