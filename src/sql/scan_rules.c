/*
 * src/sql/scan_rules.c - judges what tokens mean for the session.
 *
 * There are three kinds of rules: for the first word of a statement, for some words anywhere, and for names before a
 * parenthesis. Such a name counts as a function's unless the token before the name excludes that. In doubt, a rule sets
 * its flag (scan.flags).
 */
#include "sql/scan_rules.h"
#include "base/text.h"

/* The construct whose meaning the next token decides. */
enum expect {
	EXPECT_NOTHING,
	EXPECT_SET, /* SET */
	EXPECT_LOCAL, /* SET LOCAL, SET TRANSACTION, SET CONSTRAINTS, or SET of a setting with such a name */
	EXPECT_NAME, /* SET name, RESET name */
	EXPECT_NAME_PART, /* SET name. */
	EXPECT_RESET, /* RESET */
	EXPECT_PREPARE, /* PREPARE */
	EXPECT_PREPARE_TRANSACTION, /* PREPARE TRANSACTION, or PREPARE of a statement with that name */
	EXPECT_CREATED, /* CREATE, CREATE OR REPLACE, INTO, ... */
	EXPECT_CONFIG, /* set_config( */
	EXPECT_CONFIG_COMMA /* set_config('name' or set_config($1, perhaps with a cast */
};

/* A parameter is two tokens of the kind TOKEN_NUMBER. */
enum token { TOKEN_WORD, TOKEN_QUOTED, TOKEN_COLON, TOKEN_NUMBER, TOKEN_LITERAL, TOKEN_DOT, TOKEN_COMMA, TOKEN_OTHER };

static uint32_t
class_of(uint32_t last, const char *text, size_t len)
{
	enum sql_word word;

	if (last != CLASS_WORD)
		return last;
	if ((word = sql_word_find(text, len)) != SQL_WORDS_NONE)
		return word;
	return (sql_name_find(text, len) & SQL_KEYWORD) != 0 ? CLASS_KEYWORD : CLASS_IDENTIFIER;
}

static void
classify_last(struct scan *s)
{
	s->last = class_of(s->last, s->last_text, s->last_len);
}

/* Classifies the token before the last name. This class matters only if a parenthesis follows the name. */
static void
classify_before(struct scan *s)
{
	s->before = class_of(s->before, s->before_text, s->before_len);
}

/* --- what a token before has announced --------------------------------------------------------------------------- */

/* Returns true for seed: SET seed is a command to random(), which the end of the transaction doesn't undo. */
static bool
is_seed(const char *name, size_t len)
{
	return len == 4 && strncasecmp(name, "seed", 4) == 0;
}

static void
expect_name(struct scan *s, const char *text, size_t len, uint8_t next)
{
	s->name_len = 0;
	scan_name_append(s, text, len);
	s->expect = next;
}

static void
judge_after_set(struct scan *s, enum token token, enum sql_word word, const char *text, size_t len)
{
	bool is_local =
	    token == TOKEN_WORD && (word == WORD_LOCAL || word == WORD_TRANSACTION || word == WORD_CONSTRAINTS);

	s->expect = EXPECT_NOTHING;
	if (!is_local)
		s->flags |= SCAN_SETTING;
	else if (word == WORD_LOCAL)
		s->hints |= SCAN_HINT_LOCAL;
	if (token == TOKEN_WORD || token == TOKEN_QUOTED)
		expect_name(s, text, len, is_local ? EXPECT_LOCAL : EXPECT_NAME);
}

static void
judge_in_name(struct scan *s, enum token token, const char *text, size_t len)
{
	bool is_text = token == TOKEN_WORD || token == TOKEN_QUOTED;
	uint8_t expect = s->expect;

	s->expect = EXPECT_NOTHING;
	if (expect == EXPECT_NAME_PART) {
		scan_name_append(s, text, is_text ? len : 0);
		s->expect = is_text ? EXPECT_NAME : EXPECT_NOTHING;
	} else if (token == TOKEN_DOT) {
		scan_name_append(s, ".", 1);
		s->expect = EXPECT_NAME_PART;
	} else if (is_text && s->name_len == 7 && memcmp(s->name, "session", 7) == 0)
		expect_name(s, text, len, EXPECT_NAME);
	else {
		if (is_seed(s->name, s->name_len))
			s->flags |= SCAN_SEED;
		scan_name_keep(s);
	}
}

