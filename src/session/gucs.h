/*
 * src/session/gucs.h - GUC sets: the settings of a session, which pgweir can move to another server. A GUC set never
 * changes, and equal GUC sets of a store are one object (except in rare cases), so pgweir compares their addresses.
 * pgweir knows for each server which GUC set it last applied there. If the client that borrows the server has another
 * GUC set, pgweir sends the difference ahead of the client's first message.
 *
 * There are two kinds of settings. PostgreSQL reports each change of a *reported* setting by ParameterStatus, so GUC
 * sets always have the setting's value. A GUC set has other settings only if they were set; if not, they have the
 * connection's default, which RESET restores. Two settings, role and session_authorization, decide whom the session
 * acts as. These two are reset first and set last, because other settings may need the login user's rights.
 *
 * Owns:   a guc_store owns only its table; a GUC set lives as long as there is a reference to it.
 * Always: a GUC set is sorted by the names of its settings; names are unique without regard to case.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUCS_MAX 512 /* the most settings in one GUC set */
#define GUC_GDAL "postgis.gdal_vsi_options"
#define GUC_RESET "\2" /* stands for a custom setting's value after RESET: its default, or '' if it has none */
#define GUCS_TEXT_MAX ((size_t)1 << 20) /* the most bytes of all names and values in one GUC set */

enum guc_kind {
	GUC_OTHER, /* a setting that PostgreSQL does not report */
	GUC_REPORTED /* a setting that PostgreSQL reports */
};

struct session_commons; /* session/session_commons.h */
struct guc_store; /* opaque: gucs.c; freed after all its GUC sets */
struct gucs; /* opaque */

struct guc {
	const char *name, *value; /* live as long as the GUC set */
	enum guc_kind kind;
};

/* Makes a store. seed: a random number. commons: shared by all stores, and must outlive them; NULL to share nothing. */
struct guc_store *guc_store_new(uint64_t seed, struct session_commons *commons);
void guc_store_free(struct guc_store *store);
size_t guc_store_count(const struct guc_store *store); /* returns the number of its GUC sets */

/* The next four functions return a new reference, or NULL if there is no memory or a limit above is exceeded. */
struct gucs *gucs_empty(struct guc_store *store);
/* Returns the GUC set that is like gucs, but with name set to value, or without name if value is NULL. */
struct gucs *gucs_with(const struct gucs *gucs, const char *name, const char *value, enum guc_kind kind);
/* Returns the GUC set that is like gucs, but with `entries` in place of all settings of this kind. The entries may be
 * in any order, and their own kind is ignored; if a name occurs twice, the last entry counts. */
struct gucs *gucs_replace(const struct gucs *gucs, enum guc_kind kind, const struct guc *entries, size_t count);
struct gucs *gucs_ref(struct gucs *gucs);
void gucs_unref(struct gucs *gucs); /* gucs may be NULL */
/* Returns a copy that is in no store, for another thread; NULL if there is no memory. Only gucs_unref(), gucs_adopt()
 * and gucs_copy() take such a copy. */
struct gucs *gucs_copy(const struct gucs *gucs);
/* Takes over a copy that gucs_copy() made. Returns the equal GUC set of this store, or NULL if there is no memory. */
struct gucs *gucs_adopt(struct guc_store *store, struct gucs *copy);

/* Replaces *slot by the result of gucs_with(). Returns 0, or -1 with *slot unchanged if that result is NULL. */
int gucs_update(struct gucs **slot, const char *name, const char *value, enum guc_kind kind);

/* Replaces *slot by a GUC set in which the values of all settings that are not reported count as unknown. So
 * gucs_put_changes() from *slot sends or resets each of these settings. Returns 0, or -1 if there is no memory. */
int gucs_forget_unreported(struct gucs **slot);
/* Replaces *slot by gucs, and takes over the reference. Returns 0, or -1 with *slot unchanged if gucs is NULL. */
int gucs_move(struct gucs **slot, struct gucs *gucs);

