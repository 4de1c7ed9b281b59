/*
 * src/session/image.h - what can be moved of a client's session state, as an interned, immutable value: equal images
 * are one pointer. A server carries the image last applied to it; a client whose image differs has the difference sent
 * ahead of its first message.
 *
 * Settings are of two kinds: reported ones (PostgreSQL tells each change by ParameterStatus, so both sides always have
 * one) and others (set by somebody; absent means the connection's default, which RESET brings back). The other ones
 * named role and session_authorization are whom the session acts as: they are given up first and taken on last, since
 * the rest may need the rights of the user who logged in. Statements made by SQL PREPARE are entries too.
 *
 * Owns:   image_store owns nothing but its table; images live as long as somebody holds a reference.
 * Always: entries are sorted by kind (settings before statements) and name; settings' names are unique without regard
 *         to case, statements' names exactly.
 */
#ifndef PGWEIR_SESSION_IMAGE_H
#define PGWEIR_SESSION_IMAGE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SETTINGS_MAX 512 /* in one image */
#define IMAGE_TEXT_MAX ((size_t)1 << 20) /* bytes of all names and values in one image */

enum image_kind {
	IMAGE_OTHER, /* a setting PostgreSQL does not report */
	IMAGE_REPORTED, /* one it does */
	IMAGE_PREPARED /* name: of a statement; value: the whole PREPARE that made it */
};

struct image_store; /* opaque: image.c; freed after all its images */
struct image; /* opaque */

struct image_setting {
	const char *name, *value; /* live as long as the image */
	enum image_kind kind;
};

struct image_store *image_store_new(uint64_t seed); /* NULL: no memory */
void image_store_free(struct image_store *store);
size_t image_store_count(const struct image_store *store);
size_t image_store_contexts(const struct image_store *store); /* numbers of image_context that are in use */

/* All return a new reference, or NULL without memory (or over the limits above). */
struct image *image_empty(struct image_store *store);
/* img with name set to value; value NULL: without it. img is not changed, its reference not taken. */
struct image *image_with(const struct image *img, const char *name, const char *value, enum image_kind kind);
/* img with these entries in place of all it has of this kind. Their order is any; of equal names the last counts. */
struct image *image_replace(const struct image *img, enum image_kind kind, const struct image_setting *entries,
			    size_t count);
struct image *image_ref(struct image *img);
void image_unref(struct image *img); /* NULL is fine */

/* *slot becomes img with name = value; on no memory *slot stays and -1 comes back. */
int image_update(struct image **slot, const char *name, const char *value, enum image_kind kind);
/* Settings that are not reported may have changed, nobody knows to what: each will be sent anew. */
int image_doubt(struct image **slot);
/* Between double quotes, those in it doubled. is_qualified: a.b is two names. */
void image_put_identifier(struct buf *out, const char *name, bool is_qualified);
/* Settings that are whom the session acts as: none of those RESET ALL resets. */
bool image_is_identity(const struct image_setting *s);
/* The settings of one, the prepared statements of the other. NULL: no memory. */
struct image *image_joined(const struct image *settings, const struct image *prepared);
/* The settings of one; of its prepared statements those that there, too, are the same. NULL: no memory. */
struct image *image_common(const struct image *settings, const struct image *there);
/* Takes over img (may be NULL: then nothing happens and -1 comes back). */
int image_move(struct image **slot, struct image *img);

size_t image_count(const struct image *img);
const struct image_setting *image_at(const struct image *img, size_t i);
const char *image_get(const struct image *img, const char *name); /* a setting's value; NULL: not set */
const char *image_get_prepared(const struct image *img, const char *name); /* the PREPARE; NULL: there is none */
bool image_has_prepared(const struct image *img);
bool image_is_reported(const struct image *img, const char *name); /* it has this setting, as a reported one */
/*
 * A number for those of its settings under which PostgreSQL reads literals, and for whom the session acts: equal
 * numbers, equal settings. Made when it is first asked for; once no image has it any more, the number is gone for good.
 * IMAGE_CONTEXT_NONE: there are too many combinations to tell them apart.
 */
#define IMAGE_CONTEXT_NONE UINT32_MAX
#define IMAGE_CONTEXTS_MAX 65536 /* at once */
uint32_t image_context(struct image *img);
/*
 * Those of its settings under which literals are read, and no others: equal ones are one pointer, and live as long as
 * img does. NULL: no memory.
 */
struct image *image_reading(struct image *img);
#define IMAGE_READING_NAMES 14u
const char *image_reading_name(size_t i); /* of those settings */
bool image_is_of_context(const char *name); /* it is one of those settings */
bool image_is_ascii(const struct image *img); /* all names and values are */
bool image_names_pg_temp(const struct image *img); /* in its search_path */
unsigned image_scan_options(const struct image *img); /* enum scan_option: how such a session reads strings */

/*
 * PostgreSQL reports these too, but they describe the server, not the session: never set, never part of an image. A
 * client is told them at login as the pool's welcome.
 */
bool image_is_read_only(const char *name);

/*
 * Appends the messages that turn a server with image from into one with image to: extended protocol, values as bound
 * parameters (never SQL text), without a Sync; nothing if there is no difference. Reported settings that only from has
 * are left alone. With always (may be NULL): settings of that image are sent even where from and to agree.
 * Nothing of it that only undoes what from has can fail. Returns how many Parse/Bind/Execute triples that is.
 */
size_t image_put_changes(struct buf *out, const struct image *from, const struct image *to, const struct image *always);
/*
 * Appends what deallocates from's prepared statements where to has them not, or not so; each with a Sync of its own, as
 * one may be gone already. (They are not made here.) Returns how many that are.
 */
size_t image_put_deallocates(struct buf *out, const struct image *from, const struct image *to);

#endif