/* LOCAL, TRANSACTION and CONSTRAINTS may be names of settings: SET CONSTRAINTS = 1. TO is never a name. */
static void
judge_in_local(struct scan *s, enum token token, enum sql_word word, const char *text, size_t len)
{
	if ((token == TOKEN_WORD && word != WORD_TO) || token == TOKEN_QUOTED) {
		s->expect = EXPECT_NOTHING;
		s->flags |= is_seed(text, len) ? SCAN_SEED : 0;
		if ((len == 11 && strncasecmp(text, "search_path", 11) == 0) ||
		    (len == 6 && strncasecmp(text, "schema", 6) == 0)) /* SET SCHEMA 'x' sets search_path, too */
			s->hints |= SCAN_HINT_LOCAL_PATH;
	} else {
		s->flags |= SCAN_SETTING;
		s->expect = EXPECT_NAME;
		judge_in_name(s, token, text, len);
	}
}

static void
end_config(struct scan *s)
{
	if (s->before != CLASS_COMMA || s->last != CLASS_WORD || s->last_len != 4 ||
	    strncasecmp(s->last_text, "true", 4) != 0)
		s->flags |= SCAN_NAMES_LOST;
	s->config_parens = 0;
}

static void
judge_in_config(struct scan *s, enum token token)
{
	bool is_named = s->expect == EXPECT_CONFIG_COMMA;

	if (is_named ? token <= TOKEN_NUMBER : token == TOKEN_NUMBER || token == TOKEN_LITERAL) {
		s->expect = EXPECT_CONFIG_COMMA;
		s->flags |= token == TOKEN_NUMBER ? SCAN_NAME_BOUND : 0;
		return;
	}
	s->expect = EXPECT_NOTHING;
	if (!is_named || token != TOKEN_COMMA) {
		/* The SQL does not show the setting's name. The name is needed unless the third argument is true, which
		 * makes the setting local; end_config() checks that. */
		s->flags |= s->config_parens != 0 ? SCAN_NAMES_LOST : 0;
		s->config_parens = s->parens;
		return;
	}
	if (is_seed(s->name, s->name_len))
		s->flags |= SCAN_SEED;
	scan_name_keep(s);
}

static void
judge_created(struct scan *s, enum token token, enum sql_word word, const char *text, size_t len)
{
	bool is_word = token == TOKEN_WORD;

	if (is_word && (word == WORD_REPLACE || word == WORD_LOCAL || word == WORD_GLOBAL ||
			(len == 2 && strncasecmp(text, "or", 2) == 0)))
		return;
	s->expect = EXPECT_NOTHING;
	if (is_word && (word == WORD_INDEX || word == WORD_UNIQUE))
		s->flags |= SCAN_LASTING;
	else if (!is_word || (word != WORD_TEMP && word != WORD_TEMPORARY))
		s->flags |= SCAN_LASTING | SCAN_TABLE;
}

static void
judge_expected(struct scan *s, enum token token, enum sql_word word, const char *text, size_t len)
{
	switch (s->expect) {
	case EXPECT_SET:
		judge_after_set(s, token, word, text, len);
		break;
	case EXPECT_RESET:
		s->expect = EXPECT_NOTHING;
		if (token == TOKEN_WORD || token == TOKEN_QUOTED)
			expect_name(s, text, len, EXPECT_NAME);
		break;
	case EXPECT_LOCAL:
		judge_in_local(s, token, word, text, len);
		break;
	case EXPECT_NAME:
	case EXPECT_NAME_PART:
		judge_in_name(s, token, text, len);
		break;
	case EXPECT_CREATED:
		judge_created(s, token, word, text, len);
		break;
	case EXPECT_PREPARE:
		s->expect =
		    token == TOKEN_WORD && word == WORD_TRANSACTION ? EXPECT_PREPARE_TRANSACTION : EXPECT_NOTHING;
		s->flags |= s->expect == EXPECT_NOTHING ? SCAN_PREPARE : 0;
		break;
	case EXPECT_PREPARE_TRANSACTION:
		s->expect = EXPECT_NOTHING;
		s->flags |= token != TOKEN_LITERAL ? SCAN_PREPARE : 0;
		break;
	default:
		judge_in_config(s, token);
	}
}

