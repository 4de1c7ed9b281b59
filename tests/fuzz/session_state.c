/*
 * tests/fuzz/session_state.c - what a session of the fake PostgreSQL holds for its client alone: whose it is, what of
 * it SQL does not show, and what washes it off.
 *
 * "hidden_lock" in SQL names a view that takes a lock, "hidden_role" one that takes on a role, and so on; they do so if
 * the database's code can: as the first line of the input has it, or since a transaction that ran CREATE with the same
 * word was committed. What the code can touch is told when seal/database_code.h asks.
 *
 * Tokens (session_text.h) say whose something is. Nothing is looked at in a run where a server has lied: pgweir may
 * believe it.
 */
#include "session_server.h"

#include "wire/messages.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RUN_MAX 40 /* bytes that are compared */

static const struct {
	const char *word;
	unsigned part; /* enum state_part */
	enum trace trace;
} hidden[] = {
	{ "hidden_setting", STATE_SETTINGS, TRACES },	{ "hidden_unnamed", STATE_SETTINGS, TRACES },
	{ "hidden_role", STATE_SETTINGS, TRACES },	{ "hidden_temp", STATE_TEMP, TRACE_TEMP },
	{ "hidden_lock", STATE_LOCKS, TRACE_LOCK },	{ "hidden_cursor", STATE_CURSORS, TRACE_CURSOR },
	{ "hidden_sql", STATE_PREPARED, TRACE_SQL },	{ "hidden_listen", STATE_LISTEN, TRACE_LISTEN },
	{ "hidden_seed", STATE_SEED, TRACE_SEED },	{ "hidden_backend", STATE_BACKEND, TRACE_BACKEND },
	{ "hidden_sequence", STATE_SEQUENCES, TRACES }, { "hidden_plan", RISK_CONTEXT, TRACES },
};

#define HIDDEN (sizeof(hidden) / sizeof(hidden[0]))

unsigned
state_words(const char *text)
{
	unsigned parts = 0;

	for (size_t i = 0; i < HIDDEN; i++)
		if (strstr(text, hidden[i].word) != NULL)
			parts |= hidden[i].part;
	return parts;
}

const char *
state_word(size_t i)
{
	return i < HIDDEN ? hidden[i].word : NULL;
}

/* --- settings: custom ones, and whom the session acts as --- */

bool
state_is_setting(const char *name)
{
	return strchr(name, '.') != NULL || strcasecmp(name, "role") == 0 ||
	       strcasecmp(name, "session_authorization") == 0;
}

const char *
state_get(const struct fake_conn *c, const char *name)
{
	for (size_t i = 0; i < c->v.setting_count; i++)
		if (strcasecmp(c->v.settings[i].name, name) == 0)
			return c->v.settings[i].value;
	return NULL;
}

static void
drop_setting(struct fake_conn *c, size_t i)
{
	free(c->v.settings[i].name);
	free(c->v.settings[i].value);
	c->v.settings[i] = c->v.settings[--c->v.setting_count];
}

void
state_set(struct fake_conn *c, const char *name, const char *value)
{
	struct fake_setting *s;

	for (size_t i = 0; i < c->v.setting_count; i++)
		if (strcasecmp(c->v.settings[i].name, name) == 0) {
			drop_setting(c, i);
			break;
		}
	if (value == NULL || c->v.setting_count == SETTINGS_MAX)
		return;
	s = &c->v.settings[c->v.setting_count++];
	s->name = strdup(name);
	s->value = strdup(value);
	must(s->name != NULL && s->value != NULL);
}

void
state_reset_all(struct fake_conn *c, bool is_identity_too)
{
	for (size_t i = c->v.setting_count; i-- > 0;)
		if (is_identity_too || strchr(c->v.settings[i].name, '.') != NULL)
			drop_setting(c, i);
}

/* --- encodings: the database's is UTF8 --- */

const char *
state_encoding(const char *name)
{
	static const char *const names[][2] = { { "UTF8", "UTF8" },
						{ "UTF-8", "UTF8" },
						{ "LATIN1", "LATIN1" },
						{ "ISO-8859-1", "LATIN1" },
						{ "SQL_ASCII", "SQL_ASCII" } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(names[i][0], name) == 0)
			return names[i][1];
	return NULL;
}

