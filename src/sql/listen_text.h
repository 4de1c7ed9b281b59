/*
 * src/sql/listen_text.h - the text of a LISTEN, for a server that shall not listen.
 *
 * A client's LISTEN is heard elsewhere (listen/listen.h). The server it has borrowed runs UNLISTEN of the same name in
 * its place: that parses, fails and commits where LISTEN would, speaks of the same name (also in the notice of one that
 * is cut), and leaves nothing behind. A comment in it says what it stands for, so that it is known again later. Pure.
 */
#ifndef PGWEIR_SQL_LISTEN_TEXT_H
#define PGWEIR_SQL_LISTEN_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* May this text be a LISTEN or UNLISTEN? By its first letter; a text that begins with a comment may. */
bool listen_text_may_be(const char *sql, size_t len);
/* sql is one LISTEN (known_parse says so): appends the substitute, without a terminator. False: it was none. */
bool listen_text_substitute(const char *sql, size_t len, struct buf *out);
/* Is it what listen_text_substitute makes? */
bool listen_text_is_substitute(const char *sql, size_t len);
/* Appends the name as a quoted identifier. */
void listen_text_quote(struct buf *out, const char *channel);

#endif
