/*
 * src/session/gucs_effects.c - which settings matter to what PostgreSQL does with SQL; see gucs_effects.h.
 */
#include "session/gucs_effects.h"
#include "base/text.h"

#include <ctype.h>

/* The list has the settings under which PostgreSQL reads literals, parses SQL or computes constants, and those that
 * decide whom the session acts as, or which rows it sees. */
bool
guc_affects_parsing_or_user(const char *name)
{
	return text_is_one_of(name, "DateStyle IntervalStyle TimeZone timezone_abbreviations array_nulls "
				    "backslash_quote lc_monetary lc_numeric lc_time standard_conforming_strings "
				    "client_encoding transform_null_equals xmloption xmlbinary extra_float_digits "
				    "role session_authorization row_security bytea_output quote_all_identifiers");
}

/* Unknown settings count, because they may affect parsing, planning or compiling. Custom settings, except PL/pgSQL's,
 * do not: they are read when SQL runs. */
bool
guc_affects_context(const char *name)
{
	if (text_is_one_of(name, "application_name statement_timeout lock_timeout idle_in_transaction_session_timeout "
				 "idle_session_timeout transaction_timeout deadlock_timeout client_min_messages "
				 "log_min_duration_statement log_statement synchronous_commit "
				 "default_transaction_isolation default_transaction_read_only "
				 "default_transaction_deferrable seed"))
		return false;
	return strchr(name, '.') == NULL || strncasecmp(name, "plpgsql.", sizeof("plpgsql.") - 1) == 0;
}

bool
guc_may_be_set_by_anybody(const char *name)
{
	return strncasecmp(name, "enable_", sizeof("enable_") - 1) == 0 ||
	       text_is_one_of(name, "search_path statement_timeout lock_timeout idle_in_transaction_session_timeout "
				    "idle_session_timeout transaction_timeout work_mem maintenance_work_mem "
				    "synchronous_commit row_security jit client_min_messages extra_float_digits "
				    "bytea_output default_transaction_isolation default_transaction_read_only "
				    "default_transaction_deferrable role session_authorization");
}

bool
guc_describes_server(const char *name)
{
	return text_is_one_of(name, "default_transaction_read_only in_hot_standby integer_datetimes is_superuser "
				    "search_path server_encoding server_version session_authorization");
}

bool
guc_encoding_is_scannable(const char *name)
{
	static const char *const beginnings[] = { "utf8",   "unicode", "sqlascii", "latin", "iso8859",
						  "win125", "win866",  "win874",   "koi8",  "euc" };
	char cleaned[32];
	size_t len = 0;

	for (; *name != '\0' && len + 1 < sizeof(cleaned); name++)
		if (isalnum((unsigned char)*name))
			cleaned[len++] = (char)tolower((unsigned char)*name);
	cleaned[len] = '\0';
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (strncmp(cleaned, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

bool
guc_is_short_limit(const char *value)
{
	static const struct {
		const char *name;
		double us;
	} units[] = { { "", 1e3 },    { "ms", 1e3 },  { "us", 1 },     { "s", 1e6 },
		      { "min", 6e7 }, { "h", 3.6e9 }, { "d", 8.64e10 } };
	char *unit;
	double number = strtod(value, &unit);

	unit += unit == value ? 0 : strspn(unit, " ");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (unit != value && strcmp(unit, units[i].name) == 0)
			return number > 0 && number * units[i].us < GUC_SHORT_LIMIT_US;
	return true;
}

/* The time limits that may cancel a statement that pgweir itself sends. */
static const char *const limits[] = { GUC_STATEMENT_TIMEOUT, "lock_timeout", "transaction_timeout" };
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

bool
guc_may_hit_next_client(const struct guc *s)
{
	for (size_t i = 0; i < LIMITS && s->kind == GUC_OTHER; i++)
		if (strcasecmp(s->name, limits[i]) == 0)
			return guc_is_short_limit(s->value);
	return s->kind == GUC_OTHER && strcasecmp(s->name, "idle_session_timeout") == 0;
}

bool
gucs_has_limit_not_in(const struct gucs *from, const struct gucs *to)
{
	for (size_t i = 0; i < LIMITS; i++) {
		const struct guc *limit = gucs_find(from, limits[i]);

		if (limit != NULL && !gucs_has(to, limit))
			return true;
	}
	return false;
}

struct gucs *
gucs_without_timers(struct gucs *gucs)
{
	struct gucs *without = gucs_ref(gucs);

	for (size_t i = 0; i < gucs_count(gucs) && without != NULL; i++)
		if (guc_may_hit_next_client(gucs_at(gucs, i)) &&
		    gucs_update(&without, gucs_at(gucs, i)->name, NULL, GUC_OTHER) < 0) {
			gucs_unref(without);
			without = NULL;
		}
	return without;
}

static const struct guc *
next_planner_setting(const struct gucs *gucs, size_t *at)
{
	while (*at < gucs_count(gucs)) {
		const struct guc *s = gucs_at(gucs, (*at)++);

		if (guc_affects_context(s->name) && strcasecmp(s->name, "search_path") != 0)
			return s;
	}
	return NULL;
}

/* Compares the settings one by one: both sets are sorted by name, without regard to case. */
bool
gucs_plan_alike(const struct gucs *a, const struct gucs *b)
{
	const struct guc *one, *other;
	size_t at = 0, other_at = 0;

	do {
		one = next_planner_setting(a, &at);
		other = next_planner_setting(b, &other_at);
		if (one == NULL || other == NULL)
			return one == other;
	} while (strcasecmp(one->name, other->name) == 0 && strcmp(one->value, other->value) == 0);
	return false;
}

bool
gucs_is_ascii(const struct gucs *gucs)
{
	for (size_t i = 0; i < gucs_count(gucs); i++)
		if (!text_is_ascii(gucs_at(gucs, i)->name, strlen(gucs_at(gucs, i)->name)) ||
		    !text_is_ascii(gucs_at(gucs, i)->value, strlen(gucs_at(gucs, i)->value)))
			return false;
	return true;
}