/* --- words ------------------------------------------------------------------------------------------------------- */

static void
begin_statement(struct scan *s, enum sql_word word)
{
	static const struct {
		uint32_t flags;
		uint8_t expect, hints;
	} rules[SQL_WORDS_END] = {
		[WORD_SET] = { 0, EXPECT_SET, 0 },
		[WORD_RESET] = { SCAN_SETTING, EXPECT_RESET, 0 },
		[WORD_DISCARD] = { SCAN_SETTING | SCAN_PREPARE | SCAN_LISTEN | SCAN_UNDO, EXPECT_NOTHING, 0 },
		[WORD_PREPARE] = { 0, EXPECT_PREPARE, SCAN_HINT_ENDS },
		[WORD_DEALLOCATE] = { SCAN_PREPARE | SCAN_UNDO, EXPECT_NOTHING, 0 },
		[WORD_EXECUTE] = { SCAN_EXECUTE, EXPECT_NOTHING, 0 },
		[WORD_LISTEN] = { SCAN_LISTEN, EXPECT_NOTHING, 0 },
		[WORD_UNLISTEN] = { SCAN_LISTEN | SCAN_UNDO, EXPECT_NOTHING, 0 },
		[WORD_LOAD] = { SCAN_BACKEND, EXPECT_NOTHING, 0 },
		[WORD_DO] = { SCAN_CODE, EXPECT_NOTHING, 0 },
		[WORD_INSERT] = { SCAN_INSERT | SCAN_DEFAULTS, EXPECT_NOTHING, 0 },
		[WORD_COPY] = { SCAN_DEFAULTS, EXPECT_NOTHING, 0 },
		[WORD_MERGE] = { SCAN_DEFAULTS, EXPECT_NOTHING, 0 },
		[WORD_CALL] = { SCAN_FUNCTION | SCAN_CALL, EXPECT_NOTHING, 0 },
		[WORD_CLOSE] = { SCAN_UNDO, EXPECT_NOTHING, 0 },
		[WORD_DROP] = { SCAN_UNDO, EXPECT_NOTHING, 0 },
		[WORD_CREATE] = { SCAN_CREATE, EXPECT_CREATED, 0 },
		[WORD_SAVEPOINT] = { SCAN_SAVEPOINT, EXPECT_NOTHING, 0 },
		[WORD_RELEASE] = { SCAN_SAVEPOINT, EXPECT_NOTHING, 0 },
		[WORD_NOTIFY] = { 0, EXPECT_NOTHING, SCAN_HINT_NOTIFY },
		[WORD_SHOW] = { 0, EXPECT_NOTHING, SCAN_HINT_SHOW },
		[WORD_ABORT] = { 0, EXPECT_NOTHING, SCAN_HINT_ENDS },
		[WORD_COMMIT] = { 0, EXPECT_NOTHING, SCAN_HINT_ENDS },
		[WORD_END] = { 0, EXPECT_NOTHING, SCAN_HINT_ENDS },
		[WORD_ROLLBACK] = { 0, EXPECT_NOTHING, SCAN_HINT_ENDS },
	};

	if (s->first == SQL_WORDS_NONE)
		s->first = word;
	s->statement = (uint8_t)word;
	s->earlier_flags = s->flags;
	s->flags |= rules[word].flags;
	s->hints |= rules[word].hints;
	s->expect = rules[word].expect;
	s->is_with_head = word == WORD_WITH;
}

static void
judge_language(struct scan *s, const char *text, size_t len)
{
	if (s->statement == WORD_CREATE && len == 1 && (*text | 0x20) == 'c')
		s->flags |= SCAN_BACKEND;
}

