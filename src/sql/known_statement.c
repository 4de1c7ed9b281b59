/* src/sql/known_statement.c - the known statements that are not about settings, after gram.y. */
#include "sql/known_rules.h"

#include <stdio.h>
#include <string.h>

enum known_kind
known_discard(struct known_reader *r, struct known *k)
{
	(void)k;
	if (known_skip_word(r, "all"))
		return KNOWN_DISCARD_ALL;
	return known_skip_word(r, "plans") || known_skip_word(r, "sequences") || known_skip_word(r, "temp") ||
		       known_skip_word(r, "temporary")
		   ? KNOWN_DISCARD_PART
		   : KNOWN_NOT;
}

enum known_kind
known_listen(struct known_reader *r, struct known *k)
{
	return known_take_identifier(r, k->name) ? KNOWN_LISTEN : KNOWN_NOT;
}

enum known_kind
known_unlisten(struct known_reader *r, struct known *k)
{
	if (known_skip_char(r, '*'))
		return KNOWN_UNLISTEN_ALL;
	return known_take_identifier(r, k->name) ? KNOWN_UNLISTEN : KNOWN_NOT;
}

enum known_kind
known_close(struct known_reader *r, struct known *k)
{
	(void)k;
	return known_skip_word(r, "all") ? KNOWN_CLOSE_ALL : KNOWN_NOT;
}

/* ISOLATION LEVEL SERIALIZABLE, READ ONLY, NOT DEFERRABLE, with or without commas. */
static void
skip_modes(struct known_reader *r)
{
	while (r->token.kind == SQL_WORD || known_is_char(r, ','))
		known_next(r);
}

enum known_kind
known_begin(struct known_reader *r, struct known *k)
{
	(void)k;
	skip_modes(r);
	return KNOWN_BEGIN;
}

enum known_kind
known_start(struct known_reader *r, struct known *k)
{
	(void)k;
	if (!known_skip_word(r, "transaction"))
		return KNOWN_NOT;
	skip_modes(r);
	return KNOWN_BEGIN;
}

/* Reads [WORK | TRANSACTION] [AND NO CHAIN]; stops at anything else. */
static void
skip_end_options(struct known_reader *r)
{
	struct known_reader ahead;

	if (!known_skip_word(r, "work"))
		known_skip_word(r, "transaction");
	ahead = *r;
	if (known_skip_word(&ahead, "and") && known_skip_word(&ahead, "no") && known_skip_word(&ahead, "chain"))
		*r = ahead;
}

enum known_kind
known_commit(struct known_reader *r, struct known *k)
{
	(void)k;
	skip_end_options(r);
	return KNOWN_COMMIT;
}

enum known_kind
known_rollback(struct known_reader *r, struct known *k)
{
	(void)k;
	skip_end_options(r);
	return KNOWN_ROLLBACK;
}

enum known_kind
known_savepoint(struct known_reader *r, struct known *k)
{
	return known_take_identifier(r, k->name) ? KNOWN_SAVEPOINT : KNOWN_NOT;
}

/* [SAVEPOINT] name; SAVEPOINT may be the name as well. */
static bool
take_savepoint(struct known_reader *r, struct known *k)
{
	if (!known_skip_word(r, "savepoint") || !known_is_over(r))
		return known_take_identifier(r, k->name);
	snprintf(k->name, sizeof(k->name), "savepoint");
	return true;
}

enum known_kind
known_release(struct known_reader *r, struct known *k)
{
	return take_savepoint(r, k) ? KNOWN_RELEASE : KNOWN_NOT;
}

enum known_kind
known_end(struct known_reader *r, struct known *k)
{
	(void)k;
	known_skip_rest(r);
	return KNOWN_END;
}

enum known_kind
known_rollback_any(struct known_reader *r, struct known *k)
{
	if (!known_skip_word(r, "work"))
		known_skip_word(r, "transaction");
	if (!known_skip_word(r, "to"))
		return known_end(r, k);
	return take_savepoint(r, k) ? KNOWN_ROLLBACK_TO : KNOWN_NOT;
}

enum known_kind
known_prepare_transaction(struct known_reader *r, struct known *k)
{
	return known_skip_word(r, "transaction") ? known_end(r, k) : KNOWN_NOT;
}

