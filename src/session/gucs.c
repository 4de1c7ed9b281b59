/*
 * src/session/gucs.c - see gucs.h.
 *
 * A GUC set is one block of memory: the struct, its settings, then their texts. The texts are the kind, the name and
 * the value of each setting in turn, so equal GUC sets have equal texts.
 */
#include "session/gucs.h"
#include "session/gucs_effects.h"
#include "session/session_commons.h"
#include "sql/scan.h"
#include "base/alloc.h"
#include "base/own_settings.h"
#include "base/table.h"
#include "base/text.h"

#include <assert.h>
#include <ctype.h>
#include <strings.h>

struct gucs {
	UT_hash_handle hh;
	struct guc_store *store;
	uint32_t refs;
	uint32_t hash;
	unsigned scan_options;
	bool affects_plans; /* the result of gucs_affect_plans() */
	unsigned side_effects; /* the result of gucs_side_effects() */
	struct commons_context *context; /* NULL until gucs_context() is called */
	uint32_t context_number;
	size_t text_len; /* of the texts after the settings */
	size_t count;
	struct guc settings[]; /* intern() makes them point into the texts */
};

struct guc_store {
	uint64_t seed;
	struct session_commons *commons; /* numbers the contexts */
	struct session_commons *own; /* commons, if this store made it for itself; NULL if it is shared */
	struct gucs *by_hash; /* a table with one GUC set for each hash: see intern() */
};

struct guc_store *
guc_store_new(uint64_t seed, struct session_commons *commons)
{
	struct guc_store *store = xcalloc(1, sizeof(*store));

	store->seed = seed;
	store->own = commons == NULL ? session_commons_new(seed) : NULL;
	store->commons = commons == NULL ? store->own : commons;
	return store;
}

void
guc_store_free(struct guc_store *store)
{
	if (store != NULL)
		session_commons_free(store->own);
	free(store);
}

size_t
guc_store_count(const struct guc_store *store)
{
	return HASH_COUNT(store->by_hash);
}

static const char *
texts_of(const struct gucs *gucs)
{
	return (const char *)&gucs->settings[gucs->count];
}

/*
 * search_path is part of a context, although PostgreSQL itself analyzes a statement anew under another search_path. The
 * statement may then return another table's columns, which PostgreSQL refuses ("cached plan must not change result
 * type"), and a client must not get that error because of another client.
 */
static void
set_context(struct gucs *gucs)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < gucs->count; i++) {
		const struct guc *s = &gucs->settings[i];

		if (!guc_affects_context(s->name))
			continue;
		for (const char *c = s->name; *c != '\0'; c++)
			buf_put_u8(&b, (uint8_t)tolower((unsigned char)*c));
		buf_put_u8(&b, '=');
		buf_put_str(&b, s->value);
	}
	if (buf_ok(&b))
		gucs->context = session_commons_get_or_create_context(
		    gucs->store->commons, b.len > 0 ? b.bytes : (const void *)"", b.len, &gucs->context_number);
	buf_fini(&b);
}

uint32_t
gucs_context(struct gucs *gucs)
{
	if (gucs->context == NULL)
		set_context(gucs);
	return gucs->context == NULL ? GUCS_CONTEXT_NONE : gucs->context_number;
}

unsigned
gucs_side_effects(const struct gucs *gucs)
{
	return gucs->side_effects;
}

bool
gucs_affect_plans(const struct gucs *gucs)
{
	return gucs->affects_plans;
}

unsigned
gucs_scan_options(const struct gucs *gucs)
{
	return gucs->scan_options;
}

static bool
has_plan_setting(const struct gucs *gucs)
{
	static const char *const names[] = {
		"role",	       "session_authorization", "row_security",		 "transform_null_equals",
		"search_path", "bytea_output",		"quote_all_identifiers", "restrict_nonsystem_relation_kind"
	};
	const char *digits = gucs_get(gucs, "extra_float_digits");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (gucs_get(gucs, names[i]) != NULL)
			return true;
	return digits != NULL && strtol(digits, NULL, 10) <= 0;
}

static unsigned
find_side_effects(const struct gucs *gucs)
{
	const char *path = gucs_get(gucs, "search_path"), *limit = gucs_get(gucs, GUC_STATEMENT_TIMEOUT);
	const char *encoding = gucs_get(gucs, "client_encoding"), *options = gucs_get(gucs, GUC_GDAL);
	const char *pin = gucs_get(gucs, OWN_PIN);
	unsigned timers = 0;

	for (size_t i = 0; i < gucs->count; i++)
		if (guc_may_hit_next_client(&gucs->settings[i]))
			timers = GUCS_LEAVES_TIMERS;
	return timers | (encoding != NULL && !guc_encoding_is_scannable(encoding) ? GUCS_LEAVES_ANYTHING : 0u) |
	       (options != NULL && strcmp(options, GUC_RESET) != 0 ? GUCS_LEAVES_OPTIONS : 0u) |
	       (pin != NULL && text_is_one_of(pin, "on t tr tru true y ye yes 1") ? GUCS_PIN : 0u) |
	       (gucs_get(gucs, "temp_buffers") != NULL ? GUCS_LEAVES_BUFFERS : 0u) |
	       (path != NULL && scan_path_has_pg_temp(path, strlen(path)) ? GUCS_LEAVES_TEMP : 0u) |
	       (limit != NULL && guc_is_short_limit(limit) ? GUCS_LEAVES_LATE : 0u);
}