/* Handles a word within a statement. */
static void
judge_word(struct scan *s, enum sql_word word)
{
	classify_last(s);
	if (word == WORD_INSERT || word == WORD_MERGE) /* also in WITH, EXPLAIN, PREPARE */
		s->flags |= SCAN_DEFAULTS;
	switch (word) {
	case WORD_RETURNING:
		s->flags &= ~(uint32_t)SCAN_INSERT | s->earlier_flags;
		break;
	case WORD_TEMP:
	case WORD_TEMPORARY:
		if (s->last == WORD_CREATE || s->last == WORD_REPLACE || s->last == WORD_LOCAL ||
		    s->last == WORD_GLOBAL || s->last == WORD_INTO)
			s->flags |= SCAN_TEMP;
		break;
	case WORD_HOLD:
		if (s->last == WORD_WITH)
			s->flags |= SCAN_CURSOR;
		break;
	case WORD_INTO:
		if (s->last != WORD_INSERT && s->last != WORD_MERGE) {
			s->flags |= SCAN_CREATE;
			s->expect = EXPECT_CREATED;
		}
		break;
	case WORD_CREATE:
		if (s->statement == WORD_EXPLAIN) {
			s->flags |= SCAN_CREATE;
			s->expect = EXPECT_CREATED;
		}
		break;
	case WORD_EXECUTE: /* not GRANT EXECUTE, nor CREATE TRIGGER ... EXECUTE FUNCTION */
		if (s->statement == WORD_EXPLAIN || (s->statement == WORD_CREATE && s->last == WORD_AS))
			s->flags |= SCAN_EXECUTE;
		break;
	case WORD_DATABASE:
		if (s->last == WORD_CREATE || s->last == WORD_DROP || s->last == WORD_ALTER)
			s->flags |= SCAN_DATABASE;
		break;
	case WORD_TO:
		if (s->statement == WORD_ROLLBACK)
			s->flags |= SCAN_SAVEPOINT;
		break;
	case WORD_INDEX:
		s->is_index = s->statement == WORD_CREATE && (s->last == WORD_CREATE || s->last == WORD_UNIQUE);
		break;
	case WORD_JOIN:
		s->has_join = true;
		break;
	case WORD_SELECT:
	case WORD_INSERT:
	case WORD_UPDATE:
	case WORD_DELETE:
	case WORD_VALUES:
	case WORD_MERGE:
		s->is_with_head = s->is_with_head && s->parens > 0;
		break;
	default:
		break;
	}
}

/* Looks for names that matter wherever they stand: pg_temp, pg_settings, pg_notify, pg_listening_channels, and the
 * functions of advisory locks, which can be called without a parenthesis: (1).pg_advisory_lock. */
static void
judge_pg(struct scan *s, const char *text, size_t len)
{
	if (len < 7 || (text[0] | 0x20) != 'p' || (text[1] | 0x20) != 'g' || text[2] != '_')
		return;
	len = len < SCAN_WORD_MAX ? len : SCAN_WORD_MAX;
	if (len == 21 && strncasecmp(text, "pg_listening_channels", 21) == 0)
		s->hints |= SCAN_HINT_CHANNELS;
	else if (len == 9 && strncasecmp(text, "pg_notify", 9) == 0)
		s->hints |= SCAN_HINT_NOTIFY;
	if (strncasecmp(text, "pg_temp", 7) == 0)
		s->flags |= SCAN_TEMP;
	else if (len == 11 && strncasecmp(text, "pg_settings", 11) == 0 && s->statement != WORD_SELECT)
		s->flags |= SCAN_SETTING; /* an UPDATE of pg_settings is a SET */
	else if (text_contains(text, len, "advisory_lock"))
		s->flags |= SCAN_LOCK;
	else if (text_contains(text, len, "advisory_unlock"))
		s->flags |= SCAN_LOCK | SCAN_UNDO;
}

