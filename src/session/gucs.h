/*
 * src/session/gucs.h - the part of a client's session state that can be moved, as an interned, immutable value: equal
 * GUC sets are one pointer. A server carries the GUC set last applied to it; a client whose GUC set differs has the
 * difference sent ahead of its first message.
 *
 * Settings are of two kinds: reported ones (PostgreSQL reports each change by ParameterStatus, so both sides always
 * have a value) and others (somebody has set them; if absent, the connection has its default, which RESET restores).
 * Two of the latter, role and session_authorization, are whom the session acts as: they are given up first and set
 * last, since the rest may need the rights of the user that logged in.
 *
 * Owns:   guc_store owns nothing but its table; GUC sets live as long as somebody holds a reference.
 * Always: entries are sorted by name; names are unique without regard to case.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUCS_MAX 512 /* in one GUC set */
#define GUC_GDAL "postgis.gdal_vsi_options"
#define GUC_PIN "pgweir.pin" /* true as PostgreSQL reads it: the client asks to keep its server */
#define GUC_RESET "\2" /* the value of a custom setting that was RESET: its default, or '' if it has none */
#define GUCS_TEXT_MAX ((size_t)1 << 20) /* bytes of all names and values in one GUC set */

enum guc_kind {
	GUC_OTHER, /* a setting PostgreSQL does not report */
	GUC_REPORTED /* one it does */
};

struct session_commons; /* session/session_commons.h */
struct guc_store; /* opaque: gucs.c; freed after all its GUC sets */
struct gucs; /* opaque */

struct guc {
	const char *name, *value; /* live as long as the GUC set */
	enum guc_kind kind;
};

/* commons: what the stores of a process share, which lives longer; NULL: this one shares nothing. */
struct guc_store *guc_store_new(uint64_t seed, struct session_commons *commons);
void guc_store_free(struct guc_store *store);
size_t guc_store_count(const struct guc_store *store);

/* All return a new reference, or NULL: no memory, or over the limits above. */
struct gucs *gucs_empty(struct guc_store *store);
/* Returns gucs with name set to value; value NULL: without it. gucs is not changed, its reference not taken. */
struct gucs *gucs_with(const struct gucs *gucs, const char *name, const char *value, enum guc_kind kind);
/*
 * Returns gucs with these entries in place of all of this kind, in any order; of equal names the last counts. kind: in
 * place of the entries' own.
 */
struct gucs *gucs_replace(const struct gucs *gucs, enum guc_kind kind, const struct guc *entries, size_t count);
struct gucs *gucs_ref(struct gucs *gucs);
void gucs_unref(struct gucs *gucs); /* NULL is fine */
/*
 * Returns a copy that is in no store, for another thread; NULL: no memory. Only gucs_unref(), gucs_adopt() and this
 * may be called for it.
 */
struct gucs *gucs_copy(const struct gucs *gucs);
/* Takes such a copy. Returns the equal GUC set of this store, or NULL: no memory. */
struct gucs *gucs_adopt(struct guc_store *store, struct gucs *copy);

/* Makes *slot the GUC set with name = value; NULL: without it. Returns 0, or -1: no memory, *slot is unchanged. */
int gucs_update(struct gucs **slot, const char *name, const char *value, enum guc_kind kind);

/* Settings that are not reported may have any value now: each will be sent again. Returns 0, or -1: no memory. */
int gucs_doubt(struct gucs **slot);
/* Puts gucs into *slot and takes it. Returns 0, or -1: gucs is NULL, *slot is unchanged. */
int gucs_move(struct gucs **slot, struct gucs *gucs);

size_t gucs_count(const struct gucs *gucs);
const struct guc *gucs_at(const struct gucs *gucs, size_t i);
const struct guc *gucs_find(const struct gucs *gucs, const char *name); /* or NULL */
bool gucs_has(const struct gucs *gucs, const struct guc *s); /* with this value */
const char *gucs_get(const struct gucs *gucs, const char *name); /* a setting's value; NULL: not set */
bool gucs_is_on(const struct gucs *gucs, const char *name); /* it is set, to "on" */
unsigned gucs_major_version(const struct gucs *gucs); /* of PostgreSQL, by server_version; 0: not known */
/*
 * Returns a number for the settings that PostgreSQL parses, plans and compiles under, and for whom the session acts as:
 * equal numbers mean equal settings. It is made when first asked for, and never used again once no GUC set has it any
 * more. GUCS_CONTEXT_NONE: there are too many combinations to tell them apart.
 */
#define GUCS_CONTEXT_NONE UINT32_MAX
uint32_t gucs_context(struct gucs *gucs);

enum gucs_leaving {
	GUCS_LEAVES_TEMP = 1u << 0, /* CREATE TABLE in a trigger makes a temporary table if search_path has pg_temp */
	GUCS_LEAVES_ANYTHING = 1u << 1, /* its client_encoding lets PostgreSQL read other SQL than pgweir */
	GUCS_LEAVES_LATE = 1u << 2, /* it has a short limit: see guc_is_short_limit() */
	GUCS_LEAVES_TIMERS = 1u << 3, /* see guc_is_timer() */
	GUCS_LEAVES_OPTIONS = 1u << 4, /* GDAL keeps those of GUC_GDAL, which nothing resets */
	GUCS_PIN = 1u << 5 /* GUC_PIN is on: it leaves nothing, but keeps its server */
};
/* Returns what any SQL of such a session may leave (enum gucs_leaving). */
unsigned gucs_leaves(const struct gucs *gucs);
/*
 * SQL without literals may mean another thing in such a session, too: it finds other tables, acts as another role, or
 * has settings that PostgreSQL makes constants under when it plans. extra_float_digits above 0 cut no digits off; those
 * of 0 or less make another text of (1.0/3)::float8::text, as bytea_output does of int4send(1)::text.
 */
bool gucs_plans_otherwise(const struct gucs *gucs);
unsigned gucs_scan_options(const struct gucs *gucs); /* enum scan_option: how such a session reads strings */

/* --- gucs_changes.c: the messages that turn one GUC set into another --- */
/* Appends name between double quotes, and doubles those in it. is_qualified: a.b is two names. */
void guc_put_identifier(struct buf *out, const char *name, bool is_qualified);
/* Returns true for settings of whom the session acts as, which RESET ALL does not reset. */
bool guc_is_identity(const struct guc *s);
/*
 * Appends the messages that turn a server with GUC set from into one with GUC set to: extended protocol, values as
 * bound parameters (never SQL text), without a Sync; nothing if there is no difference. Reported settings that only
 * from has are left alone. is_guarded: PostgreSQL ends the session if a setting is refused, and does not run what was
 * sent behind that; not within a transaction of a client's. always (may be NULL): settings of that GUC set are sent
 * even if from and to agree on them. has_more: it has settings that no GUC set knows, of a connect_query. Messages that
 * only undo settings of from can't fail. Returns the number of Parse/Bind/Execute triples.
 */
size_t gucs_put_changes(struct buf *out, const struct gucs *from, const struct gucs *to, const struct gucs *always,
			bool has_more, bool is_guarded);
