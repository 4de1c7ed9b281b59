#include "seal/risk_names.h"
#include "base/text.h"
#include "base/table.h"
#include "sql/sql_class.h"
#include "sql/sql_token.h"
#include "wire/frame.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NAME_MAX_LEN 63 /* bytes of an identifier that PostgreSQL keeps */
#define LETTER_MAX 4 /* bytes of a character */
#define RUN_MAX 16 /* operator characters in a row; SQL with longer runs is opaque */
#define FIRST_OWN_TYPE 16384u /* the lowest OID of types that the database itself has made */
#define OWN_TYPES_MAX 64 /* the most parameters of such types that are looked up; each is compared with all types */
#define DEPTH_MAX 63u /* open parentheses; SQL with more is opaque */
#define CTES_MAX 32 /* in SQL that has as many or more, no relation counts as new */

struct entry {
	struct risk risks[RISK_KINDS];
	UT_hash_handle hh;
	const char *reason; /* the text of risk_names_add(), which lies after the name */
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
	unsigned all, any_sql, ddl, by_objects, new_risk; /* new_risk: STATE_BACKEND if a new name may reach it */
	uint64_t backend_hash; /* the sum of the hashes of names and types that reach STATE_BACKEND, or all code */
	bool is_too_large;
	uint64_t *known; /* a hash table; a slot has a name's hash and roles (enum word_role); a free slot has 0 */
	uint32_t known_cap, known_count; /* known_cap: a power of two, or 0 */
	bool is_known_incomplete; /* there were more known names than RISK_KNOWN_MAX */
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

static uint64_t
hash_of(const char *name, size_t len)
{
	return XXH3_64bits(name, len);
}

static struct entry *
find_hashed(const struct risk_names *names, const char *name, size_t len, uint64_t hash)
{
	struct entry *e = NULL;

	if (names->count > 0)
		HASH_FIND_BYHASHVALUE(hh, names->table, name, (unsigned)len, (unsigned)hash, e);
	return e;
}

static struct entry *
find(const struct risk_names *names, const char *name, size_t len)
{
	return find_hashed(names, name, len, hash_of(name, len));
}

static void
add_risk(struct risk *to, struct risk more)
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
	if (!TABLE_ADD_BY_HASH(names->table, e->name, len, (unsigned)hash_of(name, len), e)) {
		free(e);
		return NULL;
	}
	names->count++;
	return e;
}

/* The risks that count only for SQL with the risky name. Otherwise all opaque SQL would have these rare risks. */
#define BY_NAME ((unsigned)(RISK_KEEPS | WASH_POINT_SEED | RISK_WANTED | RISK_UNDOES))

/* Returns the risk of SQL that has a name with this risk. */
static unsigned
risk_by_name(unsigned risk)
{
	return (risk & RISK_KEEPS) != 0 ? (risk & ~(unsigned)RISK_KEEPS) | STATE_BACKEND : risk;
}

/* Adds *risk, the risk of the name or type with this hash, to the sums. Sets *risk to the risk of SQL with the name. */
static void
add_to_sums(struct risk_names *names, struct risk *risk, uint64_t hash)
{
	unsigned parts;

	names->all |= (risk->always | risk->in_writes) & ~BY_NAME;
	risk->always = risk_by_name(risk->always);
	risk->in_writes = risk_by_name(risk->in_writes);
	names->new_risk |= (risk->always | risk->in_writes) & STATE_BACKEND;
	parts = risk->always | risk->in_writes;
	if ((parts & (unsigned)STATE_BACKEND) != 0 || (parts & RISK_DYNAMIC) == RISK_DYNAMIC)
		names->backend_hash += hash;
}

/* Returns true if risk_of_runnable_text() can find this name: one word without dollars, or RISK_BEYOND_ASCII. */
static bool
shows_in_text(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!sql_is(name[i], TAG))
			return strcmp(name, RISK_BEYOND_ASCII) == 0;
	return true;
}

int
risk_names_add(struct risk_names *names, enum risk_name_kind kind, const char *name, struct risk risk,
	       const char *reason)
{
	size_t len = strlen(name);
	struct entry *e = find(names, name, len);

	if (e == NULL && names->count == RISK_NAMES_MAX)
		names->is_too_large = true;
	else if (e == NULL)
		e = add_entry(names, name, len, reason);
	add_to_sums(names, &risk, hash_of(name, len) + kind);
	if (kind == RISK_FUNCTION && !shows_in_text(name, len))
		names->by_objects |= risk.always | risk.in_writes;
	if (e != NULL)
		add_risk(&e->risks[kind], risk);
	return e != NULL || names->is_too_large ? 0 : -1;
}

