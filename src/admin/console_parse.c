/* src/admin/console_parse.c - parses the text of a statement into a command. See console_command.h. */
#include "admin/show.h"
#include "base/text.h"
#include "config/config_value.h"
#include "sql/sql_token.h"

#include <stdio.h>

#define TOKEN_TEXT_MAX 255
#define TOKENS_MAX 24 /* the most tokens of one statement that are kept */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_NAME, TOKEN_STRING, TOKEN_SIGN };

struct token {
	enum token_kind kind;
	bool is_cut; /* true if the text was longer than TOKEN_TEXT_MAX */
	char text[TOKEN_TEXT_MAX + 1]; /* as written; for a quoted token, the text within the quotes */
};

/* A statement's tokens, without the semicolon. */
struct tokens {
	struct token list[TOKENS_MAX];
	size_t count;
	bool is_cut; /* true if the statement had more than TOKENS_MAX tokens */
};

/* --- tokens: signs of one character; words, numbers, quoted names and strings, which end as in PostgreSQL --- */

static enum token_kind
classify_token(struct sql_lexer *lexer, struct sql_token *t)
{
	char first = t->kind == SQL_END ? '\0' : *t->at;

	if (t->kind == SQL_END)
		return TOKEN_END;
	if (t->kind == SQL_WORD)
		return TOKEN_WORD;
	if (t->kind == SQL_NUMBER && first != '.')
		return TOKEN_NUMBER;
	if (t->kind == SQL_QUOTED && first == '"')
		return TOKEN_NAME;
	if (t->kind == SQL_STRING && first == '\'')
		return TOKEN_STRING;
	/* Takes the first character alone, so each sign is a token, and the E of an E'' string is a word. */
	lexer->pos = (size_t)(t->at - lexer->sql) + 1;
	lexer->is_after_escape_string = false;
	t->len = 1;
	return (first | 0x20) >= 'a' && (first | 0x20) <= 'z' ? TOKEN_WORD : TOKEN_SIGN;
}

/* Reads the next token; TOKEN_END at the end. Returns 0, or -1 with *why set if a quote or comment does not end. */
static int
next_token(struct sql_lexer *lexer, struct token *out, struct fail *why)
{
	struct sql_token t = sql_next(lexer);
	size_t len = 0, i = 0;
	bool is_quoted;

	if (t.kind == SQL_UNTERMINATED && (*t.at == '"' || *t.at == '\''))
		return fail_set(why, "42601", "unterminated quoted %s", *t.at == '"' ? "name" : "string");
	if (t.kind == SQL_UNTERMINATED && (*t.at == '/' || *t.at == '-' || *t.at <= ' '))
		return fail_set(why, "42601", "unterminated /* comment");
	out->kind = classify_token(lexer, &t);
	is_quoted = out->kind == TOKEN_NAME || out->kind == TOKEN_STRING;
	for (i = is_quoted; i < t.len - is_quoted && len < TOKEN_TEXT_MAX; i++) {
		out->text[len++] = t.at[i];
		i += is_quoted && t.at[i] == *t.at; /* within quotes, a quote is written twice */
	}
	out->text[len] = '\0';
	out->is_cut = i < t.len - is_quoted;
	return 0;
}

/* --- which row of the table --- */

static bool
is_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && strcasecmp(t->text, word) == 0;
}

static bool
is_sign(const struct token *t, char sign)
{
	return t->kind == TOKEN_SIGN && t->text[0] == sign;
}

static int
read_tokens(struct sql_lexer *lexer, struct tokens *w, struct fail *why)
{
	struct token spare;

	w->count = 0;
	w->is_cut = false;
	for (;;) {
		struct token *t = w->count < TOKENS_MAX ? &w->list[w->count] : &spare;

		if (next_token(lexer, t, why) < 0)
			return -1;
		if (t->kind == TOKEN_END || is_sign(t, ';'))
			return 0;
		if (t == &spare)
			w->is_cut = true;
		else {
			w->count++;
			/* pg_catalog.version() stands for version(). */
			if (w->count >= 2 && is_sign(&w->list[w->count - 1], '.') &&
			    is_word(&w->list[w->count - 2], "pg_catalog"))
				w->count -= 2;
		}
	}
}

