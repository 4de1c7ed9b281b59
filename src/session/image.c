/*
 * src/session/image.c - see image.h.
 *
 * An image is one block of memory: the struct, its settings, then their texts. The texts alone say all of it, and equal
 * images have the same ones: the kind, the name, and the value of each setting in turn.
 */
#include "session/image.h"
#include "session/image_settings.h"
#include "session/session_commons.h"

#include "sql/scan.h"

#include "base/alloc.h"
#include "base/table.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct image {
	UT_hash_handle hh;
	struct image_store *store;
	uint32_t refs;
	uint32_t hash;
	unsigned scan_options;
	bool plans_otherwise;
	unsigned leaves; /* image_leaves() */
	struct commons_context *context; /* NULL: nobody has asked for it yet */
	uint32_t context_number;
	size_t text_len; /* of the texts behind the settings */
	size_t count;
	struct image_setting settings[]; /* point into the texts, once it is interned */
};

struct image_store {
	uint64_t seed;
	struct session_commons *commons; /* which has the contexts */
	struct session_commons *own; /* or NULL: it is others', too */
	struct image *by_hash; /* several images may share a hash: chained by uthash */
};

struct image_store *
image_store_new(uint64_t seed, struct session_commons *commons)
{
	struct image_store *store = xcalloc(1, sizeof(*store));

	store->seed = seed;
	store->own = commons == NULL ? session_commons_new(seed) : NULL;
	store->commons = commons == NULL ? store->own : commons;
	return store;
}

void
image_store_free(struct image_store *store)
{
	if (store != NULL)
		session_commons_free(store->own);
	free(store);
}

size_t
image_store_count(const struct image_store *store)
{
	return HASH_COUNT(store->by_hash);
}

static const char *
texts_of(const struct image *img)
{
	return (const char *)&img->settings[img->count];
}

/*
 * search_path is one of these settings although PostgreSQL itself analyses a statement anew under another one: the rows
 * may be those of other tables then, which it refuses ("cached plan must not change result type"): not to be the
 * trouble of one client because of another.
 */
static void
find_context(struct image *img)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < img->count; i++) {
		const struct image_setting *s = &img->settings[i];

		if (!image_is_of_context(s->name))
			continue;
		for (const char *c = s->name; *c != '\0'; c++)
			buf_put_u8(&b, (uint8_t)tolower((unsigned char)*c));
		buf_put_u8(&b, '=');
		buf_put_str(&b, s->value);
	}
	if (buf_ok(&b))
		img->context = session_commons_context(img->store->commons, b.len > 0 ? b.bytes : (const void *)"",
						       b.len, &img->context_number);
	buf_fini(&b);
}

uint32_t
image_context(struct image *img)
{
	if (img->context == NULL)
		find_context(img);
	return img->context == NULL ? IMAGE_CONTEXT_NONE : img->context_number;
}

unsigned
image_leaves(const struct image *img)
{
	return img->leaves;
}

bool
image_plans_otherwise(const struct image *img)
{
	return img->plans_otherwise;
}

unsigned
image_scan_options(const struct image *img)
{
	return img->scan_options;
}

static bool
plans_otherwise(const struct image *img)
{
	static const char *const names[] = {
		"role",	       "session_authorization", "row_security",		"transform_null_equals",
		"search_path", "bytea_output",		"quote_all_identifiers"
	};
	const char *digits = image_get(img, "extra_float_digits");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (image_get(img, names[i]) != NULL)
			return true;
	return digits != NULL && strtol(digits, NULL, 10) <= 0;
}

static unsigned
leaves(const struct image *img)
{
	const char *path = image_get(img, "search_path"), *limit = image_get(img, IMAGE_LIMIT);
	const char *encoding = image_get(img, "client_encoding");
	unsigned timers = 0;

	for (size_t i = 0; i < img->count; i++)
		if (image_is_timer(&img->settings[i]))
			timers = IMAGE_LEAVES_TIMERS;
	return timers | (encoding != NULL && !image_encoding_is_read(encoding) ? IMAGE_LEAVES_ANYTHING : 0u) |
	       (path != NULL && scan_bytes_name_pg_temp(path, strlen(path)) ? IMAGE_LEAVES_TEMP : 0u) |
	       (limit != NULL && image_is_short_limit(limit) ? IMAGE_LEAVES_LATE : 0u);
}

