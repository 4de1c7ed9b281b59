/*
 * src/telemetry/fingerprint.c - see fingerprint.h.
 *
 * The tokens are read once. To replace a list by one literal, the output goes back to the list's beginning: each open
 * bracket has a level, which remembers that place, and whether the bracket has had only literals so far.
 */
#include "telemetry/fingerprint.h"
#include "base/escape.h"
#include "base/text.h"
#include "sql/scan.h"
#include "sql/sql_class.h"
#include "sql/sql_token.h"
#include "sql/sql_words.h"

#include <xxhash.h>

/* --- the text and its key --- */

/*
 * Two things are made of a statement's tokens: a text for people, and a key (words in lower case, a separator after
 * each token) whose hash tells statements apart.
 *
 * Both grow only at the end, so going back to a mark removes a part that turns out to be superfluous.
 * Borrows: the text's storage. Always: the text is valid UTF-8 and has room for a terminator.
 */

/* Size of the key: a token has at least 1 byte, and takes 1 more; normal_put_list() and keep_first_word() add
 * little. */
#define NORMAL_KEY_MAX (2 * FINGERPRINT_INPUT_MAX + 64)

struct normal_mark {
	size_t text_len, key_len;
	bool is_text_full;
};

struct normal_text {
	bool keeps_literals; /* the text keeps literals; the key never does */
	bool is_ascii; /* all of the SQL is ASCII without NUL, so its bytes can be copied */
	const char *sql_end;
	char *text;
	size_t text_cap, text_len;
	bool is_text_full;
	size_t key_len;
	char key[NORMAL_KEY_MAX]; /* the last member, which is not cleared */
};

static struct normal_mark
mark_here(const struct normal_text *n)
{
	return (struct normal_mark){ n->text_len, n->key_len, n->is_text_full };
}

/* Goes back to a mark. If the text keeps its literals, the text stays as it is, and only the key goes back. */
static void
normal_go_back(struct normal_text *n, struct normal_mark to)
{
	n->key_len = to.key_len;
	if (n->keeps_literals)
		return;
	n->text_len = to.text_len;
	n->is_text_full = to.is_text_full;
}

static void
text_put(struct normal_text *n, const char *bytes, size_t len)
{
	if (n->is_text_full || len > n->text_cap - 1 - n->text_len) {
		n->is_text_full = true;
		return;
	}
	memcpy(n->text + n->text_len, bytes, len);
	n->text_len += len;
}

/* Puts a token into the text only: enough for a further piece of a literal, because the key already has the literal. */
static void
normal_put_text(struct normal_text *n, const struct sql_token *t)
{
	if (t->after_space && n->text_len > 0)
		text_put(n, " ", 1);
	if (t->len <= n->text_cap - 1 - n->text_len &&
	    (n->is_ascii || (text_is_ascii(t->at, t->len) && memchr(t->at, '\0', t->len) == NULL)))
		text_put(n, t->at, t->len);
	else {
		/* Copies character by character; bytes that are not UTF-8, and NUL, are replaced. */
		for (size_t i = 0; i < t->len && !n->is_text_full;) {
			size_t one_len = escape_utf8_len(t->at + i, t->len - i);

			if (one_len == 0 || t->at[i] == '\0')
				text_put(n, UTF8_REPLACEMENT, 3);
			else
				text_put(n, t->at + i, one_len);
			i += one_len > 0 ? one_len : 1;
		}
	}
}

static void
normal_put_key(struct normal_text *n, const char *bytes, size_t len, bool fold_case)
{
	char *to = n->key + n->key_len;
	size_t i = 0;

	if (!fold_case)
		memcpy(to, bytes, i = len);
#ifdef __SSE2__
	/* The last sixteen bytes may include bytes after the token, for which the key has room. */
	for (; i < len && n->sql_end - (bytes + i) >= 16; i += 16)
		_mm_storeu_si128((__m128i *)(void *)(to + i), sql_fold_sixteen(sql_load_sixteen(bytes + i)));
#endif
	for (; i < len; i++)
		to[i] = sql_fold(bytes[i]);
	to[len] = '\0';
	n->key_len += len + 1;
}

static void
normal_put(struct normal_text *n, const struct sql_token *t)
{
	normal_put_text(n, t);
	normal_put_key(n, t->at, t->len, t->kind == SQL_WORD);
}

/* Puts a literal. In the key, the literal is an empty token, because no other token is empty. */
static void
normal_put_literal(struct normal_text *n, const struct sql_token *t)
{
	struct sql_token mark = { .at = "?", .len = 1, .after_space = t->after_space };

	normal_put_text(n, n->keeps_literals ? t : &mark);
	normal_put_key(n, "", 0, false);
}

