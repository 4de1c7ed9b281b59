/*
 * src/sql/deallocate.h - recognises SQL that deallocates prepared statements: DEALLOCATE, DISCARD ALL.
 *
 * Pure; reads the first words only; white space and comments (nested, too) are skipped as PostgreSQL does (manual
 * 4.1.5). Of several statements, only a DEALLOCATE ALL or DISCARD ALL at the beginning is recognised.
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
