/* src/sql/deallocate_text.c - see recognise.h. */
#include "sql/recognise.h"

#include "sql/known_rules.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

static_assert(DEALLOCATE_NAME_MAX == KNOWN_NAME_MAX, "one name is copied to the other");

static enum deallocate_kind
read_all(const char *sql, size_t len, char name[static DEALLOCATE_NAME_MAX])
{
	struct known_reader r;
	struct known k = { .kind = KNOWN_NOT };

	sql_lexer_init(&r.lexer, sql, len);
	known_next(&r);
	while (known_skip_char(&r, ';'))
		;
	if (known_skip_word(&r, "discard"))
		k.kind = (uint8_t)known_discard(&r, &k);
	else if (known_skip_word(&r, "deallocate"))
		k.kind = (uint8_t)known_deallocate(&r, &k);
	if (k.kind == KNOWN_NOT || k.kind == KNOWN_DISCARD_PART || !known_is_over(&r))
		return DEALLOCATE_NONE;
	if (k.kind != KNOWN_DEALLOCATE)
		return DEALLOCATE_ALL;
	while (known_skip_char(&r, ';'))
		;
	if (r.token.kind != SQL_END)
		return DEALLOCATE_NONE;
	memcpy(name, k.name, DEALLOCATE_NAME_MAX);
	return DEALLOCATE_NAME;
}

enum deallocate_kind
deallocate_parse(const char *sql, size_t len, char name[static DEALLOCATE_NAME_MAX])
{
	/* The first letter decides for nearly all SQL. */
	if (len > 0 && isalpha((unsigned char)*sql) && *sql != 'd' && *sql != 'D')
		return DEALLOCATE_NONE;
	return read_all(sql, len, name);
}
