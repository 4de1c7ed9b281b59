/*
 * src/session/statement_store.c - see statement_store.h.
 *
 * An entry's key is its bytes (SQL and declared types), with its home and context. To renew an entry is to give it a
 * new id; if its parameter types were learnt, they become declared types, so the key changes. If another entry has the
 * new key already, the renewed one becomes its twin, with the same bytes, id and name. When a twin is refreshed, it
 * takes over the id and name of the other entry.
 */
#include "session/statement_store.h"
#include "base/alloc.h"
#include "base/table.h"
#include "session/session_commons.h"
#include "sql/skeleton.h"
#include "wire/frame.h"

#include <assert.h>

/* Statements longer than this are looked up among the recent ones before all of their bytes are hashed. */
#define RECENT_LONGER 240
#define RECENT_SETS 256 /* a power of two */
#define RECENT_PLACES 4 /* in each set */

struct statement_home {
	struct statement_store *store;
	uint32_t refs; /* one for each of its statements, and one for each statement_home_get_or_create() */
	struct commons_home shared; /* links this home with the homes of this name in other loops */
	UT_hash_handle hh;
	char name[];
};

struct entry {
	struct statement st; /* first, so a pointer to a statement is a pointer to its entry */
	struct statement_store *store;
	struct commons_member member; /* its epoch is COMMONS_STALE if the entry is a twin */
	uint32_t refs;
	bool is_in_table; /* the entry is in the table */
	bool is_learnt; /* the types are known; learnt_bytes is NULL if they are the declared types */
	/* st.bytes with all types declared; learnt_len bytes; NULL if the types are not known, or are the declared
	 * types */
	uint8_t *learnt_bytes;
	size_t learnt_len;
	size_t own_len; /* the length of bytes[] */
	/* the statement's bytes after learnt types were declared, to which st.bytes then points instead of bytes[];
	 * NULL if none were declared */
	uint8_t *declared_bytes;
	struct entry *twin; /* a reference to the entry whose id and name this one shares; or NULL */
	UT_hash_handle hh;
	TAILQ_ENTRY(entry) idle; /* in the store's idle list, while refs is 0 */
	uint8_t bytes[];
};

struct statement_store {
	uint64_t seed, last_id;
	struct session_commons *commons; /* gives the ids; NULL if there is one store */
	char prefix[STATEMENT_NAME_MAX];
	struct statement_home *homes;
	size_t bytes, idle_bytes, idle_bytes_max, count;
	struct entry *table;
	/* entries in the table, by a hash of some of their bytes (recent_hash()) */
	struct recent {
		unsigned next; /* the index in places[] that is used next */
		struct {
			uint64_t hash;
			struct entry *e; /* NULL if the place is free */
		} places[RECENT_PLACES];
	} recent[RECENT_SETS];
	TAILQ_HEAD(, entry) idle; /* the first entry has been unused for longest */
};

struct statement_store *
statement_store_new(uint64_t seed, uint64_t tag, struct session_commons *commons, size_t idle_bytes_max)
{
	struct statement_store *store = xcalloc(1, sizeof(*store));

	store->seed = seed;
	snprintf(store->prefix, sizeof(store->prefix), STATEMENT_PREFIX "%016llx_", (unsigned long long)tag);
	store->commons = commons;
	store->idle_bytes_max = idle_bytes_max;
	TAILQ_INIT(&store->idle);
	return store;
}

/* --- homes --- */

struct statement_home *
statement_home_get_or_create(struct statement_store *store, const char *name)
{
	size_t len = strlen(name);
	struct statement_home *home;

	TABLE_FIND(store->seed, store->homes, name, len, home);
	if (home == NULL) {
		if ((home = TABLE_ADD_NEW(store->seed, store->homes, name, name, len)) == NULL)
			return NULL;
		home->store = store;
		home->shared.name = home->name;
		if (store->commons != NULL)
			session_commons_add_home(store->commons, &home->shared);
	}
	home->refs++;
	return home;
}

void
statement_home_unref(struct statement_home *home)
{
	if (home == NULL)
		return;
	assert(home->refs > 0);
	if (--home->refs > 0)
		return;
	HASH_DELETE(hh, home->store->homes, home);
	if (home->store->commons != NULL)
		session_commons_remove_home(home->store->commons, &home->shared);
	free(home);
}

void
statement_home_renew(struct statement_home *home)
{
	if (home->store->commons == NULL)
		home->shared.epoch++;
	else
		session_commons_renew_home(home->store->commons, &home->shared);
}

