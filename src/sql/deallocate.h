/*
 * src/sql/deallocate.h - is this text a DEALLOCATE, or what else throws prepared statements away?
 *
 * Pure; looks at the first words only: white space and comments (nested, too) are skipped as PostgreSQL does (manual
 * 4.1.5). Texts of several statements are none of these, but for DEALLOCATE ALL and DISCARD ALL at their beginning.
 */
#ifndef PGWEIR_SQL_DEALLOCATE_H
#define PGWEIR_SQL_DEALLOCATE_H

#include <stddef.h>

enum deallocate_kind {
	DEALLOCATE_NONE,
	DEALLOCATE_NAME, /* DEALLOCATE [PREPARE] name */
	DEALLOCATE_ALL /* DEALLOCATE [PREPARE] ALL, DISCARD ALL */
};

#define DEALLOCATE_NAME_MAX 64 /* bytes with terminator: NAMEDATALEN; longer ones are cut as PostgreSQL does */

/* name: the identifier as PostgreSQL reads it (folded to lower case unless quoted). */
enum deallocate_kind deallocate_parse(const char *sql, size_t len, char name[static DEALLOCATE_NAME_MAX]);

#endif