/* Returns the text at *at, and moves *at past it. */
static const char *
read_text(const char **at)
{
	const char *text = *at;

	*at += strlen(text) + 1;
	return text;
}

static void
read_settings(struct gucs *gucs)
{
	const char *at = texts_of(gucs), *strings, *encoding;

	for (struct guc *s = gucs->settings; s < gucs->settings + gucs->count; s++) {
		s->kind = (enum guc_kind) * at++;
		s->name = read_text(&at);
		s->value = read_text(&at);
	}
	assert(at == texts_of(gucs) + gucs->text_len);
	strings = gucs_get(gucs, "standard_conforming_strings");
	gucs->scan_options = strings != NULL && strcasecmp(strings, "off") == 0 ? SCAN_BACKSLASH_STRINGS : 0;
	if ((encoding = gucs_get(gucs, "client_encoding")) != NULL)
		gucs->scan_options |= scan_encoding_option(encoding);
	gucs->affects_plans = has_plan_setting(gucs);
	gucs->side_effects = find_side_effects(gucs);
}

/* Takes over a block with its store and texts, or NULL. Returns the store's equal GUC set, or NULL on failure. */
static struct gucs *
intern(struct gucs *gucs)
{
	struct gucs *found;

	if (gucs == NULL)
		return NULL;
	gucs->hash = table_hash(gucs->store->seed, texts_of(gucs), gucs->text_len);
	HASH_FIND_BYHASHVALUE(hh, gucs->store->by_hash, &gucs->hash, sizeof(gucs->hash), gucs->hash, found);
	/* A second GUC set with the same 32-bit hash is kept out of the table: equal GUC sets may then be two pointers,
	 * which is never wrong. */
	if (found != NULL && found->count == gucs->count && found->text_len == gucs->text_len &&
	    memcmp(texts_of(found), texts_of(gucs), gucs->text_len) == 0) {
		assert(found->refs > 0);
		free(gucs);
		found->refs++;
		return found;
	}
	gucs->refs = 1;
	read_settings(gucs);
	if (found == NULL &&
	    !TABLE_ADD_BY_HASH(gucs->store->by_hash, &gucs->hash, sizeof(gucs->hash), gucs->hash, gucs)) {
		free(gucs);
		return NULL;
	}
	return gucs;
}

/* Copies the string to *to, and moves *to past it. */
static void
gucs_put_text(char **to, const char *text)
{
	size_t len = strlen(text) + 1;

	memcpy(*to, text, len);
	*to += len;
}

static struct gucs *
block_alloc(struct guc_store *store, size_t count, size_t text_len)
{
	struct gucs *gucs = calloc(1, sizeof(*gucs) + count * sizeof(gucs->settings[0]) + text_len);

	if (gucs == NULL)
		return NULL;
	gucs->store = store;
	gucs->count = count;
	gucs->text_len = text_len;
	return gucs;
}

static struct gucs *
block_new(struct guc_store *store, const struct guc *settings, size_t count)
{
	size_t text_len = count;
	struct gucs *gucs;
	char *to;

	for (size_t i = 0; i < count; i++)
		text_len += strlen(settings[i].name) + strlen(settings[i].value) + 2;
	if (count > GUCS_MAX || text_len > GUCS_TEXT_MAX)
		return NULL;
	gucs = block_alloc(store, count, text_len);
	if (gucs == NULL)
		return NULL;
	to = (char *)&gucs->settings[count];
	for (size_t i = 0; i < count; i++) {
		*to++ = (char)settings[i].kind;
		gucs_put_text(&to, settings[i].name);
		gucs_put_text(&to, settings[i].value);
	}
	assert(to == texts_of(gucs) + text_len);
	return gucs;
}

struct gucs *
gucs_empty(struct guc_store *store)
{
	return intern(block_new(store, NULL, 0));
}

/* Inserts an entry in order. If an entry has the same name, changes its value and kind. Returns the new count. */
static size_t
insert_sorted(struct guc *entries, size_t count, const struct guc *entry)
{
	size_t i = 0;
	int order = -1;

	assert(count <= GUCS_MAX); /* the callers' arrays have room for one more */
	while (i < count && (order = strcasecmp(entries[i].name, entry->name)) < 0)
		i++;
	if (i < count && order == 0) {
		entries[i].value = entry->value;
		entries[i].kind = entry->kind;
		return count;
	}
	memmove(&entries[i + 1], &entries[i], (count - i) * sizeof(entries[0]));
	entries[i] = *entry;
	return count + 1;
}