static size_t
size_of(const struct entry *e)
{
	/* bytes[] stays allocated, wherever st.bytes points now */
	return sizeof(*e) + e->own_len + e->learnt_len + (e->declared_bytes != NULL ? e->st.len : 0);
}

/* Hashes eight bytes at each of nine places. Statements with the same hash only push each other out. */
static uint64_t
recent_hash(const uint8_t *bytes, size_t len)
{
	size_t step = (len - sizeof(uint64_t)) / 8;
	uint64_t hash = len;

	for (size_t i = 0; i <= 8; i++)
		hash = skeleton_mix(hash, skeleton_read_eight((const char *)bytes + i * step));
	return hash;
}

static inline struct recent *
recent_set(struct statement_store *store, uint64_t hash)
{
	return &store->recent[hash >> 48 & (RECENT_SETS - 1)];
}

static struct entry *
recent_find(const struct statement_home *home, const uint8_t *bytes, size_t len, uint32_t context, uint64_t hash)
{
	const struct recent *set = recent_set(home->store, hash);

	for (size_t i = 0; i < RECENT_PLACES; i++) {
		struct entry *e = set->places[i].e;

		if (set->places[i].hash == hash && e != NULL && e->hh.keylen == len && e->st.home == home &&
		    e->st.context == context && memcmp(e->hh.key, bytes, len) == 0)
			return e;
	}
	return NULL;
}

static void
recent_add(struct entry *e, uint64_t hash)
{
	struct recent *set = recent_set(e->store, hash);

	set->places[set->next].hash = hash;
	set->places[set->next].e = e;
	set->next = (set->next + 1) % RECENT_PLACES;
}

static void
recent_remove(const struct entry *e)
{
	struct recent *set = recent_set(e->store, recent_hash(e->hh.key, e->hh.keylen));

	for (size_t i = 0; i < RECENT_PLACES; i++)
		if (set->places[i].e == e)
			set->places[i].e = NULL;
}

static void
leave_table(struct entry *e)
{
	if (e->hh.keylen > RECENT_LONGER)
		recent_remove(e);
	HASH_DELETE(hh, e->store->table, e);
	e->is_in_table = false;
	session_commons_leave(e->store->commons, &e->member);
}

static void
entry_free(struct entry *e)
{
	struct statement_store *store = e->store;

	assert(e->refs == 0 && store->count > 0 && store->bytes >= size_of(e));
	if (e->is_in_table)
		leave_table(e);
	if (e->twin != NULL)
		statement_unref(&e->twin->st);
	statement_unref(e->st.under_context);
	store->bytes -= size_of(e);
	store->count--;
	statement_home_unref(e->st.home);
	free(e->learnt_bytes);
	free(e->declared_bytes);
	free(e);
}

static void
trim(struct statement_store *store, size_t to)
{
	while (store->idle_bytes > to) {
		struct entry *e = TAILQ_FIRST(&store->idle);

		assert(e != NULL && e->refs == 0 && store->idle_bytes >= size_of(e));
		TAILQ_REMOVE(&store->idle, e, idle);
		store->idle_bytes -= size_of(e);
		entry_free(e);
	}
}

void
statement_store_set_idle_max(struct statement_store *store, size_t idle_bytes_max)
{
	store->idle_bytes_max = idle_bytes_max;
	trim(store, idle_bytes_max);
}

void
statement_store_free(struct statement_store *store)
{
	if (store == NULL)
		return;
	trim(store, 0);
	free(store);
}

void
statement_name_of(const struct statement_store *store, uint64_t id, char name[static STATEMENT_NAME_MAX])
{
	snprintf(name, STATEMENT_NAME_MAX, "%.24s%llu", store->prefix, (unsigned long long)id);
}

void
statement_special_name(const struct statement_store *store, const char *what, char name[static STATEMENT_NAME_MAX])
{
	snprintf(name, STATEMENT_NAME_MAX, "%.24s%.16s", store->prefix, what);
}

const char *
statement_store_prefix(const struct statement_store *store)
{
	return store->prefix;
}

/* Gives the statement another id. Its shape, and the pool and settings under which it was valid, are facts about the
 * old name on servers, so they are forgotten. */
static void
set_id(struct statement *st, uint64_t id)
{
	st->id = id;
	st->valid_pool = st->valid_gucs = NULL;
	st->shape = 0;
}

/* Gives the entry an id, and the name of that id; the entry is then up to date. The id is greater than `above`; if
 * `above` is UINT64_MAX, which means that all ids given so far are outdated, the id is a new one. */