/* Returns the flags of functions of this name besides SCAN_FUNCTION. A rule holds for all names that begin so. */
static uint32_t
flags_of_name(const char *text, size_t len)
{
	static const struct {
		const char *beginning;
		uint32_t flags;
	} rules[] = {
		{ "binary_upgrade_", SCAN_CODE },
		{ "connectby", SCAN_CODE },
		{ "crosstab", SCAN_CODE },
		{ "cursor_to_xml", SCAN_CODE },
		{ "dblink_connect", SCAN_BACKEND },
		{ "dblink", SCAN_CODE },
		{ "isn_weak", SCAN_BACKEND },
		{ "pg_backup_start", SCAN_BACKEND },
		{ "pg_copy_logical_replication_slot", SCAN_SLOT },
		{ "pg_copy_physical_replication_slot", SCAN_SLOT },
		{ "pg_create_logical_replication_slot", SCAN_SLOT },
		{ "pg_create_physical_replication_slot", SCAN_SLOT },
		{ "pg_drop_replication_slot", SCAN_SLOT },
		{ "pg_replication_origin_session_", SCAN_ORIGIN },
		{ "pg_start_backup", SCAN_BACKEND },
		{ "query_to_xml", SCAN_CODE },
		{ "random", SCAN_SEED },
		{ "set_limit", SCAN_SETTING },
		{ "setseed", SCAN_SEED },
		{ "ts_rewrite", SCAN_CODE },
		{ "ts_stat", SCAN_CODE },
		{ "xpath_table", SCAN_CODE },
	};
	char first = (char)(len == 0 ? 0 : text[0] | 0x20);

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (first == rules[i].beginning[0] && len >= strlen(rules[i].beginning) &&
		    strncasecmp(text, rules[i].beginning, strlen(rules[i].beginning)) == 0)
			return rules[i].flags;
	return 0;
}

static uint32_t
flags_of_function(const char *text, size_t len)
{
	return SCAN_FUNCTION | flags_of_name(text, len); /* the function may be the database's own, too */
}

static void
take_name(struct scan *s, uint32_t kind, const char *text, size_t len)
{
	if (s->last == CLASS_EXPRESSION_DOT) {
		/* (expression).name calls a function of that name if there is no such column. */
		s->flags |= flags_of_function(text, len);
		if ((sql_name_find(text, len) & SQL_SEQUENCE_FUNCTION) != 0)
			s->flags |= SCAN_CURRVAL;
		s->last = CLASS_DOT;
	} else if (s->last == CLASS_DOT) {
		/* alias.name calls a function of that name if there is no such column. seal.h covers the database's
		 * functions; here only PostgreSQL's own functions matter. */
		s->flags |= flags_of_name(text, len);
		if (len == 7 && strncasecmp(text, "currval", 7) == 0)
			s->flags |= SCAN_CURRVAL;
	}
	judge_pg(s, text, len);
	scan_note_name(s, kind, text, len);
}

void
scan_word_slowly(struct scan *s, const char *text, size_t len)
{
	enum sql_word word =
	    s->last == CLASS_DOT || s->last == CLASS_EXPRESSION_DOT ? SQL_WORDS_NONE : sql_word_find(text, len);

	if (s->expect != EXPECT_NOTHING)
		judge_expected(s, TOKEN_WORD, word, text, len);
	if (s->last == CLASS_START)
		begin_statement(s, word);
	else if (s->last == WORD_LANGUAGE)
		judge_language(s, text, len);
	else if (word != SQL_WORDS_NONE)
		judge_word(s, word);
	take_name(s, word != SQL_WORDS_NONE ? (uint32_t)word : CLASS_WORD, text, len);
}

void
scan_quoted_slowly(struct scan *s, const char *text, size_t len)
{
	if (s->expect != EXPECT_NOTHING)
		judge_expected(s, TOKEN_QUOTED, SQL_WORDS_NONE, text, len);
	if (s->last == WORD_LANGUAGE)
		judge_language(s, text, len);
	take_name(s, CLASS_QUOTED, text, len);
}

void
scan_unicode_quoted(struct scan *s, const char *text, size_t len)
{
	bool has_escapes = memchr(text, '\\', len) != NULL;

	s->flags |=
	    SCAN_SETTING | SCAN_TEMP | SCAN_LOCK | SCAN_CODE | SCAN_FUNCTION | SCAN_CURRVAL | SCAN_UNDO | SCAN_SEED;
	scan_quoted(s, text, has_escapes ? 0 : len);
}

/* --- names before a parenthesis ---------------------------------------------------------------------------------- */

