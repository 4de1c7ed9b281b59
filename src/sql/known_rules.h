/*
 * src/sql/known_rules.h - declarations that the files of known.h share: known.c cuts SQL into statements,
 * known_statement.c recognizes one statement, and known_setting.c reads the parts of statements that set something.
 *
 * known_statement.c has a table of the forms that statements may have. A form is a text of words; functions of type
 * known_part read the parts that words can't express.
 */
#pragma once

#include "sql/known.h"

void known_next(struct known_reader *r); /* moves to the next token */
/* Returns true if the current token is this word, and has no quotes. */
bool known_is_word(const struct known_reader *r, const char *word);
bool known_is_char(const struct known_reader *r, char c); /* returns true if the current token is this character */
/* If the current token is this word, moves to the next token and returns true. */
bool known_skip_word(struct known_reader *r, const char *word);
bool known_skip_char(struct known_reader *r, char c); /* does the same for a character */
/* Returns true if the current token is a semicolon or the end of the SQL. */
bool known_is_over(const struct known_reader *r);
/* Moves to the next occurrence of this word outside of parentheses, or to the statement's end if there is none. If word
 * is "", moves to the statement's end. */
void known_skip_to(struct known_reader *r, const char *word);
/* Reads an identifier into name, folded and truncated to 63 bytes as in PostgreSQL. Returns false if there is none. */
bool known_take_identifier(struct known_reader *r, char name[static KNOWN_NAME_MAX]);
/* Reads a literal into value, without quotes. Returns false if there is none, or if it has escapes or is too long. */
bool known_take_string(struct known_reader *r, char value[static KNOWN_VALUE_MAX]);

/* Recognizes the statement that begins at the current token. Returns false, with r unchanged and k->kind KNOWN_NOT, if
 * the statement has none of the forms in the table. */
bool known_recognise(struct known_reader *r, struct known_statement *k);
/* In known_statement.c. Reads SQL of this form into k. Returns false if the SQL has another form. */
bool known_match_form(struct known_reader *r, struct known_statement *k, const char *form);

/* In known_setting.c. Each reads a part of a form into k, or returns false if the part is not at the current token. */
typedef bool known_part(struct known_reader *r, struct known_statement *k);
known_part known_take_setting, known_take_values, known_take_local_value, known_take_literal, known_take_zone;
known_part known_take_config, known_take_configs;
/*
 * Call this when k sets or resets a setting. Changes k->kind to KNOWN_NOT for settings whose effect pgweir never knows,
 * and to KNOWN_LOCAL for settings that last for one transaction.
 */
void known_judge_setting(struct known_statement *k);
