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
#define CTES_MAX 32 /* in SQL that has more, no relation is new */

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
	uint64_t *known; /* each a hash and roles; 0: a free place */
	uint32_t known_cap, known_count; /* known_cap: a power of two, or 0 */
	bool has_unknown; /* not all are in known */
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
	free(names->known);
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

/* The roles of a word: what a name behind it would be. Told once for all SQL. */
enum word_role {
	BEHIND_NO_CALL = 1u << 0, /* ahead of a parenthesis it is a relation's, a CTE's or an alias */
	BEHIND_NO_CALL_IN_DDL = 1u << 1,
	BEHIND_CTE = 1u << 2,
	BEHIND_RELATION = 1u << 3,
	BEHIND_INTO = 1u << 4,
	BEHIND_FROM = 1u << 5,
	BEHIND_LATERAL = 1u << 6,
	BEHIND_DISTINCT = 1u << 7,
	HAS_FROM = 1u << 8, /* a FROM behind it is followed by relations */
	ENDS_FROM = 1u << 9,
	ENDS_WITH = 1u << 10
};

static unsigned
roles_of(const char *word)
{
	static const struct {
		unsigned role;
		const char *words;
	} roles[] = {
		{ BEHIND_NO_CALL, "as with recursive into table view index exists references update copy" },
		{ BEHIND_NO_CALL_IN_DDL, "on using" },
		{ BEHIND_CTE, "with recursive" },
		{ BEHIND_RELATION, "join update only copy" },
		{ BEHIND_INTO, "into" },
		{ BEHIND_FROM, "from" },
		{ BEHIND_LATERAL, "lateral" },
		{ BEHIND_DISTINCT, "distinct" },
		{ HAS_FROM, "select update delete" },
		{ ENDS_FROM, "select where group having order limit offset fetch for window union intersect except "
			     "returning set when" },
		{ ENDS_WITH, "select values insert update delete merge time ordinality ties hold no data local "
			     "cascaded check" },
	};
	unsigned found = 0;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		found |= text_is_one_of(word, roles[i].words) ? roles[i].role : 0u;
	return found;
}

#define ROLE_BITS 16

static uint64_t
known_hash(const char *name, size_t len)
{
	return XXH3_64bits(name, len) >> ROLE_BITS | 1u;
}

/* Returns the place of this hash, or a free one. */
static uint64_t *
known_place(const struct risk_names *names, uint64_t hash)
{
	uint32_t mask = names->known_cap - 1, at = (uint32_t)hash & mask;

	while (names->known[at] != 0 && names->known[at] >> ROLE_BITS != hash)
		at = (at + 1) & mask;
	return &names->known[at];
}

static int
grow_known(struct risk_names *names)
{
	struct risk_names grown = { .known_cap = names->known_cap == 0 ? 1024 : 2 * names->known_cap };

	grown.known = calloc(grown.known_cap, sizeof(*grown.known));
	if (grown.known == NULL)
		return -1;
	for (uint32_t i = 0; i < names->known_cap; i++)
		if (names->known[i] != 0)
			*known_place(&grown, names->known[i] >> ROLE_BITS) = names->known[i];
	free(names->known);
	names->known = grown.known;
	names->known_cap = grown.known_cap;
	return 0;
}

