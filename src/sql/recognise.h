/* src/sql/recognise.h - texts that are replaced or cut: a LISTEN, a comment at the end. Pure. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

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
/* Appends the LISTEN that a substitute stands for, without a terminator. Returns false if sql is none. */
bool listen_text_restore(const char *sql, size_t len, struct buf *out);

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
