/* src/session/gucs_effects.h - tells which settings matter to what PostgreSQL does with SQL. */
#pragma once

#include "session/gucs.h"

/* Returns true if this setting affects how PostgreSQL parses, plans or compiles, or whom the session acts as: see
 * gucs_context(). */
bool guc_affects_context(const char *name);

/* Returns true for settings that affect how PostgreSQL parses literals or anything else. */
bool guc_affects_parsing(const char *name);

/* Returns true for settings that any user may set and reset in any version of PostgreSQL; false if that is unknown. */
bool guc_may_be_set_by_anybody(const char *name);

#define GUC_STATEMENT_TIMEOUT "statement_timeout"
#define GUC_SHORT_LIMIT_US 50000u
/* Returns true if `value`, of GUC_STATEMENT_TIMEOUT, is a limit of less than GUC_SHORT_LIMIT_US, or can't be
 * understood. */
bool guc_is_short_limit(const char *value);

/* Returns true for a timer of PostgreSQL's that may end what is sent next on the server: idle_session_timeout, which
 * runs on when its client has given the server back, and limits of less than GUC_SHORT_LIMIT_US. */
bool guc_is_timer(const struct guc *s);
/* Returns gucs without its timers, as a new reference; NULL without memory. */
struct gucs *gucs_without_timers(struct gucs *gucs);
/* Returns true if a limit that `from` has and `to` has not may end the messages that turn `from` into `to`. */
bool gucs_has_limit_not_in(const struct gucs *from, const struct gucs *to);

/* Returns true if, in this encoding, no byte below 0x80 is part of another character, and no other character is
 * converted to such a byte, so PostgreSQL reads the same quotes and backslashes as pgweir. name: PostgreSQL's name of
 * the encoding, in any spelling that PostgreSQL accepts. */
bool guc_encoding_is_scannable(const char *name);

bool gucs_is_ascii(const struct gucs *gucs); /* returns true if all names and values are ASCII */
/* Returns true if PostgreSQL makes the same plans under a and b. Compares the settings of gucs_context(), except
 * search_path: PostgreSQL itself plans anew under another search_path. */
bool gucs_plan_alike(const struct gucs *a, const struct gucs *b);

/*
 * Returns true for settings that PostgreSQL reports, but that describe the server, not the session: the reported value
 * is never sent to a server, and never part of a GUC set. A client gets such values at login, from pool.welcome. Two
 * examples: an operator sets default_transaction_read_only, to make a primary read-only before a switchover; and an
 * ALTER ROLE that changes search_path reaches connected clients in each version, although PostgreSQL reports
 * search_path since 18. If a client sets such a setting, pgweir learns that from the SQL, as with settings that are not
 * reported.
 */
bool guc_describes_server(const char *name);