size_t gucs_count(const struct gucs *gucs);
const struct guc *gucs_at(const struct gucs *gucs, size_t i);
const struct guc *gucs_find(const struct gucs *gucs, const char *name); /* returns NULL if there is none */
bool gucs_has(const struct gucs *gucs, const struct guc *s); /* returns true if gucs has s with its value */
/* Returns the value, which may be GUC_RESET; NULL if the setting is absent. */
const char *gucs_get(const struct gucs *gucs, const char *name);
bool gucs_is_on(const struct gucs *gucs, const char *name); /* returns true if the setting is "on" */
unsigned gucs_major_version(const struct gucs *gucs); /* returns server_version's first number; 0 if unknown */
/* Returns the number of the *context*: the values of all settings that affect how PostgreSQL parses, plans and
 * compiles, or whom the session acts as. Two GUC sets with the same number have equal contexts. The number of a
 * context that is gone is never used again. Returns GUCS_CONTEXT_NONE if there is no memory, or too many contexts. */
#define GUCS_CONTEXT_NONE UINT32_MAX
uint32_t gucs_context(struct gucs *gucs);

enum gucs_side_effect {
	/* search_path has pg_temp, so even a CREATE TABLE in a trigger makes a temporary table */
	GUCS_LEAVES_TEMP = 1u << 0,
	/* with this client_encoding, PostgreSQL may read the same bytes differently than pgweir does */
	GUCS_LEAVES_ANYTHING = 1u << 1,
	GUCS_LEAVES_LATE = 1u << 2, /* statement_timeout is short: see guc_is_short_limit() */
	GUCS_LEAVES_TIMERS = 1u << 3, /* the session has a timer: see guc_may_hit_next_client() */
	GUCS_LEAVES_OPTIONS = 1u << 4, /* GUC_GDAL is set: GDAL remembers its options, and nothing resets them */
	GUCS_PIN = 1u << 5, /* OWN_PIN (pgweir.pin) is on, so the client keeps its server */
	/* temp_buffers is set: its value at the first use of a temporary table lasts until the session ends */
	GUCS_LEAVES_BUFFERS = 1u << 6
};
/* Returns a set of enum gucs_side_effect: what any SQL may leave in a session with these settings. */
unsigned gucs_side_effects(const struct gucs *gucs);
/*
 * Returns true if, under these settings, PostgreSQL may plan even SQL without literals differently: it may find other
 * tables, act as another role, or compute other constants. For example, bytea_output changes the constant
 * int4send(1)::text, and an extra_float_digits of 0 or less changes (1.0/3)::float8::text.
 */
bool gucs_affect_plans(const struct gucs *gucs);
/* Returns how a session with these settings reads strings (a set of enum scan_option). */
unsigned gucs_scan_options(const struct gucs *gucs);

/* --- gucs_changes.c: the messages that turn one GUC set into another. --- */
/* Appends name in double quotes, with the quotes in it doubled. is_qualified: true to write a.b as two names. */
void guc_put_identifier(struct buf *out, const char *name, bool is_qualified);
/* Returns true for role and session_authorization, which RESET ALL does not reset. */
bool guc_is_identity(const struct guc *s);
/*
 * Appends the messages that change a server's settings from `from` to `to`: messages of the extended protocol, without
 * a Sync, in which values are bound parameters, never part of SQL. Appends nothing if there is no difference. Does not
 * change reported settings that only `from` has. Messages that only undo settings of `from` can't fail. Returns
 * the number of Parse/Bind/Execute triples.
 *
 * always: NULL, or a GUC set; settings that it names are sent even if they are equal in `from` and `to`.
 * has_connect_query_settings: true if connect_query may have set settings on the server that no GUC set has.
 * is_guarded: true to make PostgreSQL end the session if it refuses a setting, so no later message runs. Must be false
 *     within a client's transaction.
 */
size_t gucs_put_changes(struct buf *out, const struct gucs *from, const struct gucs *to, const struct gucs *always,
			bool has_connect_query_settings, bool is_guarded);
