#include "session/session_commons.h"
#include "base/alloc.h"
#include "base/table.h"

#include <assert.h>
#include <pthread.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct commons_text {
	uint64_t id; /* 0 until it is given */
	uint64_t epoch; /* the home's epoch when the text got the id */
	uint32_t shape; /* the shape of the rows under this id; 0 if unknown */
	uint32_t types_len;
	uint8_t *types; /* the parameter types under this id; NULL if unknown */
	LIST_HEAD(, commons_member) members; /* never empty */
	UT_hash_handle hh;
};

struct commons_context {
	UT_hash_handle hh;
	uint32_t refs;
	uint32_t number;
	char settings[];
};

struct session_commons {
	pthread_mutex_t lock;
	uint64_t seed, last_id;
	uint32_t last_context;
	LIST_HEAD(, commons_home) homes;
	struct commons_text *texts;
	struct commons_context *contexts;
};

struct session_commons *
session_commons_new(uint64_t seed)
{
	struct session_commons *all = xcalloc(1, sizeof(*all));

	pthread_mutex_init(&all->lock, NULL);
	all->seed = seed;
	LIST_INIT(&all->homes);
	return all;
}

void
session_commons_free(struct session_commons *all)
{
	if (all == NULL)
		return;
	pthread_mutex_destroy(&all->lock);
	free(all);
}

/* --- contexts --- */

static struct commons_context *
context_add(struct session_commons *all, const void *settings, size_t len, unsigned hash)
{
	struct commons_context *c = NULL;

	if (HASH_COUNT(all->contexts) < COMMONS_CONTEXTS_MAX && all->last_context < UINT32_MAX - 2)
		c = TABLE_ADD_NEW_BY_HASH(all->contexts, settings, settings, len, hash);
	if (c != NULL)
		c->number = ++all->last_context;
	return c;
}

struct commons_context *
session_commons_get_or_create_context(struct session_commons *all, const void *settings, size_t len, uint32_t *number)
{
	/* computed before the lock is taken, because the settings may be long */
	unsigned hash = table_hash(all->seed, settings, len);
	struct commons_context *c;

	pthread_mutex_lock(&all->lock);
	HASH_FIND_BYHASHVALUE(hh, all->contexts, settings, (unsigned)len, hash, c);
	if (c == NULL)
		c = context_add(all, settings, len, hash);
	if (c != NULL) {
		c->refs++;
		*number = c->number;
	}
	pthread_mutex_unlock(&all->lock);
	return c;
}

void
session_commons_context_unref(struct session_commons *all, struct commons_context *c)
{
	pthread_mutex_lock(&all->lock);
	assert(c->refs > 0);
	if (--c->refs == 0) {
		HASH_DELETE(hh, all->contexts, c);
		free(c);
	}
	pthread_mutex_unlock(&all->lock);
}

/* --- homes --- */

void
session_commons_add_home(struct session_commons *all, struct commons_home *home)
{
	struct commons_home *other;

	pthread_mutex_lock(&all->lock);
	LIST_FOREACH(other, &all->homes, all)
		if (strcmp(other->name, home->name) == 0)
			home->epoch = other->epoch;
	LIST_INSERT_HEAD(&all->homes, home, all);
	pthread_mutex_unlock(&all->lock);
}

void
session_commons_remove_home(struct session_commons *all, struct commons_home *home)
{
	pthread_mutex_lock(&all->lock);
	LIST_REMOVE(home, all);
	pthread_mutex_unlock(&all->lock);
}

void
session_commons_renew_home(struct session_commons *all, const struct commons_home *home)
{
	struct commons_home *other;

	pthread_mutex_lock(&all->lock);
	LIST_FOREACH(other, &all->homes, all)
		if (strcmp(other->name, home->name) == 0)
			other->epoch++;
	pthread_mutex_unlock(&all->lock);
}

/* --- texts --- */

uint32_t
session_commons_hash(uint64_t seed, const char *home, const uint8_t *bytes, size_t len)
{
	uint64_t wide = XXH3_64bits_withSeed(bytes, len, XXH3_64bits_withSeed(home, strlen(home), seed));

	return (uint32_t)(wide ^ wide >> 32);
}

/* Equal texts of two homes or contexts, if their hashes are equal, too, look the same to uthash, so only one of them is
 * found, and the other one may get several ids. */
