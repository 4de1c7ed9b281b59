/* src/sql/known_statement.c - the forms of statements that are known, after gram.y. */
#include "sql/known_rules.h"
#include "sql/sql_class.h"
#include "sql/sql_words.h"

#include <stdio.h>
#include <string.h>

/*
 * The forms of statements. Words and characters stand for themselves, a|b stands for either of the two, words in
 * brackets may be missing, and a word in capitals is a part that a function reads (see parts[] below). The first form
 * that fits the whole statement is taken. A form may also fit SQL that PostgreSQL refuses, which has no effect.
 */
static const struct form {
	uint8_t word, or_word; /* enum sql_word with which the statement begins; or_word is an alternative, or 0 */
	const char *rest, *setting; /* setting is the name of the setting if the statement does not name it */
	enum known_kind kind;
} forms[] = {
	{ WORD_BEGIN, 0, "[work|transaction] MODES", "", KNOWN_BEGIN },
	{ WORD_START_TRANSACTION, 0, "transaction MODES", "", KNOWN_BEGIN },
	{ WORD_COMMIT, WORD_END, "[work|transaction] [and no chain]", "", KNOWN_COMMIT },
	{ WORD_COMMIT, WORD_END, "[work|transaction] and chain", "", KNOWN_COMMIT_CHAIN },
	{ WORD_COMMIT, WORD_END, "REST", "", KNOWN_END },
	{ WORD_ROLLBACK, WORD_ABORT, "[work|transaction] [and no chain]", "", KNOWN_ROLLBACK },
	{ WORD_ROLLBACK, WORD_ABORT, "[work|transaction] to [savepoint] NAME", "", KNOWN_ROLLBACK_TO },
	{ WORD_ROLLBACK, WORD_ABORT, "[work|transaction] to REST", "", KNOWN_NOT },
	{ WORD_ROLLBACK, WORD_ABORT, "[work|transaction] and chain", "", KNOWN_ROLLBACK_CHAIN },
	{ WORD_ROLLBACK, WORD_ABORT, "REST", "", KNOWN_END },
	{ WORD_SET, 0, "LOCAL SETTING =|to LOCALLY", "", KNOWN_LOCAL },
	{ WORD_SET, 0, "[session] SETTING =|to default", "", KNOWN_RESET },
	{ WORD_SET, 0, "[session] SETTING =|to VALUES", "", KNOWN_SET },
	{ WORD_SET, 0, "session authorization default", "", KNOWN_RESET_USER },
	{ WORD_SET, 0, "[session] time zone local|default", "timezone", KNOWN_RESET },
	{ WORD_SET, 0, "[session] time zone LITERAL|ZONE", "timezone", KNOWN_SET },
	{ WORD_SET, 0, "[session] names [default]", "client_encoding", KNOWN_RESET },
	{ WORD_SET, 0, "[session] names LITERAL", "client_encoding", KNOWN_SET },
	{ WORD_SET, 0, "[session] schema LITERAL", "search_path", KNOWN_SET },
	{ WORD_SET, 0, "[session] role LITERAL|ROLE", "role", KNOWN_SET },
	/* LOCAL, TRANSACTION and CONSTRAINTS are names of settings here. */
	{ WORD_SET, 0, "local|transaction|constraints =|.|to REST", "", KNOWN_NOT },
	{ WORD_SET, 0, "LOCAL role REST", "role", KNOWN_LOCAL },
	{ WORD_SET, 0, "LOCAL|transaction|constraints REST", "", KNOWN_LOCAL },
	{ WORD_RESET, 0, "all", "", KNOWN_RESET_ALL },
	{ WORD_RESET, 0, "time zone", "timezone", KNOWN_RESET },
	{ WORD_RESET, 0, "session authorization", "", KNOWN_RESET_USER },
	{ WORD_RESET, 0, "SETTING", "", KNOWN_RESET },
	{ WORD_SELECT, 0, "CONFIGS", "", KNOWN_SET },
	{ WORD_SELECT, 0, "[pg_catalog .] pg_advisory_unlock_all ( )", "", KNOWN_UNLOCK_ALL },
	{ WORD_SAVEPOINT, 0, "NAME", "", KNOWN_SAVEPOINT },
	{ WORD_RELEASE, 0, "[savepoint] NAME", "", KNOWN_RELEASE },
	{ WORD_DISCARD, 0, "all", "", KNOWN_DISCARD_ALL },
	{ WORD_DISCARD, 0, "plans|sequences|temp|temporary", "", KNOWN_DISCARD_PART },
	{ WORD_LISTEN, 0, "NAME", "", KNOWN_LISTEN },
	{ WORD_UNLISTEN, 0, "*", "", KNOWN_UNLISTEN_ALL },
	{ WORD_UNLISTEN, 0, "NAME", "", KNOWN_UNLISTEN },
	{ WORD_CLOSE, 0, "all", "", KNOWN_CLOSE_ALL },
	{ WORD_PREPARE, 0, "NAME [GROUP] as REST", "", KNOWN_PREPARE },
	{ WORD_PREPARE, 0, "transaction LITERAL", "", KNOWN_PREPARE_TRANSACTION },
	{ WORD_PREPARE, 0, "transaction REST", "", KNOWN_END },
	{ WORD_EXECUTE, 0, "NAME [( ARGUMENTS )]", "", KNOWN_EXECUTE },
	{ WORD_EXECUTE, 0, "NAME REST", "", KNOWN_EXECUTE_ANY },
	{ WORD_EXPLAIN, 0, "[GROUP] [analyze|analyse] [verbose] [create TABLE as] execute NAME REST", "",
	  KNOWN_EXECUTE_ANY },
	{ WORD_CREATE, 0, "TABLE as execute NAME REST", "", KNOWN_EXECUTE_ANY },
	{ WORD_CREATE, 0, "database NAME [with] OPTIONS", "", KNOWN_CREATE_DATABASE },
	{ WORD_DROP, 0, "database [if exists] NAME [with] [GROUP]", "", KNOWN_DROP_DATABASE },
	{ WORD_ALTER, 0, "database NAME rename to ANY", "", KNOWN_RENAME_DATABASE },
	{ WORD_DEALLOCATE, 0, "[prepare] all", "", KNOWN_DEALLOCATE_ALL },
	{ WORD_DEALLOCATE, 0, "[prepare] NAME", "", KNOWN_DEALLOCATE },
};

