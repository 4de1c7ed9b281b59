/*
 * src/session/image.c - see image.h.
 *
 * An image is one block of memory: the struct, its settings, then their names and values. set_config() accepts a value
 * as ParameterStatus reports it, lists too (SET would take a quoted list for one element). All changes are made in one
 * implicit transaction, so that an error leaves the server as it was.
 */
#include "session/image.h"

#include "sql/scan.h"
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
	unsigned scan_options;
	bool names_pg_temp, cuts_floats;
	struct context *context; /* NULL: nobody has asked for it yet */
	struct image *reading; /* the same */
	size_t text_len; /* bytes of the texts behind the settings */
	size_t count;
	struct image_setting settings[];
};

/*
 * The values of the settings that literals are read under, in one string. It lives as long as images have it, and its
 * number is never used again: so nothing that was stored under the number can be found by mistake.
 */
struct context {
	UT_hash_handle hh;
	uint32_t refs;
	uint32_t number;
	char text[];
};

struct image_store {
	uint64_t seed;
	uint32_t last_context;
	struct context *contexts;
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

size_t
image_store_contexts(const struct image_store *store)
{
	return HASH_COUNT(store->contexts);
}

static bool
is_equal(const struct image *a, const struct image *b)
{
	if (a->hash != b->hash || a->count != b->count || a->text_len != b->text_len)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->settings[i].name, b->settings[i].name) != 0 ||
		    strcmp(a->settings[i].value, b->settings[i].value) != 0 ||
		    a->settings[i].kind != b->settings[i].kind)
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
		h += img->settings[i].kind; /* otherwise two that differ in this alone would share a hash */
	}
	return (uint32_t)(h ^ h >> 32);
}

static unsigned
scan_options_of(const struct image *img)
{
	const char *strings = image_get(img, "standard_conforming_strings"), *encoding;
	unsigned options = strings != NULL && strcasecmp(strings, "off") == 0 ? SCAN_BACKSLASH_STRINGS : 0;

	encoding = image_get(img, "client_encoding");
	return encoding == NULL ? options : options | scan_encoding_option(encoding);
}

/* Returns a new reference; NULL: there are too many, or no memory. */
static struct context *
context_of_text(struct image_store *store, const struct buf *text)
{
	unsigned len = (unsigned)text->len, hash = (unsigned)XXH3_64bits_withSeed(text->bytes, text->len, store->seed);
	struct context *c;

	HASH_FIND_BYHASHVALUE(hh, store->contexts, text->bytes, len, hash, c);
	if (c == NULL) {
		if (HASH_COUNT(store->contexts) >= IMAGE_CONTEXTS_MAX ||
		    store->last_context >= IMAGE_CONTEXT_NONE - 1 || (c = calloc(1, sizeof(*c) + len)) == NULL)
			return NULL;
		memcpy(c->text, text->bytes, len);
		c->number = ++store->last_context;
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, store->contexts, c->text, len, hash, c);
	}
	c->refs++;
	return c;
}

static void
context_unref(struct image_store *store, struct context *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	HASH_DELETE(hh, store->contexts, c);
	free(c);
}

/* Settings under which PostgreSQL reads literals (IMAGE_READING_NAMES), then those for whom it parses. */
static const char *const context_names[] = { "DateStyle",
					     "IntervalStyle",
					     "TimeZone",
					     "timezone_abbreviations",
					     "array_nulls",
					     "backslash_quote",
					     "lc_monetary",
					     "lc_numeric",
					     "lc_time",
					     "standard_conforming_strings",
					     "client_encoding",
					     "transform_null_equals",
					     "xmloption",
					     "xmlbinary",
					     "extra_float_digits",
					     "role",
					     "session_authorization",
					     "row_security" };

bool
image_is_of_context(const char *name)
{
	for (size_t i = 0; i < sizeof(context_names) / sizeof(context_names[0]); i++)
		if (strcasecmp(name, context_names[i]) == 0)
			return true;
	return false;
}

static struct context *
context_of(const struct image *img)
{
	struct context *context = NULL;
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof(context_names) / sizeof(context_names[0]); i++) {
		const char *value = image_get(img, context_names[i]);

		buf_put_str(&b, value == NULL ? "" : value);
	}
	if (buf_ok(&b))
		context = context_of_text(img->store, &b);
	buf_fini(&b);
	return context;
}

uint32_t
image_context(struct image *img)
{
	if (img->context == NULL)
		img->context = context_of(img);
	return img->context == NULL ? IMAGE_CONTEXT_NONE : img->context->number;
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (*text & 0x80) == 0)
		text++;
	return *text == '\0';
}

