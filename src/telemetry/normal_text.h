/*
 * src/telemetry/normal_text.h - makes two things of a statement's tokens: a text for people, and a key whose hash tells
 * statements apart (lower case, one separator between tokens).
 *
 * Both grow only at the end, so going back to a mark removes a part that turns out to be superfluous.
 * Borrows: the text's storage. Always: the text is valid UTF-8 and has room for a terminator.
 */
#pragma once

#include "telemetry/fingerprint.h"
#include "sql/sql_token.h"

#include <stdbool.h>
#include <stddef.h>

/* A token of n bytes takes n + 1, and tokens are not empty; a cut list and a text's size may add a little. */
#define NORMAL_KEY_MAX (2 * FINGERPRINT_INPUT_MAX + 64)

struct normal_mark {
	size_t text_len, key_len;
	bool is_text_full;
};

struct normal_text {
	bool keeps_literals; /* the text keeps them; the key never does */
	char *text;
	size_t text_cap, text_len;
	bool is_text_full;
	size_t key_len;
	char key[NORMAL_KEY_MAX]; /* last: not cleared */
};

void normal_init(struct normal_text *n, char *text, size_t text_cap, bool keeps_literals);
struct normal_mark normal_here(const struct normal_text *n);
/* A text that keeps its literals keeps everything: then only the key goes back. */
void normal_go_back(struct normal_text *n, struct normal_mark to);
void normal_put(struct normal_text *n, const struct sql_token *t);
void normal_put_literal(struct normal_text *n, const struct sql_token *t);
/* Puts the replacement of a list's elements. */
void normal_put_list(struct normal_text *n);
/* Puts the rest of a literal, whose beginning was put, into the text only. */
void normal_put_rest(struct normal_text *n, const struct sql_token *t);
void normal_put_key(struct normal_text *n, const char *bytes, size_t len, bool fold_case);