enum known_kind
known_prepare(struct known_reader *r, struct known *k)
{
	if (!known_take_identifier(r, k->name) || (!known_is_char(r, '(') && !known_is_word(r, "as")))
		return KNOWN_NOT;
	known_skip_rest(r);
	return KNOWN_PREPARE;
}

/* Reads arguments that run no code: literals, numbers, parameters, casts. */
static bool
skip_arguments(struct known_reader *r)
{
	while (!known_is_char(r, ')')) {
		bool is_value =
		    r->token.kind == SQL_STRING || r->token.kind == SQL_NUMBER || r->token.kind == SQL_PARAM;

		if (r->token.kind == SQL_CAST) {
			known_next(r);
			if (r->token.kind != SQL_WORD)
				return false;
		} else if (!is_value && !known_is_char(r, ',') && !known_is_char(r, '-') && !known_is_word(r, "null") &&
			   !known_is_word(r, "true") && !known_is_word(r, "false"))
			return false;
		known_next(r);
	}
	known_next(r);
	return true;
}

enum known_kind
known_execute(struct known_reader *r, struct known *k)
{
	if (!known_take_identifier(r, k->name))
		return KNOWN_NOT;
	return !known_skip_char(r, '(') || skip_arguments(r) ? KNOWN_EXECUTE : KNOWN_NOT;
}

/* [PREPARE] {name | ALL}; PREPARE may be the name as well. */
enum known_kind
known_deallocate(struct known_reader *r, struct known *k)
{
	if (known_skip_word(r, "prepare") && known_is_over(r)) {
		snprintf(k->name, sizeof(k->name), "prepare");
		return KNOWN_DEALLOCATE;
	}
	if (known_skip_word(r, "all"))
		return KNOWN_DEALLOCATE_ALL;
	return known_take_identifier(r, k->name) ? KNOWN_DEALLOCATE : KNOWN_NOT;
}

/* DATABASE [IF EXISTS] name [[WITH] (FORCE)] */
enum known_kind
known_drop(struct known_reader *r, struct known *k)
{
	struct known_reader ahead;

	if (!known_skip_word(r, "database"))
		return KNOWN_NOT;
	ahead = *r;
	if (known_skip_word(&ahead, "if") && known_skip_word(&ahead, "exists"))
		*r = ahead;
	if (!known_take_identifier(r, k->name))
		return KNOWN_NOT;
	known_skip_word(r, "with");
	if (known_is_char(r, '('))
		known_skip_rest(r);
	return KNOWN_DROP_DATABASE;
}

static bool
take_option_value(struct known_reader *r, char value[static KNOWN_VALUE_MAX])
{
	known_skip_char(r, '=');
	if (r->token.kind == SQL_STRING)
		return known_take_string(r, value);
	known_skip_char(r, '-');
	if (r->token.kind == SQL_NUMBER || known_is_word(r, "default")) {
		*value = '\0';
		known_next(r);
		return true;
	}
	return known_take_identifier(r, value);
}

/* DATABASE name [[WITH] option [=] value ...] */
enum known_kind
known_create(struct known_reader *r, struct known *k)
{
	char option[KNOWN_NAME_MAX], value[KNOWN_VALUE_MAX];

	if (!known_skip_word(r, "database") || !known_take_identifier(r, k->name))
		return KNOWN_NOT;
	known_skip_word(r, "with");
	while (!known_is_over(r)) {
		if (!known_take_identifier(r, option))
			return KNOWN_NOT;
		if (strcmp(option, "connection") == 0)
			known_skip_word(r, "limit");
		if (!take_option_value(r, value))
			return KNOWN_NOT;
		if (strcmp(option, "template") == 0)
			snprintf(k->value, sizeof(k->value), "%s", value);
	}
	return KNOWN_CREATE_DATABASE;
}

/* DATABASE name RENAME TO name */
enum known_kind
known_alter(struct known_reader *r, struct known *k)
{
	char name[KNOWN_NAME_MAX];

	if (!known_skip_word(r, "database") || !known_take_identifier(r, k->name) || !known_skip_word(r, "rename") ||
	    !known_skip_word(r, "to") || !known_take_identifier(r, name))
		return KNOWN_NOT;
	return KNOWN_RENAME_DATABASE;
}