int
risk_names_add_known(struct risk_names *names, const char *name)
{
	uint64_t hash = known_hash(name, strlen(name));

	if (names->known_count == RISK_KNOWN_MAX) {
		names->has_unknown = true;
		return 0;
	}
	if (names->known_count * 2 >= names->known_cap && grow_known(names) < 0)
		return -1;
	names->known_count++;
	*known_place(names, hash) = hash << ROLE_BITS | roles_of(name);
	return 0;
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

/* Tells what a name that stands somewhere may be. */
struct place {
	bool of_call, of_relation, of_cte;
};

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
	/* names that nothing had when the code was read */
	bool has_new_call, has_new_relation;
	bool is_new_call, is_new_relation; /* if a parenthesis is next; if no dot is */
	struct place place, named; /* what a name means here; what the last one meant */
	bool has_distinct, is_behind_distinct;
	uint64_t queries, froms, withs; /* as selects: words with a FROM, that, and a list of CTEs */
	uint64_t ctes[CTES_MAX];
	unsigned cte_count;
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

/* Notes what a name behind this word, which has these roles, would be; at: what the word is. */
static void
place_behind(struct reader *r, unsigned roles, struct place at)
{
	uint64_t here = UINT64_C(1) << r->depth;
	bool is_query = (r->queries & here) != 0 || (r->is_body && r->depth == 0);
	bool is_from = (roles & BEHIND_FROM) != 0 && is_query && !r->is_behind_distinct;

	r->place.of_cte = (roles & BEHIND_CTE) != 0;
	r->place.of_call = at.of_relation ? (roles & BEHIND_LATERAL) != 0
					  : (roles & (BEHIND_NO_CALL | (r->is_ddl ? BEHIND_NO_CALL_IN_DDL : 0u))) == 0;
	r->place.of_relation = is_from || (roles & (BEHIND_RELATION | (r->is_body ? 0u : BEHIND_INTO))) != 0;
	r->is_behind_distinct = (roles & BEHIND_DISTINCT) != 0;
	r->has_distinct = r->has_distinct || r->is_behind_distinct;
	r->queries |= (roles & HAS_FROM) != 0 ? here : 0;
	r->froms = is_from ? r->froms | here : (roles & ENDS_FROM) != 0 ? r->froms & ~here : r->froms;
	r->withs = r->place.of_cte ? r->withs | here : (roles & ENDS_WITH) != 0 ? r->withs & ~here : r->withs;
}

/* The name is over, and no dot follows. */
static void
settle_name(struct reader *r)
{
	r->has_new_relation = r->has_new_relation || r->is_new_relation;
	r->is_new_call = r->is_new_relation = false;
	r->place = (struct place){ .of_call = true };
	r->is_behind_distinct = false;
}

static bool
is_cte(const struct reader *r, uint64_t hash)
{
	for (unsigned i = 0; i < r->cte_count; i++)
		if (r->ctes[i] == hash)
			return true;
	return r->cte_count == CTES_MAX;
}

/* Most words are known, or are columns, and stand where no matter what they are. */
static void
judge_name(struct reader *r, const struct word *w)
{
	bool was_behind_distinct = r->is_behind_distinct;
	struct place at = r->place;
	uint64_t hash, known;

	if (r->names->known_count == 0 || r->names->has_unknown)
		return;
	hash = known_hash(w->text, w->len);
	settle_name(r);
	r->named = at;
	if (at.of_cte && r->cte_count < CTES_MAX)
		r->ctes[r->cte_count++] = hash;
	if (w->is_beyond_ascii)
		return;
	if ((known = *known_place(r->names, hash)) != 0) {
		r->is_behind_distinct = was_behind_distinct;
		place_behind(r, (unsigned)(known & ((1u << ROLE_BITS) - 1)), at);
		return;
	}
	r->is_new_call = at.of_call && !at.of_cte;
	r->is_new_relation = at.of_relation && !is_cte(r, hash);
	r->place.of_call = r->is_body; /* an alias stands behind a name, but RETURN is no keyword of SQL's */
}

static void
judge_punct(struct reader *r, char c)
{
	uint64_t here = UINT64_C(1) << r->depth;

	if (c == '.') {
		r->is_new_call = r->is_new_relation = false;
		r->place = r->named;
		return;
	}
	r->has_new_call = r->has_new_call || (c == '(' && r->is_new_call);
	settle_name(r);
	if (c == ',')
		r->place = (struct place){ .of_call = (r->withs & here) == 0,
					   .of_relation = (r->froms & here) != 0,
					   .of_cte = (r->withs & here) != 0 };
	else if (c == ')')
		r->place.of_call = r->has_distinct; /* DISTINCT ON (a) f(b); else an alias */
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
	judge_name(r, w);
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
	settle_name(r);
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
	r->has_new_call = r->has_new_call || body.has_new_call;
	r->has_new_relation = r->has_new_relation || body.has_new_relation;
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
		r->queries &= ~(UINT64_C(1) << r->depth);
		r->froms &= ~(UINT64_C(1) << r->depth);
		r->withs &= ~(UINT64_C(1) << r->depth);
	} else if (c == ')' && r->depth > 0)
		r->depth--;
	judge_punct(r, c);
	r->called = (struct risk){ 0 };
	r->is_behind_dot = c == '.';
	r->is_into_harmless = r->is_behind_escapes = false;
	if (c == ';') {
		r->is_first = true;
		r->is_explain = r->is_object_next = r->is_do = false;
		r->selects = r->queries = r->froms = r->withs = 0;
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

/* The risk of what has a new name; temporary tables have such names, too, so a new relation closes no server. */
#define RISK_NEW ((unsigned)STATE_WASHABLE | RISK_CODE | RISK_UNREAD)

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
read_sql(const struct risk_names *names, const char *sql, size_t len, bool has_backslashes, unsigned *risk,
	 unsigned *of_new)
{
	struct reader r = {
		.names = names, .p = sql, .end = sql + len, .has_backslashes = has_backslashes, .is_first = true
	};

	while (r.p < r.end && !r.is_unterminated)
		read_token(&r);
	if (r.is_unterminated)
		return false;
	settle_name(&r);
	if (r.has_new_relation)
		*of_new |= RISK_NEW;
	if (r.has_new_call)
		*of_new |= with_calls(RISK_NEW) | RISK_CONTEXT | (names->all & STATE_BACKEND);
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
	unsigned risk = with_calls(names->ever), of_new = 0, opaque = with_calls(names->all) | RISK_OPAQUE;

	if (names->is_too_large || (has_backslash && has_doubtful_backslash(sql, len)))
		return opaque;
	is_read = read_sql(names, sql, len, false, &risk, &of_new);
	if (has_backslash)
		is_read = read_sql(names, sql, len, true, &risk, &of_new) || is_read;
	if ((risk & RISK_DYNAMIC) == RISK_DYNAMIC)
		risk |= names->all;
	return is_read ? risk | of_new : opaque;
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
