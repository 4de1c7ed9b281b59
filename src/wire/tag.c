#include "wire/tag.h"

#include <stddef.h>
#include <string.h>

#define CALM (TAG_IS_QUIET | TAG_SETS_NOTHING)
#define IN_XID TAG_SHOWS_IN_XID
#define WRITES TAG_WRITES
#define DDL (TAG_IS_DDL | TAG_WRITES)
#define CREATE (DDL | TAG_IS_CREATE)
#define PLANS TAG_CHANGES_PLANS
#define CODE TAG_CHANGES_CODE
#define MAKES TAG_MAKES_CODE
#define DEFAULTS TAG_CHANGES_DEFAULTS
#define DATABASE TAG_IS_OF_DATABASE
#define ROLES TAG_CHANGES_ROLES

struct row {
	const char *words;
	struct tag command;
};

/* The tags that matter, but for the commonest, which tag_read() and tag_read_other() recognize without this table. A
 * tag belongs to the first row whose words are the tag's first words, so rows with more words come first. */
static const struct row rows[] = {
	{ "ALTER DATABASE", { 0, DDL | DATABASE | DEFAULTS } },
	{ "ALTER DOMAIN", { 0, DDL | CODE | PLANS } },
	{ "ALTER EXTENSION", { 0, DDL | CODE | MAKES } },
	{ "ALTER FUNCTION", { 0, DDL | CODE | PLANS } },
	{ "ALTER MATERIALIZED VIEW", { 0, DDL | CODE | PLANS } },
	{ "ALTER ROLE", { 0, DDL | DEFAULTS | ROLES } },
	{ "ALTER TABLE", { 0, DDL | CODE | PLANS } },
	{ "ALTER TYPE", { 0, DDL | CODE | PLANS } },
	{ "ALTER VIEW", { 0, DDL | CODE | PLANS } },
	{ "ALTER", { 0, DDL | CODE } },
	{ "CALL", { 0, WRITES } },
	{ "CLOSE CURSOR", { 0, IN_XID } },
	{ "COMMIT PREPARED", { TAG_COMMIT_PREPARED, CODE } },
	{ "COPY", { TAG_COPY, WRITES } },
	{ "CREATE DATABASE", { 0, CREATE | DATABASE } },
	{ "CREATE DOMAIN", { 0, CREATE | CODE } },
	{ "CREATE EXTENSION", { 0, CREATE | CODE | MAKES } },
	{ "CREATE FUNCTION", { 0, CREATE | CODE | PLANS | MAKES } },
	{ "CREATE PROCEDURE", { 0, CREATE | CODE | MAKES } },
	{ "CREATE ROLE", { 0, CREATE | CODE | ROLES } },
	{ "CREATE TABLE", { 0, CREATE | CODE } },
	{ "CREATE TYPE", { 0, CREATE | CODE } },
	{ "CREATE VIEW", { 0, CREATE | CODE | PLANS } },
	{ "CREATE", { 0, CREATE | CODE } },
	{ "DEALLOCATE ALL", { TAG_DEALLOCATE_ALL, IN_XID } },
	{ "DEALLOCATE", { TAG_DEALLOCATE, IN_XID } },
	{ "DISCARD ALL", { TAG_DISCARD_ALL, 0 } },
	{ "DO", { 0, WRITES | CODE } },
	{ "DROP DOMAIN", { TAG_DROP, DDL | PLANS } },
	{ "DROP EXTENSION", { TAG_DROP, DDL | PLANS } },
	{ "DROP FUNCTION", { TAG_DROP, DDL | PLANS } },
	{ "DROP OWNED", { TAG_DROP, DDL | PLANS } },
	{ "DROP ROLE", { TAG_DROP, DDL | ROLES } },
	{ "DROP SCHEMA", { TAG_DROP, DDL | PLANS } },
	{ "DROP TABLE", { TAG_DROP, DDL | PLANS } },
	{ "DROP TYPE", { TAG_DROP, DDL | PLANS } },
	{ "DROP VIEW", { TAG_DROP, DDL | PLANS } },
	{ "DROP", { TAG_DROP, DDL } },
	{ "EXPLAIN", { TAG_SELECT, TAG_IS_QUIET | IN_XID } },
	{ "FETCH", { 0, IN_XID } },
	{ "GRANT ROLE", { 0, DDL } },
	{ "IMPORT", { 0, CODE } },
	{ "LOCK TABLE", { 0, IN_XID } },
	{ "MERGE", { 0, WRITES } },
	{ "MOVE", { 0, IN_XID } },
	{ "PREPARE TRANSACTION", { TAG_PREPARE_TRANSACTION, IN_XID } },
	{ "PREPARE", { 0, IN_XID } },
	{ "RELEASE", { TAG_RELEASE, IN_XID } },
	{ "RESET", { TAG_RESET, 0 } },
	{ "REVOKE ROLE", { 0, DDL } },
	{ "ROLLBACK PREPARED", { 0, IN_XID } },
	{ "ROLLBACK", { TAG_ROLLBACK, IN_XID } },
	{ "SAVEPOINT", { TAG_SAVEPOINT, IN_XID } },
	{ "SET", { 0, IN_XID } },
	{ "SHOW", { 0, IN_XID } },
	{ "START TRANSACTION", { TAG_BEGIN, IN_XID } },
	{ "TRUNCATE", { 0, WRITES } },
	{ "UNLISTEN", { TAG_UNLISTEN, 0 } },
};

struct tag
tag_read_other(const char *tag)
{
	/* INSERT, UPDATE, DELETE */
	if ((tag[0] == 'I' && tag[1] == 'N') || (tag[0] == 'U' && tag[1] == 'P') ||
	    (tag[0] == 'D' && tag[1] == 'E' && tag[2] == 'L'))
		return (struct tag){ 0, CALM | WRITES };
	if (tag[0] == 'B') /* BEGIN */
		return (struct tag){ TAG_BEGIN, CALM | IN_XID };
	if (strcmp(tag, "COMMIT") == 0)
		return (struct tag){ TAG_COMMIT, TAG_SETS_NOTHING };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].words);

		if (rows[i].words[0] == tag[0] && strncmp(tag, rows[i].words, len) == 0 &&
		    (tag[len] == '\0' || tag[len] == ' '))
			return rows[i].command;
	}
	return (struct tag){ 0 };
}
