/*
 * src/sql/trailing_comment.h - the comment at the end of a query that says who asks (sqlcommenter). Pure.
 *
 * Frameworks append key='value',... of the request at hand: texts that are one statement look like thousands.
 */
#ifndef PGWEIR_SQL_TRAILING_COMMENT_H
#define PGWEIR_SQL_TRAILING_COMMENT_H

#include <stddef.h>

/*
 * The length of the text without a comment of that form, which must be the last thing but for white space and a
 * semicolon, and without the white space before it; len: there is none.
 */
size_t trailing_comment_at(const char *sql, size_t len);

#endif