static struct commons_text *
text_find(const struct session_commons *all, const struct commons_member *m, unsigned hash)
{
	const struct commons_member *first;
	struct commons_text *t;

	HASH_FIND_BYHASHVALUE(hh, all->texts, m->bytes, (unsigned)m->len, hash, t);
	if (t == NULL)
		return NULL;
	first = LIST_FIRST(&t->members);
	assert(first != NULL); /* the first member's bytes are the key */
	return first->context == m->context && strcmp(first->home->name, m->home->name) == 0 ? t : NULL;
}

static struct commons_text *
text_add(struct session_commons *all, const struct commons_member *m, unsigned hash)
{
	struct commons_text *t = calloc(1, sizeof(*t));

	if (t != NULL && TABLE_ADD_BY_HASH(all->texts, m->bytes, m->len, hash, t))
		return t;
	free(t);
	return NULL;
}

/* Gives the text a new id. If its home was renewed, other loops find that out by the home's epoch. If the text is
 * renewed for another reason, marks its members as COMMONS_STALE. */
static void
text_renew(struct session_commons *all, struct commons_text *t, uint64_t epoch)
{
	struct commons_member *m;

	if (t->epoch == epoch)
		LIST_FOREACH(m, &t->members, others)
			m->epoch = COMMONS_STALE;
	t->id = ++all->last_id;
	t->epoch = epoch;
	t->shape = 0;
	free(t->types);
	t->types = NULL;
}

uint64_t
session_commons_new_id(struct session_commons *all)
{
	uint64_t id;

	pthread_mutex_lock(&all->lock);
	id = ++all->last_id;
	pthread_mutex_unlock(&all->lock);
	return id;
}

uint64_t
session_commons_join(struct session_commons *all, struct commons_member *m, uint64_t above)
{
	uint64_t id, epoch;

	pthread_mutex_lock(&all->lock);
	epoch = m->home->epoch;
	if (m->text == NULL) {
		unsigned hash = session_commons_hash(all->seed + m->context, m->home->name, m->bytes, m->len);

		if ((m->text = text_find(all, m, hash)) != NULL || (m->text = text_add(all, m, hash)) != NULL) {
			LIST_INSERT_HEAD(&m->text->members, m, others);
			m->text->hh.key = m->bytes;
		}
	}
	if (m->text == NULL)
		id = ++all->last_id;
	else {
		if (m->text->epoch != epoch || m->text->id <= above)
			text_renew(all, m->text, epoch);
		id = m->text->id;
	}
	m->epoch = epoch;
	pthread_mutex_unlock(&all->lock);
	return id;
}

void
session_commons_leave(struct session_commons *all, struct commons_member *m)
{
	struct commons_text *t = m->text;

	if (t == NULL)
		return;
	pthread_mutex_lock(&all->lock);
	assert(!LIST_EMPTY(&t->members));
	LIST_REMOVE(m, others);
	m->text = NULL;
	if (LIST_EMPTY(&t->members)) {
		HASH_DELETE(hh, all->texts, t);
		free(t->types);
		free(t);
	} else
		t->hh.key = LIST_FIRST(&t->members)->bytes;
	pthread_mutex_unlock(&all->lock);
}

uint32_t
session_commons_agree_on_shape(struct session_commons *all, const struct commons_member *m, uint64_t id, uint32_t shape)
{
	struct commons_text *t = m->text;

	if (t == NULL)
		return shape;
	pthread_mutex_lock(&all->lock);
	if (t->id == id && t->shape != 0)
		shape = t->shape;
	else if (t->id == id)
		t->shape = shape;
	pthread_mutex_unlock(&all->lock);
	return shape;
}

static uint8_t *
copy_types(const void *types, size_t len)
{
	uint8_t *copy = malloc(len);

	return copy == NULL ? NULL : memcpy(copy, types, len);
}

uint8_t *
session_commons_agree_on_types(struct session_commons *all, const struct commons_member *m, uint64_t id,
			       const uint8_t *types, size_t len, size_t *known_len)
{
	struct commons_text *t = m->text;
	uint8_t *known = NULL;

	if (t == NULL)
		return NULL;
	pthread_mutex_lock(&all->lock);
	if (t->id == id && t->types != NULL) {
		known = copy_types(t->types, t->types_len);
		*known_len = t->types_len;
	} else if (t->id == id && types != NULL && (t->types = copy_types(types, len)) != NULL)
		t->types_len = (uint32_t)len;
	pthread_mutex_unlock(&all->lock);
	return known;
}

size_t
session_commons_count_texts(struct session_commons *all)
{
	size_t count;

	pthread_mutex_lock(&all->lock);
	count = HASH_COUNT(all->texts);
	pthread_mutex_unlock(&all->lock);
	return count;
}