static void
give_name(struct entry *e, uint64_t above)
{
	struct statement_store *store = e->store;
	struct statement *st = &e->st;

	if (store->commons != NULL && e->is_in_table)
		set_id(st, session_commons_join(store->commons, &e->member, above));
	else {
		set_id(st, store->commons != NULL ? session_commons_new_id(store->commons) : ++store->last_id);
		e->member.epoch = st->home->shared.epoch;
	}
	statement_name_of(store, st->id, st->name);
	st->name_len = (uint8_t)strlen(st->name);
}

static struct entry *
entry_new(struct statement_home *home, const uint8_t *bytes, size_t len, size_t query_len)
{
	struct statement_store *store = home->store;
	struct entry *e = calloc(1, sizeof(*e) + len);

	if (e == NULL)
		return NULL;
	memcpy(e->bytes, bytes, len);
	e->st.bytes = e->bytes;
	e->st.len = len;
	e->st.query_len = query_len;
	e->st.home = home;
	home->refs++;
	e->member.home = &home->shared;
	e->own_len = len;
	e->store = store;
	e->refs = 1;
	store->bytes += size_of(e);
	store->count++;
	return e;
}

static uint32_t
statement_hash_of(const struct statement_home *home, const uint8_t *bytes, size_t len, uint32_t context)
{
	return session_commons_hash(home->store->seed + context, home->name, bytes, len);
}

/* uthash compares only the bytes. Two entries with equal bytes and equal hashes look the same to it, even if their
 * homes or contexts differ, so only one of them is found. */
static struct entry *
statement_find(const struct statement_home *home, const uint8_t *bytes, size_t len, uint32_t context, uint32_t hash)
{
	struct entry *e;

	HASH_FIND_BYHASHVALUE(hh, home->store->table, bytes, (unsigned)len, hash, e);
	return e != NULL && e->st.home == home && e->st.context == context ? e : NULL;
}

/* Enters the statement into the table, so other clients that prepare these bytes share it from now on. */
static void
enter_table(struct entry *e, uint32_t hash)
{
	e->member.bytes = e->st.bytes;
	e->member.len = e->st.len;
	e->member.context = e->st.context;
	e->is_in_table = TABLE_ADD_BY_HASH(e->store->table, e->st.bytes, e->st.len, hash, e); /* false if no memory */
}

/* Does what statement_get_or_create() does, for bytes that are not found among the recent ones. */
static struct entry *
find_or_make(struct statement_home *home, const uint8_t *bytes, size_t len, size_t query_len, uint32_t context)
{
	uint32_t hash = statement_hash_of(home, bytes, len, context);
	struct entry *e = statement_find(home, bytes, len, context, hash);

	if (e != NULL) {
		uint64_t id = e->st.id;

		statement_refresh(&e->st);
		if (e->st.id != id) /* the entry may have another key now */
			e = statement_find(home, bytes, len, context, hash);
	}
	if (e != NULL) {
		statement_ref(&e->st);
		return e;
	}
	e = entry_new(home, bytes, len, query_len);
	if (e == NULL)
		return NULL;
	e->st.context = context;
	enter_table(e, hash);
	give_name(e, 0);
	return e;
}

struct statement *
statement_get_or_create(struct statement_home *home, const uint8_t *bytes, size_t len, size_t query_len,
			uint32_t context)
{
	uint64_t hash = len > RECENT_LONGER ? recent_hash(bytes, len) : 0, id;
	struct entry *e = len > RECENT_LONGER ? recent_find(home, bytes, len, context, hash) : NULL;

	if (e != NULL) {
		id = e->st.id;
		statement_refresh(&e->st);
		if (e->st.id == id)
			return statement_ref(&e->st);
	}
	e = find_or_make(home, bytes, len, query_len, context);
	if (len > RECENT_LONGER && e != NULL && e->is_in_table)
		recent_add(e, hash);
	return e == NULL ? NULL : &e->st;
}

struct statement *
statement_peek(const struct statement_home *home, const uint8_t *bytes, size_t len)
{
	struct entry *e = statement_find(home, bytes, len, 0, statement_hash_of(home, bytes, len, 0));

	return e == NULL ? NULL : &e->st;
}

struct statement *
statement_new_unshared(struct statement_home *home, const uint8_t *bytes, size_t len, size_t query_len)
{
	struct entry *e = entry_new(home, bytes, len, query_len);

	if (e == NULL)
		return NULL;
	give_name(e, 0);
	return &e->st;
}