struct gucs *
gucs_with(const struct gucs *gucs, const char *name, const char *value, enum guc_kind kind)
{
	struct guc entries[GUCS_MAX + 1];
	size_t count = 0;

	for (size_t i = 0; i < gucs->count; i++)
		if (value != NULL || strcasecmp(gucs->settings[i].name, name) != 0)
			entries[count++] = gucs->settings[i];
	if (value != NULL)
		count = insert_sorted(entries, count, &(struct guc){ name, value, kind });
	return intern(block_new(gucs->store, entries, count));
}

struct gucs *
gucs_replace(const struct gucs *gucs, enum guc_kind kind, const struct guc *entries, size_t count)
{
	struct guc all[GUCS_MAX + 1];
	size_t total = 0;

	for (size_t i = 0; i < gucs->count; i++)
		if (gucs->settings[i].kind != kind)
			all[total++] = gucs->settings[i];
	for (size_t i = 0; i < count && total <= GUCS_MAX; i++)
		total = insert_sorted(all, total, &(struct guc){ entries[i].name, entries[i].value, kind });
	return intern(block_new(gucs->store, all, total));
}

struct gucs *
gucs_ref(struct gucs *gucs)
{
	assert(gucs->refs > 0);
	gucs->refs++;
	return gucs;
}

void
gucs_unref(struct gucs *gucs)
{
	if (gucs == NULL)
		return;
	assert(gucs->refs > 0);
	if (--gucs->refs > 0)
		return;
	if (gucs->hh.tbl != NULL)
		HASH_DELETE(hh, gucs->store->by_hash, gucs);
	if (gucs->context != NULL)
		session_commons_context_unref(gucs->store->commons, gucs->context);
	free(gucs);
}

struct gucs *
gucs_copy(const struct gucs *gucs)
{
	struct gucs *copy = block_alloc(NULL, gucs->count, gucs->text_len);

	if (copy == NULL)
		return NULL;
	copy->refs = 1;
	memcpy(&copy->settings[copy->count], texts_of(gucs), gucs->text_len);
	return copy;
}

struct gucs *
gucs_adopt(struct guc_store *store, struct gucs *copy)
{
	assert(copy->store == NULL && copy->refs == 1);
	copy->store = store;
	return intern(copy);
}

const struct guc *
gucs_find(const struct gucs *gucs, const char *name)
{
	for (size_t i = 0; i < gucs->count; i++)
		if (strcasecmp(gucs->settings[i].name, name) == 0)
			return &gucs->settings[i];
	return NULL;
}

int
gucs_move(struct gucs **slot, struct gucs *gucs)
{
	if (gucs == NULL)
		return -1;
	gucs_unref(*slot);
	*slot = gucs;
	return 0;
}

int
gucs_update(struct gucs **slot, const char *name, const char *value, enum guc_kind kind)
{
	const struct guc *now = gucs_find(*slot, name);

	if (now == NULL ? value == NULL : value != NULL && now->kind == kind && strcmp(now->value, value) == 0)
		return 0;
	return gucs_move(slot, gucs_with(*slot, name, value, kind));
}

int
gucs_forget_unreported(struct gucs **slot)
{
	for (size_t i = 0; i < (*slot)->count; i++)
		if ((*slot)->settings[i].kind == GUC_OTHER &&
		    gucs_update(slot, (*slot)->settings[i].name, "\1", GUC_OTHER) < 0)
			return -1;
	return 0;
}

size_t
gucs_count(const struct gucs *gucs)
{
	return gucs->count;
}

const struct guc *
gucs_at(const struct gucs *gucs, size_t i)
{
	assert(i < gucs->count);
	return &gucs->settings[i];
}

const char *
gucs_get(const struct gucs *gucs, const char *name)
{
	const struct guc *s = gucs_find(gucs, name);

	return s == NULL ? NULL : s->value;
}

unsigned
gucs_major_version(const struct gucs *gucs)
{
	const char *version = gucs_get(gucs, "server_version"); /* "18.6 (Debian 18.6-1)", "19rc1" */

	return version == NULL ? 0 : (unsigned)strtoul(version, NULL, 10);
}

bool
gucs_is_on(const struct gucs *gucs, const char *name)
{
	const char *value = gucs_get(gucs, name);

	return value != NULL && strcmp(value, "on") == 0;
}

bool
gucs_has(const struct gucs *gucs, const struct guc *s)
{
	const char *was = gucs_get(gucs, s->name);

	return was != NULL && strcmp(was, s->value) == 0;
}
