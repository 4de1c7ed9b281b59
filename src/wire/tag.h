/*
 * src/wire/tag.h - the command tag of a CommandComplete, and the effects that a command with this tag may have had.
 *
 * A tag consists of the command's words and, for some commands, counts ("INSERT 0 1"): see PostgreSQL's manual,
 * "Message Formats", and src/include/tcop/cmdtaglist.h. The text is read once, and then only its struct tag is used.
 */
#pragma once

#include <stdint.h>

enum tag_id {
	TAG_OTHER, /* a tag that is not in this enum, or no tag yet */
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
	TAG_SELECT, /* also SELECT INTO, CREATE TABLE AS, and EXPLAIN, which runs its statement if it has ANALYZE */
	TAG_UNLISTEN
};

enum tag_flag {
	TAG_IS_QUIET = 1, /* relay/completed.c need not look for effects, unless a SELECT made a table */
	TAG_SETS_NOTHING = 2, /* the command has certainly changed no setting */
	TAG_SHOWS_IN_XID = 4, /* if the command has had any lasting effect, its transaction has a transaction ID */
	TAG_WRITES = 8, /* the command has most probably written */
	TAG_IS_DDL = 16, /* CREATE, ALTER or DROP */
	TAG_CHANGES_PLANS = 32, /* SQL that was prepared before may now mean something else */
	TAG_CHANGES_CODE = 64, /* functions, or objects that call functions, may have changed */
	TAG_MAKES_CODE = 128, /* functions may have been created; these may keep state that no command resets */
	TAG_IS_OF_DATABASE = 256, /* CREATE DATABASE or ALTER DATABASE */
	TAG_IS_CREATE = 512,
	TAG_CHANGES_DEFAULTS = 1024, /* the settings with which sessions begin may have changed */
	TAG_CHANGES_ROLES = 2048 /* passwords of roles and memberships in roles may have changed */
};

struct tag {
	uint16_t id; /* enum tag_id */
	uint16_t flags; /* enum tag_flag */
};

struct tag tag_read_other(const char *tag); /* a part of tag_read() */
/* Looks up the text of a CommandComplete's tag, which must have a terminator. */
static inline struct tag
tag_read(const char *tag)
{
	if (tag[0] == 'S' && tag[1] == 'E' && tag[2] == 'L')
		return (struct tag){ TAG_SELECT, TAG_IS_QUIET | TAG_SHOWS_IN_XID };
	return tag_read_other(tag);
}