int
risk_names_add_type(struct risk_names *names, uint32_t oid, struct risk risk)
{
	struct type_entry *grown;

	add_to_sums(names, &risk, hash_of((const char *)&oid, sizeof(oid)));
	if (names->type_count == RISK_NAMES_MAX) {
		names->is_too_large = true;
		return 0;
	}
	/* The array grows when the count is a power of two. */
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
risk_names_add_general(struct risk_names *names, unsigned all, unsigned any_sql, unsigned ddl, unsigned by_objects)
{
	names->all |= (all | any_sql | ddl) & ~BY_NAME;
	names->by_objects |= risk_by_name(by_objects);
	names->any_sql |= risk_by_name(any_sql);
	names->ddl |= risk_by_name(ddl);
}

/* The roles of a known word. Most are about the name after the word. They are set when the word becomes known. */
enum word_role {
	AFTER_NO_CALL = 1u << 0, /* a name before a parenthesis is then a relation, a CTE or an alias */
	AFTER_NO_CALL_IN_DDL = 1u << 1,
	AFTER_CTE = 1u << 2,
	AFTER_RELATION = 1u << 3,
	AFTER_INTO = 1u << 4,
	AFTER_FROM = 1u << 5,
	AFTER_LATERAL = 1u << 6,
	AFTER_DISTINCT = 1u << 7,
	HAS_FROM = 1u << 8, /* relations follow a FROM that comes after this word */
	ENDS_FROM_LIST = 1u << 9,
	ENDS_WITH_LIST = 1u << 10,
	HAS_EFFECTS = 1u << 11, /* the word has RISK_EFFECTS wherever it stands */
	HAS_EFFECTS_CALLED = 1u << 12 /* the word has RISK_EFFECTS where it may be a call */
};

static unsigned
roles_of(const char *word)
{
	static const struct {
		unsigned role;
		const char *words;
	} roles[] = {
		{ AFTER_NO_CALL, "as with recursive into table view index exists references update copy" },
		{ AFTER_NO_CALL_IN_DDL, "on using" },
		{ AFTER_CTE, "with recursive" },
		{ AFTER_RELATION, "join update only copy" },
		{ AFTER_INTO, "into" },
		{ AFTER_FROM, "from" },
		{ AFTER_LATERAL, "lateral" },
		{ AFTER_DISTINCT, "distinct" },
		{ HAS_FROM, "select update delete" },
		{ ENDS_FROM_LIST,
		  "select where group having order limit offset fetch for window union intersect except "
		  "returning set when" },
		{ ENDS_WITH_LIST, "select values insert update delete merge time ordinality ties hold no data local "
				  "cascaded check" },
	};
	unsigned found = 0;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		found |= text_is_one_of(word, roles[i].words) ? roles[i].role : 0u;
	return found;
}

#define ROLE_BITS 16

static uint64_t
known_hash(uint64_t hash)
{
	return hash >> ROLE_BITS | 1u;
}

/* Returns the slot of this hash, or a free slot for it. */
static uint64_t *
find_known_slot(const struct risk_names *names, uint64_t hash)
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
			*find_known_slot(&grown, names->known[i] >> ROLE_BITS) = names->known[i];
	free(names->known);
	names->known = grown.known;
	names->known_cap = grown.known_cap;
	return 0;
}

int
risk_names_add_known(struct risk_names *names, const char *name)
{
	uint64_t hash = known_hash(hash_of(name, strlen(name)));

	if (names->known_count == RISK_KNOWN_MAX) {
		names->is_known_incomplete = true;
		return 0;
	}
	if (names->known_count * 2 >= names->known_cap && grow_known(names) < 0)
		return -1;
	names->known_count++;
	*find_known_slot(names, hash) = hash << ROLE_BITS | roles_of(name);
	return 0;
}

int
risk_names_add_effects(struct risk_names *names, const char *name, bool is_function)
{
	uint64_t hash = known_hash(hash_of(name, strlen(name)));
	bool is_known = names->known_cap > 0 && *find_known_slot(names, hash) != 0;

	if (!is_known && risk_names_add_known(names, name) < 0) /* the name is newer than the known names */
		return -1;
	if (!names->is_known_incomplete) /* if incomplete, all names count as having effects */
		*find_known_slot(names, hash) |= is_function ? HAS_EFFECTS_CALLED : HAS_EFFECTS;
	return 0;
}

uint64_t
risk_names_hash_backend_state(const struct risk_names *names)
{
	return names->backend_hash;
}

unsigned
risk_of_opaque_sql(const struct risk_names *names)
{
	return names->all & ~(unsigned)RISK_EFFECTS;
}

void
risk_names_each(const struct risk_names *names,
		void (*row)(const char *name, enum risk_name_kind kind, struct risk risk, const char *reason,
			    void *arg),
		void *arg)
{
	const struct entry *e, *next;

	HASH_ITER(hh, names->table, e, next) {
		for (unsigned kind = 0; kind < RISK_KINDS; kind++)
			if (((e->risks[kind].always | e->risks[kind].in_writes) &
			     ~(kind == RISK_DECLARED_HARMLESS ? 0u : (unsigned)(RISK_EFFECTS | RISK_UNDOES))) != 0)
				row(e->name, (enum risk_name_kind)kind, e->risks[kind], e->reason, arg);
	}
}

/* --- SQL --------------------------------------------------------------------------------------------------------- */

/* The kinds of things that a name may be in its place in the SQL. */
enum { MAY_BE_CALL = 1u << 0, MAY_BE_RELATION = 1u << 1, MAY_BE_CTE = 1u << 2, MAY_BE_TYPE = 1u << 3 };

/* Findings in SQL. */
enum found {
	FOUND_OPAQUE = 1u << 0,
	FOUND_WRITE = 1u << 1,
	FOUND_DDL = 1u << 2,
	/* a new name (risk_names.h), which may be a call, a relation or a type */
	FOUND_NEW_CALL = 1u << 3,
	FOUND_NEW_RELATION = 1u << 4,
	FOUND_NEW_TYPE = 1u << 5,
	FOUND_READ = 1u << 6, /* a statement begins with one of QUERIES */
	FOUND_EFFECTS = 1u << 7, /* something shows that the SQL may be more than one read */
	FOUND_END = 1u << 8, /* the end of a statement */
	FOUND_BODY = 1u << 9, /* the text of DO */
	FOUND_OPAQUE_OBJECTS = 1u << 10 /* opaque SQL whose words show all functions that it calls directly */
};

/* The meaning of the next word, as decided by the earlier words of the statement. */
enum statement { STATEMENT_GOES_ON, STATEMENT_BEGINS, STATEMENT_EXPLAINS, STATEMENT_IS_DO, STATEMENT_NAMES_OBJECT };

/* The kind of the previous token. LAST_FOR: FOR, or the KEY of FOR KEY SHARE. LAST_NEW: an unknown word. */
enum last { LAST_OTHER, LAST_NEW, LAST_CAST, LAST_FOR, LAST_STRING };

