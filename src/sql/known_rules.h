/*
 * src/sql/known_rules.h - the inside of known.h: known.c cuts a text into statements, known_statement.c
 * recognises one, and known_setting.c reads its settings.
 *
 * Statements are recognised by their forms, a table; only what can't be written so is read by a function.
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

/* Recognises the statement that begins here; false: r is where it was, and k->kind is KNOWN_NOT. */
bool known_recognise(struct known_reader *r, struct known *k);
/* Reads what has this form (known_statement.c). */
bool known_takes(struct known_reader *r, struct known *k, const char *form);

/* Reads one part of a form; false: something else is there. known_setting.c has those that are about settings. */
typedef bool known_part(struct known_reader *r, struct known *k);
known_part known_take_setting, known_take_values, known_take_locally, known_take_literal, known_take_zone;
known_part known_take_config, known_take_configs;
/* A setting was set or reset: some are never known, some belong to the transaction. */
void known_judge_setting(struct known *k);
