/*
 * src/session/image.c - see image.h.
 *
 * An image is one block of memory: the struct, its settings, then their texts. set_config() takes a value as
 * ParameterStatus gives it, lists too (SET would take a quoted list as one element). Everything happens in one implicit
 * transaction, so that an error leaves the server as it was.
 */
#include "session/image.h"

#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#define uthash_fatal(msg) abort()
#include <uthash.h>

struct image {
	UT_hash_handle hh;
	struct image_store *store;
	uint32_t refs;
	uint32_t hash;
	size_t text_len; /* bytes of the texts behind the settings */
	size_t count;
	struct image_setting settings[];
};

struct image_store {
	uint64_t seed;
	struct image *by_hash; /* several images may share a hash: chained by uthash */
};

struct image_store *
image_store_new(uint64_t seed)
{
	struct image_store *store = calloc(1, sizeof(*store));

	if (store != NULL)
		store->seed = seed;
	return store;
}

void
image_store_free(struct image_store *store)
{
	free(store);
}

size_t
image_store_count(const struct image_store *store)
{
	return HASH_COUNT(store->by_hash);
}

static bool
is_equal(const struct image *a, const struct image *b)
{
	if (a->hash != b->hash || a->count != b->count || a->text_len != b->text_len)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->settings[i].name, b->settings[i].name) != 0 ||
		    strcmp(a->settings[i].value, b->settings[i].value) != 0 ||
		    a->settings[i].is_reported != b->settings[i].is_reported)
			return false;
	return true;
}

static uint32_t
hash_of(const struct image *img)
{
	uint64_t h = img->store->seed;

	for (size_t i = 0; i < img->count; i++) {
		h = XXH3_64bits_withSeed(img->settings[i].name, strlen(img->settings[i].name), h);
		h = XXH3_64bits_withSeed(img->settings[i].value, strlen(img->settings[i].value), h);
		h += img->settings[i].is_reported; /* else two that differ in nothing more would share a hash */
	}
	return (uint32_t)(h ^ h >> 32);
}

/* Takes a block that is complete but for hash and refs; gives the one image equal to it. */
static struct image *
intern(struct image *img)
{
	struct image *found;

	img->hash = hash_of(img);
	HASH_FIND_BYHASHVALUE(hh, img->store->by_hash, &img->hash, sizeof(img->hash), img->hash, found);
	/* A second image with the same 32-bit hash is kept out of the table: a pointer of its own is never wrong. */
	if (found != NULL && is_equal(found, img)) {
		free(img);
		found->refs++;
		return found;
	}
	img->refs = 1;
	if (found == NULL)
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, img->store->by_hash, &img->hash, sizeof(img->hash), img->hash, img);
	else
		img->hh.tbl = NULL;
	return img;
}

static struct image *
block_new(struct image_store *store, const struct image_setting *settings, size_t count)
{
	size_t text_len = 0;
	struct image *img;
	char *to;

	for (size_t i = 0; i < count; i++)
		text_len += strlen(settings[i].name) + strlen(settings[i].value) + 2;
	img = calloc(1, sizeof(*img) + count * sizeof(settings[0]) + text_len);
	if (img == NULL)
		return NULL;
	img->store = store;
	img->count = count;
	img->text_len = text_len;
	to = (char *)&img->settings[count];
	for (size_t i = 0; i < count; i++) {
		img->settings[i].is_reported = settings[i].is_reported;
		img->settings[i].name = to;
		to = stpcpy(to, settings[i].name) + 1;
		img->settings[i].value = to;
		to = stpcpy(to, settings[i].value) + 1;
	}
	return img;
}

struct image *
image_empty(struct image_store *store)
{
	struct image *img = block_new(store, NULL, 0);

	return img == NULL ? NULL : intern(img);
}

struct image *
image_with(const struct image *img, const char *name, const char *value, bool is_reported)
{
	struct image_setting settings[IMAGE_SETTINGS_MAX + 1];
	struct image *made;
	size_t count = 0;
	bool is_placed = value == NULL;

	for (size_t i = 0; i < img->count; i++) {
		int order = strcasecmp(img->settings[i].name, name);

		if (order >= 0 && !is_placed) {
			settings[count++] =
			    (struct image_setting){ order == 0 ? img->settings[i].name : name, value, is_reported };
			is_placed = true;
		}
		if (order != 0)
			settings[count++] = img->settings[i];
	}
	if (!is_placed)
		settings[count++] = (struct image_setting){ name, value, is_reported };
	if (count > IMAGE_SETTINGS_MAX)
		return NULL;
	made = block_new(img->store, settings, count);
	return made == NULL ? NULL : intern(made);
}

