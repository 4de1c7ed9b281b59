/* src/session/gucs_effects.h - tells what effects settings have on how PostgreSQL handles SQL. */
#pragma once

#include "session/gucs.h"

/* Returns true if this setting affects how PostgreSQL parses, plans or compiles, or whom the session acts as. */
bool guc_affects_context(const char *name);

/* Returns true for settings that affect how PostgreSQL reads literals, parses SQL or computes its constants, whom the
 * session acts as, or whether row security applies. */
bool guc_affects_parsing_or_user(const char *name);

/* Returns true if any user may set and reset this setting, in all versions of PostgreSQL; false if in doubt. */
bool guc_may_be_set_by_anybody(const char *name);

#define GUC_STATEMENT_TIMEOUT "statement_timeout"
#define GUC_SHORT_LIMIT_US 50000u
/* value: the value of a setting like GUC_STATEMENT_TIMEOUT. Returns true if the value is a time limit below
 * GUC_SHORT_LIMIT_US, or if pgweir can't read the value. */
bool guc_is_short_limit(const char *value);

/* Returns true for a timer that may hit the next client, by going off after the client that set the timer has returned
 * the server: idle_session_timeout, and time limits below GUC_SHORT_LIMIT_US. */
bool guc_may_hit_next_client(const struct guc *s);
/* Returns a new reference to the GUC set that is like gucs, but without timers; NULL if there is no memory. */
struct gucs *gucs_without_timers(struct gucs *gucs);
/* Returns true if `from` has a time limit that `to` does not have. Such a limit could end the messages that change the
 * settings from `from` to `to`. */
bool gucs_has_limit_not_in(const struct gucs *from, const struct gucs *to);

/* Returns true if PostgreSQL finds the same quotes and backslashes as pgweir in text of this encoding, because each
 * byte below 0x80 is the ASCII character, and no other character is converted to an ASCII character. name: the
 * encoding's name, in any spelling that PostgreSQL accepts. */
bool guc_encoding_is_scannable(const char *name);

bool gucs_is_ascii(const struct gucs *gucs); /* returns true if all names and values are ASCII */
/* Returns true if PostgreSQL makes the same plans under a and b, because the settings of gucs_context() are equal.
 * (search_path may differ: PostgreSQL itself plans anew under another search_path.) */
bool gucs_plan_alike(const struct gucs *a, const struct gucs *b);

/*
 * Returns true for settings whose reports describe the server, not the session. A reported value of such a setting
 * never becomes part of a GUC set; clients get it at login (pool.login_parameters). For example, if an operator sets
 * default_transaction_read_only to make a primary read-only before a switchover, pgweir must not set it back. And if an
 * ALTER ROLE changes search_path, connected clients must get the new search_path, although PostgreSQL 18 has reported
 * the old one. If a client sets such a setting, pgweir learns this from the SQL, as for settings that are not reported.
 */
bool guc_describes_server(const char *name);