/* A pass over SQL. */
struct reader {
	const struct risk_names *names;
	struct sql_lexer lexer;
	struct risk risk, relation_risk; /* found so far: risk of calls, relation_risk of relations */
	unsigned found; /* enum found */
	enum statement statement;
	bool is_body; /* in the text of a DO: statements may begin at any word, and strings are not read as SQL */
	bool is_after_dot; /* the last token was a dot */
	bool is_into_of_insert; /* if the next word is INTO, it belongs to INSERT or MERGE */
	bool is_naming; /* in CREATE FUNCTION: the next name before a parenthesis is the new function's */
	bool has_distinct, is_after_distinct;
	uint64_t selects; /* bit N: there was a SELECT in the Nth of the open parentheses */
	unsigned depth;
	struct risk if_called; /* the last name's risk as a function; counts if a parenthesis follows */
	/* bits of enum found for the last name, if it is new. FOUND_NEW_CALL counts if a parenthesis follows; the other
	 * bits count if no dot follows. */
	unsigned if_new;
	unsigned may_be, last_may_be; /* bits MAY_BE_...; may_be: of the next name, last_may_be: of the last name */
	enum last last;
	/* bits as in selects; queries: a HAS_FROM word came; froms: in FROM; withs: in a CTE list; casts: in CAST( */
	uint64_t queries, froms, withs, casts;
	uint64_t ctes[CTES_MAX];
	unsigned cte_count;
};

/* Words that begin statements which run only code that they name. */
#define PLAIN                                                                                                          \
	"select insert update delete merge with values table copy fetch move close declare set reset show lock"        \
	" notify listen unlisten prepare deallocate discard begin start end commit rollback abort savepoint release"   \
	" explain call"
/* Words that begin statements which only read, unless FOUND_WRITE, FOUND_DDL or FOUND_EFFECTS says otherwise. */
#define QUERIES "select values table with"
/* Words that make an EXPLAIN opaque. */
#define OPAQUE_EXPLAINED "create refresh execute"
/* Words that begin statements for FOUND_OPAQUE_OBJECTS: they may run code of objects that they don't name. */
#define OPAQUE_OBJECTS "alter analyse analyze cluster comment grant refresh reindex revoke security truncate vacuum"
/* Words that may begin an opaque statement in the text of a DO, besides OPAQUE_OBJECTS. */
#define OPAQUE_IN_BODY "execute call deallocate discard do import load prepare reassign reset"
#define ADJECTIVES "or replace temp temporary local global unlogged unique materialized recursive"
#define OBJECTS "table view index sequence"

/* A word in lower case, cut to NAME_MAX_LEN bytes, terminated. */
struct word {
	char text[NAME_MAX_LEN + 1]; /* 64 bytes, because word_fold_sixteens() writes 16 bytes at once */
	size_t len, ascii_len; /* ascii_len: bytes before the first one that is not ASCII */
	bool is_beyond_ascii;
};