/* Returns true if a call may follow the keyword `before`. */
static bool
may_call_after_word(const struct scan *s, enum sql_word before)
{
	static const bool never[SQL_WORDS_END] = {
		[WORD_AGGREGATE] = true,  [WORD_ANALYZE] = true, [WORD_AS] = true,	  [WORD_COPY] = true,
		[WORD_CROSS] = true,	  [WORD_EXECUTE] = true, [WORD_EXISTS] = true,	  [WORD_EXPLAIN] = true,
		[WORD_FOREIGN] = true,	  [WORD_FULL] = true,	 [WORD_FUNCTION] = true,  [WORD_GROUP] = true,
		[WORD_GROUPING] = true,	  [WORD_INDEX] = true,	 [WORD_INNER] = true,	  [WORD_INTO] = true,
		[WORD_LEFT] = true,	  [WORD_NATURAL] = true, [WORD_ORDER] = true,	  [WORD_OUTER] = true,
		[WORD_PARTITION] = true,  [WORD_PRIMARY] = true, [WORD_PROCEDURE] = true, [WORD_RECURSIVE] = true,
		[WORD_REFERENCES] = true, [WORD_RIGHT] = true,	 [WORD_ROUTINE] = true,	  [WORD_TABLE] = true,
		[WORD_TIME] = true,	  [WORD_UPDATE] = true,	 [WORD_VACUUM] = true,	  [WORD_VIEW] = true,
		[WORD_WITH] = true,
	};

	if (before == WORD_ON) /* a call in JOIN ... ON f(x); none in CREATE INDEX ... ON t (x) and ON CONFLICT (x) */
		return !s->is_index && (s->last != WORD_CONFLICT || s->has_join);
	return before == WORD_USING ? !s->is_index : !never[before];
}

static bool
may_be_call(struct scan *s)
{
	classify_before(s);
	switch (s->before) {
	case CLASS_START:
	case CLASS_IDENTIFIER:
	case CLASS_QUOTED:
	case CLASS_CAST:
	case CLASS_LITERAL: /* INTERVAL '1' DAY (3) */
		return false;
	case CLASS_CLOSE: /* f(x) OVER (...) and (...) alias (a, b) have no call there; DISTINCT ON (a) f(b) has one */
		return s->may_call_after_close;
	case CLASS_COMMA: /* WITH a (x) AS (...), b (y) AS (...) has no call */
		return !s->is_with_head || s->parens > 0;
	default:
		return s->before >= SQL_WORDS_END || may_call_after_word(s, s->before);
	}
}

static void
judge_call(struct scan *s)
{
	unsigned bits = sql_name_find(s->last_text, s->last_len);
	enum sql_word word = s->last == CLASS_WORD ? sql_word_find(s->last_text, s->last_len) : SQL_WORDS_NONE;
	bool is_syntax = (bits & SQL_RESERVED) != 0 && s->last != CLASS_QUOTED && s->qualifier == QUALIFIER_NONE;

	if (word != SQL_WORDS_NONE)
		s->last = word;
	if (s->last_len == 0) /* a U&"..." with escapes, which may spell set_config */
		s->flags |= SCAN_NAMES_LOST;
	if ((bits & SQL_SETTING_FUNCTION) != 0) {
		s->flags |= SCAN_SETTING;
		s->expect = EXPECT_CONFIG;
		s->name_len = 0;
	}
	if ((bits & SQL_LOCK_FUNCTION) != 0)
		s->flags |= SCAN_LOCK;
	if ((bits & SQL_UNLOCK_FUNCTION) != 0)
		s->flags |= SCAN_LOCK | SCAN_UNDO;
	if ((bits & SQL_SEQUENCE_FUNCTION) != 0)
		s->flags |= (bits & SQL_HARMLESS_FUNCTION) != 0 ? SCAN_NEXTVAL : SCAN_CURRVAL;
	if (s->last == WORD_ON)
		classify_before(s);
	if ((s->last == WORD_ON && s->before == WORD_DISTINCT) || s->last == WORD_OPERATOR)
		s->may_call_after_close = true;
	if ((bits & SQL_HARMLESS_FUNCTION) != 0 && scan_may_matter(s->last_text, s->last_len)) /* random() */
		s->flags |= flags_of_name(s->last_text, s->last_len);
	bits &= SQL_HARMLESS_FUNCTION | SQL_SETTING_FUNCTION | SQL_LOCK_FUNCTION | SQL_UNLOCK_FUNCTION |
		SQL_SEQUENCE_FUNCTION;
	if (is_syntax || (bits != 0 && s->qualifier <= QUALIFIER_CATALOG))
		return;
	if (may_be_call(s))
		s->flags |= flags_of_function(s->last_text, s->last_len);
}

