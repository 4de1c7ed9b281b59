/*
 * src/wire/tag.h - the command tag of a CommandComplete, and what such a command may have done.
 *
 * A tag is the command's words and, for some, counts ("INSERT 0 1"): PostgreSQL's "Message Formats", and its
 * src/include/tcop/cmdtaglist.h. It is read once, and compared by these from there on.
 */
#pragma once

#include <stdint.h>

enum tag_id {
	TAG_OTHER, /* one that has no name here, or none yet */
	TAG_BEGIN, /* also START TRANSACTION */
	TAG_COMMIT,
	TAG_COMMIT_PREPARED,
	TAG_COPY,
	TAG_DEALLOCATE,
	TAG_DEALLOCATE_ALL,
	TAG_DISCARD_ALL,
	TAG_DROP,
	TAG_PREPARE_TRANSACTION,
	TAG_RELEASE,
	TAG_RESET,
	TAG_ROLLBACK, /* also a COMMIT of a failed transaction, and ROLLBACK TO */
	TAG_SAVEPOINT,
	TAG_SELECT, /* also SELECT INTO and CREATE TABLE AS, and EXPLAIN, which runs these with ANALYZE */
	TAG_UNLISTEN
};

enum tag_flag {
	TAG_IS_QUIET = 1, /* nothing but the report and commit_check depends on it; SELECT: unless it made a table */
	TAG_SETS_NOTHING = 2, /* certainly no setting has been changed by it */
	TAG_NEEDS_NO_COMMIT = 4, /* it leaves nothing that fails to show as a transaction's number */
	TAG_WRITES = 8, /* it has most probably written something */
	TAG_IS_DDL = 16, /* CREATE, ALTER or DROP */
	TAG_CHANGES_PLANS = 32, /* SQL that was prepared before may mean something else */
	TAG_CHANGES_CODE = 64, /* functions may have changed, or what calls one */
	TAG_MAKES_CODE = 128, /* functions, which alone can keep state that nothing resets */
	TAG_IS_OF_DATABASE = 256, /* CREATE or ALTER DATABASE */
	TAG_IS_CREATE = 512,
	TAG_CHANGES_DEFAULTS = 1024, /* settings that sessions begin with may have changed */
	TAG_CHANGES_ROLES = 2048 /* secrets of roles, and who is a member of which */
};

struct tag {
	uint16_t id; /* enum tag_id */
	uint16_t flags; /* enum tag_flag */
};

struct tag tag_read_other(const char *tag); /* than SELECT */
/* Returns the command of a CommandComplete's tag, which ends with a zero byte. */
static inline struct tag
tag_read(const char *tag)
{
	if (tag[0] == 'S' && tag[1] == 'E' && tag[2] == 'L')
		return (struct tag){ TAG_SELECT, TAG_IS_QUIET | TAG_NEEDS_NO_COMMIT };
	return tag_read_other(tag);
}