bool
image_is_ascii(const struct image *img)
{
	for (size_t i = 0; i < img->count; i++)
		if (!is_ascii(img->settings[i].name) || !is_ascii(img->settings[i].value))
			return false;
	return true;
}

bool
image_names_pg_temp(const struct image *img)
{
	return img->names_pg_temp;
}

bool
image_cuts_floats(const struct image *img)
{
	return img->cuts_floats;
}

unsigned
image_scan_options(const struct image *img)
{
	return img->scan_options;
}

/* Takes a block that is complete except for hash and refs; returns the one image that is equal to it. */
static struct image *
intern(struct image *img)
{
	const char *search_path, *digits;
	struct image *found;

	img->hash = hash_of(img);
	img->scan_options = scan_options_of(img);
	search_path = image_get(img, "search_path");
	digits = image_get(img, "extra_float_digits");
	img->cuts_floats = digits != NULL && strtol(digits, NULL, 10) <= 0;
	img->names_pg_temp = search_path != NULL && scan_names_pg_temp(search_path);
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

/* Copies the string to *to, and moves *to behind it. */
static const char *
put_text(char **to, const char *text)
{
	size_t len = strlen(text) + 1;
	const char *put = memcpy(*to, text, len);

	*to += len;
	return put;
}

static struct image *
block_new(struct image_store *store, const struct image_setting *settings, size_t count)
{
	size_t text_len = 0;
	struct image *img;
	char *to;

	for (size_t i = 0; i < count; i++)
		text_len += strlen(settings[i].name) + strlen(settings[i].value) + 2;
	if (count > IMAGE_SETTINGS_MAX || text_len > IMAGE_TEXT_MAX)
		return NULL;
	img = calloc(1, sizeof(*img) + count * sizeof(settings[0]) + text_len);
	if (img == NULL)
		return NULL;
	img->store = store;
	img->count = count;
	img->text_len = text_len;
	to = (char *)&img->settings[count];
	for (size_t i = 0; i < count; i++) {
		img->settings[i].kind = settings[i].kind;
		img->settings[i].name = put_text(&to, settings[i].name);
		img->settings[i].value = put_text(&to, settings[i].value);
	}
	return img;
}

struct image *
image_empty(struct image_store *store)
{
	struct image *img = block_new(store, NULL, 0);

	return img == NULL ? NULL : intern(img);
}

/* Compares entries for the order in an image; 0: the same entry. */
static int
order_of(const char *a, enum image_kind a_kind, const char *b, enum image_kind b_kind)
{
	bool is_a_prepared = a_kind == IMAGE_PREPARED, is_b_prepared = b_kind == IMAGE_PREPARED;

	if (is_a_prepared != is_b_prepared)
		return is_a_prepared ? 1 : -1;
	return is_a_prepared ? strcmp(a, b) : strcasecmp(a, b);
}

/* Inserts an entry in order, or replaces the one of the same name (whose name stays). Returns the new count. */
static size_t
place(struct image_setting *entries, size_t count, const struct image_setting *entry)
{
	size_t i = 0;
	int order = -1;

	while (i < count && (order = order_of(entries[i].name, entries[i].kind, entry->name, entry->kind)) < 0)
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
	struct image *made;
	size_t count = 0;

	for (size_t i = 0; i < img->count; i++)
		if (value != NULL || order_of(img->settings[i].name, img->settings[i].kind, name, kind) != 0)
			entries[count++] = img->settings[i];
	if (value != NULL)
		count = place(entries, count, &(struct image_setting){ name, value, kind });
	made = block_new(img->store, entries, count);
	return made == NULL ? NULL : intern(made);
}

struct image *
image_replace(const struct image *img, enum image_kind kind, const struct image_setting *entries, size_t count)
{
	struct image_setting all[IMAGE_SETTINGS_MAX + 1];
	struct image *made;
	size_t total = 0;

	for (size_t i = 0; i < img->count; i++)
		if (img->settings[i].kind != kind)
			all[total++] = img->settings[i];
	for (size_t i = 0; i < count && total <= IMAGE_SETTINGS_MAX; i++)
		total = place(all, total, &(struct image_setting){ entries[i].name, entries[i].value, kind });
	made = block_new(img->store, all, total);
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
	context_unref(img->store, img->context);
	image_unref(img->reading);
	free(img);
}

static const struct image_setting *
find(const struct image *img, const char *name, enum image_kind kind)
{
	for (size_t i = 0; i < img->count; i++)
		if (order_of(img->settings[i].name, img->settings[i].kind, name, kind) == 0)
			return &img->settings[i];
	return NULL;
}

struct image *
image_reading(struct image *img)
{
	struct image_setting kept[IMAGE_READING_NAMES];
	struct image *made;
	size_t count = 0;

	if (img->reading != NULL)
		return img->reading;
	for (size_t i = 0; i < IMAGE_READING_NAMES; i++) {
		const struct image_setting *s = find(img, context_names[i], IMAGE_OTHER);

		if (s != NULL)
			count = place(kept, count, s);
	}
	made = block_new(img->store, kept, count);
	made = made == NULL ? NULL : intern(made);
	if (made == img) /* it must not have a reference to itself */
		img->refs--;
	else
		img->reading = made;
	return made;
}

const char *
image_reading_name(size_t i)
{
	return context_names[i];
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
	const struct image_setting *now = find(*slot, name, kind);

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
	return &img->settings[i];
}

const char *
image_get(const struct image *img, const char *name)
{
	const struct image_setting *s = find(img, name, IMAGE_OTHER);

	return s == NULL ? NULL : s->value;
}

const char *
image_get_prepared(const struct image *img, const char *name)
{
	const struct image_setting *s = find(img, name, IMAGE_PREPARED);

	return s == NULL ? NULL : s->value;
}

bool
image_is_reported(const struct image *img, const char *name)
{
	const struct image_setting *s = find(img, name, IMAGE_OTHER);

	return s != NULL && s->kind == IMAGE_REPORTED;
}

bool
image_has_prepared(const struct image *img)
{
	return img->count > 0 && img->settings[img->count - 1].kind == IMAGE_PREPARED;
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

static bool
is_same(const struct image *img, const struct image_setting *s)
{
	const struct image_setting *was = find(img, s->name, s->kind);

	return was != NULL && strcmp(was->value, s->value) == 0;
}

struct image *
image_joined(const struct image *settings, const struct image *prepared)
{
	struct image_setting kept[IMAGE_SETTINGS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < prepared->count; i++)
		if (prepared->settings[i].kind == IMAGE_PREPARED)
			kept[count++] = prepared->settings[i];
	if (count == 0 && !image_has_prepared(settings))
		return image_ref((struct image *)(uintptr_t)settings);
	return image_replace(settings, IMAGE_PREPARED, kept, count);
}

struct image *
image_common(const struct image *settings, const struct image *there)
{
	struct image_setting kept[IMAGE_SETTINGS_MAX];
	size_t count = 0;

	if (!image_has_prepared(settings))
		return image_ref((struct image *)(uintptr_t)settings);
	for (size_t i = 0; i < settings->count; i++)
		if (settings->settings[i].kind == IMAGE_PREPARED && is_same(there, &settings->settings[i]))
			kept[count++] = settings->settings[i];
	return image_replace(settings, IMAGE_PREPARED, kept, count);
}

/* Writes "a.b" as "a"."b": each part quoted, quotes doubled; as one part if it is not a setting's name. */
void
image_put_identifier(struct buf *out, const char *name, bool is_qualified)
{
	buf_put_u8(out, '"');
	for (; *name != '\0'; name++) {
		if (*name == '.' && is_qualified)
			buf_put(out, "\".\"", 3);
		else if (*name == '"')
			buf_put(out, "\"\"", 2);
		else
			buf_put_u8(out, (uint8_t)*name);
	}
	buf_put_u8(out, '"');
}

/* Messages that are being written, and how many triples of Parse, Bind and Execute they are. */
struct changes {
	struct buf *out;
	size_t triples;
};

static void
put_triple(struct changes *ch, const char *sql, const char *const *values, size_t count)
{
	size_t begun = message_begin(ch->out, 'P');

	buf_put_str(ch->out, "");
	buf_put_str(ch->out, sql);
	buf_put_u16(ch->out, 0);
	message_end(ch->out, begun);
	message_bind_text(ch->out, "", values, count);
	message_execute(ch->out);
	ch->triples++;
}

/* "RESET name", "DEALLOCATE name". */
static void
put_verb(struct changes *ch, const char *verb, const char *name, bool is_qualified)
{
	struct buf sql = { 0 };

	buf_printf(&sql, "%s ", verb);
	image_put_identifier(&sql, name, is_qualified);
	buf_put_u8(&sql, 0);
	if (buf_ok(&sql))
		put_triple(ch, (const char *)sql.bytes, NULL, 0);
	else
		ch->out->is_broken = true;
	buf_fini(&sql);
}

/* Settings of whom the session acts as, in the order in which they are set: setting the first one resets the second. */
static const char *const identities[] = { "session_authorization", "role" };
#define IDENTITIES (sizeof(identities) / sizeof(identities[0]))

bool
image_is_identity(const struct image_setting *s)
{
	return s->kind == IMAGE_OTHER &&
	       (strcasecmp(s->name, identities[0]) == 0 || strcasecmp(s->name, identities[1]) == 0);
}

/* RESET of a custom setting fails if an extension has claimed its prefix since; RESET ALL never does. */
static bool
must_reset_all(const struct image *from, const struct image *to)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct image_setting *s = &from->settings[i];

		if (s->kind == IMAGE_OTHER && strchr(s->name, '.') != NULL && find(to, s->name, s->kind) == NULL)
			return true;
	}
	return false;
}

