/* tests/unit/test_command.c - the command that a CommandComplete's tag is of. Links wire/tag.c. */
#include "wire/tag.h"

#include <criterion/criterion.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct {
	const char *tag;
	enum tag_id id;
	unsigned has, has_not;
} cases[] = {
	{ "", TAG_OTHER, 0, ~0u },
	{ "SELECT 5", TAG_SELECT, TAG_IS_QUIET | TAG_NEEDS_NO_COMMIT, TAG_SETS_NOTHING | TAG_WRITES },
	{ "INSERT 0 1", TAG_OTHER, TAG_IS_QUIET | TAG_WRITES | TAG_SETS_NOTHING, TAG_IS_DDL },
	{ "DELETE 12", TAG_OTHER, TAG_IS_QUIET | TAG_WRITES, TAG_NEEDS_NO_COMMIT },
	{ "UNLISTEN", TAG_UNLISTEN, 0, ~0u },
	{ "IMPORT FOREIGN SCHEMA", TAG_OTHER, TAG_CHANGES_CODE, TAG_IS_QUIET | TAG_IS_DDL },
	{ "DEALLOCATE", TAG_DEALLOCATE, TAG_NEEDS_NO_COMMIT, TAG_IS_QUIET },
	{ "DEALLOCATE ALL", TAG_DEALLOCATE_ALL, TAG_NEEDS_NO_COMMIT, TAG_IS_QUIET },
	{ "DISCARD ALL", TAG_DISCARD_ALL, 0, ~0u },
	{ "DISCARD PLANS", TAG_OTHER, 0, ~0u },
	{ "COMMIT", TAG_COMMIT, TAG_SETS_NOTHING, TAG_CHANGES_CODE },
	{ "COMMIT PREPARED", TAG_COMMIT_PREPARED, TAG_CHANGES_CODE, TAG_SETS_NOTHING },
	{ "ROLLBACK", TAG_ROLLBACK, TAG_NEEDS_NO_COMMIT, TAG_IS_QUIET },
	{ "ROLLBACK PREPARED", TAG_OTHER, TAG_NEEDS_NO_COMMIT, TAG_IS_QUIET },
	{ "PREPARE", TAG_OTHER, TAG_NEEDS_NO_COMMIT, 0 },
	{ "PREPARE TRANSACTION", TAG_PREPARE_TRANSACTION, TAG_NEEDS_NO_COMMIT, 0 },
	{ "CREATE TABLE", TAG_OTHER, TAG_IS_CREATE | TAG_IS_DDL | TAG_WRITES, TAG_CHANGES_PLANS | TAG_MAKES_CODE },
	{ "CREATE TABLESPACE", TAG_OTHER, TAG_IS_CREATE | TAG_CHANGES_CODE, 0 },
	{ "CREATE FUNCTION", TAG_OTHER, TAG_MAKES_CODE | TAG_CHANGES_PLANS, 0 },
	{ "ALTER DATABASE", TAG_OTHER, TAG_IS_OF_DATABASE | TAG_IS_DDL, TAG_IS_CREATE },
	{ "ALTER SYSTEM", TAG_OTHER, TAG_IS_DDL, TAG_IS_OF_DATABASE | TAG_IS_CREATE },
	{ "DROP INDEX", TAG_DROP, TAG_IS_DDL, TAG_CHANGES_PLANS | TAG_CHANGES_CODE },
	{ "DROP VIEW", TAG_DROP, TAG_IS_DDL | TAG_CHANGES_PLANS, TAG_CHANGES_CODE },
	{ "DO", TAG_OTHER, TAG_WRITES | TAG_CHANGES_CODE, TAG_IS_DDL },
	{ "DOMAIN", TAG_OTHER, 0, ~0u },
	{ "COPY 7", TAG_COPY, TAG_WRITES, TAG_IS_QUIET },
	{ "COPYING", TAG_OTHER, 0, ~0u },
};

Test(tag, is_read)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tag c = tag_read(cases[i].tag);

		cr_expect_eq(c.id, cases[i].id, "%s is %d", cases[i].tag, c.id);
		cr_expect_eq(c.flags & cases[i].has, cases[i].has, "%s has flags %x", cases[i].tag, c.flags);
		cr_expect_eq(c.flags & cases[i].has_not, 0, "%s has flags %x", cases[i].tag, c.flags);
	}
}
