/*
 * src/sql/known_rules.h - the inside of known.h: known.c cuts a text into statements, known_statement.c recognizes one
 * statement, and known_setting.c reads its settings.
 *
 * A table lists the forms of statements. Functions (known_part) read the parts that a form can't express.
 */
#pragma once

#include "sql/known.h"

void known_next(struct known_reader *r);
/* Returns true if the current token is this word (without quotes), or this character. */
bool known_is_word(const struct known_reader *r, const char *word);
bool known_is_char(const struct known_reader *r, char c);
/* Does what known_is_word() does, and moves to the next token if the result is true. */
bool known_skip_word(struct known_reader *r, const char *word);
bool known_skip_char(struct known_reader *r, char c);
/* Returns true at a semicolon or the end of the SQL. */
bool known_is_over(const struct known_reader *r);
/* Moves to this word outside of parentheses, or to the statement's end; if word is "", always to the statement's
 * end. */
void known_skip_to(struct known_reader *r, const char *word);
/* Reads an identifier, folded and truncated to 63 bytes as PostgreSQL does. */
bool known_take_identifier(struct known_reader *r, char name[static KNOWN_NAME_MAX]);
/* Reads a literal, without its quotes. Returns false if there is none, or if it has escapes or is too long. */
bool known_take_string(struct known_reader *r, char value[static KNOWN_VALUE_MAX]);

/*
 * Recognizes the statement that begins at the current token. Returns false, with r unchanged and k->kind KNOWN_NOT, if
 * the statement has none of the forms.
 */
bool known_recognise(struct known_reader *r, struct known_statement *k);
/* In known_statement.c. Reads SQL of this form. Returns false if the SQL has another form. */
bool known_match_form(struct known_reader *r, struct known_statement *k, const char *form);

/*
 * Reads one part of a form. Returns false if the SQL does not have that part at the current token. known_setting.c has
 * the functions for settings.
 */
typedef bool known_part(struct known_reader *r, struct known_statement *k);
known_part known_take_setting, known_take_values, known_take_locally, known_take_literal, known_take_zone;
known_part known_take_config, known_take_configs;
/*
 * Called after a setting was set or reset. Sets k->kind for settings that are never known, and for those that belong to
 * the transaction.
 */
void known_judge_setting(struct known_statement *k);