/* Returns how many tokens make up the phrase, or 0 if w does not begin with the phrase. */
static size_t
match_phrase(const char *phrase, const struct tokens *w)
{
	size_t n = 0;

	for (const char *at = phrase; *at != '\0'; n++) {
		size_t len = strcspn(at, " ");
		const struct token *t = &w->list[n];

		if (n == w->count || t->kind == TOKEN_NAME || t->kind == TOKEN_STRING || strlen(t->text) != len ||
		    strncasecmp(t->text, at, len) != 0)
			return 0;
		at += len;
		at += *at == ' ';
	}
	return n;
}

/* Returns the row with the longest phrase that w begins with, and sets *taken to the number of tokens in the phrase. */
static const struct command_row *
find_row(const struct tokens *w, size_t *taken)
{
	const struct command_row *row, *best = NULL;

	*taken = 0;
	for (size_t i = 0; (row = command_row(i)) != NULL; i++) {
		size_t n = match_phrase(row->phrase, w);

		if (n > *taken) {
			*taken = n;
			best = row;
		}
	}
	return best;
}

/* --- the error for an unknown command --- */

static void
make_upper(char *text)
{
	for (; *text != '\0'; text++)
		if (*text >= 'a' && *text <= 'z')
			*text -= 'a' - 'A';
}

/* Writes at most max tokens as they were written, up to the first that is not a word or a number. If the first token of
 * all is a sign, writes that sign alone. */
static void
write_tokens(const struct tokens *w, size_t max, char *out, size_t out_cap)
{
	size_t len = 0;

	out[0] = '\0';
	if (w->count > 0 && w->list[0].kind == TOKEN_SIGN && w->list[0].text[0] > ' ')
		snprintf(out, out_cap, "%s", w->list[0].text);
	for (size_t i = 0; i < w->count && i < max && len < out_cap; i++) {
		if (w->list[i].kind != TOKEN_WORD && w->list[i].kind != TOKEN_NUMBER)
			return;
		len += (size_t)snprintf(out + len, out_cap - len, "%s%s", i > 0 ? " " : "", w->list[i].text);
	}
}

/* Returns the phrase in SHOW HELP that is similar to the first two tokens, else to the first token alone; or NULL. */
static const char *
find_nearest_phrase(const struct tokens *w)
{
	const struct command_row *row;
	struct nearest nearest = { 0 };
	char text[2 * TOKEN_TEXT_MAX];

	for (size_t max = 2; max > 0 && nearest.name == NULL; max--) {
		write_tokens(w, max, text, sizeof(text));
		make_upper(text);
		nearest = nearest_to(text);
		for (size_t i = 0; (row = command_row(i)) != NULL; i++)
			if (row->example != NULL)
				nearest_try(&nearest, row->phrase, NULL);
	}
	return nearest.name;
}

static int
fail_unknown(const struct tokens *w, struct fail *why)
{
	const char *near = find_nearest_phrase(w);
	char text[2 * TOKEN_TEXT_MAX], first[2 * TOKEN_TEXT_MAX];

	write_tokens(w, 3, text, sizeof(text));
	fail_set(why, "42601", "unknown command \"%.63s\"", text);
	fail_pgbouncer_text(why, "invalid command '%.120s', use SHOW HELP;", text);
	if (near != NULL)
		return fail_hint(why, "Did you mean %s?", near);
	write_tokens(w, 1, first, sizeof(first));
	make_upper(first);
	return fail_hint(why, "SHOW HELP lists the commands.%s",
			 text_is_one_of(first, "SELECT WITH INSERT UPDATE DELETE CREATE ALTER DROP")
			     ? " No SQL runs here, and psql's \\d and \\l are SQL: connect to a database for them."
			     : "");
}

/* --- what follows the phrase --- */

