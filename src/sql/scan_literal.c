/*
 * src/sql/scan_literal.c - examines literals: for pg_temp, names of custom settings, and the code of DO.
 *
 * The code of DO is not parsed. A word with a dot counts as a custom setting's name if it is alone in quotes, or
 * follows SET or RESET. A set_config() whose first argument is not a single word in quotes sets SCAN_NAMES_LOST.
 */
#include "sql/scan_rules.h"
#include "sql/sql_class.h"
#include "base/text.h"

#define TEMP_SCHEMA "pg_temp"

enum body_expect { BODY_ANYTHING, BODY_SETTING, BODY_CONFIG };

/* Continues the search for pg_temp, of which *match bytes have been found. After a mismatch only the current byte can
 * begin a new match, because pg_temp has no other p before its last byte. */
static bool
match_pg_temp(uint8_t *match, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = sql_fold(bytes[i]);

		*match = c == TEMP_SCHEMA[*match] ? (uint8_t)(*match + 1) : c == 'p';
		if (*match == sizeof(TEMP_SCHEMA) - 1)
			return true;
	}
	return false;
}

/* Looks for pg_temp in a piece of a literal; in a long piece, compares only bytes around underscores, which is fast. */
static bool
find_pg_temp(uint8_t *match, const char *bytes, size_t len)
{
	enum { EDGE = sizeof(TEMP_SCHEMA) - 2 };
	const char *end = bytes + len, *at = bytes;

	if (len <= 2 * EDGE)
		return match_pg_temp(match, bytes, len);
	if (*match > 0 && match_pg_temp(match, bytes, EDGE))
		return true;
	for (at += 2; (at = memchr(at, '_', (size_t)(end - at))) != NULL; at++) {
		*match = 0;
		if (sql_fold(at[-1]) == 'g' && (size_t)(end - at) > EDGE - 2 && match_pg_temp(match, at - 2, EDGE + 1))
			return true;
	}
	*match = 0;
	return match_pg_temp(match, end - EDGE, EDGE);
}

bool
scan_path_has_pg_temp(const char *search_path, size_t len)
{
	uint8_t match = 0;

	return memchr(search_path, '_', len) != NULL && find_pg_temp(&match, search_path, len);
}

/* Appends to the name as far as the bytes fit. A name that is too long has the length SCAN_WORD_MAX. */
void
scan_name_append(struct scan *s, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s->name_len == SCAN_WORD_MAX)
			return;
		s->name[s->name_len++] = sql_fold(bytes[i]);
	}
}

void
scan_name_keep(struct scan *s)
{
	char *into;

	if (s->name_len < SCAN_WORD_MAX && memchr(s->name, '.', s->name_len) == NULL)
		return;
	/* With SCAN_ASCII_TRAIL, a byte that was folded may be half of a character. */
	if (s->name_len == SCAN_WORD_MAX || memchr(s->name, '\0', s->name_len) != NULL ||
	    ((s->options & SCAN_ASCII_TRAIL) != 0 && !text_is_ascii(s->name, s->name_len))) {
		s->flags |= SCAN_NAMES_LOST;
		return;
	}
	for (uint32_t i = 0; i < s->name_count; i++)
		if (strlen(s->names[i]) == s->name_len && memcmp(s->names[i], s->name, s->name_len) == 0)
			return;
	if (s->name_count == SCAN_NAMES_MAX) {
		s->flags |= SCAN_NAMES_LOST;
		return;
	}
	into = s->names[s->name_count++];
	memcpy(into, s->name, s->name_len);
	into[s->name_len] = '\0';
}

static bool
name_is(const struct scan *s, const char *word)
{
	return s->name_len == strlen(word) && memcmp(s->name, word, s->name_len) == 0;
}

/* Handles the end of a word in DO's code; next is the byte after the word. */
static void
end_body_word(struct scan *s, char next)
{
	bool is_quoted = s->body_before == '\'' && next == '\'';
	bool is_part = s->name[0] == '.' || (s->name_len < SCAN_WORD_MAX && s->name[s->name_len - 1] == '.');
	bool is_dotted = s->name_len == SCAN_WORD_MAX || memchr(s->name, '.', s->name_len) != NULL;
	uint8_t expect = s->body_expect;

	s->body_expect = BODY_ANYTHING;
	if (is_quoted && is_part)
		s->flags |= SCAN_NAMES_LOST; /* the name is computed: 'app.' || something */
	else if (expect == BODY_CONFIG && !is_quoted)
		s->flags |= SCAN_NAMES_LOST;
	else if (name_is(s, "set_config"))
		s->body_expect = BODY_CONFIG;
	else if (name_is(s, "set") || name_is(s, "reset"))
		s->body_expect = BODY_SETTING;
	else if (name_is(s, "local") || name_is(s, "session"))
		s->body_expect = expect;
	else if (is_dotted && (is_quoted || expect == BODY_SETTING))
		scan_name_keep(s);
	s->name_len = 0;
}

static void
read_body_bytes(struct scan *s, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];

		if (sql_is(c, WORD) || c == '.') {
			scan_name_append(s, &c, 1);
			continue;
		}
		if (s->name_len > 0)
			end_body_word(s, c);
		if (s->body_expect == BODY_CONFIG && strchr("('\" \t\n\r\f\v", c) == NULL) {
			s->flags |= SCAN_NAMES_LOST;
			s->body_expect = BODY_ANYTHING;
		}
		s->body_before = (uint8_t)c;
	}
}

void
scan_body_end(struct scan *s)
{
	if (s->name_len > 0)
		end_body_word(s, '\'');
	if (s->body_expect == BODY_CONFIG)
		s->flags |= SCAN_NAMES_LOST;
	s->body_expect = BODY_ANYTHING;
	s->body_before = 0;
}

void
scan_literal_bytes(struct scan *s, const char *bytes, size_t len)
{
	if ((s->flags & SCAN_TEMP) == 0 && find_pg_temp(&s->temp_match, bytes, len))
		s->flags |= SCAN_TEMP;
	if (s->capture == CAPTURE_BODY)
		read_body_bytes(s, bytes, len);
	else if (s->capture != CAPTURE_NONE)
		scan_name_append(s, bytes, len);
}

void
scan_literal_escape(struct scan *s)
{
	if (s->capture != CAPTURE_NONE)
		s->flags |= s->capture == CAPTURE_LANGUAGE ? SCAN_BACKEND : SCAN_NAMES_LOST;
	if ((s->hints & SCAN_HINT_LOCAL_PATH) != 0) /* the local search_path may name pg_temp */
		s->flags |= SCAN_TEMP;
}