/* Puts the replacement of a list's elements. */
static void
normal_put_list(struct normal_text *n)
{
	if (!n->keeps_literals)
		text_put(n, "?", 1);
	normal_put_key(n, "", 0, false);
}

#define LEVELS_MAX 24 /* deeper brackets are passed on unchanged */

/* The place in a VALUES list: none; after VALUES; after a row; after the comma that follows a row. */
enum row_place { ROWS_NONE, ROWS_FIRST, ROWS_AFTER, ROWS_NEXT };

/* An open bracket; level 0 is the statement. */
struct level {
	struct normal_mark begin; /* the place after its opening bracket */
	bool is_list; /* the bracket of IN (, VALUES ( or ARRAY[, or one within such a list that is pure */
	bool is_pure; /* has had only literals, parameters, signs, commas and casts so far */
	bool has_element;
	bool is_in_cast; /* true between :: and the next comma, where words are names of types */
	bool is_row; /* a row of the VALUES in the level above */
	size_t key_at; /* position of its opening bracket in the key */
	enum row_place place; /* in the VALUES list of this level */
	size_t row_key_at, row_key_len; /* the key of the last row that was kept */
	struct normal_mark row_end; /* the end of the last row that was kept */
};

struct walker {
	size_t depth; /* may exceed LEVELS_MAX */
	struct sql_token prev;
	struct normal_mark before_sign; /* the place before a sign that may belong to a number */
	bool has_sign, sign_after_space, is_escape_string;
	bool is_in_doubt; /* the end of the last string is in doubt, so no later text is shown */
	unsigned options; /* enum scan_option */
	const char *sql;
	size_t sql_len;
	struct normal_mark last_end; /* the place after the last token that is not a semicolon */
	struct level levels[LEVELS_MAX]; /* not cleared from here on */
	struct normal_text out;
};

/* --- lists --- */

static struct level *
innermost_level(struct walker *s)
{
	return s->depth < LEVELS_MAX ? &s->levels[s->depth] : NULL;
}

#define IS_WORD(t, word) sql_is_word((t), (word), sizeof(word) - 1)

/* Notes what this token, which is not a bracket, means for its list, and whether a row of VALUES may follow. */
static void
note_element(struct walker *s, const struct sql_token *t, bool is_sign)
{
	struct level *l = innermost_level(s);
	bool is_comma = t->kind == SQL_PUNCT && t->at[0] == ',';

	if (l == NULL)
		return;
	if (t->kind == SQL_STRING || t->kind == SQL_NUMBER || t->kind == SQL_PARAM || IS_WORD(t, "null") ||
	    IS_WORD(t, "default") || IS_WORD(t, "true") || IS_WORD(t, "false") || IS_WORD(t, "array"))
		l->has_element = true;
	else if (t->kind == SQL_CAST || is_comma)
		l->is_in_cast = t->kind == SQL_CAST;
	else if (!is_sign && !(l->is_in_cast && (t->kind == SQL_WORD || t->kind == SQL_QUOTED || t->at[0] == '.')))
		l->is_pure = false;
	if (IS_WORD(t, "values"))
		l->place = ROWS_FIRST;
	else if (l->place == ROWS_AFTER && is_comma)
		l->place = ROWS_NEXT;
	else
		l->place = ROWS_NONE;
}

static void
open_bracket(struct walker *s, const struct sql_token *t)
{
	struct level *outer = innermost_level(s), *l;
	size_t key_at = s->out.key_len;
	bool is_row = outer != NULL && t->at[0] == '(' && (outer->place == ROWS_FIRST || outer->place == ROWS_NEXT);
	bool is_list = is_row || (t->at[0] == '(' ? IS_WORD(&s->prev, "in") : IS_WORD(&s->prev, "array")) ||
		       (outer != NULL && outer->is_list && outer->is_pure);

	normal_put(&s->out, t);
	s->depth++;
	l = innermost_level(s);
	if (l == NULL)
		return;
	*l = (struct level){
		.begin = mark_here(&s->out), .key_at = key_at, .is_list = is_list, .is_pure = true, .is_row = is_row
	};
	if (is_row && outer->place == ROWS_FIRST)
		outer->row_key_len = 0;
}

/* If the keys of this row and the previous row are equal, drops this row with the comma before it. */
static void
close_row(struct walker *s, struct level *outer, size_t key_at)
{
	size_t key_len = s->out.key_len - key_at;

	outer->place = ROWS_AFTER;
	if (outer->row_key_len == key_len &&
	    memcmp(s->out.key + outer->row_key_at, s->out.key + key_at, key_len) == 0) {
		normal_go_back(&s->out, outer->row_end);
		return;
	}
	outer->row_key_at = key_at;
	outer->row_key_len = key_len;
	outer->row_end = mark_here(&s->out);
}