static int
fail_unexpected(const struct command_row *row, const struct token *t, struct fail *why)
{
	fail_set(why, "42601", "syntax error at or near \"%.63s\" after %s", t->text, row->phrase);
	if (row->argument == ARGUMENT_LIKE)
		return fail_hint(why, "Only LIKE 'pattern' may follow.");
	if (row->argument == ARGUMENT_DATABASE)
		return fail_hint(
		    why, "Only the name of one database may follow, in double quotes if it has characters other "
			 "than letters, digits and _.");
	return -1;
}

static int
take_name(const struct token *t, struct command *out, struct fail *why)
{
	if (t->kind == TOKEN_SIGN)
		return fail_set(why, "42601", "syntax error at or near \"%s\"", t->text);
	if (!copy_string(out->name, sizeof(out->name), t->text))
		return fail_set(why, "42601", "the name \"%.32s...\" is longer than %d bytes", t->text,
				COMMAND_NAME_MAX);
	out->has_name = true;
	return 0;
}

/* Sets out->text to the second token. Returns false if there is no second token, or it is no string that fits. */
static bool
take_string(const struct token *t, size_t count, struct command *out)
{
	return count > 1 && t[1].kind == TOKEN_STRING && !t[1].is_cut &&
	       copy_string(out->text, sizeof(out->text), t[1].text);
}

static int
take_like(const struct token *t, size_t count, struct command *out, struct fail *why)
{
	if (count == 0)
		return 0;
	if (!is_word(&t[0], "LIKE"))
		return fail_unexpected(out->row, &t[0], why);
	if (!take_string(t, count, out))
		return fail_set(why, "42601", "LIKE takes a pattern of at most %d bytes in single quotes",
				TOKEN_TEXT_MAX);
	if (count > 2)
		return fail_unexpected(out->row, &t[2], why);
	out->has_text = true;
	return 0;
}

/* Takes the rest of SHOW QUERIES [count] [PER what] [BY column] [LIKE 'pattern'], or of SHOW READS, which has no PER
 * and BY. */
static int
take_queries_argument(const struct token *t, size_t count, struct command *out, struct fail *why)
{
	static const char *const pers[PER_COUNT] = { "", "statement", "application", "user" };
	bool is_queries = out->row->id == COMMAND_SHOW_QUERIES;

	if (count > 0 && t[0].kind == TOKEN_NUMBER) {
		out->top = strtoull(t[0].text, NULL, 10);
		t++;
		count--;
	}
	if (is_queries && count > 1 && is_word(&t[0], "PER")) {
		while (++out->per < PER_COUNT && strcasecmp(pers[out->per], t[1].text) != 0)
			;
		if (out->per == PER_COUNT)
			return fail_set(why, "42601", "SHOW QUERIES is PER statement, application or user");
		t += 2;
		count -= 2;
	}
	if (is_queries && count > 1 && is_word(&t[0], "BY")) {
		const struct column *c = show_queries.columns, *end = c + show_queries.column_count;
		size_t len = strlen(t[1].text); /* a column's name, with or without _ms */

		while (c < end && (c->type == COLUMN_TEXT || strncasecmp(c->name, t[1].text, len) != 0 ||
				   !text_is_one_of(c->name + len, " _ms")))
			c++;
		if (c == end)
			return fail_set(why, "42601", "SHOW QUERIES has no column of numbers \"%.63s\"", t[1].text);
		out->order = (size_t)(c - show_queries.columns);
		t += 2;
		count -= 2;
	}
	return take_like(t, count, out, why);
}

/* Takes the rest of SHOW DATABASE_CODE [FOR 'SQL' | LIKE 'pattern']. */
static int
take_sql(const struct token *t, size_t count, struct command *out, struct fail *why)
{
	if (count == 0 || !is_word(&t[0], "FOR"))
		return take_like(t, count, out, why);
	if (count != 2 || !take_string(t, count, out))
		return fail_set(why, "42601", "FOR takes SQL of at most %d bytes in single quotes", TOKEN_TEXT_MAX);
	out->has_for = true;
	return 0;
}

