/*
 * src/statements/names.c - the names that a client gave to its prepared statements. See statements/statements_state.h.
 *
 * Clients may have thousands of names, so a name costs little more than its bytes: a block, and a pointer in a table
 * with open addressing. The hash is seeded, because clients choose the names, and collisions slow the loop for all.
 */
#include "statements/statements_state.h"
#include "base/table.h"
#include "base/text.h"

#include <assert.h>

#define SLOTS_MIN 8u
#define NAME_BYTES_MAX 63u /* NAMEDATALEN - 1 */
#define BLOCK_OVERHEAD 16u /* about how many bytes malloc adds to a block */
#define CLIENT_SHARE 4u /* one client may have a quarter of what all clients may have together */

struct client_statements *
statements_get_or_create(struct exchange *x)
{
	if (x->statements == NULL && (x->statements = calloc(1, sizeof(*x->statements))) != NULL)
		x->statements->env = x->env;
	return x->statements;
}

/* Returns how many bytes of a name are compared. PostgreSQL compares the first 63 bytes of the name in the database's
 * encoding; if the name is not ASCII, its bytes may differ in that encoding, so here the whole name is compared. */
static size_t
significant_len(const char *name)
{
	size_t len = strnlen(name, NAME_BYTES_MAX);

	if (len == NAME_BYTES_MAX && !text_is_ascii(name, len))
		len = strlen(name);
	return len;
}

static uint32_t
hash_of_name(const struct exchange_env *env, const char *name)
{
	return table_hash(env->hash_seed, name, significant_len(name));
}

static bool
names_are_equal(const char *a, const char *b)
{
	size_t len = significant_len(a);

	return significant_len(b) == len && memcmp(a, b, len) == 0;
}

static uint32_t
slot_at(const struct client_statements *s, uint32_t hash)
{
	return hash & (s->slot_count - 1);
}

__attribute__((noinline)) static struct client_statement *
find_by_hash(const struct exchange *x, const char *name)
{
	struct client_statements *s = x->statements;
	uint32_t hash = hash_of_name(x->env, name);

	for (uint32_t at = slot_at(s, hash); s->slots[at] != NULL; at = slot_at(s, at + 1))
		if (s->slots[at]->hash == hash && names_are_equal(s->slots[at]->name, name)) {
			s->found_at = at;
			return s->slots[at];
		}
	return NULL;
}

inline struct client_statement *
client_statement_find(const struct exchange *x, const char *name)
{
	const struct client_statements *s = x->statements;
	/* the entry in the slot where a name was last found; by now the slot may have another name */
	struct client_statement *last;

	if (s == NULL || s->count == 0)
		return NULL;
	last = s->slots[slot_at(s, s->found_at)];
	return last != NULL && strcmp(last->name, name) == 0 ? last : find_by_hash(x, name);
}

uint32_t
statements_last_name_number(const struct exchange *x)
{
	return x->statements == NULL ? 0 : x->statements->last_name_number;
}

void
statements_forget_since(struct exchange *x, const char *name, uint32_t last_name_number)
{
	struct client_statement *n = client_statement_find(x, name);

	if (n != NULL && (int32_t)(n->order - last_name_number) > 0)
		client_statement_leave(x->statements, n);
}

struct statement *
statements_find(const struct exchange *x, const char *name)
{
	const struct client_statements *s = x->statements;
	const struct client_statement *n;

	if (name[0] == '\0')
		return s == NULL || s->unnamed_kind != UNNAMED_STORED ? NULL : s->unnamed;
	n = client_statement_find(x, name);
	return n == NULL ? NULL : n->st;
}

/* Returns true if st may be a BEGIN with a mode. st is NULL if its SQL is not known. */
static bool
may_be_begin_with_mode(struct statement *st)
{
	const struct sql_traits *v = st == NULL ? NULL : statement_traits(st);

	return v == NULL ||
	       ((v->first == WORD_BEGIN || v->first == WORD_START_TRANSACTION) && st->query_len > strlen("BEGIN;"));
}

__attribute__((noinline)) static bool
may_be_begin_by_name(const struct exchange *x, const char *name)
{
	return may_be_begin_with_mode(statements_find(x, name));
}

inline bool
statements_may_be_begin_with_mode(const struct exchange *x, const char *name)
{
	const struct client_statements *s = x->statements;

	return (s == NULL || s->begin_count != 0 || name[0] == '\0') && may_be_begin_by_name(x, name);
}

bool
client_statement_is_unsettled(const struct exchange *x, const struct client_statement *n)
{
	const struct client_statements *s = x->statements;

	if (s != NULL && (s->deallocating_count > 0 || s->is_clearing) && x->srv->ledger.count > 0)
		return true; /* the reply will show which names are left */
	return n != NULL && n->state != NAME_PREPARED && n->state != NAME_GONE && n->sync_no != x->statements->sync_no;
}