/* --- other tokens ------------------------------------------------------------------------------------------------ */

static void
note_dot(struct scan *s)
{
	bool is_catalog =
	    s->last_len == 10 && scan_is_name(s->last) && strncasecmp(s->last_text, "pg_catalog", 10) == 0;

	s->qualifier = is_catalog ? QUALIFIER_CATALOG : QUALIFIER_OTHER;
	s->last = scan_is_name(s->last) ? CLASS_DOT : CLASS_EXPRESSION_DOT;
}

void
scan_punct_slowly(struct scan *s, char c)
{
	if (s->expect != EXPECT_NOTHING)
		judge_expected(s,
			       c == '.'		      ? TOKEN_DOT
			       : c == ','	      ? TOKEN_COMMA
			       : c == ':'	      ? TOKEN_COLON
			       : c == '$' || c == '0' ? TOKEN_NUMBER
						      : TOKEN_OTHER,
			       SQL_WORDS_NONE, NULL, 0);
	if (s->config_parens != 0 && (c == ';' || (c == ')' && s->parens == s->config_parens)))
		end_config(s);
	switch (c) {
	case '(':
		if (scan_is_name(s->last))
			judge_call(s);
		s->parens++;
		s->last = CLASS_OTHER;
		break;
	case ')':
	case ']':
		s->parens -= c == ')' && s->parens > 0;
		s->last = CLASS_CLOSE;
		break;
	case ';': /* also in the body of a rule or function, whose statements are examined as if they ran now */
		s->statement = SQL_WORDS_NONE;
		s->is_index = s->is_with_head = s->has_join = s->may_call_after_close = false;
		s->parens = 0;
		s->last = CLASS_START;
		break;
	case '.':
		note_dot(s);
		break;
	case ',':
		s->last = CLASS_COMMA;
		break;
	case ':':
		s->last = s->last == CLASS_COLON ? CLASS_CAST : CLASS_COLON;
		break;
	default:
		s->last = CLASS_OTHER;
	}
}

void
scan_literal_begin(struct scan *s)
{
	s->temp_match = 0;
	s->capture = CAPTURE_NONE;
	if (s->statement == WORD_DO)
		s->capture = CAPTURE_BODY;
	else if (s->expect == EXPECT_CONFIG)
		s->capture = CAPTURE_NAME;
	else if (s->last == WORD_LANGUAGE)
		s->capture = CAPTURE_LANGUAGE;
	else if (s->last == WORD_UESCAPE)
		s->capture = CAPTURE_UESCAPE;
	if (s->capture != CAPTURE_NONE)
		s->name_len = 0;
	if (s->expect != EXPECT_NOTHING)
		judge_expected(s, TOKEN_LITERAL, SQL_WORDS_NONE, NULL, 0);
}

void
scan_literal_end(struct scan *s)
{
	if (s->capture == CAPTURE_BODY)
		scan_body_end(s);
	else if (s->capture == CAPTURE_LANGUAGE)
		judge_language(s, s->name, s->name_len);
	s->last = CLASS_LITERAL;
	if (s->capture == CAPTURE_UESCAPE)
		scan_note_name(s, CLASS_QUOTED, "", 0);
	s->capture = CAPTURE_NONE;
}

/* --- chunks ------------------------------------------------------------------------------------------------------ */

void
scan_classify_held_word(struct scan *s)
{
	if (s->last_text == s->word)
		classify_last(s);
	if (s->before_text == s->word)
		classify_before(s);
}

void
scan_end_chunk(struct scan *s, bool is_word_in_use)
{
	classify_before(s);
	s->before_text = NULL;
	if (is_word_in_use)
		classify_last(s);
	else if (scan_is_name(s->last) && s->last_text != s->word) {
		s->last_len = s->last_len < SCAN_WORD_MAX ? s->last_len : SCAN_WORD_MAX;
		memcpy(s->word, s->last_text, s->last_len);
	}
	s->last_text = NULL;
}
