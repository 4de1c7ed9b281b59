/*
 * src/session/gucs_effects.h - which settings matter to what PostgreSQL does with SQL.
 */
#pragma once

#include "session/gucs.h"

/* Returns true if PostgreSQL parses, plans or compiles under this setting, or acts by it as somebody: gucs_context. */
bool guc_is_of_context(const char *name);

/* Returns true for settings that literals are read under, and for others that all statements are parsed under. */
bool guc_is_of_parsing(const char *name);

/* Returns true for settings that anybody may set and reset, whatever version PostgreSQL is; false: not known. */
bool guc_is_anybodys(const char *name);

#define GUC_SHORT_LIMIT_US 50000u
/* Returns true if this value of GUC_LIMIT is a limit of less than GUC_SHORT_LIMIT_US, or not understood. */
#define GUC_LIMIT "statement_timeout"
bool guc_is_short_limit(const char *value);

/*
 * Returns true for a timer of PostgreSQL's that goes on when its client has given the server back, or is so short that
 * it may end what is sent next there: idle_session_timeout, and the limits of less than GUC_SHORT_LIMIT_US.
 */
bool guc_is_timer(const struct guc *s);
/* Returns gucs without them, a new reference; NULL: no memory. */
struct gucs *gucs_without_timers(struct gucs *gucs);
/* Returns true if a limit of one GUC set, unlike those of the other, may end what is sent to turn it into that. */
bool gucs_limits_changes(const struct gucs *from, const struct gucs *to);

/*
 * Returns true if no byte below 0x80 is a part of a letter in this encoding, and no letter becomes one: PostgreSQL
 * reads the quotes and backslashes that pgweir reads. Names are those of PostgreSQL, written anyhow.
 */
bool guc_encoding_is_read(const char *name);

bool gucs_is_ascii(const struct gucs *gucs); /* all names and values are */
/* Returns true if PostgreSQL makes the same plans: as gucs_context, but another search_path makes it plan anew. */
bool gucs_plans_as(const struct gucs *a, const struct gucs *b);

/*
 * Returns true for settings that PostgreSQL reports, too, but that describe the server, not the session: what is
 * reported is never set, and never part of a GUC set. A client gets them at login, from the pool's welcome.
 * default_transaction_read_only is the operator's, who makes a primary read-only by it ahead of a switchover; and
 * search_path, which is reported since PostgreSQL 18, changes by ALTER ROLE for connected clients on each version. A
 * client that sets one is followed by its SQL, as with settings that are not reported.
 */
bool guc_is_read_only(const char *name);