static bool
declares(const struct statement *st, const uint8_t *types, size_t len)
{
	size_t text_len = st->query_len + 1;

	return len == st->len - text_len && memcmp(st->bytes + text_len, types, len) == 0;
}

static void
learn(struct entry *e, const uint8_t *types, size_t len)
{
	size_t text_len = e->st.query_len + 1;

	if (declares(&e->st, types, len)) {
		e->is_learnt = true;
		return;
	}
	e->learnt_bytes = malloc(text_len + len);
	if (e->learnt_bytes == NULL)
		return; /* when the entry is renewed, its declared types stay the same */
	e->is_learnt = true;
	memcpy(e->learnt_bytes, e->st.bytes, text_len);
	memcpy(e->learnt_bytes + text_len, types, len);
	e->learnt_len = text_len + len;
	e->store->bytes += e->learnt_len;
}

/* Learns types that another loop knows. Returns false if no loop knows any; then `types`, unless NULL, become known to
 * all loops. */
static bool
learn_from_others(struct entry *e, const uint8_t *types, size_t len)
{
	size_t known_len = 0;
	uint8_t *known =
	    session_commons_agree_on_types(e->store->commons, &e->member, e->st.id, types, len, &known_len);

	if (known == NULL)
		return false;
	learn(e, known, known_len);
	free(known);
	return true;
}

void
statement_learn_types(struct statement *st, const uint8_t *body, size_t len)
{
	struct entry *e = (struct entry *)st;

	if (e->is_learnt || len < 2 || len - 2 != (size_t)wire_u16(body) * 4)
		return;
	if (declares(st, body, len) || !learn_from_others(e, body, len))
		learn(e, body, len);
}

const uint8_t *
statement_learnt_types(const struct statement *st, size_t *len)
{
	const struct entry *e = (const struct entry *)st;
	const uint8_t *all = e->learnt_bytes != NULL ? e->learnt_bytes : st->bytes;

	*len = e->is_learnt ? (e->learnt_bytes != NULL ? e->learnt_len : st->len) - st->query_len - 1 : 0;
	return e->is_learnt ? all + st->query_len + 1 : NULL;
}

bool
statement_check_types(struct statement *st, const uint8_t *body, size_t len)
{
	struct entry *e = (struct entry *)st;
	const uint8_t *types;
	size_t types_len;

	if (!e->is_learnt)
		learn_from_others(e, NULL, 0);
	types = statement_learnt_types(st, &types_len);
	return types != NULL && len == types_len && memcmp(types, body, len) == 0;
}

bool
statement_agree_on_shape(struct statement *st, uint32_t shape)
{
	struct entry *e = (struct entry *)st;

	if (st->shape == 0 && shape != 0)
		st->shape = session_commons_agree_on_shape(e->store->commons, &e->member, st->id, shape);
	return st->shape == shape;
}

bool
statement_has_open_types(const struct statement *st)
{
	const struct entry *e = (const struct entry *)st;

	return memchr(st->bytes, '$', st->query_len) != NULL && (!e->is_learnt || e->learnt_bytes != NULL);
}

/* Sets each learnt type that is user-defined back to what the client declared: a type, or 0 (unspecified). */
static void
reset_user_types(struct entry *e)
{
	size_t text_len = e->st.query_len + 1, count = (e->learnt_len - text_len - 2) / 4;
	size_t declared = (e->st.len - text_len - 2) / 4;
	const uint8_t *old = e->st.bytes + text_len + 2;
	uint8_t *types = e->learnt_bytes + text_len + 2;

	for (size_t i = 0; i < count; i++)
		if (wire_u32(types + 4 * i) >= STATEMENT_FIRST_USER_TYPE)
			wire_set_u32(types + 4 * i, i < declared ? wire_u32(old + 4 * i) : 0);
}

static void
follow_twin(struct entry *e)
{
	const struct statement *other = &e->twin->st;

	if (e->st.id == other->id)
		return;
	set_id(&e->st, other->id);
	memcpy(e->st.name, other->name, sizeof(e->st.name));
	e->st.name_len = other->name_len;
}

/* Declares the types that were learnt, so the entry gets another key. If there is a statement with that key, its id is
 * outdated unless it is greater than `above`. */