static void
account(struct client_statements *s, size_t more, size_t less)
{
	assert(s->bytes + more >= less && s->env->name_bytes + more >= less);
	s->bytes += more - less;
	s->env->name_bytes += more - less;
}

/* Returns how many bytes of SQL count for this client because of n. The store counts each SQL once for all clients;
 * here the SQL counts for the client that brought it. */
static size_t
text_size(const struct client_statement *n)
{
	return n->is_first ? STATEMENT_OVERHEAD + n->st->query_len : 0;
}

static size_t
size_of(const struct client_statement *n)
{
	return offsetof(struct client_statement, name) + strlen(n->name) + 1 + BLOCK_OVERHEAD;
}

struct client_statement *
client_statement_new(struct exchange *x, const char *name, struct statement *st)
{
	size_t len = strlen(name), size = offsetof(struct client_statement, name) + len + 1;
	/* gcc may read the struct in words, up to its padded end. */
	struct client_statement *n = calloc(1, size > sizeof(*n) ? size : sizeof(*n));

	if (n == NULL)
		return NULL;
	memcpy(n->name, name, len + 1);
	n->hash = hash_of_name(x->env, name);
	n->st = st;
	n->sync_no = x->statements->sync_no;
	n->order = ++x->statements->last_name_number;
	n->refs = 1;
	n->state = NAME_PENDING;
	n->is_first = st != NULL && statement_has_one_ref(st);
	return n;
}

void
client_statement_unref(struct client_statement *n)
{
	if (n == NULL)
		return;
	assert(n->refs > 0);
	if (--n->refs > 0)
		return;
	assert(!n->is_in_table);
	statement_unref(n->st);
	free(n);
}

void
client_statement_step(struct client_statement *n, enum name_event ev)
{
	static const struct {
		enum name_state from;
		enum name_event ev;
		enum name_state to;
	} steps[] = {
		{ NAME_PENDING, NAME_PARSED, NAME_PREPARED },
		{ NAME_PENDING, NAME_NOT_PARSED, NAME_GONE },
		{ NAME_PENDING, NAME_CLOSE_SENT, NAME_PENDING_CLOSING },
		{ NAME_PENDING_CLOSING, NAME_PARSED, NAME_CLOSING },
		{ NAME_PENDING_CLOSING, NAME_NOT_PARSED, NAME_GONE },
		{ NAME_PREPARED, NAME_CLOSE_SENT, NAME_CLOSING },
		{ NAME_CLOSING, NAME_CLOSED, NAME_GONE },
		{ NAME_CLOSING, NAME_CLOSE_SKIPPED, NAME_PREPARED },
		{ NAME_GONE, NAME_CLOSE_SKIPPED, NAME_GONE }, /* for a Close after a Parse that has failed */
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i].from == n->state && steps[i].ev == ev) {
			n->state = steps[i].to;
			return;
		}
	assert(false); /* this event can't come in this state */
}

static void
names_insert(struct client_statements *s, struct client_statement *n)
{
	uint32_t at = slot_at(s, n->hash);

	assert(s->count < s->slot_count); /* a search ends at a free slot */
	while (s->slots[at] != NULL)
		at = slot_at(s, at + 1);
	s->slots[at] = n;
}

static int
names_grow(struct client_statements *s)
{
	uint32_t old_count = s->slot_count, slot_count = old_count == 0 ? SLOTS_MIN : old_count * 2;
	struct client_statement **old = s->slots, **slots;

	if (slot_count <= old_count || (slots = calloc(slot_count, sizeof(struct client_statement *))) == NULL)
		return -1;
	s->slots = slots;
	s->slot_count = slot_count;
	for (uint32_t i = 0; i < old_count; i++)
		if (old[i] != NULL)
			names_insert(s, old[i]);
	free(old);
	account(s, (slot_count - old_count) * sizeof(struct client_statement *), 0);
	return 0;
}

int
client_statement_enter(struct client_statements *own, struct client_statement *n)
{
	if (own->count + 1 > own->slot_count - own->slot_count / 4 && names_grow(own) < 0)
		return -1;
	names_insert(own, n);
	own->count++;
	account(own, size_of(n), 0);
	own->bytes += text_size(n);
	n->is_in_table = true;
	n->refs++;
	own->oversize_count += statement_is_oversize(n);
	own->begin_count += may_be_begin_with_mode(n->st);
	return 0;
}

