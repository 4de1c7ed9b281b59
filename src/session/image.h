/*
 * src/session/image.h - the part of a client's session state that can be moved, as an interned, immutable value: equal
 * images are one pointer. A server carries the image last applied to it; a client whose image differs has the
 * difference sent ahead of its first message.
 *
 * Settings are of two kinds: reported ones (PostgreSQL reports each change by ParameterStatus, so both sides always
 * have a value) and others (somebody has set them; if absent, the connection has its default, which RESET restores).
 * Two of the latter, role and session_authorization, are whom the session acts as: they are given up first and set
 * last, since the rest may need the rights of the user that logged in.
 *
 * Owns:   image_store owns nothing but its table; images live as long as somebody holds a reference.
 * Always: entries are sorted by name; names are unique without regard to case.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SETTINGS_MAX 512 /* in one image */
#define IMAGE_RESET "\2" /* the value of a custom setting that was RESET: its default, or '' if it has none */
#define IMAGE_TEXT_MAX ((size_t)1 << 20) /* bytes of all names and values in one image */

enum image_kind {
	IMAGE_OTHER, /* a setting PostgreSQL does not report */
	IMAGE_REPORTED /* one it does */
};

struct session_commons; /* session/session_commons.h */
struct image_store; /* opaque: image.c; freed after all its images */
struct image; /* opaque */

struct image_setting {
	const char *name, *value; /* live as long as the image */
	enum image_kind kind;
};

/* commons: what the stores of a process share, which lives longer; NULL: this one shares nothing. */
struct image_store *image_store_new(uint64_t seed, struct session_commons *commons);
void image_store_free(struct image_store *store);
size_t image_store_count(const struct image_store *store);

/* All return a new reference, or NULL: no memory, or over the limits above. */
struct image *image_empty(struct image_store *store);
/* Returns img with name set to value; value NULL: without it. img is not changed, its reference not taken. */
struct image *image_with(const struct image *img, const char *name, const char *value, enum image_kind kind);
/*
 * Returns img with these entries in place of all of this kind, in any order; of equal names the last counts. kind: in
 * place of the entries' own.
 */
struct image *image_replace(const struct image *img, enum image_kind kind, const struct image_setting *entries,
			    size_t count);
struct image *image_ref(struct image *img);
void image_unref(struct image *img); /* NULL is fine */
/*
 * Returns a copy that is in no store, for another thread; NULL: no memory. Only image_unref(), image_adopt() and this
 * may be called for it.
 */
struct image *image_copy(const struct image *img);
/* Takes such a copy. Returns the equal image of this store, or NULL: no memory. */
struct image *image_adopt(struct image_store *store, struct image *copy);

/* Makes *slot the image with name = value; NULL: without it. Returns 0, or -1: no memory, *slot is unchanged. */
int image_update(struct image **slot, const char *name, const char *value, enum image_kind kind);

/* Settings that are not reported may have any value now: each will be sent again. Returns 0, or -1: no memory. */
int image_doubt(struct image **slot);
/* Puts img into *slot and takes it. Returns 0, or -1: img is NULL, *slot is unchanged. */
int image_move(struct image **slot, struct image *img);

size_t image_count(const struct image *img);
const struct image_setting *image_at(const struct image *img, size_t i);
const struct image_setting *image_find(const struct image *img, const char *name); /* or NULL */
bool image_has(const struct image *img, const struct image_setting *s); /* with this value */
const char *image_get(const struct image *img, const char *name); /* a setting's value; NULL: not set */
bool image_is_on(const struct image *img, const char *name); /* it is set, to "on" */
/*
 * Returns a number for the settings that PostgreSQL parses, plans and compiles under, and for whom the session acts as:
 * equal numbers mean equal settings. It is made when first asked for, and never used again once no image has it any
 * more. IMAGE_CONTEXT_NONE: there are too many combinations to tell them apart.
 */
#define IMAGE_CONTEXT_NONE UINT32_MAX
uint32_t image_context(struct image *img);

enum image_leaving {
	IMAGE_LEAVES_TEMP = 1u << 0, /* CREATE TABLE in a trigger makes a temporary table if search_path has pg_temp */
	IMAGE_LEAVES_ANYTHING = 1u << 1, /* its client_encoding lets PostgreSQL read other SQL than pgweir */
	IMAGE_LEAVES_LATE = 1u << 2, /* it has a short limit: see image_is_short_limit() */
	IMAGE_LEAVES_TIMERS = 1u << 3 /* see image_is_timer() */
};
/* Returns what any SQL of such a session may leave (enum image_leaving). */
unsigned image_leaves(const struct image *img);
/*
 * SQL without literals may mean another thing in such a session, too: it finds other tables, acts as another role, or
 * has settings that PostgreSQL makes constants under when it plans. extra_float_digits above 0 cut no digits off; those
 * of 0 or less make another text of (1.0/3)::float8::text, as bytea_output does of int4send(1)::text.
 */
bool image_plans_otherwise(const struct image *img);
unsigned image_scan_options(const struct image *img); /* enum scan_option: how such a session reads strings */

/* --- image_changes.c: the messages that turn one image into another --- */
/* Appends name between double quotes, and doubles those in it. is_qualified: a.b is two names. */
void image_put_identifier(struct buf *out, const char *name, bool is_qualified);
/* Returns true for settings of whom the session acts as, which RESET ALL does not reset. */
bool image_is_identity(const struct image_setting *s);
/*
 * Appends the messages that turn a server with image from into one with image to: extended protocol, values as bound
 * parameters (never SQL text), without a Sync; nothing if there is no difference. Reported settings that only from has
 * are left alone. is_guarded: PostgreSQL ends the session if a setting is refused, and does not run what was sent
 * behind that; not within a transaction of a client's. always (may be NULL): settings of that image are sent even if
 * from and to agree on them. has_more: it has settings that no image knows, of a connect_query. Messages that only undo
 * settings of from can't fail. Returns the number of Parse/Bind/Execute triples.
 */
size_t image_put_changes(struct buf *out, const struct image *from, const struct image *to, const struct image *always,
			 bool has_more, bool is_guarded);