static bool
is_latin1(const struct fake_conn *c)
{
	const char *encoding = c->v.reports[REPORT_ENCODING];

	return encoding != NULL && strcmp(encoding, "LATIN1") == 0;
}

/* Bytes of the character at text, if it is one; only the shortest forms of up to three bytes are made here. */
static size_t
character_len(const uint8_t *text)
{
	size_t len = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : (text[0] & 0xf0) == 0xe0 ? 3 : 0;

	for (size_t i = 1; i < len; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

char *
state_to_server(const struct fake_conn *c, const char *text)
{
	struct buf b = { 0 };

	for (const uint8_t *at = (const uint8_t *)text; *at != 0;) {
		size_t len = is_latin1(c) ? 1 : character_len(at);

		if (len == 0) {
			buf_fini(&b);
			return NULL;
		}
		if (is_latin1(c) && *at >= 0x80) {
			buf_put_u8(&b, (uint8_t)(0xc0 | *at >> 6));
			buf_put_u8(&b, (uint8_t)(0x80 | (*at & 0x3f)));
		} else
			buf_put(&b, at, len);
		at += len;
	}
	buf_put_u8(&b, 0);
	must(buf_ok(&b));
	return (char *)b.bytes;
}

/* Appends value, terminated, as the session's client reads it. Returns false if its encoding lacks a letter of that. */
static bool
put_for_client(const struct fake_conn *c, struct buf *b, const char *value)
{
	for (const uint8_t *at = (const uint8_t *)value; *at != 0; at++) {
		if (!is_latin1(c) || *at < 0x80) {
			buf_put_u8(b, *at);
		} else if ((*at & 0xfc) == 0xc0 && at[1] != 0) {
			buf_put_u8(b, (uint8_t)(*at << 6 | (at[1] & 0x3f)));
			at++;
		} else
			return false;
	}
	buf_put_u8(b, 0);
	return true;
}

/*
 * A token is sent once by its client; if it comes again, in a setting that pgweir replays, the bytes behind it must
 * come to the same characters.
 */
struct run {
	const char *token;
	size_t token_len, len; /* len: of the bytes behind it that are compared */
};

/* False: there is nothing to compare. */
static bool
find_run(const struct fake *f, const char *value, struct run *r)
{
	const char *over;

	r->token = strstr(value, "@@");
	over = r->token == NULL ? NULL : strchr(r->token, '!');
	if (over == NULL || f->has_lied || f->has_parsed || f->is_leaky ||
	    text_token_at(r->token, strlen(r->token)) == 0)
		return false;
	r->token_len = (size_t)(++over - r->token);
	for (r->len = 0; r->len < RUN_MAX && (over[r->len] & 0x80) != 0;)
		r->len++;
	return true;
}

/* The token as it came first, with what was behind it; NULL: it comes for the first time. */
static const char *
known_run(const struct fake *f, const struct run *r)
{
	for (const char *known = (const char *)f->characters.bytes; f->characters.len > 0 && *known != '\0';
	     known += strlen(known) + 1)
		if (strncmp(known, r->token, r->token_len) == 0)
			return known;
	return NULL;
}

void
state_check_characters(struct fake *f, const char *value)
{
	const char *known;
	struct run r;

	if (!find_run(f, value, &r))
		return;
	known = known_run(f, &r);
	if (known == NULL) {
		if (f->characters.len > 0)
			f->characters.len--; /* the last terminator */
		buf_put(&f->characters, r.token, r.token_len + r.len);
		buf_put(&f->characters, "\0", 2);
	} else if (strncmp(known, r.token, r.token_len + r.len) != 0 || known[r.token_len + r.len] != '\0') {
		fprintf(stderr, "a setting has come in another encoding: %s, not %s\n", value, known);
		abort();
	}
}

void
state_check_refused(struct fake *f, const char *value)
{
	struct run r;

	if (find_run(f, value, &r) && known_run(f, &r) != NULL) {
		fprintf(stderr, "a setting has come in another encoding: %s is invalid\n", value);
		abort();
	}
}

/* --- whose it is --- */

static void
complain(const char *what, char letter)
{
	fprintf(stderr, "client %c runs on a server with another's %s\n", letter, what);
	abort();
}

/* Returns what of another's the client finds there; NULL: nothing. */
static const char *
find_crossed(const struct fake_conn *c, const char *tokens)
{
	static const char *const names[TRACES] = { "temporary objects", "lock", "cursor", "PREPARE", "LISTEN", "seed",
						   "backend state" };
	char letter = text_token_at(tokens, strlen(tokens));

	if (letter == 0 || c->is_liar || c->fake->has_lied || c->fake->is_leaky)
		return NULL;
	for (size_t i = 0; i < TRACES; i++)
		if ((c->traces[i] & ~(1u << (letter - 'A'))) != 0)
			return names[i];
	for (size_t i = 0; i < c->v.setting_count; i++) {
		const char *at = strstr(c->v.settings[i].value, "@@");
		char of = at == NULL ? 0 : text_token_at(at, strlen(at));

		if (of != 0 && of != letter)
			return c->v.settings[i].name;
	}
	return NULL;
}

bool
state_check(const struct fake_conn *c, const char *tokens)
{
	const char *what = find_crossed(c, tokens);

	if (what != NULL && !c->fake->tells_transfer)
		complain(what, text_token_at(tokens, strlen(tokens)));
	return what == NULL;
}

void
state_trace(struct fake_conn *c, enum trace trace, const char *tokens)
{
	char letter = text_token_at(tokens, strlen(tokens));

	if (letter != 0)
		c->traces[trace] |= (uint8_t)(1u << (letter - 'A'));
}

void
state_read_sequence(const struct fake_conn *c, const char *tokens)
{
	char letter = text_token_at(tokens, strlen(tokens));

	if (letter != 0 && (c->sequences_of & ~(1u << (letter - 'A'))) != 0 && !c->fake->has_lied && !c->fake->is_leaky)
		complain("sequence value", letter);
}

void
state_next_sequence(struct fake_conn *c, const char *tokens)
{
	char letter = text_token_at(tokens, strlen(tokens));

	if (letter != 0)
		c->sequences_of |= (uint8_t)(1u << (letter - 'A'));
}

/* --- the database's code --- */

/* Whom a plan is made for: what the session acts as, and reads SQL as. Custom settings are none of it. */
static void
put_context(const struct fake_conn *c, char out[static PLAN_CONTEXT_MAX])
{
	const char *role = state_get(c, "role"), *user = state_get(c, "session_authorization");
	int len = snprintf(out, PLAN_CONTEXT_MAX, "%.40s %.40s", role == NULL ? "" : role, user == NULL ? "" : user);

	for (size_t i = 1; i < REPORTS && len < PLAN_CONTEXT_MAX; i++) /* 0: application_name */
		len += snprintf(out + len, PLAN_CONTEXT_MAX - (size_t)len, " %.40s", sql_report(&c->v, i));
}

uint64_t
state_context(const struct fake_conn *c)
{
	char context[PLAN_CONTEXT_MAX];
	uint64_t hash = 14695981039346656037u;

	put_context(c, context);
	for (const char *at = context; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 1099511628211u;
	return hash;
}

/* The first one's is kept for all who come. */
static void
keep_plan(struct fake_conn *c, const char *tokens)
{
	char letter = text_token_at(tokens, strlen(tokens)), context[PLAN_CONTEXT_MAX];

	if (letter == 0)
		return;
	put_context(c, context);
	if (c->plan_of == 0) {
		c->plan_of = letter;
		memcpy(c->plan_context, context, sizeof(context));
	} else if (c->plan_of != letter && strcmp(c->plan_context, context) != 0 && !c->is_liar && !c->fake->has_lied &&
		   !c->fake->is_leaky && (c->fake->is_code_known == NULL || c->fake->is_code_known(c)))
		complain("plan", letter);
}

/*
 * A name reaches its code where PostgreSQL would read a name: not within a word, a string or a comment. What this can't
 * tell at a glance counts as none.
 */
static bool
is_named(const char *sql, const char *word)
{
	size_t len = strlen(word);
	bool is_quoted = false;

	for (const char *p = sql; *p != '\0'; p++) {
		if (*p == '\'')
			is_quoted = !is_quoted;
		else if (strchr("\\\"$-/", *p) != NULL || (*p & 0x80) != 0)
			return false;
		else if (!is_quoted && strncmp(p, word, len) == 0 && (p == sql || strchr(" (,.", p[-1]) != NULL) &&
			 (p[len] == '\0' || strchr(" (,;)", p[len]) != NULL))
			return true;
	}
	return false;
}

static void
touch(struct fake_conn *c, size_t i, const char *tokens)
{
	char value[TOKENS_MAX + 8];

	snprintf(value, sizeof(value), "hid%s", tokens);
	if (hidden[i].part == STATE_SEQUENCES) {
		state_read_sequence(c, tokens);
		state_next_sequence(c, tokens);
	} else if (hidden[i].part == STATE_BACKEND && c->fake->is_code_unknown) {
		return;
	} else if (hidden[i].part == RISK_CONTEXT) {
		keep_plan(c, tokens);
	} else if (hidden[i].trace != TRACES) {
		state_trace(c, hidden[i].trace, tokens);
	} else if (tokens[0] != '\0')
		state_set(c, i == 0 ? "app.hidden" : i == 1 ? "app.unnamed" : "role", value);
}

static unsigned
with_change(unsigned code, const struct fake_code_change *change)
{
	return (code & ~change->dropped) | change->made;
}

void
state_run_code(struct fake_conn *c, const char *sql, const char *tokens, bool is_opaque)
{
	unsigned parts;

	state_tell_code(c->fake);
	parts = with_change(with_change(c->fake->code, &c->due), &c->code);
	for (size_t i = 0; i < HIDDEN && !c->is_liar; i++)
		if ((parts & hidden[i].part) != 0 && strstr(sql, hidden[i].word) != NULL &&
		    (is_opaque || is_named(sql, hidden[i].word)))
			touch(c, i, tokens);
}

/* What can't be washed off is known from an answer alone, and that comes later. */
void
state_change_code(struct fake_conn *c, const char *sql, bool is_drop)
{
	unsigned parts = c->is_liar ? 0 : state_words(sql) & STATE_WASHABLE;

	c->code.made &= ~parts;
	c->code.dropped &= ~parts;
	*(is_drop ? &c->code.dropped : &c->code.made) |= parts;
}

void
state_commit_code(struct fake_conn *c)
{
	c->due.dropped = (c->due.dropped & ~c->code.made) | c->code.dropped;
	c->due.made = with_change(c->due.made, &c->code);
	c->code = (struct fake_code_change){ 0 };
	state_tell_code(c->fake);
}

void
state_tell_code(struct fake *f)
{
	struct fake_conn *c;

	TAILQ_FOREACH(c, &f->conns, link)
		if ((c->due.made | c->due.dropped) != 0 && (f->has_read == NULL || f->has_read(c))) {
			f->code = with_change(f->code, &c->due);
			c->due = (struct fake_code_change){ 0 };
		}
}

/* The names that there are, and which of them may do more than read: without them, no SQL may be run twice. */
static void
put_names(struct fake_conn *c)
{
	static const char known[] =
	    "select from where values insert into update set delete begin commit rollback savepoint release to show "
	    "reset "
	    "local discard all execute prepare as deallocate create temp table drop declare cursor with hold for fetch "
	    "close copy stdin stdout listen unlisten notify sleep rows wide failing wrong function role int tmp t s "
	    "nextval currval set_config pg_advisory_lock pg_advisory_unlock";
	static const char effects[] = "nextval currval set_config pg_advisory_lock pg_advisory_unlock";
	char word[32];
	int n;

	for (const char *at = known; sscanf(at, " %31s%n", word, &n) == 1; at += n)
		text_data_row(&c->out, (const char *const[]){ "k", word, "" }, 3);
	for (const char *at = effects; sscanf(at, " %31s%n", word, &n) == 1; at += n)
		text_data_row(&c->out, (const char *const[]){ "e", word, "f" }, 3);
}

void
state_put_code(struct fake_conn *c)
{
	unsigned parts;
	const struct fake_conn *other;
	char number[16];

	state_tell_code(c->fake);
	parts = c->fake->code;
	TAILQ_FOREACH(other, &c->fake->conns, link) /* committed, whether pgweir has read that or not */
		parts |= other->due.made;
	for (int i = 0; i < 3; i++)
		message_complete(&c->out, "SET");
	text_row_description(&c->out, (const char *const[]){ "a", "b", "c" }, (const uint32_t[]){ 25, 25, 25 }, 3);
	put_names(c);
	for (size_t i = 0; i < HIDDEN; i++) {
		text_data_row(&c->out, (const char *const[]){ "k", hidden[i].word, "" }, 3);
		snprintf(number, sizeof(number), "r %u 0", hidden[i].part);
		if (parts & hidden[i].part)
			text_data_row(&c->out, (const char *const[]){ "r", hidden[i].word, number }, 3);
	}
	snprintf(number, sizeof(number), "%u 0", parts);
	text_data_row(&c->out, (const char *const[]){ "a", "", number }, 3);
	if (parts & STATE_SETTINGS)
		text_data_row(&c->out, (const char *const[]){ "n", "app.hidden", "" }, 3);
	message_complete(&c->out, "SELECT 1");
}

/* Whether there may be what can't be washed off is known from the answer alone. */
void
state_forget_code(struct fake *f)
{
	struct fake_conn *c;

	f->is_code_unknown = true;
	TAILQ_FOREACH(c, &f->conns, link)
		c->traces[TRACE_BACKEND] = 0;
}

/* --- questions about it --- */

static bool
put_row(struct fake_conn *c, const char *kind, const char *name, const char *value)
{
	struct buf b = { 0 };
	bool is_put = put_for_client(c, &b, value);

	must(buf_ok(&b));
	if (is_put)
		text_data_row(&c->out, (const char *const[]){ kind, name, (const char *)b.bytes }, 3);
	buf_fini(&b);
	return is_put;
}

bool
state_probe(struct fake_conn *c, const char *sql)
{
	bool is_put = true;
	const char *role = state_get(c, "role"), *user = state_get(c, "session_authorization");
	const struct {
		enum trace trace;
		const char *mark, *kind, *name, *value;
	} facts[] = { { TRACE_TEMP, "SELECT 't'", "t", "", "" },
		      { TRACE_LOCK, "SELECT 'l'", "l", "", "" },
		      { TRACE_CURSOR, "SELECT 'c'", "c", "hid", "" },
		      { TRACE_SQL, "SELECT 'p'", "p", "hid", "PREPARE hid AS SELECT 1" },
		      { TRACE_LISTEN, "SELECT 'n'", "n", "hid", "" } };
	const struct named *n;

	if (strstr(sql, "SELECT 'r'") != NULL)
		is_put &= put_row(c, "r", "", role == NULL ? "none" : role);
	if (strstr(sql, "SELECT 'u'") != NULL)
		is_put &= put_row(c, "u", "", user == NULL ? c->user : user);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (c->traces[facts[i].trace] != 0 && strstr(sql, facts[i].mark) != NULL)
			is_put &= put_row(c, facts[i].kind, facts[i].name, facts[i].value);
	TAILQ_FOREACH(n, &c->statements, link)
		if (n->is_sql && strstr(sql, "SELECT 'p'") != NULL)
			is_put &= put_row(c, "p", n->name, n->text);
	for (size_t i = 0; i < c->v.setting_count && strstr(sql, "SELECT 'x'") != NULL; i++) {
		char quoted[140];

		snprintf(quoted, sizeof(quoted), "$%s$p", c->v.settings[i].name);
		if (strcasestr(sql, quoted) != NULL)
			is_put &= put_row(c, "x", c->v.settings[i].name, c->v.settings[i].value);
	}
	return is_put;
}

void
state_put_prepared(struct fake_conn *c)
{
	struct named *n;
	size_t count = 0;
	char number[24];

	TAILQ_FOREACH(n, &c->statements, link)
		count += n->name[0] != '\0' && !n->is_sql;
	snprintf(number, sizeof(number), "%zu", count);
	text_row_description(&c->out, (const char *const[]){ "case", "count" }, (const uint32_t[]){ 25, 20 }, 2);
	if (count > 0)
		text_data_row(&c->out, (const char *const[]){ NULL, number }, 2);
	TAILQ_FOREACH(n, &c->statements, link)
		if (n->is_sql)
			text_data_row(&c->out, (const char *const[]){ n->name, "1" }, 2);
	if (c->traces[TRACE_SQL] != 0)
		text_data_row(&c->out, (const char *const[]){ "hid", "1" }, 2);
	message_complete(&c->out, "SELECT 1");
}
