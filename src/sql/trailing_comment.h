/*
 * src/sql/trailing_comment.h - the comment at the end of a query that names its origin (sqlcommenter). Pure.
 *
 * Frameworks append key='value',... of the web request: so one statement looks like thousands.
 */
#ifndef PGWEIR_SQL_TRAILING_COMMENT_H
#define PGWEIR_SQL_TRAILING_COMMENT_H

#include <stddef.h>

/*
 * Returns the length of the SQL without a comment of that form and the white space before it. Only white space and a
 * semicolon may follow the comment. Returns len if there is none.
 */
size_t trailing_comment_at(const char *sql, size_t len);

#endif
