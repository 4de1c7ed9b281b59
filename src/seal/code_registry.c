/*
 * src/seal/code_registry.c - the registry of the structs database_code of all loops, through which one loop tells all
 * loops of DDL; and each loop's store of its own structs, which are shared among pools. See database_code.h.
 *
 * Each loop has its own struct database_code for a database, and asks its own servers. When one loop sees DDL, it makes
 * all loops' answers about the database invalid at once, before the client learns that the DDL is done. DDL is rare, so
 * one lock serves all loops. The members that DDL changes are atomic, so readers need no lock, except for
 * last_own_words_ddl.
 */
#include "seal/database_code.h"
#include "base/alloc.h"
#include "base/table.h"

#include <assert.h>
#include <pthread.h>

struct code_registry {
	pthread_mutex_t lock;
	LIST_HEAD(, database_code) all;
};

struct code_registry *
code_registry_new(void)
{
	struct code_registry *registry = xcalloc(1, sizeof(*registry));

	pthread_mutex_init(&registry->lock, NULL);
	LIST_INIT(&registry->all);
	return registry;
}

void
code_registry_free(struct code_registry *registry)
{
	if (registry == NULL)
		return;
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

void
database_code_lock(const struct database_code *code)
{
	if (code->registry != NULL)
		pthread_mutex_lock(&code->registry->lock);
}

void
database_code_unlock(const struct database_code *code)
{
	if (code->registry != NULL)
		pthread_mutex_unlock(&code->registry->lock);
}

/* Notes DDL with this risk. The lock must be held. */
static void
note_ddl(struct database_code *code, unsigned risk)
{
	code->ddl_count++;
	code->answer_expires_us = 0;
	if ((risk & RISK_KEEPS) != 0)
		code->last_keeping_ddl = code->ddl_count;
	if ((risk & (RISK_KEEPS | RISK_OWN_WORDS)) != 0)
		code->last_own_words_ddl = code->ddl_count;
	if ((risk & (RISK_KEEPS | RISK_OWN_WORDS | RISK_ASSUMED)) != 0)
		code->last_assumed_ddl = code->ddl_count;
}

void
database_code_join(struct database_code *code, struct code_registry *registry, const char *database)
{
	snprintf(code->database, sizeof(code->database), "%s", database);
	code->registry = registry;
	database_code_lock(code);
	LIST_INSERT_HEAD(&registry->all, code, in_registry);
	database_code_unlock(code);
}

void
database_code_leave(struct database_code *code)
{
	if (code->registry == NULL)
		return;
	database_code_lock(code);
	LIST_REMOVE(code, in_registry);
	database_code_unlock(code);
	code->registry = NULL;
}

void
database_code_note_ddl(struct database_code *code, unsigned risk)
{
	database_code_lock(code);
	note_ddl(code, risk);
	database_code_unlock(code);
}

void
code_registry_note_ddl(struct code_registry *registry, const char *database, unsigned risk)
{
	struct database_code *code;

	pthread_mutex_lock(&registry->lock);
	LIST_FOREACH(code, &registry->all, in_registry)
		if (database == NULL || strcmp(code->database, database) == 0)
			note_ddl(code, risk);
	pthread_mutex_unlock(&registry->lock);
}

/* --- the store --- */

struct stored_code {
	struct database_code code; /* must be first */
	UT_hash_handle hh;
	uint32_t uses;
	struct pool *last; /* the pool that used the code last; NULL if that pool has gone */
	bool is_watched; /* in code_store.watched */
	TAILQ_ENTRY(stored_code) link;
	char key[]; /* two strings: see code_store_get_or_create() */
};

void
code_store_init(struct code_store *store, uint64_t seed, struct code_registry *registry)
{
	store->seed = seed;
	store->registry = registry;
	TAILQ_INIT(&store->watched);
}

struct database_code *
code_store_get_or_create(struct code_store *store, const void *key, size_t len, const char *database)
{
	struct stored_code *c;

	TABLE_FIND(store->seed, store->table, key, len, c);
	if (c != NULL)
		return code_store_ref(&c->code);
	if ((c = TABLE_ADD_NEW(store->seed, store->table, key, key, len)) == NULL)
		return NULL;
	c->code.harmless = c->key + strlen(c->key) + 1;
	if (store->registry != NULL)
		database_code_join(&c->code, store->registry, database);
	return code_store_ref(&c->code);
}

struct database_code *
code_store_ref(struct database_code *code)
{
	((struct stored_code *)code)->uses++;
	return code;
}

static void
leave_list(struct code_store *store, struct stored_code *c)
{
	if (c->is_watched)
		TAILQ_REMOVE(&store->watched, c, link);
	c->is_watched = false;
}

void
code_store_unref(struct code_store *store, struct database_code *code)
{
	struct stored_code *c = (struct stored_code *)code;

	if (c == NULL)
		return;
	assert(c->uses > 0);
	if (--c->uses > 0)
		return;
	leave_list(store, c);
	HASH_DELETE(hh, store->table, c);
	database_code_fini(&c->code);
	free(c);
}

inline void
code_store_note_use(struct code_store *store, struct database_code *code, struct pool *by, uint64_t now_us)
{
	struct stored_code *c = (struct stored_code *)code;

	code->used_us = now_us;
	c->last = by;
	if (c->is_watched)
		return;
	TAILQ_INSERT_TAIL(&store->watched, c, link);
	c->is_watched = true;
}

void
code_store_forget_pool(struct database_code *code, const struct pool *pool)
{
	struct stored_code *c = (struct stored_code *)code;

	if (c != NULL && c->last == pool)
		c->last = NULL;
}

void
code_store_tick(struct code_store *store, void (*ask)(struct pool *pool, uint64_t now_us), uint64_t now_us)
{
	struct stored_code *c, *next;

	for (c = TAILQ_FIRST(&store->watched); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->code.used_us <= c->code.asked_us && c->code.incoming == NULL)
			leave_list(store, c);
		else if (c->last != NULL && database_code_is_due(&c->code, now_us))
			ask(c->last, now_us);
	}
}