static void
close_bracket(struct walker *s, const struct sql_token *t)
{
	struct level *l = innermost_level(s), *outer;
	struct sql_token bracket = *t;

	if (s->depth == 0) { /* the bracket was never opened */
		normal_put(&s->out, t);
		return;
	}
	if (l != NULL && l->is_list && l->is_pure && l->has_element) {
		normal_go_back(&s->out, l->begin);
		normal_put_list(&s->out);
		bracket.after_space = s->out.keeps_literals && t->after_space;
	}
	normal_put(&s->out, &bracket);
	s->depth--;
	outer = innermost_level(s);
	if (outer == NULL)
		return;
	outer->has_element = true;
	outer->is_pure = outer->is_pure && l != NULL && l->is_pure; /* levels that are too deep count as not pure */
	if (l != NULL && l->is_row)
		close_row(s, outer, l->key_at);
	else
		outer->place = ROWS_NONE;
}

/* --- signs --- */

static bool
is_sign(const struct walker *s, const struct sql_token *t)
{
	/* Words after which an expression begins, so a minus or plus there is a sign. */
	static const char words[][12] = { "and",  "between", "by",    "case",	"distinct",  "else",
					  "from", "having",  "ilike", "in",	"like",	     "limit",
					  "not",  "offset",  "on",    "or",	"returning", "select",
					  "set",  "then",    "to",    "values", "when",	     "where" };
	const struct sql_token *prev = &s->prev;

	if (t->kind != SQL_OPERATOR || t->len != 1 || (t->at[0] != '-' && t->at[0] != '+'))
		return false;
	switch (prev->kind) {
	case SQL_END: /* there is no token before t */
	case SQL_OPERATOR:
		return true;
	case SQL_PUNCT:
		return prev->at[0] != ')' && prev->at[0] != ']';
	case SQL_WORD:
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (sql_is_word(prev, words[i], strlen(words[i])))
				return true;
		return false;
	default:
		return false;
	}
}

/* --- the walk --- */

/* Notes whether this is an E string; further pieces of an E string, on later lines, are E strings, too. Returns true if
 * PostgreSQL may see the end of the string elsewhere, because a backslash is an escape also in plain strings, or may be
 * the second byte of a character. */
static bool
note_string_end(struct walker *s, const struct sql_token *t)
{
	unsigned options = s->options;

	s->is_escape_string = (t->at[0] | 0x20) == 'e' || (s->is_escape_string && s->prev.kind == SQL_STRING);
	if (t->at[0] == '$' || memchr(t->at, '\\', t->len) == NULL)
		return false;
	/* The SQL itself may change how strings are read, and s->options says how they are read after the SQL. */
	if (text_contains(s->sql, s->sql_len, "standard_conforming") || text_contains(s->sql, s->sql_len, "encoding") ||
	    text_contains(s->sql, s->sql_len, "names"))
		options = SCAN_BACKSLASH_STRINGS | SCAN_ASCII_TRAIL;
	return (options & (s->is_escape_string ? SCAN_ASCII_TRAIL : SCAN_BACKSLASH_STRINGS)) != 0;
}

static void
take_token(struct walker *s, const struct sql_token *t)
{
	bool sign = is_sign(s, t), is_punct = t->kind == SQL_PUNCT;
	struct normal_mark before = mark_here(&s->out);

	if (is_punct && (t->at[0] == '(' || t->at[0] == '['))
		open_bracket(s, t);
	else if (is_punct && (t->at[0] == ')' || t->at[0] == ']'))
		close_bracket(s, t);
	else {
		note_element(s, t, sign);
		if (t->kind == SQL_NUMBER) {
			struct sql_token number = *t;

			if (s->has_sign) {
				normal_go_back(&s->out, s->before_sign);
				if (!s->out.keeps_literals)
					number.after_space = s->sign_after_space;
			}
			normal_put_literal(&s->out, &number);
		} else if (t->kind == SQL_STRING) {
			s->is_in_doubt = note_string_end(s, t);
			/* A string in pieces on several lines is one literal. */
			if (s->prev.kind != SQL_STRING)
				normal_put_literal(&s->out, t);
			else if (s->out.keeps_literals)
				normal_put_text(&s->out, t);
		} else
			normal_put(&s->out, t);
	}
	s->has_sign = sign;
	s->before_sign = before;
	s->sign_after_space = t->after_space;
	s->prev = *t;
	if (!is_punct || t->at[0] != ';')
		s->last_end = mark_here(&s->out);
}