static bool
take_name(struct known_reader *r, struct known_statement *k)
{
	return known_take_identifier(r, k->name);
}

static bool
take_role(struct known_reader *r, struct known_statement *k)
{
	return known_take_identifier(r, k->value);
}

static bool
skip_identifier(struct known_reader *r, struct known_statement *k)
{
	char name[KNOWN_NAME_MAX];

	return known_take_identifier(r, name);
}

static bool
skip_rest(struct known_reader *r, struct known_statement *k)
{
	known_skip_to(r, "");
	return true;
}

/* Skips one pair of parentheses and everything between them. */
static bool
skip_group(struct known_reader *r, struct known_statement *k)
{
	unsigned depth = 0;

	for (; r->token.kind != SQL_END && r->token.kind != SQL_UNTERMINATED; known_next(r)) {
		depth += known_is_char(r, '(');
		if (depth == 0)
			return false;
		depth -= known_is_char(r, ')');
		if (depth == 0)
			return known_skip_char(r, ')');
	}
	return false;
}

static bool
take_local(struct known_reader *r, struct known_statement *k)
{
	k->is_local = known_skip_word(r, "local");
	return k->is_local;
}

/* No isolation level, then each isolation level: without an access mode, and with each of the two access modes. */
const char *const known_modes[KNOWN_MODES] = {
	NULL,
	"",
	"read only",
	"read write",
	"isolation level read committed",
	"isolation level read committed read only",
	"isolation level read committed read write",
	"isolation level repeatable read",
	"isolation level repeatable read read only",
	"isolation level repeatable read read write",
	"isolation level serializable",
	"isolation level serializable read only",
	"isolation level serializable read write",
};

/* PostgreSQL takes modes in any order, with or without commas between them. The last mode of a kind counts. */
static bool
take_modes(struct known_reader *r, struct known_statement *k)
{
	static const char *const modes[] = { "isolation level read committed", "isolation level repeatable read",
					     "isolation level serializable", "read only", "read write" };
	const unsigned levels = 3, count = 5;
	unsigned i = 0, level = 0, access = 0;

	for (struct known_reader at = *r, before; i < count && !known_is_over(&at);) {
		before = at;
		for (i = 0; i < count && !known_match_form(&at, k, modes[i]); i++)
			at = before;
		if (i < levels)
			level = i + 1;
		else
			access = i + 1 - levels;
		if (known_skip_char(&at, ',') && known_is_over(&at))
			i = count;
	}
	if (i < count)
		k->modes = (uint8_t)(1 + level * levels + access);
	while (r->token.kind == SQL_WORD || known_is_char(r, ',')) {
		k->is_read_only |= sql_is_word(&r->token, "only", 4);
		k->has_other_mode |= sql_is_word(&r->token, "write", 5) || sql_is_word(&r->token, "serializable", 12);
		known_next(r);
	}
	return true;
}