static int
take_client(const struct token *t, size_t count, struct command *out, struct fail *why)
{
	char *end = NULL;

	if (count == 1 && t->kind == TOKEN_NUMBER)
		out->client_id = strtoull(t->text, &end, 10);
	if (end == NULL || *end != '\0') {
		fail_set(why, "42601", "%s takes the id of one client", out->row->phrase);
		fail_pgbouncer_text(why, "invalid client pointer supplied");
		return fail_hint(why, "It is id in SHOW CLIENTS, and client_id in all others.");
	}
	return take_name(t, out, why); /* the number as text, for the log */
}

/* Returns the name of the setting that has a phrase of its own in SQL (TIME ZONE), if t begins with that phrase, and
 * sets *taken to the phrase's length in tokens. Otherwise returns NULL and sets *taken to 1. */
static const char *
find_setting_of_phrase(const struct token *t, size_t count, size_t *taken)
{
	*taken = 2;
	if (count >= 2 && is_word(&t[0], "TIME") && is_word(&t[1], "ZONE"))
		return "TimeZone";
	*taken = 3;
	if (count >= 3 && is_word(&t[0], "TRANSACTION") && is_word(&t[1], "ISOLATION") && is_word(&t[2], "LEVEL"))
		return "transaction_isolation";
	*taken = 1;
	if (count >= 1 && is_word(&t[0], "NAMES"))
		return "client_encoding";
	return NULL;
}

static int
take_shown_setting(const struct tokens *w, const struct token *t, size_t count, struct command *out, struct fail *why)
{
	size_t taken = 1;
	const char *name = find_setting_of_phrase(t, count, &taken);

	if (count == 0) {
		out->row = command_find(COMMAND_SHOW_HELP);
		return 0;
	}
	if (name == NULL)
		name = t[0].kind == TOKEN_WORD || t[0].kind == TOKEN_NAME ? t[0].text : "";
	out->setting = console_setting_find(name);
	return out->setting == NULL || count != taken ? fail_unknown(w, why) : 0;
}

/* Takes the value of SET: joins its tokens to one text, with a space after each comma. Takes nothing for DEFAULT.
 * Returns false if the text is cut. */
static bool
take_value(const struct token *t, size_t count, struct command *out)
{
	bool is_cut = false;
	size_t len = 0;

	if (count == 1 && is_word(t, "DEFAULT"))
		return true;
	out->has_text = true;
	for (size_t i = 0; i < count && len <= COMMAND_TEXT_MAX; i++) {
		int n = snprintf(out->text + len, sizeof(out->text) - len, "%s%s", t[i].text,
				 is_sign(&t[i], ',') ? " " : "");

		len += n > 0 ? (size_t)n : 0;
		is_cut |= t[i].is_cut;
	}
	return !is_cut && len <= COMMAND_TEXT_MAX;
}

/* Returns true if SET is followed by words of SQL instead of a setting: CHARACTERISTICS, ROLE, TRANSACTION and the
 * like, which have no effect here. */
static bool
is_set_phrase(const struct token *t, size_t count)
{
	return count > 1 && t->kind == TOKEN_WORD &&
	       text_is_one_of(t->text, "CHARACTERISTICS AUTHORIZATION TRANSACTION CONSTRAINTS ROLE XML");
}