/* Returns the text there, and moves *at behind it. */
static const char *
read_text(const char **at)
{
	const char *text = *at;

	*at += strlen(text) + 1;
	return text;
}

static void
read_settings(struct image *img)
{
	const char *at = texts_of(img), *strings, *encoding;

	for (struct image_setting *s = img->settings; s < img->settings + img->count; s++) {
		s->kind = (enum image_kind) * at++;
		s->name = read_text(&at);
		s->value = read_text(&at);
	}
	assert(at == texts_of(img) + img->text_len);
	strings = image_get(img, "standard_conforming_strings");
	img->scan_options = strings != NULL && strcasecmp(strings, "off") == 0 ? SCAN_BACKSLASH_STRINGS : 0;
	if ((encoding = image_get(img, "client_encoding")) != NULL)
		img->scan_options |= scan_encoding_option(encoding);
	img->plans_otherwise = plans_otherwise(img);
	img->leaves = leaves(img);
}

/* Takes a block that has its store and its texts; returns the one image that is equal to it. NULL: no memory. */
static struct image *
intern(struct image *img)
{
	struct image *found;

	if (img == NULL)
		return NULL;
	img->hash = table_hash(img->store->seed, texts_of(img), img->text_len);
	HASH_FIND_BYHASHVALUE(hh, img->store->by_hash, &img->hash, sizeof(img->hash), img->hash, found);
	/* A second image with the same 32-bit hash is kept out of the table: a pointer of its own is never wrong. */
	if (found != NULL && found->count == img->count && found->text_len == img->text_len &&
	    memcmp(texts_of(found), texts_of(img), img->text_len) == 0) {
		assert(found->refs > 0);
		free(img);
		found->refs++;
		return found;
	}
	img->refs = 1;
	read_settings(img);
	if (found == NULL && !TABLE_ADD_BY_HASH(img->store->by_hash, &img->hash, sizeof(img->hash), img->hash, img)) {
		free(img);
		return NULL;
	}
	return img;
}

/* Copies the string to *to, and moves *to behind it. */
static void
image_put_text(char **to, const char *text)
{
	size_t len = strlen(text) + 1;

	memcpy(*to, text, len);
	*to += len;
}

static struct image *
block_alloc(struct image_store *store, size_t count, size_t text_len)
{
	struct image *img = calloc(1, sizeof(*img) + count * sizeof(img->settings[0]) + text_len);

	if (img == NULL)
		return NULL;
	img->store = store;
	img->count = count;
	img->text_len = text_len;
	return img;
}

static struct image *
block_new(struct image_store *store, const struct image_setting *settings, size_t count)
{
	size_t text_len = count;
	struct image *img;
	char *to;

	for (size_t i = 0; i < count; i++)
		text_len += strlen(settings[i].name) + strlen(settings[i].value) + 2;
	if (count > IMAGE_SETTINGS_MAX || text_len > IMAGE_TEXT_MAX)
		return NULL;
	img = block_alloc(store, count, text_len);
	if (img == NULL)
		return NULL;
	to = (char *)&img->settings[count];
	for (size_t i = 0; i < count; i++) {
		*to++ = (char)settings[i].kind;
		image_put_text(&to, settings[i].name);
		image_put_text(&to, settings[i].value);
	}
	assert(to == texts_of(img) + text_len);
	return img;
}

struct image *
image_empty(struct image_store *store)
{
	return intern(block_new(store, NULL, 0));
}

