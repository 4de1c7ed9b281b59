/*
 * src/sql/known_rules.h - the inside of known.h: known.c cuts a text into statements, known_setting.c and
 * known_statement.c recognise one each.
 *
 * A recogniser is called behind the statement's first word and reads on; its result counts only if it stops at the end
 * of the statement.
 */
#pragma once

#include "sql/known.h"

void known_next(struct known_reader *r);
/* Returns true if the current token is this word (without quotes), or this character. */
bool known_is_word(const struct known_reader *r, const char *word);
bool known_is_char(const struct known_reader *r, char c);
/* The same; if so, moves to the next token. */
bool known_skip_word(struct known_reader *r, const char *word);
bool known_skip_char(struct known_reader *r, char c);
/* Returns true at a semicolon or the end of the SQL. */
bool known_is_over(const struct known_reader *r);
/* Reads to this word outside of parentheses, or to the statement's end; "": to its end. */
void known_skip_to(struct known_reader *r, const char *word);
/* Reads an identifier, folded and truncated to 63 bytes as PostgreSQL does. */
bool known_take_identifier(struct known_reader *r, char name[static KNOWN_NAME_MAX]);
/* Reads a literal, without its quotes. Returns false if there is none, it has escapes, or it is too long. */
bool known_take_string(struct known_reader *r, char value[static KNOWN_VALUE_MAX]);

/* An enum known_kind. */
typedef enum known_kind known_rule(struct known_reader *r, struct known *k);
known_rule known_set, known_reset, known_select;
known_rule known_discard, known_listen, known_unlisten, known_close, known_begin_transaction, known_start, known_commit;
known_rule known_savepoint, known_release, known_rollback, known_prepare, known_execute, known_deallocate;
known_rule known_drop, known_create, known_explain, known_alter;