static void
put_resets(struct changes *ch, const struct image *from, const struct image *to, bool is_all)
{
	/* The role may not have the right to the next settings: back to the user that logged in. */
	for (size_t i = 0; i < IDENTITIES; i++)
		if (image_get(from, identities[i]) != NULL)
			put_verb(ch, "RESET", identities[i], true);
	if (is_all)
		put_triple(ch, "RESET ALL", NULL, 0);
	for (size_t i = 0; i < from->count && !is_all; i++) {
		const struct image_setting *s = &from->settings[i];

		if (s->kind == IMAGE_OTHER && !image_is_identity(s) && find(to, s->name, s->kind) == NULL)
			put_verb(ch, "RESET", s->name, true);
	}
}

struct assignments {
	struct buf sql;
	size_t count; /* of values */
	const char *values[2 * (IMAGE_SETTINGS_MAX + IDENTITIES)];
};

static void
assign(struct assignments *a, const char *name, const char *value)
{
	buf_printf(&a->sql, "%spg_catalog.set_config($%zu, $%zu, false)", a->count == 0 ? "SELECT " : ", ",
		   a->count + 1, a->count + 2);
	a->values[a->count++] = name;
	a->values[a->count++] = value;
}

/* is_all: nothing of from is left on the server. */
static bool
is_due(const struct image *from, const struct image_setting *s, const struct image *always, bool is_all)
{
	return is_all || !is_same(from, s) || (always != NULL && find(always, s->name, s->kind) != NULL);
}

