#include "seal/risk_names.h"

#include "base/text.h"
#include "base/table.h"
#include "sql/sql_class.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NAME_MAX_LEN 63 /* bytes of an identifier that PostgreSQL keeps */
#define LETTER_MAX 4 /* bytes */
#define RUN_MAX 16 /* operator characters in a row; more are as risky as can be */
#define FIRST_OWN_TYPE 16384u
#define OWN_TYPES_MAX 64 /* parameters of such types that are looked up: each is compared with all that are risky */
#define DEPTH_MAX 63u /* open parentheses; what has more is opaque */

struct entry {
	struct risk risks[RISK_KINDS];
	UT_hash_handle hh;
	const char *reason; /* behind the name */
	char name[];
};

struct type_entry {
	uint32_t oid;
	struct risk risk;
};

struct risk_names {
	struct entry *table;
	struct type_entry *types;
	unsigned count, type_count;
	unsigned all, ever, ddl;
	bool is_too_large;
};

struct risk_names *
risk_names_new(void)
{
	return calloc(1, sizeof(struct risk_names));
}

void
risk_names_free(struct risk_names *names)
{
	if (names == NULL)
		return;
	TABLE_FREE(names->table);
	free(names->types);
	free(names);
}

static unsigned
hash_of(const char *name, size_t len)
{
	return (unsigned)XXH3_64bits(name, len);
}

static struct entry *
find(const struct risk_names *names, const char *name, size_t len)
{
	struct entry *e = NULL;

	if (names->count > 0)
		HASH_FIND_BYHASHVALUE(hh, names->table, name, (unsigned)len, hash_of(name, len), e);
	return e;
}

static void
join(struct risk *to, struct risk more)
{
	to->always |= more.always;
	to->in_writes |= more.in_writes;
}

static struct entry *
add_entry(struct risk_names *names, const char *name, size_t len, const char *reason)
{
	struct entry *e = calloc(1, sizeof(*e) + len + 1 + strlen(reason) + 1);

	if (e == NULL)
		return NULL;
	memcpy(e->name, name, len);
	memcpy(e->name + len + 1, reason, strlen(reason) + 1);
	e->reason = e->name + len + 1;
	if (!TABLE_ADD_BY_HASH(names->table, e->name, len, hash_of(name, len), e)) {
		free(e);
		return NULL;
	}
	names->count++;
	return e;
}

int
risk_names_add(struct risk_names *names, enum risk_kind kind, const char *name, struct risk risk, const char *reason)
{
	size_t len = strlen(name);
	struct entry *e = find(names, name, len);

	if (e == NULL && names->count == RISK_NAMES_MAX)
		names->is_too_large = true;
	else if (e == NULL)
		e = add_entry(names, name, len, reason);
	names->all |= risk.always | risk.in_writes;
	if (e != NULL)
		join(&e->risks[kind], risk);
	return e != NULL || names->is_too_large ? 0 : -1;
}

int
risk_names_add_type(struct risk_names *names, uint32_t oid, struct risk risk)
{
	struct type_entry *grown;

	names->all |= risk.always | risk.in_writes;
	if (names->type_count == RISK_NAMES_MAX) {
		names->is_too_large = true;
		return 0;
	}
	/* Grows at powers of two. */
	if ((names->type_count & (names->type_count - 1)) == 0) {
		grown = realloc(names->types,
				(names->type_count == 0 ? 1 : 2 * (size_t)names->type_count) * sizeof(*grown));
		if (grown == NULL)
			return -1;
		names->types = grown;
	}
	names->types[names->type_count++] = (struct type_entry){ oid, risk };
	return 0;
}

void
risk_names_set_all(struct risk_names *names, unsigned all, unsigned ever, unsigned ddl)
{
	names->all |= all | ever | ddl;
	names->ever |= ever;
	names->ddl |= ddl;
}

bool
risk_names_are_none(const struct risk_names *names)
{
	return names->count == 0 && names->type_count == 0 && names->all == 0 && !names->is_too_large;
}

unsigned
risk_names_all(const struct risk_names *names)
{
	return names->all;
}