static void
declare_learnt(struct entry *e, uint64_t above)
{
	uint32_t hash = statement_hash_of(e->st.home, e->learnt_bytes, e->learnt_len, e->st.context);
	struct entry *other = statement_find(e->st.home, e->learnt_bytes, e->learnt_len, e->st.context, hash);

	assert(e->refs > 0 && e->twin == NULL && e->is_in_table);
	leave_table(e);
	e->store->bytes -= e->declared_bytes != NULL ? e->st.len : 0;
	free(e->declared_bytes);
	e->declared_bytes = e->learnt_bytes;
	e->st.bytes = e->declared_bytes;
	e->st.len = e->learnt_len;
	e->learnt_bytes = NULL;
	e->learnt_len = 0;
	e->is_learnt = false;
	if (other != NULL) {
		/* The other entry must have an id greater than `above`, too: a lower one may be outdated on servers. */
		e->twin = (struct entry *)statement_ref(&other->st);
		e->member.epoch = COMMONS_STALE;
		statement_refresh(&other->st);
		if (other->twin == NULL && other->st.id <= above)
			give_name(other, above);
		follow_twin(e);
		return;
	}
	enter_table(e, hash);
	give_name(e, above);
}

/* Renews a shared entry. is_reported: PostgreSQL has reported that a statement on a server is outdated. Then all ids so
 * far of the entry's text, with or without its learnt types, are outdated in all loops. */
static void
renew_shared(struct entry *e, bool is_reported)
{
	uint64_t old = e->st.id;

	give_name(e, old);
	if (e->learnt_bytes == NULL)
		return;
	if (e->refs > 0) /* if there is no reference, no client relies on the types */
		reset_user_types(e);
	if (e->refs == 0 || (e->learnt_len == e->st.len && memcmp(e->learnt_bytes, e->st.bytes, e->st.len) == 0)) {
		e->store->bytes -= e->learnt_len;
		if (e->refs == 0)
			e->store->idle_bytes -= e->learnt_len;
		free(e->learnt_bytes);
		e->learnt_bytes = NULL;
		e->learnt_len = 0;
		e->is_learnt = false;
	} else
		declare_learnt(e, is_reported ? UINT64_MAX : old);
}

void
statement_renew(struct statement *st)
{
	struct entry *e = (struct entry *)st;

	if (e->twin != NULL) {
		statement_renew(&e->twin->st);
		statement_refresh(st);
	} else if (e->is_in_table)
		renew_shared(e, true);
}

__attribute__((noinline)) static void
refresh_outdated(struct entry *e)
{
	if (e->twin != NULL) {
		statement_refresh(&e->twin->st);
		follow_twin(e);
	} else if (e->is_in_table)
		renew_shared(e, false);
}

void
statement_refresh(struct statement *st)
{
	struct entry *e = (struct entry *)st;

	if (e->member.epoch != st->home->shared.epoch)
		refresh_outdated(e);
}

struct statement *
statement_ref(struct statement *st)
{
	struct entry *e = (struct entry *)st;

	if (e->refs++ == 0) {
		assert(e->is_in_table && e->store->idle_bytes >= size_of(e));
		TAILQ_REMOVE(&e->store->idle, e, idle);
		e->store->idle_bytes -= size_of(e);
	}
	return st;
}

/* Called when no reference is left. */
__attribute__((noinline)) static void
keep_idle_or_free(struct entry *e)
{
	if (!e->is_in_table) {
		entry_free(e);
		return;
	}
	statement_unref(e->st.under_context);
	e->st.under_context = NULL;
	TAILQ_INSERT_TAIL(&e->store->idle, e, idle);
	e->store->idle_bytes += size_of(e);
	assert(e->store->idle_bytes <= e->store->bytes);
	trim(e->store, e->store->idle_bytes_max);
}

void
statement_unref(struct statement *st)
{
	struct entry *e = (struct entry *)st;

	if (e == NULL)
		return;
	assert(e->refs > 0);
	if (--e->refs == 0)
		keep_idle_or_free(e);
}

bool
statement_is_shared(const struct statement *st)
{
	const struct entry *e = (const struct entry *)st;

	return e->is_in_table || e->twin != NULL;
}

bool
statement_has_one_ref(const struct statement *st)
{
	return ((const struct entry *)st)->refs == 1;
}

size_t
statement_store_count(const struct statement_store *store)
{
	return store->count;
}

size_t
statement_store_bytes(const struct statement_store *store)
{
	return store->bytes;
}

size_t
statement_store_held_bytes(const struct statement_store *store)
{
	return store->bytes - store->idle_bytes;
}

void
statement_store_each(const struct statement_store *store,
		     void (*row)(const struct statement *st, uint32_t refs, void *arg), void *arg)
{
	const struct entry *e, *next;

	HASH_ITER(hh, store->table, e, next) {
		row(&e->st, e->refs, arg);
	}
}
