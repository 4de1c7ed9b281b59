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

enum known_kind
known_begin_transaction(struct known_reader *r, struct known *k)
{
	while (r->token.kind == SQL_WORD || known_is_char(r, ',')) {
		k->is_read_only |= sql_is_word(&r->token, "only", 4);
		k->has_other_mode |= sql_is_word(&r->token, "write", 5) || sql_is_word(&r->token, "serializable", 12);
		known_next(r);
	}
	return KNOWN_BEGIN;
}

enum known_kind
known_start(struct known_reader *r, struct known *k)
{
	return known_skip_word(r, "transaction") ? known_begin_transaction(r, k) : KNOWN_NOT;
}

/* Anything up to the statement's end. */
static enum known_kind
take_rest(struct known_reader *r, enum known_kind kind)
{
	known_skip_to(r, "");
	return kind;
}

static void
skip_work(struct known_reader *r)
{
	if (!known_skip_word(r, "work"))
		known_skip_word(r, "transaction");
}

/* Reads [AND [NO] CHAIN]. */
static enum known_kind
take_end(struct known_reader *r, enum known_kind plain, enum known_kind chained)
{
	enum known_kind kind = plain;

	if (known_skip_word(r, "and")) {
		kind = known_skip_word(r, "no") ? plain : chained;
		if (!known_skip_word(r, "chain"))
			kind = KNOWN_END;
	}
	return known_is_over(r) ? kind : take_rest(r, KNOWN_END);
}

enum known_kind
known_commit(struct known_reader *r, struct known *k)
{
	(void)k;
	skip_work(r);
	return take_end(r, KNOWN_COMMIT, KNOWN_COMMIT_CHAIN);
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
known_rollback(struct known_reader *r, struct known *k)
{
	skip_work(r);
	if (!known_skip_word(r, "to"))
		return take_end(r, KNOWN_ROLLBACK, KNOWN_END);
	return take_savepoint(r, k) ? KNOWN_ROLLBACK_TO : KNOWN_NOT;
}

/* PREPARE name ...; PREPARE TRANSACTION ends one. */
enum known_kind
known_prepare(struct known_reader *r, struct known *k)
{
	bool is_transaction = known_is_word(r, "transaction");

	if (!known_take_identifier(r, k->name))
		return KNOWN_NOT;
	if (known_is_char(r, '(') || known_is_word(r, "as"))
		return take_rest(r, KNOWN_PREPARE);
	k->name[0] = '\0';
	return is_transaction ? take_rest(r, KNOWN_END) : KNOWN_NOT;
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
	if ((!known_skip_char(r, '(') || skip_arguments(r)) && known_is_over(r))
		return KNOWN_EXECUTE;
	return take_rest(r, KNOWN_EXECUTE_ANY);
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
		known_skip_to(r, "");
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

/* EXECUTE name ... as a part of another statement. */
static enum known_kind
take_execute_within(struct known_reader *r, struct known *k)
{
	return known_skip_word(r, "execute") && known_execute(r, k) != KNOWN_NOT ? take_rest(r, KNOWN_EXECUTE_ANY)
										 : KNOWN_NOT;
}

/* [[GLOBAL | LOCAL] TEMP | UNLOGGED] TABLE ... AS EXECUTE name ... */
static enum known_kind
take_create_table(struct known_reader *r, struct known *k)
{
	if (!known_skip_word(r, "global"))
		known_skip_word(r, "local");
	if (!known_skip_word(r, "temp") && !known_skip_word(r, "temporary"))
		known_skip_word(r, "unlogged");
	if (!known_skip_word(r, "table"))
		return KNOWN_NOT;
	known_skip_to(r, "as");
	return known_skip_word(r, "as") ? take_execute_within(r, k) : KNOWN_NOT;
}

/* [ANALYZE] [VERBOSE] or (option, ...), and EXECUTE or CREATE TABLE ... AS EXECUTE */
enum known_kind
known_explain(struct known_reader *r, struct known *k)
{
	if (known_skip_char(r, '(')) {
		while (!known_is_over(r) && r->token.kind != SQL_UNTERMINATED && !known_is_char(r, ')'))
			known_next(r);
		known_next(r);
	} else {
		if (!known_skip_word(r, "analyze"))
			known_skip_word(r, "analyse");
		known_skip_word(r, "verbose");
	}
	return known_skip_word(r, "create") ? take_create_table(r, k) : take_execute_within(r, k);
}

/* DATABASE name [[WITH] option [=] value ...], or TABLE */
enum known_kind
known_create(struct known_reader *r, struct known *k)
{
	char option[KNOWN_NAME_MAX], value[KNOWN_VALUE_MAX];

	if (!known_is_word(r, "database"))
		return take_create_table(r, k);
	known_next(r);
	if (!known_take_identifier(r, k->name))
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
