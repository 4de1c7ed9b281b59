/*
 * src/session/image.h - the session settings of a client, as an interned, immutable value: equal settings are one
 * pointer. A server carries the image last applied to it; a client whose image differs has the difference sent ahead
 * of its first message.
 *
 * Settings are of two kinds: reported ones (PostgreSQL tells each change by ParameterStatus, so both sides always have
 * one) and others (set by somebody; absent means the connection's default, which RESET brings back).
 *
 * Owns:   image_store owns nothing but its table; images live as long as somebody holds a reference.
 * Always: names are unique without regard to case, and sorted.
 */
#ifndef PGWEIR_SESSION_IMAGE_H
#define PGWEIR_SESSION_IMAGE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SETTINGS_MAX 512 /* in one image */

struct image_store; /* opaque: image.c; freed after all its images */
struct image; /* opaque */

struct image_setting {
	const char *name, *value; /* live as long as the image */
	bool is_reported;
};

struct image_store *image_store_new(uint64_t seed); /* NULL: no memory */
void image_store_free(struct image_store *store);
size_t image_store_count(const struct image_store *store);

/* All return a new reference, or NULL without memory (or over IMAGE_SETTINGS_MAX). */
struct image *image_empty(struct image_store *store);
/* img with name set to value; value NULL: without it. img is not changed, its reference not taken. */
struct image *image_with(const struct image *img, const char *name, const char *value, bool is_reported);
struct image *image_ref(struct image *img);
void image_unref(struct image *img); /* NULL is fine */

/* *slot becomes img with name = value; on no memory *slot stays and -1 comes back. */
int image_update(struct image **slot, const char *name, const char *value, bool is_reported);

/* Settings that are not reported may have changed, nobody knows to what: each will be sent anew. */
int image_doubt(struct image **slot);

size_t image_count(const struct image *img);
const struct image_setting *image_at(const struct image *img, size_t i);
const char *image_get(const struct image *img, const char *name); /* NULL: not set */

/*
 * PostgreSQL reports these too, but they describe the server, not the session: never set, never part of an image. A
 * client is told them at login as the pool's welcome.
 */
bool image_is_read_only(const char *name);

/*
 * Appends the messages that turn a server with image from into one with image to: extended protocol, values as bound
 * parameters (never SQL text), ended by one Sync; nothing if there is no difference. Reported settings that only from
 * has are left alone. With always (may be NULL): settings of that image are sent even where from and to agree.
 * Returns how many Parse/Bind/Execute triples precede the Sync (0: nothing was appended).
 */
size_t image_put_changes(struct buf *out, const struct image *from, const struct image *to, const struct image *always);

#endif