/* Skips literals, numbers, parameters and casts, which run no code. Returns false at any other argument of EXECUTE. */
static bool
skip_arguments(struct known_reader *r, struct known_statement *k)
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
	return true;
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

/* Reads the options of CREATE DATABASE. */
static bool
take_options(struct known_reader *r, struct known_statement *k)
{
	char option[KNOWN_NAME_MAX], value[KNOWN_VALUE_MAX];

	while (!known_is_over(r)) {
		if (!known_take_identifier(r, option))
			return false;
		if (strcmp(option, "connection") == 0)
			known_skip_word(r, "limit");
		if (!take_option_value(r, value))
			return false;
		if (strcmp(option, "template") == 0)
			snprintf(k->value, sizeof(k->value), "%s", value);
	}
	return true;
}

/* Skips to the AS of CREATE TABLE ... AS. */
static bool
skip_table(struct known_reader *r, struct known_statement *k)
{
	if (!known_match_form(r, k, "[global|local] [temp|temporary|unlogged] table"))
		return false;
	known_skip_to(r, "as");
	return true;
}

static const struct {
	char name[10];
	known_part *take;
} parts[] = {
	/* the parts that most statements need come first */
	{ "CONFIGS", known_take_configs },
	{ "SETTING", known_take_setting },
	{ "NAME", take_name },
	{ "REST", skip_rest },
	{ "MODES", take_modes },
	{ "LOCAL", take_local },
	{ "LOCALLY", known_take_local_value },
	{ "VALUES", known_take_values },
	{ "CONFIG", known_take_config },
	{ "ANY", skip_identifier },
	{ "ARGUMENTS", skip_arguments },
	{ "GROUP", skip_group },
	{ "LITERAL", known_take_literal },
	{ "OPTIONS", take_options },
	{ "ROLE", take_role },
	{ "TABLE", skip_table },
	{ "ZONE", known_take_zone },
};

/* Returns the end of the word or character with which `part` begins. */
static const char *
find_part_end(const char *part)
{
	const char *end = part;

	while (sql_is(*end, WORD_START))
		end++;
	return end > part ? end : part + 1;
}

static bool
take_part(struct known_reader *r, struct known_statement *k, const char *part, size_t len)
{
	for (size_t i = 0; *part >= 'A' && *part <= 'Z' && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].name[0] == *part && strncmp(parts[i].name, part, len) == 0 && parts[i].name[len] == '\0')
			return parts[i].take(r, k);
	if (!sql_is_word(&r->token, part, len) && (len > 1 || !known_is_char(r, *part)))
		return false;
	known_next(r);
	return true;
}

bool
known_match_form(struct known_reader *r, struct known_statement *k, const char *form)
{
	struct known_reader begin;

	for (const char *end; *form != '\0'; form = end) {
		bool is_taken = false;

		end = form + 1;
		if (*form == ' ' || *form == ']')
			continue;
		if (*form == '[') {
			begin = *r;
			if (known_match_form(r, k, form + 1))
				return true;
			*r = begin;
			end = strchr(form, ']');
			continue;
		}
		for (;; form = end + 1) {
			end = find_part_end(form);
			if (*end == '|' && !is_taken)
				begin = *r;
			is_taken = is_taken || take_part(r, k, form, (size_t)(end - form));
			if (*end != '|')
				break;
			if (!is_taken)
				*r = begin;
		}
		if (!is_taken)
			return false;
	}
	return true;
}

bool
known_recognise(struct known_reader *r, struct known_statement *k)
{
	enum sql_word word = r->token.kind == SQL_WORD ? sql_word_find(r->token.at, r->token.len) : SQL_WORDS_NONE;
	struct known_reader begin = *r, after_word;

	known_next(r);
	after_word = *r;
	for (const struct form *f = forms; word != SQL_WORDS_NONE && f < forms + sizeof(forms) / sizeof(forms[0]);
	     f++) {
		if (f->word != word && f->or_word != word)
			continue;
		k->kind = (uint8_t)f->kind;
		memcpy(k->name, f->setting, strlen(f->setting) + 1);
		if (known_match_form(r, k, f->rest) && known_is_over(r)) {
			if (k->kind == KNOWN_SET || k->kind == KNOWN_RESET)
				known_judge_setting(k);
			if (k->kind != KNOWN_NOT)
				return true;
			break;
		}
		memset(k, 0, offsetof(struct known_statement, name));
		k->value[0] = '\0';
		*r = after_word;
	}
	*r = begin;
	*k = (struct known_statement){ .kind = KNOWN_NOT };
	return false;
}
