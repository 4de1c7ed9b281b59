/*
 * src/sql/listen_text.h - replaces the SQL of a LISTEN, for a server that must not listen.
 *
 * Another connection listens for a client (listen/listen.h). The server it has borrowed runs UNLISTEN of the same name
 * in place of LISTEN: that parses, fails and commits where LISTEN would, has the same name (also in the notice that a
 * name was truncated), and leaves nothing behind. A comment in it marks it, so that it is recognised later. Pure.
 */
#ifndef PGWEIR_SQL_LISTEN_TEXT_H
#define PGWEIR_SQL_LISTEN_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* sql is one LISTEN (by known_parse): appends the substitute, without a terminator. Returns false: it is none. */
bool listen_text_substitute(const char *sql, size_t len, struct buf *out);
/* Returns true if listen_text_substitute has made it. */
bool listen_text_is_substitute(const char *sql, size_t len);
/* Appends the name as a quoted identifier. */
void listen_text_quote(struct buf *out, const char *channel);

#endif