void
risk_names_each(const struct risk_names *names,
		void (*row)(const char *name, enum risk_kind kind, struct risk risk, const char *reason, void *arg),
		void *arg)
{
	const struct entry *e, *next;

	HASH_ITER(hh, names->table, e, next) {
		for (unsigned kind = 0; kind < RISK_KINDS; kind++)
			if ((e->risks[kind].always | e->risks[kind].in_writes) != 0)
				row(e->name, (enum risk_kind)kind, e->risks[kind], e->reason, arg);
	}
}

/* --- SQL --------------------------------------------------------------------------------------------------------- */

/* A pass over SQL. */
struct reader {
	const struct risk_names *names;
	const char *p, *end;
	bool has_backslashes; /* they count in plain strings: standard_conforming_strings is off */
	/* what was found */
	struct risk risk, of_relations; /* apart from each other */
	bool is_opaque, is_unterminated, has_write, is_ddl;
	bool is_body; /* the text of DO: statements begin anywhere, and all strings are strings */
	/* what stood before */
	bool is_first; /* a statement begins */
	bool is_explain, is_behind_dot, is_into_harmless;
	bool is_do;
	bool is_object_next; /* CREATE or DROP has stood there, and perhaps adjectives */
	uint64_t selects; /* bit N: SELECT has stood in the open Nth parenthesis */
	unsigned depth;
	bool is_behind_escapes; /* an E'' string, which may go on on another line */
	struct risk called; /* counts if a parenthesis is next */
};

#define WRITES "insert update delete merge copy"
/* Begin statements that run no code but what their words name. */
#define PLAIN                                                                                                          \
	"select insert update delete merge with values table copy fetch move close declare set reset show lock"        \
	" notify listen unlisten prepare deallocate discard begin start end commit rollback abort savepoint release"   \
	" explain call"
/* Make EXPLAIN opaque. */
#define OPAQUE_EXPLAINED "create refresh execute"
/* In a body they may begin a statement whose words don't show what it runs. */
#define OPAQUE_IN_BODY                                                                                                 \
	"execute alter analyse analyze call cluster comment deallocate discard do grant import load prepare reassign"  \
	" refresh reindex reset revoke security truncate vacuum"
#define ADJECTIVES "or replace temp temporary local global unlogged unique materialized recursive"
#define OBJECTS "table view index sequence"

/* DDL that runs no code but what its words name, and event triggers. */
static void
judge_object(struct reader *r, const char *word)
{
	if (!r->is_object_next || text_is_one_of(word, ADJECTIVES))
		return;
	r->is_object_next = false;
	if (text_is_one_of(word, OBJECTS))
		r->is_ddl = r->has_write = true;
	else
		r->is_opaque = true;
}

static void
judge_first(struct reader *r, const char *word)
{
	bool is_create = strcmp(word, "create") == 0, is_drop = strcmp(word, "drop") == 0;

	if (r->is_body && !is_create && !is_drop) {
		judge_object(r, word);
		r->is_opaque = r->is_opaque || text_is_one_of(word, OPAQUE_IN_BODY);
		return;
	}
	r->is_object_next = is_create || is_drop;
	r->is_do = strcmp(word, "do") == 0;
	r->is_opaque = r->is_opaque || !(r->is_object_next || r->is_do || text_is_one_of(word, PLAIN));
	r->is_explain = strcmp(word, "explain") == 0;
}

/* Words that mean something by themselves, quoted or not: a false alarm is cheap. */
static void
judge_statement(struct reader *r, const char *word)
{
	bool is_into = !r->is_into_harmless && !r->is_body && strcmp(word, "into") == 0;

	if (r->is_first || r->is_body)
		judge_first(r, word);
	else if (r->is_do)
		r->is_opaque = r->is_opaque || (strcmp(word, "language") != 0 && strcmp(word, "plpgsql") != 0);
	else
		judge_object(r, word);
	r->is_opaque = r->is_opaque || (r->is_explain && text_is_one_of(word, OPAQUE_EXPLAINED)) ||
		       (r->is_ddl && strcmp(word, "execute") == 0);
	/* SELECT INTO makes a table. */
	r->is_ddl = r->is_ddl || is_into;
	/* Behind SELECT, INSERT is a column's name. */
	r->is_into_harmless =
	    (r->selects >> r->depth & 1) == 0 && (strcmp(word, "insert") == 0 || strcmp(word, "merge") == 0);
	if (strcmp(word, "select") == 0)
		r->selects |= UINT64_C(1) << r->depth;
	r->has_write = r->has_write || text_is_one_of(word, WRITES);
	r->is_first = false;
}