static void
word_put(struct word *w, char c)
{
	w->is_beyond_ascii = w->is_beyond_ascii || (unsigned char)c > RISK_BEYOND_ASCII[0];
	if (w->len < NAME_MAX_LEN)
		w->text[w->len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	w->text[w->len] = '\0';
	if (!w->is_beyond_ascii)
		w->ascii_len = w->len;
}

/* Writes the text at `at`, folded and sixteen bytes at once, to w->text. Returns false if that can't be done: if a byte
 * is a quote or beyond ASCII, or a load would go beyond `end`. */
static bool
word_fold_sixteens(struct word *w, const char *at, size_t len, const char *end)
{
#ifdef __SSE2__
	unsigned others = 0;

	if ((size_t)(end - at) < ((len + 15) & ~(size_t)15))
		return false;
	for (size_t i = 0; i < len; i += 16) {
		__m128i bytes = sql_load_sixteen(at + i);
		unsigned wanted = len - i < 16 ? (1u << (len - i)) - 1 : 0xffff;

		others |= ((unsigned)_mm_movemask_epi8(bytes) | sql_equal(bytes, '"')) & wanted;
		_mm_storeu_si128((__m128i *)(void *)(w->text + i), sql_fold_sixteen(bytes));
	}
	return others == 0;
#else
	(void)w, (void)at, (void)len, (void)end;
	return false;
#endif
}

/* Sets *w, which is empty, to this text, in which two quotes stand for one. `end` is the end of the SQL. Nearly all
 * words are short and ASCII; these are taken sixteen bytes at once. */
static void
word_take(struct word *w, const char *at, size_t len, const char *end)
{
	bool is_short = len <= NAME_MAX_LEN;

	if (!is_short || !word_fold_sixteens(w, at, len, end)) {
		if (!is_short || !text_is_ascii(at, len) || memchr(at, '"', len) != NULL) {
			for (size_t i = 0; i < len; i++) {
				word_put(w, at[i]);
				i += at[i] == '"'; /* skips the second of two quotes */
			}
			return;
		}
		for (size_t i = 0; i < len; i++)
			w->text[i] = sql_fold(at[i]);
	}
	w->text[len] = '\0';
	w->len = w->ascii_len = len;
}

#define IS(w, word) ((w)->len == sizeof(word) - 1 && memcmp((w)->text, word, sizeof(word)) == 0)

static void
note_if(struct reader *r, bool is_so, unsigned found)
{
	r->found |= is_so ? found : 0u;
}

/* Judges the object of a CREATE or DROP. For OBJECTS, the DDL runs only event triggers and code that the DDL names. */
static void
judge_object(struct reader *r, const struct word *w)
{
	const char *word = w->text;

	if (r->statement != STATEMENT_NAMES_OBJECT || text_is_one_of(word, ADJECTIVES))
		return;
	r->statement = STATEMENT_GOES_ON;
	r->found |= text_is_one_of(word, OBJECTS) ? FOUND_DDL | FOUND_WRITE : FOUND_OPAQUE_OBJECTS;
	r->is_naming = text_is_one_of(word, "function procedure aggregate");
}

static void
judge_first(struct reader *r, const struct word *w)
{
	const char *word = w->text;

	if (IS(w, "create") || IS(w, "drop"))
		r->statement = STATEMENT_NAMES_OBJECT;
	else if (r->is_body) {
		judge_object(r, w);
		note_if(r, text_is_one_of(word, OPAQUE_IN_BODY), FOUND_OPAQUE);
		note_if(r, text_is_one_of(word, OPAQUE_OBJECTS), FOUND_OPAQUE_OBJECTS);
		if (r->statement == STATEMENT_BEGINS)
			r->statement = STATEMENT_GOES_ON;
	} else {
		r->statement = IS(w, "do")	  ? STATEMENT_IS_DO
			       : IS(w, "explain") ? STATEMENT_EXPLAINS
						  : STATEMENT_GOES_ON;
		if (!text_is_one_of(word, PLAIN)) {
			bool has_opaque_objects = text_is_one_of(word, OPAQUE_OBJECTS);

			note_if(r, has_opaque_objects, FOUND_OPAQUE_OBJECTS);
			note_if(r, !has_opaque_objects && r->statement != STATEMENT_IS_DO, FOUND_OPAQUE);
		}
		r->found |= text_is_one_of(word, QUERIES) ? FOUND_READ : FOUND_EFFECTS;
	}
}

/* Returns false if the word is certainly none of those that judge_keyword() looks for anywhere in a statement: no
 * such word has this first letter and this length. */
static bool
may_be_looked_for(const struct word *w)
{
	static const uint16_t lengths[32] = {
		['c' & 31] = 1 << 4, ['d' & 31] = 1 << 6, ['e' & 31] = 1 << 7,		['i' & 31] = 1 << 4 | 1 << 6,
		['m' & 31] = 1 << 5, ['u' & 31] = 1 << 6, ['s' & 31] = 1 << 5 | 1 << 6, ['p' & 31] = 0xff00,
	};

	return (lengths[w->text[0] & 31] >> (w->len < 15 ? w->len : 15) & 1) != 0;
}

/* Judges words that mean something by themselves. Quoted words count, too, because a false alarm is cheap. A word that
 * is added here must be added to may_be_looked_for(), too. */
static void
judge_keyword(struct reader *r, const struct word *w)
{
	bool is_into = !r->is_into_of_insert && !r->is_body && IS(w, "into");

	if (r->statement == STATEMENT_BEGINS || r->is_body)
		judge_first(r, w);
	else if (r->statement == STATEMENT_IS_DO)
		note_if(r, !IS(w, "language") && !IS(w, "plpgsql"), FOUND_OPAQUE);
	else
		judge_object(r, w);
	note_if(r, r->statement == STATEMENT_EXPLAINS && text_is_one_of(w->text, OPAQUE_EXPLAINED), FOUND_OPAQUE);
	note_if(r, (r->found & FOUND_DDL) != 0 && IS(w, "execute"), FOUND_OPAQUE);
	note_if(r, is_into, FOUND_DDL); /* SELECT INTO makes a table */
	note_if(r, IS(w, "insert") || IS(w, "update") || IS(w, "delete") || IS(w, "merge") || IS(w, "copy"),
		FOUND_WRITE);
	note_if(r, IS(w, "prepared"), FOUND_OPAQUE); /* COMMIT PREPARED may make code */
	/* The answer about the code (database_code.h) leaves out objects in temporary schemas. */
	note_if(r, strncmp(w->text, "pg_temp_", 8) == 0, FOUND_OPAQUE | FOUND_NEW_CALL);
	note_if(r, r->last == LAST_FOR && IS(w, "share"), FOUND_EFFECTS);
	/* After SELECT, INSERT is a column's name. */
	r->is_into_of_insert = (r->selects >> r->depth & 1) == 0 && (IS(w, "insert") || IS(w, "merge"));
	if (IS(w, "select"))
		r->selects |= UINT64_C(1) << r->depth;
}

/* Notes what a name may be after a word with these roles. own_may_be: what the word itself may be. */
static void
note_place_after(struct reader *r, unsigned roles, unsigned own_may_be)
{
	uint64_t here = UINT64_C(1) << r->depth;
	bool is_query = (r->queries & here) != 0 || (r->is_body && r->depth == 0);
	bool is_from = (roles & AFTER_FROM) != 0 && is_query && !r->is_after_distinct;
	unsigned no_call = AFTER_NO_CALL | ((r->found & FOUND_DDL) != 0 ? AFTER_NO_CALL_IN_DDL : 0u);
	unsigned relation = AFTER_RELATION | (r->is_body ? 0u : AFTER_INTO);
	bool is_call = (own_may_be & MAY_BE_RELATION) != 0 ? (roles & AFTER_LATERAL) != 0 : (roles & no_call) == 0;

	r->may_be = (is_call ? MAY_BE_CALL : 0u) | (is_from || (roles & relation) != 0 ? MAY_BE_RELATION : 0u) |
		    ((roles & AFTER_CTE) != 0 ? MAY_BE_CTE : 0u);
	r->is_after_distinct = (roles & AFTER_DISTINCT) != 0;
	r->has_distinct = r->has_distinct || r->is_after_distinct;
	r->queries |= (roles & HAS_FROM) != 0 ? here : 0;
	r->froms = is_from ? r->froms | here : (roles & ENDS_FROM_LIST) != 0 ? r->froms & ~here : r->froms;
	r->withs = (roles & AFTER_CTE) != 0	   ? r->withs | here
		   : (roles & ENDS_WITH_LIST) != 0 ? r->withs & ~here
						   : r->withs;
}

/* Called when the last name has ended without a dot after it. */
static void
settle_name(struct reader *r)
{
	r->found |= r->if_new & (FOUND_NEW_RELATION | FOUND_NEW_TYPE);
	r->if_new = 0;
	r->may_be = MAY_BE_CALL;
	r->is_after_distinct = false;
}

static bool
is_cte(const struct reader *r, uint64_t hash)
{
	for (unsigned i = 0; i < r->cte_count; i++)
		if (r->ctes[i] == hash)
			return true;
	return r->cte_count == CTES_MAX;
}

/* Notes the effects of a known word with these roles, and whether a type may follow the word. */
static void
judge_known(struct reader *r, const struct word *w, unsigned roles)
{
	note_if(r, (roles & HAS_EFFECTS) != 0 || (r->is_after_dot && (roles & HAS_EFFECTS_CALLED) != 0), FOUND_EFFECTS);
	if ((roles & HAS_EFFECTS_CALLED) != 0)
		r->if_called.always |= RISK_EFFECTS;
	if ((r->casts >> r->depth & 1) != 0 && IS(w, "as"))
		r->may_be |= MAY_BE_TYPE;
	r->last = IS(w, "cast") ? LAST_CAST : IS(w, "for") || IS(w, "key") ? LAST_FOR : LAST_OTHER;
}

/* Judges a word as a name. Most words are known, or are columns in places where a new name does not matter. */
static void
judge_name(struct reader *r, const struct word *w, uint64_t hash)
{
	bool was_after_distinct = r->is_after_distinct;
	unsigned own_may_be = r->may_be;
	uint64_t known;

	if (r->names->known_count == 0 || r->names->is_known_incomplete) {
		r->found |= FOUND_EFFECTS;
		return;
	}
	hash = known_hash(hash);
	settle_name(r);
	r->last_may_be = own_may_be;
	if ((own_may_be & MAY_BE_CTE) != 0 && r->cte_count < CTES_MAX)
		r->ctes[r->cte_count++] = hash;
	known = *find_known_slot(r->names, w->is_beyond_ascii ? known_hash(hash_of(RISK_BEYOND_ASCII, 1)) : hash);
	if (known != 0) {
		r->is_after_distinct = was_after_distinct;
		note_place_after(r, (unsigned)(known & ((1u << ROLE_BITS) - 1)), own_may_be);
		judge_known(r, w, (unsigned)(known & ((1u << ROLE_BITS) - 1)));
		return;
	}
	r->last = LAST_NEW;
	r->if_new = ((own_may_be & (MAY_BE_CALL | MAY_BE_CTE)) == MAY_BE_CALL && !r->is_naming ? FOUND_NEW_CALL : 0u) |
		    ((own_may_be & MAY_BE_RELATION) != 0 && !is_cte(r, hash) ? FOUND_NEW_RELATION : 0u) |
		    ((own_may_be & MAY_BE_TYPE) != 0 ? FOUND_NEW_TYPE : 0u);
	/* an alias follows a name; but in a DO the name may be RETURN, which is not a word of SQL */
	r->may_be = r->is_body ? MAY_BE_CALL : 0;
}

static void
judge_punct(struct reader *r, char c)
{
	uint64_t here = UINT64_C(1) << r->depth;

	if (c == '.') {
		r->if_new = 0;
		r->may_be = r->last_may_be;
		return;
	}
	note_if(r, c == '(', r->if_new & FOUND_NEW_CALL);
	settle_name(r);
	if (c == ',')
		r->may_be = ((r->withs & here) != 0 ? MAY_BE_CTE : MAY_BE_CALL) |
			    ((r->froms & here) != 0 ? MAY_BE_RELATION : 0u);
	else if (c == ')')
		r->may_be = r->has_distinct ? MAY_BE_CALL : 0; /* DISTINCT ON (a) f(b); otherwise an alias follows */
}

static void
add_risks_of_name(struct reader *r, const struct entry *e)
{
	if (e == NULL)
		return;
	add_risk(&r->relation_risk, e->risks[RISK_RELATION]);
	add_risk(&r->risk, e->risks[RISK_KEYWORD]);
	if (r->is_after_dot)
		add_risk(&r->risk, e->risks[RISK_FUNCTION]);
	add_risk(&r->if_called, e->risks[RISK_FUNCTION]);
}

static void
judge_word(struct reader *r, const struct word *w)
{
	uint64_t hash = hash_of(w->text, w->len);
	const struct entry *e =
	    w->is_beyond_ascii ? find(r->names, RISK_BEYOND_ASCII, 1) : find_hashed(r->names, w->text, w->len, hash);

	r->if_called = (struct risk){ 0 };
	if (r->statement != STATEMENT_GOES_ON || r->is_body || may_be_looked_for(w))
		judge_keyword(r, w);
	else
		r->is_into_of_insert = false;
	judge_name(r, w, hash);
	add_risks_of_name(r, e);
	if (w->is_beyond_ascii && e != NULL) /* in SJIS, a character's second byte may look like an operator */
		add_risk(&r->risk, e->risks[RISK_FUNCTION]);
	/* PostgreSQL cuts a long name between characters of its own encoding, perhaps after the ASCII part. */
	if (w->is_beyond_ascii && w->ascii_len + LETTER_MAX > NAME_MAX_LEN)
		add_risks_of_name(r, find(r->names, w->text, w->ascii_len));
	r->is_after_dot = false;
}

/* Ends the last name, because the next token is neither a name nor punctuation. */
static void
end_name(struct reader *r)
{
	r->if_called = (struct risk){ 0 };
	r->is_after_dot = r->is_into_of_insert = false;
	r->last = LAST_OTHER;
	settle_name(r);
	note_if(r, r->statement == STATEMENT_BEGINS, FOUND_OPAQUE);
}

static void
read_word(struct reader *r, const char *at, size_t len)
{
	struct word w;

	w.len = w.ascii_len = 0;
	w.is_beyond_ascii = false;
	w.text[0] = '\0';
	word_take(&w, at, len, r->lexer.sql + r->lexer.len);
	judge_word(r, &w);
}

/* Reads a quoted name. U&"..." could be any name. */
static void
read_quoted(struct reader *r, const struct sql_token *t)
{
	bool is_unicode = *t->at != '"', is_first = r->statement == STATEMENT_BEGINS;
	size_t prefix_len = is_unicode ? 3 : 1;

	read_word(r, t->at + prefix_len, t->len - prefix_len - 1);
	note_if(r, is_first || is_unicode, FOUND_OPAQUE);
}

/* Moves the lexer back to the end of a number such as 1 or 1e5: the lexer includes a word that follows directly. */
static void
read_number(struct reader *r, const struct sql_token *t)
{
	const char *p = t->at + (*t->at == '.'), *end = t->at + t->len;

	end_name(r);
	while (p < end && sql_is(*p, DIGIT))
		p++;
	if (end - p >= 2 && sql_fold(*p) == 'e') {
		const char *exponent = p + 1 + (p[1] == '+' || p[1] == '-');

		if (exponent < end && sql_is(*exponent, DIGIT))
			for (p = exponent; p < end && sql_is(*p, DIGIT);)
				p++;
	}
	r->lexer.pos = (size_t)(p - r->lexer.sql);
}

static bool read_tokens(struct reader *r);

/* Reads the text of a DO. */
static void
read_body(struct reader *r, const char *begin, size_t len)
{
	struct reader body = { .names = r->names, .is_body = true, .found = FOUND_WRITE };

	sql_lexer_init(&body.lexer, begin, len);
	body.lexer.has_backslash_escapes = r->lexer.has_backslash_escapes;
	note_if(r, !read_tokens(&body) || body.statement == STATEMENT_NAMES_OBJECT, FOUND_OPAQUE);
	add_risk(&r->risk, body.risk);
	add_risk(&r->relation_risk, body.relation_risk);
	r->found |= body.found;
}

/* Returns true if this text, as code, may call functions that its words don't show. */
static bool
may_hide_calls(const char *text, size_t len)
{
	return text_contains(text, len, "execute") || text_contains(text, len, "u&") || memchr(text, '\\', len) != NULL;
}

static void
read_string(struct reader *r, const struct sql_token *t)
{
	size_t tag_len;
	bool is_plain;

	/* Two strings in a row may be one string, and each may have half of a name. */
	note_if(r, (r->found & FOUND_OPAQUE_OBJECTS) != 0 && (r->last == LAST_STRING || may_hide_calls(t->at, t->len)),
		FOUND_OPAQUE);
	note_if(r, r->last == LAST_NEW, FOUND_NEW_TYPE); /* type 'literal' */
	end_name(r);
	r->last = LAST_STRING;
	if (r->statement != STATEMENT_IS_DO)
		return;
	is_plain = *t->at == '\'' && (r->found & FOUND_BODY) == 0 && memchr(t->at + 1, '\'', t->len - 2) == NULL &&
		   memchr(t->at, '\\', t->len) == NULL;
	r->found |= FOUND_BODY;
	tag_len = *t->at == '$' ? (size_t)((const char *)memchr(t->at + 1, '$', t->len - 1) - t->at) + 1 : 1;
	if (*t->at == '$' || is_plain)
		read_body(r, t->at + tag_len, t->len - 2 * tag_len);
	else
		r->found |= FOUND_OPAQUE;
}

static void
judge_operators(struct reader *r, const char *run, size_t len)
{
	note_if(r, len > RUN_MAX, FOUND_OPAQUE);
	for (size_t from = 0; from < len && r->names->count > 0 && len <= RUN_MAX; from++)
		for (size_t n = 1; from + n <= len; n++) {
			const struct entry *e = find(r->names, run + from, n);

			if (e != NULL)
				add_risk(&r->risk, e->risks[RISK_OPERATOR]);
		}
}

static void
read_punct(struct reader *r, char c)
{
	if (c == '(') {
		add_risk(&r->risk, r->if_called);
		if (++r->depth > DEPTH_MAX) {
			r->depth = DEPTH_MAX;
			r->found |= FOUND_OPAQUE;
		}
		r->selects &= ~(UINT64_C(1) << r->depth);
		r->queries &= ~(UINT64_C(1) << r->depth);
		r->froms &= ~(UINT64_C(1) << r->depth);
		r->withs &= ~(UINT64_C(1) << r->depth);
		r->casts &= ~(UINT64_C(1) << r->depth);
		r->casts |= r->last == LAST_CAST ? UINT64_C(1) << r->depth : 0;
	} else if (c == ')' && r->depth > 0)
		r->depth--;
	judge_punct(r, c);
	r->if_called = (struct risk){ 0 };
	r->is_naming = r->is_naming && c == '.';
	r->is_after_dot = c == '.';
	r->is_into_of_insert = false;
	r->last = LAST_OTHER;
	note_if(r, c == '$', FOUND_OPAQUE); /* PostgreSQL refuses the SQL */
	if (c == ';') {
		r->statement = STATEMENT_BEGINS;
		r->selects = r->queries = r->froms = r->withs = r->casts = 0;
		r->depth = 0;
		r->found |= FOUND_END;
	} else
		note_if(r, c != '(' && r->statement == STATEMENT_BEGINS, FOUND_OPAQUE);
}

static void
read_token(struct reader *r, const struct sql_token *t)
{
	note_if(r, (r->found & FOUND_END) != 0 && (t->kind != SQL_PUNCT || *t->at != ';'), FOUND_EFFECTS);
	switch (t->kind) {
	case SQL_WORD:
		read_word(r, t->at, t->len);
		break;
	case SQL_QUOTED:
		read_quoted(r, t);
		break;
	case SQL_STRING:
		read_string(r, t);
		break;
	case SQL_NUMBER:
		read_number(r, t);
		break;
	case SQL_PARAM:
		end_name(r);
		break;
	case SQL_OPERATOR:
		end_name(r);
		judge_operators(r, t->at, t->len);
		break;
	default:
		read_punct(r, *t->at);
		r->may_be |= t->kind == SQL_CAST ? MAY_BE_TYPE : 0u;
		break;
	}
}

/* Returns true if the SQL ends properly. */
static bool
read_tokens(struct reader *r)
{
	struct sql_token t;

	while ((t = sql_next(&r->lexer)).kind != SQL_END && t.kind != SQL_UNTERMINATED)
		read_token(r, &t);
	return t.kind == SQL_END;
}

/* The risk of a new name, without STATE_BACKEND, which would close the server after each new temporary table. */
#define RISK_NEW ((unsigned)STATE_WASHABLE | RISK_CODE | RISK_UNREAD)

static unsigned
with_calls(unsigned risk)
{
	return risk | RISK_BY_CALLS(risk);
}

static unsigned
risk_of(const struct reader *r, struct risk risk)
{
	return risk.always | ((r->found & FOUND_WRITE) != 0 ? risk.in_writes : 0u);
}

/* Returns true if `language` begins with sql or plpgsql, quoted or not, or with internal. */
static bool
is_sandboxed(const char *language)
{
	bool is_quoted = language[0] == '\'';

	if (strncasecmp(language, "internal", 8) == 0 && !sql_is(language[8], WORD))
		return true;
	language += is_quoted;
	language += strncasecmp(language, "plpg", 4) == 0 ? 4 : 0;
	if (strncasecmp(language, "sql", 3) != 0)
		return false;
	return is_quoted ? language[3] == '\'' && language[4] != '\''
			 : !sql_is(language[3], WORD) && language[3] != '\'';
}

/*
 * Returns RISK_KEEPS if code that this text makes may itself keep something in the backend: if the text has, anywhere,
 * a language other than those of is_sandboxed(), or a word that reaches the backend. Functions that the code calls are
 * judged by their own names. Returns 0 otherwise.
 */
static unsigned
risk_of_keeping(const char *sql, size_t len)
{
	static const char *const signs[] = { "load",	  "isn_weak", "backup", "replication_",
					     "extension", "rename",   "u&",	"\\" };
	char next[24];

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (text_contains(sql, len, signs[i]))
			return RISK_KEEPS;
	for (; len > 0; sql++, len--) {
		if (len < 8 || strncasecmp(sql, "language", 8) != 0)
			continue;
		snprintf(next, sizeof(next), "%.*s", (int)(len - 8 < sizeof(next) ? len - 8 : sizeof(next)), sql + 8);
		if (!is_sandboxed(next + strspn(next, " \t\r\n")))
			return RISK_KEEPS;
	}
	return 0;
}

/* Returns the end of the comment or escape that begins at `at`; `at` if none begins there. */
static const char *
comment_end(const char *at, const char *end)
{
	const char *found;

	if (end - at < 2 || *at == '\\')
		return *at == '\\' && end - at > 1 ? at + 2 : at;
	if (memcmp(at, "--", 2) == 0) {
		while (at < end && *at != '\n' && *at != '\r')
			at++;
		return at;
	}
	if (memcmp(at, "/*", 2) != 0)
		return at;
	found = memmem(at, (size_t)(end - at), "*/", 2);
	return found == NULL ? end : found + 2;
}

/* In a Bind, a value's length precedes the value. This many bytes of the length may look like a part of the value. */
#define SPARE_BYTES 3u

static bool
ends_with_any(const struct word *w, const char *words)
{
	for (size_t spare = 0; spare <= SPARE_BYTES && spare < w->len; spare++)
		if (text_is_one_of(w->text + spare, words))
			return true;
	return false;
}

static unsigned
risk_of_word(const struct risk_names *names, const struct word *w)
{
	unsigned parts = 0;

	if (names == NULL)
		return 0;
	for (size_t spare = 0; spare <= SPARE_BYTES && spare < w->len; spare++) {
		const struct entry *e = w->is_beyond_ascii ? find(names, RISK_BEYOND_ASCII, 1)
							   : find(names, w->text + spare, w->len - spare);

		for (unsigned kind = 0; e != NULL && kind < 2; kind++) {
			const struct risk *r = &e->risks[kind == 0 ? RISK_FUNCTION : RISK_RELATION];

			parts |= r->always | r->in_writes;
		}
	}
	return parts;
}

static unsigned
risk_of_text(const struct risk_names *names, const char *text, size_t len, bool has_comments)
{
	const char *end = text + len, *at = text, *next;
	unsigned parts = 0;
	bool is_ddl = false, is_language = false, is_load = false;
	struct word w;

	while (at < end) {
		if (is_load && (*at == '\'' || *at == '$'))
			return STATE_BACKEND | parts;
		if (!sql_is(*at, TAG)) {
			next = has_comments || *at == '\\' ? comment_end(at, end) : at;
			is_load = is_load && (next > at || is_space(*at));
			at = next > at ? next : at + 1;
			continue;
		}
		for (w.len = 0, w.is_beyond_ascii = false; at < end && sql_is(*at, TAG); at++)
			word_put(&w, *at);
		parts |= risk_of_word(names, &w);
		if ((is_ddl && text_is_one_of(w.text, "extension language")) ||
		    (is_language && strcmp(w.text, "c") == 0))
			return STATE_BACKEND | parts;
		is_ddl = ends_with_any(&w, "create alter drop") ||
			 (is_ddl && text_is_one_of(w.text, "or replace trusted procedural"));
		is_language = strcmp(w.text, "language") == 0;
		is_load = ends_with_any(&w, "load");
	}
	return parts;
}

static bool
is_to_blame(const struct entry *e, unsigned part)
{
	unsigned parts = 0;

	for (unsigned kind = 0; e != NULL && kind < RISK_KINDS; kind++)
		parts |= e->risks[kind].always | e->risks[kind].in_writes;
	return (parts & part) != 0;
}

const char *
risk_names_blame(const struct risk_names *names, unsigned part, const char *sql, size_t len)
{
	const struct entry *e = NULL;
	struct word w;

	for (const char *end = sql + len; sql < end && !is_to_blame(e, part);) {
		for (w.len = 0, w.is_beyond_ascii = false; sql < end && sql_is(*sql, TAG); sql++)
			word_put(&w, *sql);
		if (w.len == 0) /* no word begins here */
			sql++;
		else
			e = w.is_beyond_ascii ? find(names, RISK_BEYOND_ASCII, 1) : find(names, w.text, w.len);
	}
	for (e = is_to_blame(e, part) ? e : names->table; e != NULL && !is_to_blame(e, part);)
		e = e->hh.next;
	return e == NULL ? NULL : e->reason;
}

/* Looks for risky names, and for adjacent words of commands such as CREATE EXTENSION, also in strings within strings.
 * Reads the text twice, with comments and without, because the beginning of a comment may be in a string. */
unsigned
risk_of_runnable_text(const struct risk_names *names, const char *text, size_t len)
{
	unsigned parts = risk_of_text(names, text, len, true);

	if (memmem(text, len, "--", 2) != NULL || memmem(text, len, "/*", 2) != NULL)
		parts |= risk_of_text(names, text, len, false);
	if (names != NULL && (parts & RISK_DYNAMIC) == RISK_DYNAMIC)
		parts |= names->all;
	return parts & (unsigned)(STATE_BACKEND | WASH_POINT_SEED);
}

/* Returns true if the words show that the SQL is one statement that only reads. */
static bool
is_one_query(const struct reader *r)
{
	return (r->found & (FOUND_READ | FOUND_WRITE | FOUND_DDL | FOUND_OPAQUE | FOUND_OPAQUE_OBJECTS |
			    FOUND_NEW_CALL | FOUND_NEW_RELATION | FOUND_NEW_TYPE | FOUND_EFFECTS)) == FOUND_READ;
}

/* Returns the risk of opaque SQL. With FOUND_OPAQUE_OBJECTS alone, only by_objects and the words give STATE_BACKEND. */
static unsigned
risk_of_opaque(const struct reader *r)
{
	const struct risk_names *names = r->names;
	unsigned parts = names->all;

	if ((r->found & FOUND_OPAQUE) == 0 && (names->by_objects & RISK_DYNAMIC) != RISK_DYNAMIC)
		parts = (parts & ~(unsigned)STATE_BACKEND) | (names->by_objects & STATE_BACKEND);
	return with_calls(parts) | RISK_OPAQUE | risk_of_keeping(r->lexer.sql, r->lexer.len) |
	       risk_of_runnable_text(names, r->lexer.sql, r->lexer.len);
}

/* Adds the SQL's risk to *risk, and the risk of its new names to *new_risk. Returns false if the SQL does not end
 * properly; PostgreSQL then refuses the SQL. */
static bool
read_sql(const struct risk_names *names, const char *sql, size_t len, bool has_backslashes, unsigned *risk,
	 unsigned *new_risk)
{
	struct reader r = { .names = names, .statement = STATEMENT_BEGINS };

	sql_lexer_init(&r.lexer, sql, len);
	r.lexer.has_backslash_escapes = has_backslashes;
	if (!read_tokens(&r))
		return false;
	settle_name(&r);
	if ((r.found & FOUND_NEW_RELATION) != 0)
		*new_risk |= RISK_NEW;
	if ((r.found & FOUND_NEW_CALL) != 0)
		*new_risk |= with_calls(RISK_NEW) | RISK_CONTEXT | (names->all & STATE_BACKEND) | names->new_risk;
	*risk |= risk_of(&r, r.relation_risk) | with_calls(risk_of(&r, r.risk)) |
		 ((r.found & FOUND_DDL) != 0 ? names->ddl : 0);
	if ((*risk & RISK_DYNAMIC) == RISK_DYNAMIC)
		*risk |= names->all;
	*risk |= (r.found & (FOUND_OPAQUE | FOUND_OPAQUE_OBJECTS)) != 0 ? risk_of_opaque(&r)
		 : (r.found & FOUND_BODY) != 0				? risk_of_runnable_text(names, sql, len)
									: 0;
	*risk |= is_one_query(&r) ? 0 : (unsigned)RISK_EFFECTS;
	return true;
}

/* Returns true if, in some encodings, a backslash may be the second byte of a character. */
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
risk_of_sql(const struct risk_names *names, const char *sql, size_t len)
{
	bool has_backslash = memchr(sql, '\\', len) != NULL, ends_properly;
	unsigned risk = with_calls(names->any_sql), new_risk = 0;
	unsigned opaque = with_calls(names->all) | RISK_OPAQUE | RISK_KEEPS | RISK_EFFECTS;

	if (names->is_too_large || (has_backslash && has_doubtful_backslash(sql, len)))
		return opaque | risk_of_runnable_text(names, sql, len);
	ends_properly = read_sql(names, sql, len, false, &risk, &new_risk);
	if (has_backslash)
		ends_properly = read_sql(names, sql, len, true, &risk, &new_risk) || ends_properly;
	if (((risk | new_risk) & ~(unsigned)RISK_CONTEXT) != 0) /* SQL that touches the session does more than read */
		risk |= RISK_EFFECTS;
	return ends_properly ? risk | new_risk : opaque | risk_of_runnable_text(names, sql, len);
}

unsigned
risk_of_parameter_types(const struct risk_names *names, const uint8_t *types, size_t len)
{
	struct risk risk = { 0 };
	unsigned own = 0;

	if (len < 2 || len - 2 != (size_t)wire_u16(types) * 4)
		return names->all | RISK_EFFECTS;
	for (size_t at = 2; at < len && names->type_count > 0; at += 4) {
		uint32_t oid = wire_u32(types + at);

		if (oid < FIRST_OWN_TYPE)
			continue;
		if (++own > OWN_TYPES_MAX)
			return names->all | RISK_EFFECTS;
		for (unsigned i = 0; i < names->type_count; i++)
			if (names->types[i].oid == oid)
				add_risk(&risk, names->types[i].risk);
	}
	own = risk.always | risk.in_writes | names->any_sql;
	return (own & RISK_DYNAMIC) == RISK_DYNAMIC ? own | names->all : own;
}