/* Removes n from the table. A later entry moves to the freed slot if the freed slot lies between the entry's hash slot
 * and its place, as linear probing requires. */
static void
take_out(struct client_statements *s, const struct client_statement *n)
{
	uint32_t hole = slot_at(s, n->hash), at;

	while (s->slots[hole] != n) {
		assert(s->slots[hole] != NULL);
		hole = slot_at(s, hole + 1);
	}
	for (at = slot_at(s, hole + 1); s->slots[at] != NULL; at = slot_at(s, at + 1)) {
		uint32_t distance = slot_at(s, at - slot_at(s, s->slots[at]->hash));

		if (distance < slot_at(s, at - hole))
			continue;
		s->slots[hole] = s->slots[at];
		hole = at;
	}
	s->slots[hole] = NULL;
}

void
client_statement_leave(struct client_statements *s, struct client_statement *n)
{
	if (!n->is_in_table)
		return;
	assert(s->count > 0 && s->bytes >= text_size(n));
	take_out(s, n);
	s->count--;
	account(s, 0, size_of(n));
	s->bytes -= text_size(n);
	n->is_in_table = false;
	s->oversize_count -= statement_is_oversize(n);
	s->begin_count -= may_be_begin_with_mode(n->st);
	client_statement_unref(n);
}

void
client_statement_push(struct exchange *x, enum owed_kind kind, enum owed_to to, struct client_statement *n)
{
	n->refs++;
	ledger_push(&x->srv->ledger, kind, to, statements_ref_of(n, REF_NAMED));
}

void
statements_clear_names(struct client_statements *s)
{
	bool must_repeat;

	do { /* a removal may move the table's first entries to slots that this loop has passed */
		must_repeat = false;
		for (uint32_t i = s->slot_count; i-- > 0;)
			while (s->slots[i] != NULL && !statement_is_pending(s->slots[i])) {
				client_statement_leave(s, s->slots[i]);
				must_repeat = true;
			}
	} while (must_repeat);
}

void
statements_free(struct exchange *x)
{
	struct client_statements *s = x->statements;

	if (s == NULL)
		return;
	x->statements = NULL;
	for (uint32_t i = 0; i < s->slot_count; i++)
		if (s->slots[i] != NULL) {
			s->bytes -= text_size(s->slots[i]);
			s->slots[i]->is_in_table = false; /* a ledger may still refer to the entry */
			client_statement_unref(s->slots[i]);
		}
	free(s->slots);
	account(s, 0, s->bytes);
	statement_unref(s->unnamed);
	statement_unref(s->confirmed);
	client_statement_unref(s->failed);
	client_statement_unref(s->to_describe);
	client_statement_unref(s->kept);
	while (s->deallocating_count > 0)
		statements_deallocating_pop(s);
	free(s);
}

size_t
statements_count(const struct exchange *x)
{
	return x->statements == NULL ? 0 : x->statements->count;
}

bool
statements_name_is_ours(const struct exchange *x, const char *name)
{
	const char *prefix = statement_store_prefix(x->env->statements);

	return strncmp(name, prefix, strlen(prefix)) == 0;
}

int
client_statement_refresh(struct exchange *x, struct client_statement *n)
{
	struct statement *old = n->st;

	if (old == NULL)
		return 0;
	if (old->home != x->pool->home) { /* since a reload the pool leads to another database */
		n->st = statement_get_or_create(x->pool->home, old->bytes, old->len, old->query_len, old->context);
		if (n->st == NULL) {
			n->st = old;
			return -1;
		}
		statement_unref(old);
	}
	statement_refresh(n->st);
	return 0;
}

void
client_statement_renew(struct exchange *x, struct client_statement *n, bool chooses_types)
{
	struct statement *old = n->st, *fresh;
	size_t len = old->len;
	uint8_t *bytes = chooses_types && statement_is_shared(old) ? malloc(len) : NULL;

	if (bytes == NULL) {
		statement_renew(old);
		return;
	}
	memcpy(bytes, old->bytes, len);
	statement_renew(old);
	fresh = statement_get_or_create(x->pool->home, bytes, len, old->query_len, old->context);
	free(bytes);
	if (fresh == NULL)
		return;
	n->st = fresh;
	statement_unref(old);
}

bool
statements_have_room(const struct exchange *x, const struct parse_fields *f)
{
	const struct exchange_env *env = x->env;
	size_t max = env->config->prepared_statements_memory;
	size_t more = sizeof(struct client_statement) + strlen(f->name) + f->rest_len;
	size_t own = x->statements == NULL ? 0 : x->statements->bytes;

	return env->name_bytes + statement_store_held_bytes(env->statements) + more <= max &&
	       own + more <= max / CLIENT_SHARE;
}