/* Names and values are in the encoding of their client: it is set before the first of them is read. */
static void
put_encoding(struct changes *ch, const struct image *from, const struct image *to, const struct image *always,
	     bool is_all)
{
	const struct image_setting *s = find(to, "client_encoding", IMAGE_OTHER);

	if (s != NULL && is_due(from, s, always, is_all))
		put_triple(ch, "SELECT pg_catalog.set_config($1, $2, false)",
			   (const char *const[]){ "client_encoding", s->value }, 2);
}

static void
put_settings(struct changes *ch, const struct image *from, const struct image *to, const struct image *always,
	     bool is_all)
{
	struct assignments a = { .count = 0 };

	for (size_t i = 0; i < to->count; i++) {
		const struct image_setting *s = &to->settings[i];

		if (s->kind == IMAGE_PREPARED || image_is_identity(s) || strcasecmp(s->name, "client_encoding") == 0)
			continue;
		if (is_due(from, s, always, is_all))
			assign(&a, s->name, s->value);
	}
	for (size_t i = 0; i < IDENTITIES; i++)
		if (image_get(to, identities[i]) != NULL)
			assign(&a, identities[i], image_get(to, identities[i]));
	buf_put_u8(&a.sql, 0);
	if (!buf_ok(&a.sql))
		ch->out->is_broken = true;
	else if (a.count > 0)
		put_triple(ch, (const char *)a.sql.bytes, a.values, a.count);
	buf_fini(&a.sql);
}

size_t
image_put_changes(struct buf *out, const struct image *from, const struct image *to, const struct image *always)
{
	struct changes ch = { out, 0 };
	bool is_all;

	if (from == to && always == NULL)
		return 0;
	is_all = must_reset_all(from, to);
	put_resets(&ch, from, to, is_all);
	put_encoding(&ch, from, to, always, is_all);
	put_settings(&ch, from, to, always, is_all);
	return ch.triples;
}

size_t
image_put_deallocates(struct buf *out, const struct image *from, const struct image *to)
{
	struct changes ch = { out, 0 };

	for (size_t i = 0; i < from->count && from != to; i++)
		if (from->settings[i].kind == IMAGE_PREPARED && !is_same(to, &from->settings[i])) {
			put_verb(&ch, "DEALLOCATE", from->settings[i].name, false);
			message_sync(out);
		}
	return ch.triples;
}
