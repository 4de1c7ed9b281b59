/*
 * src/admin/console_token.h - the text of a console statement as words, one after the other: names, numbers, quoted
 * names, strings, signs. Blanks and comments are skipped. Pure.
 */
#ifndef PGWEIR_ADMIN_CONSOLE_TOKEN_H
#define PGWEIR_ADMIN_CONSOLE_TOKEN_H

#include "base/fail.h"

#include <stdbool.h>
#include <stddef.h>

#define TOKEN_TEXT_MAX 255

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_NAME, TOKEN_STRING, TOKEN_SIGN };

struct token {
	enum token_kind kind;
	bool is_cut; /* it was longer than TOKEN_TEXT_MAX */
	char text[TOKEN_TEXT_MAX + 1]; /* as written; of quoted ones what is between the quotes */
};

/* Where a text is being read. */
struct token_reader {
	const char *at, *end;
};

/* The next one; TOKEN_END at the end of the text. -1 and why: a quote or comment that never ends. */
int token_next(struct token_reader *r, struct token *out, struct fail *why);

#endif