struct image *
image_ref(struct image *img)
{
	img->refs++;
	return img;
}

void
image_unref(struct image *img)
{
	if (img == NULL || --img->refs > 0)
		return;
	if (img->hh.tbl != NULL)
		HASH_DELETE(hh, img->store->by_hash, img);
	free(img);
}

int
image_update(struct image **slot, const char *name, const char *value, bool is_reported)
{
	const char *now = image_get(*slot, name);
	struct image *made;

	if (now != NULL && value != NULL && strcmp(now, value) == 0)
		return 0;
	made = image_with(*slot, name, value, is_reported);
	if (made == NULL)
		return -1;
	image_unref(*slot);
	*slot = made;
	return 0;
}

int
image_doubt(struct image **slot)
{
	for (size_t i = 0; i < (*slot)->count; i++)
		if (!(*slot)->settings[i].is_reported && image_update(slot, (*slot)->settings[i].name, "\1", false) < 0)
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
	return &img->settings[i];
}

static const struct image_setting *
find(const struct image *img, const char *name)
{
	for (size_t i = 0; i < img->count; i++)
		if (strcasecmp(img->settings[i].name, name) == 0)
			return &img->settings[i];
	return NULL;
}

const char *
image_get(const struct image *img, const char *name)
{
	const struct image_setting *s = find(img, name);

	return s == NULL ? NULL : s->value;
}

bool
image_is_read_only(const char *name)
{
	static const char *const names[] = { "in_hot_standby",	"integer_datetimes", "is_superuser",
					     "server_encoding", "server_version",    "session_authorization" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

/* "a.b" as "a"."b": each part quoted, quotes doubled. */
static void
put_identifier(struct buf *out, const char *name)
{
	buf_put_u8(out, '"');
	for (; *name != '\0'; name++) {
		if (*name == '.')
			buf_put(out, "\".\"", 3);
		else if (*name == '"')
			buf_put(out, "\"\"", 2);
		else
			buf_put_u8(out, (uint8_t)*name);
	}
	buf_put_u8(out, '"');
}

static void
put_triple(struct buf *out, const char *sql, const char *const *values, size_t count)
{
	size_t begun = message_begin(out, 'P');

	buf_put_str(out, "");
	buf_put_str(out, sql);
	buf_put_u16(out, 0);
	message_end(out, begun);
	message_bind_text(out, "", values, count);
	message_execute(out);
}

static size_t
put_resets(struct buf *out, const struct image *from, const struct image *to)
{
	size_t triples = 0;

	for (size_t i = 0; i < from->count; i++) {
		const struct image_setting *s = &from->settings[i];
		struct buf sql = { 0 };

		if (s->is_reported || find(to, s->name) != NULL)
			continue;
		buf_printf(&sql, "RESET ");
		put_identifier(&sql, s->name);
		buf_put_u8(&sql, 0);
		if (buf_ok(&sql))
			put_triple(out, (const char *)sql.bytes, NULL, 0);
		else
			out->is_broken = true;
		buf_fini(&sql);
		triples++;
	}
	return triples;
}

size_t
image_put_changes(struct buf *out, const struct image *from, const struct image *to, const struct image *always)
{
	const char *values[2 * IMAGE_SETTINGS_MAX];
	struct buf sql = { 0 };
	size_t count = 0, triples = put_resets(out, from, to);

	for (size_t i = 0; i < to->count; i++) {
		const struct image_setting *s = &to->settings[i], *was = find(from, s->name);
		bool is_same = was != NULL && strcmp(was->value, s->value) == 0;

		if (is_same && (always == NULL || find(always, s->name) == NULL))
			continue;
		buf_printf(&sql, "%spg_catalog.set_config($%zu, $%zu, false)", count == 0 ? "SELECT " : ", ", count + 1,
			   count + 2);
		values[count++] = s->name;
		values[count++] = s->value;
	}
	buf_put_u8(&sql, 0);
	if (!buf_ok(&sql))
		out->is_broken = true;
	else if (count > 0) {
		put_triple(out, (const char *)sql.bytes, values, count);
		triples++;
	}
	buf_fini(&sql);
	if (triples > 0)
		message_sync(out);
	return triples;
}