/* Handles input that was truncated inside a list: the beginning of the list must not make a fingerprint of its own. */
static void
close_cut_lists(struct walker *s)
{
	size_t depth = s->depth < LEVELS_MAX ? s->depth : LEVELS_MAX - 1;

	for (size_t i = 0; i <= depth; i++) {
		struct level *l = &s->levels[i];
		bool is_pure = true;

		if (l->place == ROWS_NEXT) { /* after a comma, or in the row after the comma */
			normal_go_back(&s->out, l->row_end);
			return;
		}
		for (size_t j = i; j <= depth; j++)
			is_pure = is_pure && s->levels[j].is_pure;
		if (l->is_list && is_pure) {
			normal_go_back(&s->out, l->begin);
			normal_put_list(&s->out);
			return;
		}
	}
}

/* Reads the tokens. Returns false at an unterminated quote or comment. */
static bool
walk(struct walker *s, struct sql_lexer *lx, bool is_cut)
{
	for (;;) {
		struct sql_token t = sql_next(lx);

		if (is_cut && (t.kind == SQL_UNTERMINATED || lx->pos == lx->len)) {
			close_cut_lists(s); /* the last token may be truncated, too */
			return true;
		}
		if (t.kind == SQL_UNTERMINATED)
			return false;
		if (t.kind == SQL_END)
			break;
		take_token(s, &t);
		if (s->is_in_doubt) {
			close_cut_lists(s);
			return true;
		}
	}
	s->out.key_len = s->last_end.key_len;
	s->out.text_len = s->last_end.text_len;
	s->out.is_text_full = s->last_end.is_text_full;
	return true;
}

/* For SQL with an unterminated quote or comment: keeps only its first word, and only if that is a keyword. */
static void
keep_first_word(struct walker *s, const char *sql, size_t len)
{
	struct sql_lexer lx;
	struct sql_token t;
	char size = 0;

	s->out.text_len = s->out.key_len = 0;
	s->out.is_text_full = false;
	sql_lexer_init(&lx, sql, len);
	t = sql_next(&lx);
	if (t.kind == SQL_WORD && (sql_name_find(t.at, t.len) & SQL_KEYWORD) != 0)
		normal_put(&s->out, &t);
	/* Statements of very different lengths do not count as the same. */
	for (; len > 0; len >>= 1)
		size++;
	normal_put_key(&s->out, &size, 1, false);
}

void
fingerprint_sql(const char *sql, size_t sql_len, unsigned options, bool keeps_literals, char *out, size_t out_cap,
		struct fingerprint *fp)
{
	struct walker s; /* large: only parts that are used get written */
	struct sql_lexer lx;
	bool is_cut = sql_len >= FINGERPRINT_INPUT_MAX;
	size_t len = is_cut ? FINGERPRINT_INPUT_MAX : sql_len;

	memset(&s, 0, offsetof(struct walker, levels));
	s.options = options;
	s.sql = sql;
	s.sql_len = len;
	s.levels[0] = (struct level){ .place = ROWS_NONE };
	memset(&s.out, 0, offsetof(struct normal_text, key));
	s.out.text = out;
	s.out.text_cap = out_cap;
	s.out.keeps_literals = keeps_literals;
	s.out.is_ascii = text_is_ascii(sql, len) && memchr(sql, '\0', len) == NULL;
	s.out.sql_end = sql + len;
	sql_lexer_init(&lx, sql, len);
	memset(fp, 0, sizeof(*fp));

	fp->is_unsafe = !walk(&s, &lx, is_cut);
	if (fp->is_unsafe)
		keep_first_word(&s, sql, len);
	else if (lx.comment != NULL && !s.is_in_doubt)
		sqlcommenter_traceparent(lx.comment, lx.comment_len, fp->traceparent);
	fp->hash = XXH3_64bits(s.out.key, s.out.key_len);
	fp->text_len = s.out.text_len;
	fp->is_truncated = is_cut || s.is_in_doubt || s.out.is_text_full;
	out[s.out.text_len] = '\0';
}

uint64_t
fingerprint_normalize(const char *sql, size_t sql_len, unsigned options, char *out, size_t out_cap)
{
	struct fingerprint fp;

	fingerprint_sql(sql, sql_len, options, false, out, out_cap, &fp);
	return fp.hash;
}

void
fingerprint_report(struct report_sql *sql, const struct request_report *report, enum slow_text text)
{
	memset(&sql->fp, 0, sizeof(sql->fp));
	sql->shown = NULL;
	if (report->query == NULL)
		return;
	fingerprint_sql(report->query, report->query_len, report->sql_options, text == SLOW_TEXT_FULL, sql->text,
			sizeof(sql->text), &sql->fp);
	if (text != SLOW_TEXT_NONE)
		sql->shown = sql->text;
}