/* Inserts an entry in order, or replaces the one of the same name (whose name stays). Returns the new count. */
static size_t
place(struct image_setting *entries, size_t count, const struct image_setting *entry)
{
	size_t i = 0;
	int order = -1;

	assert(count <= IMAGE_SETTINGS_MAX); /* the callers have room for one more */
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

struct image *
image_with(const struct image *img, const char *name, const char *value, enum image_kind kind)
{
	struct image_setting entries[IMAGE_SETTINGS_MAX + 1];
	size_t count = 0;

	for (size_t i = 0; i < img->count; i++)
		if (value != NULL || strcasecmp(img->settings[i].name, name) != 0)
			entries[count++] = img->settings[i];
	if (value != NULL)
		count = place(entries, count, &(struct image_setting){ name, value, kind });
	return intern(block_new(img->store, entries, count));
}

struct image *
image_replace(const struct image *img, enum image_kind kind, const struct image_setting *entries, size_t count)
{
	struct image_setting all[IMAGE_SETTINGS_MAX + 1];
	size_t total = 0;

	for (size_t i = 0; i < img->count; i++)
		if (img->settings[i].kind != kind)
			all[total++] = img->settings[i];
	for (size_t i = 0; i < count && total <= IMAGE_SETTINGS_MAX; i++)
		total = place(all, total, &(struct image_setting){ entries[i].name, entries[i].value, kind });
	return intern(block_new(img->store, all, total));
}

struct image *
image_ref(struct image *img)
{
	assert(img->refs > 0);
	img->refs++;
	return img;
}

void
image_unref(struct image *img)
{
	if (img == NULL)
		return;
	assert(img->refs > 0);
	if (--img->refs > 0)
		return;
	if (img->hh.tbl != NULL)
		HASH_DELETE(hh, img->store->by_hash, img);
	if (img->context != NULL)
		session_commons_context_unref(img->store->commons, img->context);
	free(img);
}

struct image *
image_copy(const struct image *img)
{
	struct image *copy = block_alloc(NULL, img->count, img->text_len);

	if (copy == NULL)
		return NULL;
	copy->refs = 1;
	memcpy(&copy->settings[copy->count], texts_of(img), img->text_len);
	return copy;
}

struct image *
image_adopt(struct image_store *store, struct image *copy)
{
	assert(copy->store == NULL && copy->refs == 1);
	copy->store = store;
	return intern(copy);
}

const struct image_setting *
image_find(const struct image *img, const char *name)
{
	for (size_t i = 0; i < img->count; i++)
		if (strcasecmp(img->settings[i].name, name) == 0)
			return &img->settings[i];
	return NULL;
}

int
image_move(struct image **slot, struct image *img)
{
	if (img == NULL)
		return -1;
	image_unref(*slot);
	*slot = img;
	return 0;
}

int
image_update(struct image **slot, const char *name, const char *value, enum image_kind kind)
{
	const struct image_setting *now = image_find(*slot, name);

	if (now == NULL ? value == NULL : value != NULL && now->kind == kind && strcmp(now->value, value) == 0)
		return 0;
	return image_move(slot, image_with(*slot, name, value, kind));
}

int
image_doubt(struct image **slot)
{
	for (size_t i = 0; i < (*slot)->count; i++)
		if ((*slot)->settings[i].kind == IMAGE_OTHER &&
		    image_update(slot, (*slot)->settings[i].name, "\1", IMAGE_OTHER) < 0)
			return -1;
	return 0;
}

size_t
image_count(const struct image *img)
{
	return img->count;
}

const struct image_setting *
image_at(const struct image *img, size_t i)
{
	assert(i < img->count);
	return &img->settings[i];
}

const char *
image_get(const struct image *img, const char *name)
{
	const struct image_setting *s = image_find(img, name);

	return s == NULL ? NULL : s->value;
}

bool
image_is_on(const struct image *img, const char *name)
{
	const char *value = image_get(img, name);

	return value != NULL && strcmp(value, "on") == 0;
}

bool
image_has(const struct image *img, const struct image_setting *s)
{
	const char *was = image_get(img, s->name);

	return was != NULL && strcmp(was, s->value) == 0;
}