/* In lower case, cut, terminated. */
struct word {
	char text[NAME_MAX_LEN + 1];
	size_t len, ascii_len; /* ascii_len: up to the first byte that is not ASCII */
	bool is_beyond_ascii;
};

static void
word_put(struct word *w, char c)
{
	w->is_beyond_ascii = w->is_beyond_ascii || (unsigned char)c >= RISK_BEYOND_ASCII[0];
	if (w->len < NAME_MAX_LEN)
		w->text[w->len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	w->text[w->len] = '\0';
	if (!w->is_beyond_ascii)
		w->ascii_len = w->len;
}

static void
join_name(struct reader *r, const struct entry *e)
{
	if (e == NULL)
		return;
	join(&r->of_relations, e->risks[RISK_RELATION]);
	join(&r->risk, e->risks[RISK_KEYWORD]);
	if (r->is_behind_dot)
		join(&r->risk, e->risks[RISK_FUNCTION]);
	join(&r->called, e->risks[RISK_FUNCTION]);
}

static void
judge_word(struct reader *r, const struct word *w)
{
	const struct entry *e =
	    w->is_beyond_ascii ? find(r->names, RISK_BEYOND_ASCII, 1) : find(r->names, w->text, w->len);

	r->called = (struct risk){ 0 };
	r->is_behind_escapes = false;
	judge_statement(r, w->text);
	join_name(r, e);
	if (w->is_beyond_ascii && e != NULL) /* in SJIS, half of a letter may look like an operator */
		join(&r->risk, e->risks[RISK_FUNCTION]);
	/* PostgreSQL cuts names after whole letters, in its own encoding: only ASCII may be left. */
	if (w->is_beyond_ascii && w->ascii_len + LETTER_MAX > NAME_MAX_LEN)
		join_name(r, find(r->names, w->text, w->ascii_len));
	r->is_behind_dot = false;
}

/* Reads on behind the opening quote. Returns false if there is no closing one. */
static bool
read_string(struct reader *r, char quote, bool has_backslashes, struct word *into)
{
	for (; r->p < r->end; r->p++) {
		if (*r->p == '\\' && has_backslashes) {
			if (++r->p == r->end)
				break;
		} else if (*r->p == quote) {
			if (r->p + 1 == r->end || r->p[1] != quote) {
				r->p++;
				return true;
			}
			r->p++;
			if (into != NULL)
				word_put(into, quote);
		} else if (into != NULL)
			word_put(into, *r->p);
	}
	r->is_unterminated = true;
	return false;
}

/* Something that is neither a name nor an operator. */
static void
other_token(struct reader *r)
{
	r->called = (struct risk){ 0 };
	r->is_behind_dot = r->is_into_harmless = r->is_behind_escapes = false;
	if (r->is_first)
		r->is_opaque = true;
}

static void
read_literal(struct reader *r, bool has_backslashes)
{
	has_backslashes = has_backslashes || r->is_behind_escapes;
	r->is_opaque = r->is_opaque || r->is_do;
	other_token(r);
	r->p++;
	read_string(r, '\'', has_backslashes, NULL);
	r->is_behind_escapes = has_backslashes;
}

static void
read_quoted(struct reader *r)
{
	struct word w = { .len = 0 };
	bool is_first = r->is_first;

	r->p++;
	if (!read_string(r, '"', false, &w))
		return;
	judge_word(r, &w);
	r->is_opaque = r->is_opaque || is_first;
}

static void
read_word(struct reader *r)
{
	struct word w = { .len = 0 };

	while (r->p < r->end && sql_is(*r->p, WORD))
		word_put(&w, *r->p++);
	if (w.len == 1 && r->p < r->end && *r->p == '\'' && strchr("ebx", w.text[0]) != NULL) {
		read_literal(r, w.text[0] == 'e');
		return;
	}
	/* U&"..." could be any name; U&'...' is no name, but PostgreSQL refuses it under some settings only. */
	if (w.len == 1 && w.text[0] == 'u' && r->end - r->p >= 2 && r->p[0] == '&' && r->p[1] == '"')
		r->is_opaque = true;
	judge_word(r, &w);
}

/* 1, 1.5, 1e5: what follows may be a word without a space. */
static void
read_number(struct reader *r)
{
	other_token(r);
	while (r->p < r->end && sql_is(*r->p, DIGIT))
		r->p++;
	if (r->end - r->p >= 2 && (*r->p == 'e' || *r->p == 'E')) {
		const char *exponent = r->p + 1;

		exponent += *exponent == '+' || *exponent == '-';
		if (exponent < r->end && sql_is(*exponent, DIGIT))
			for (r->p = exponent; r->p < r->end && sql_is(*r->p, DIGIT);)
				r->p++;
	}
}

static void read_token(struct reader *r);

/* The text of DO. */
static void
read_body(struct reader *r, const char *begin, const char *end)
{
	struct reader body = { .names = r->names,
			       .p = begin,
			       .end = end,
			       .has_backslashes = r->has_backslashes,
			       .is_body = true,
			       .has_write = true };

	while (body.p < body.end && !body.is_unterminated)
		read_token(&body);
	join(&r->risk, body.risk);
	join(&r->of_relations, body.of_relations);
	r->has_write = true;
	r->is_ddl = r->is_ddl || body.is_ddl;
	r->is_opaque = r->is_opaque || body.is_opaque || body.is_unterminated || body.is_object_next;
}

/* $1, or $tag$...$tag$. */
static void
read_dollar(struct reader *r)
{
	const char *tag = r->p++;
	size_t tag_len;

	other_token(r);
	if (r->p < r->end && sql_is(*r->p, DIGIT)) {
		while (r->p < r->end && sql_is(*r->p, DIGIT))
			r->p++;
		return;
	}
	while (r->p < r->end && sql_is(*r->p, TAG))
		r->p++;
	if (r->p == r->end || *r->p != '$') {
		r->is_opaque = true; /* an error */
		return;
	}
	tag_len = (size_t)(++r->p - tag);
	for (; (size_t)(r->end - r->p) >= tag_len; r->p++) {
		const char *dollar = memchr(r->p, '$', (size_t)(r->end - r->p) - tag_len + 1);

		if (dollar == NULL)
			break;
		r->p = dollar;
		if (memcmp(dollar, tag, tag_len) == 0) {
			if (r->is_do)
				read_body(r, tag + tag_len, dollar);
			r->p += tag_len;
			return;
		}
	}
	r->is_unterminated = true;
	r->p = r->end;
}

static void
read_block_comment(struct reader *r)
{
	unsigned depth = 0;

	while (r->end - r->p >= 2) {
		if (r->p[0] == '/' && r->p[1] == '*')
			depth++;
		else if (r->p[0] == '*' && r->p[1] == '/')
			depth--;
		else {
			r->p++;
			continue;
		}
		r->p += 2;
		if (depth == 0)
			return;
	}
	r->is_unterminated = true;
	r->p = r->end;
}

static bool
is_comment(const struct reader *r, const char *p)
{
	return r->end - p >= 2 && ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*'));
}

static void
judge_run(struct reader *r, const char *run, size_t len)
{
	if (len > RUN_MAX)
		r->is_opaque = true;
	for (size_t from = 0; from < len && r->names->count > 0 && len <= RUN_MAX; from++)
		for (size_t n = 1; from + n <= len; n++) {
			const struct entry *e = find(r->names, run + from, n);

			if (e != NULL)
				join(&r->risk, e->risks[RISK_OPERATOR]);
		}
}

static void
read_operator(struct reader *r)
{
	const char *run = r->p;

	other_token(r);
	while (r->p < r->end && sql_is(*r->p, OPERATOR) && !is_comment(r, r->p))
		r->p++;
	judge_run(r, run, (size_t)(r->p - run));
}

static void
read_punct(struct reader *r)
{
	char c = *r->p++;

	if (c == '(') {
		join(&r->risk, r->called);
		if (++r->depth > DEPTH_MAX) {
			r->depth = DEPTH_MAX;
			r->is_opaque = true;
		}
		r->selects &= ~(UINT64_C(1) << r->depth);
	} else if (c == ')' && r->depth > 0)
		r->depth--;
	r->called = (struct risk){ 0 };
	r->is_behind_dot = c == '.';
	r->is_into_harmless = r->is_behind_escapes = false;
	if (c == ';') {
		r->is_first = true;
		r->is_explain = r->is_object_next = r->is_do = false;
		r->selects = 0;
		r->depth = 0;
	} else if (c != '(' && r->is_first)
		r->is_opaque = true;
}

static void
read_token(struct reader *r)
{
	if (sql_is(*r->p, SPACE))
		r->p++;
	else if (is_comment(r, r->p)) {
		if (*r->p == '/')
			read_block_comment(r);
		else
			while (r->p < r->end && *r->p != '\n' && *r->p != '\r')
				r->p++;
	} else if (sql_is(*r->p, WORD_START))
		read_word(r);
	else if (sql_is(*r->p, DIGIT))
		read_number(r);
	else if (*r->p == '\'')
		read_literal(r, r->has_backslashes);
	else if (*r->p == '"')
		read_quoted(r);
	else if (*r->p == '$')
		read_dollar(r);
	else if (sql_is(*r->p, OPERATOR))
		read_operator(r);
	else
		read_punct(r);
}

static unsigned
with_calls(unsigned risk)
{
	return risk | RISK_BY_CALLS(risk);
}

static unsigned
risk_of(const struct reader *r, struct risk risk)
{
	return risk.always | (r->has_write ? risk.in_writes : 0u);
}

/* Returns true if it ended properly; else PostgreSQL refuses all of this SQL under these settings. */
static bool
read_sql(const struct risk_names *names, const char *sql, size_t len, bool has_backslashes, unsigned *risk)
{
	struct reader r = {
		.names = names, .p = sql, .end = sql + len, .has_backslashes = has_backslashes, .is_first = true
	};

	while (r.p < r.end && !r.is_unterminated)
		read_token(&r);
	if (r.is_unterminated)
		return false;
	*risk |= risk_of(&r, r.of_relations) | with_calls(risk_of(&r, r.risk)) |
		 (r.is_opaque ? with_calls(names->all) | RISK_OPAQUE : 0) | (r.is_ddl ? names->ddl : 0);
	return true;
}

/* Behind a byte beyond ASCII a backslash may be the second half of a letter, in some encodings. */
static bool
has_doubtful_backslash(const char *sql, size_t len)
{
	const char *end = sql + len;

	for (const char *p = sql; (p = memchr(p, '\\', (size_t)(end - p))) != NULL; p++)
		if (p > sql && (p[-1] & 0x80) != 0)
			return true;
	return false;
}

unsigned
risk_names_of_sql(const struct risk_names *names, const char *sql, size_t len)
{
	bool has_backslash = memchr(sql, '\\', len) != NULL, is_read;
	unsigned risk = with_calls(names->ever), opaque = with_calls(names->all) | RISK_OPAQUE;

	if (names->is_too_large || (has_backslash && has_doubtful_backslash(sql, len)))
		return opaque;
	is_read = read_sql(names, sql, len, false, &risk);
	if (has_backslash)
		is_read = read_sql(names, sql, len, true, &risk) || is_read;
	if ((risk & RISK_DYNAMIC) == RISK_DYNAMIC)
		risk |= names->all;
	return is_read ? risk : opaque;
}

unsigned
risk_names_of_types(const struct risk_names *names, const uint8_t *types, size_t len)
{
	struct risk risk = { 0 };
	unsigned own = 0;

	if (len < 2 || len - 2 != (size_t)wire_u16(types) * 4)
		return names->all;
	for (size_t at = 2; at < len && names->type_count > 0; at += 4) {
		uint32_t oid = wire_u32(types + at);

		if (oid < FIRST_OWN_TYPE)
			continue;
		if (++own > OWN_TYPES_MAX)
			return names->all;
		for (unsigned i = 0; i < names->type_count; i++)
			if (names->types[i].oid == oid)
				join(&risk, names->types[i].risk);
	}
	return risk.always | risk.in_writes | names->ever;
}