static int
take_set(const struct tokens *w, const struct token *t, size_t count, struct command *out, struct fail *why)
{
	bool is_whole;
	size_t taken;

	if (count > 1 && (is_word(&t[0], "SESSION") || is_word(&t[0], "LOCAL"))) {
		t++;
		count--;
	}
	if (is_set_phrase(t, count))
		return 0;
	if (find_setting_of_phrase(t, count, &taken) != NULL && count > taken)
		return 0;
	if (count > 0 && take_name(&t[0], out, why) < 0)
		return -1;
	for (taken = 1; taken + 1 < count && is_sign(&t[taken], '.'); taken += 2) { /* "pool.pool_size" */
		const struct token *part = &t[taken + 1];
		size_t len = strlen(out->name), room = sizeof(out->name) - len;

		if (part->kind == TOKEN_SIGN || snprintf(out->name + len, room, ".%s", part->text) >= (int)room)
			return fail_set(why, "42601", "syntax error at or near \"%.63s\"", part->text);
	}
	if (count < taken + 2 || !(is_sign(&t[taken], '=') || is_word(&t[taken], "TO"))) {
		fail_set(why, "42601", "syntax error in SET");
		return fail_hint(why, "Write SET name = value.");
	}
	out->setting = console_setting_find(out->name);
	is_whole = take_value(t + taken + 1, count - taken - 1, out) && !w->is_cut;
	/* The listed names are PostgreSQL settings that drivers set; they have no effect here. Any other name is taken
	 * for a setting of pgweir. */
	if (out->setting != NULL ||
	    text_is_one_of(out->name, "client_connection_check_interval client_min_messages "
				      "default_transaction_deferrable idle_in_transaction_session_timeout "
				      "idle_session_timeout jit lock_timeout role row_security session_authorization "
				      "statement_timeout synchronous_commit xmloption"))
		return 0;
	out->row = command_find(COMMAND_SET_CONFIGURATION);
	if (is_whole)
		return 0;
	fail_set(why, "42601", "the value is too long for SET, which takes at most %d bytes in single quotes",
		 COMMAND_TEXT_MAX);
	fail_pgbouncer_text(why, "SET failed");
	return fail_hint(why, "Write a longer value into the file, and RELOAD.");
}

static int
take_argument(const struct tokens *w, size_t taken, struct command *out, struct fail *why)
{
	const struct token *t = &w->list[taken];
	size_t count = w->count - taken;

	switch (out->row->argument) {
	case ARGUMENT_NONE:
		return count > 0 ? fail_unexpected(out->row, t, why) : 0;
	case ARGUMENT_LIKE:
		if (out->row->id == COMMAND_SHOW_DATABASE_CODE)
			return take_sql(t, count, out, why);
		return out->row->id == COMMAND_SHOW_QUERIES || out->row->id == COMMAND_SHOW_READS
			   ? take_queries_argument(t, count, out, why)
			   : take_like(t, count, out, why);
	case ARGUMENT_DATABASE:
		if (count > 1)
			return fail_unexpected(out->row, &t[1], why);
		return count == 1 ? take_name(t, out, why) : 0;
	case ARGUMENT_ONE_DATABASE:
		if (count != 1) {
			fail_set(why, "42601", "%s takes the name of one database", out->row->phrase);
			return fail_pgbouncer_text(why, "a database is required");
		}
		return take_name(t, out, why);
	case ARGUMENT_CLIENT:
		return take_client(t, count, out, why);
	case ARGUMENT_SETTING:
		return take_shown_setting(w, t, count, out, why);
	case ARGUMENT_SET:
		return take_set(w, t, count, out, why);
	case ARGUMENT_RESET:
		return count > 0 ? take_name(t, out, why) : fail_set(why, "42601", "RESET takes ALL, or a name");
	case ARGUMENT_PATTERN:
		out->has_text =
		    count > 0 && t->kind == TOKEN_STRING && copy_string(out->text, sizeof(out->text), t->text);
		return 0;
	case ARGUMENT_ANY:
		return 0;
	}
	return 0;
}

int
command_parse(const char *text, size_t len, size_t *used, struct command *out, struct fail *why)
{
	struct sql_lexer lexer;
	struct tokens w;
	size_t taken;
	int result;

	memset(out, 0, sizeof(*out));
	sql_lexer_init(&lexer, text, len);
	result = read_tokens(&lexer, &w, why);
	*used = result < 0 ? len : lexer.pos;
	if (result < 0 || w.count == 0)
		return result;
	out->row = find_row(&w, &taken);
	if (out->row == NULL)
		return fail_unknown(&w, why);
	if (w.is_cut && out->row->argument != ARGUMENT_ANY && out->row->argument != ARGUMENT_SET)
		return fail_set(why, "42601", "the statement is too long for %s", out->row->phrase);
	return take_argument(&w, taken, out, why);
}
