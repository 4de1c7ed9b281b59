/*
 * src/sql/known_setting.c - SET, RESET and SELECT set_config(): gram.y's VariableSetStmt and VariableResetStmt, and
 * guc.c's flatten_set_variable_args().
 */
#include "sql/known_rules.h"
#include "sql/sql_class.h"
#include "sql/sql_words.h"

#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A value while it is built; if it does not fit, the statement is unknown. */
struct value {
	char *text;
	size_t len;
	bool is_full;
};

static void
known_put(struct value *v, const char *text, size_t len)
{
	if (v->is_full || len >= KNOWN_VALUE_MAX - v->len) {
		v->is_full = true;
		return;
	}
	memcpy(v->text + v->len, text, len);
	v->len += len;
	v->text[v->len] = '\0';
}

bool
known_quotes_elements(const char *name)
{
	return text_is_one_of(name, "local_preload_libraries search_path session_preload_libraries "
				    "shared_preload_libraries temp_tablespaces unix_socket_directories");
}

/* ruleutils.c, quote_identifier(). A keyword of newer versions alone is quoted as well: it means the same. */
static bool
needs_quotes(const char *text)
{
	size_t len = strlen(text);

	return len == 0 || (*text >= '0' && *text <= '9') ||
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != len ||
	       (sql_name_find(text, len) & (SQL_RESERVED | SQL_TYPE_FUNC)) != 0;
}

static void
put_element(struct value *v, const char *text, bool is_list)
{
	if (!is_list || !needs_quotes(text)) {
		known_put(v, text, strlen(text));
		return;
	}
	known_put(v, "\"", 1);
	for (; *text != '\0'; text++)
		known_put(v, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
	known_put(v, "\"", 1);
}

static size_t
digits_at(const struct sql_token *t, size_t from)
{
	size_t i = from;

	while (i < t->len && t->at[i] >= '0' && t->at[i] <= '9')
		i++;
	return i - from;
}

/* Returns how many leading zeros PostgreSQL leaves out when it prints the number as an integer; 0 if it is too large
 * for one, which stays as it is written. */
static size_t
leading_zeros(const struct sql_token *t)
{
	uint64_t value = 0;
	size_t zeros = 0;

	for (size_t i = 0; i < t->len && value <= INT32_MAX; i++)
		value = value * 10 + (uint64_t)(t->at[i] - '0');
	while (value <= INT32_MAX && zeros + 1 < t->len && t->at[zeros] == '0')
		zeros++;
	return zeros;
}

/* Decimal numbers only. 010 is ten in SQL, but eight where the text of a setting is read. */
static bool
known_put_number(struct known_reader *r, struct value *v, bool is_negative)
{
	const struct sql_token *t = &r->token;
	size_t whole = digits_at(t, 0), from = whole == t->len ? leading_zeros(t) : 0;

	if (whole != t->len && (t->at[whole] != '.' || whole + 1 + digits_at(t, whole + 1) != t->len))
		return false;
	if (is_negative && (t->len - from > 1 || t->at[from] != '0'))
		known_put(v, "-", 1);
	known_put(v, t->at + from, t->len - from);
	known_next(r);
	return true;
}

/* gram.y, var_value */
static bool
known_put_value(struct known_reader *r, struct value *v, bool is_list)
{
	char text[KNOWN_VALUE_MAX], name[KNOWN_NAME_MAX];

	if (r->token.kind == SQL_STRING) {
		if (!known_take_string(r, text))
			return false;
		put_element(v, text, is_list);
		return true;
	}
	if (known_is_char(r, '-') || known_is_char(r, '+')) {
		bool is_negative = known_is_char(r, '-');

		known_next(r);
		return r->token.kind == SQL_NUMBER && known_put_number(r, v, is_negative);
	}
	if (r->token.kind == SQL_NUMBER)
		return known_put_number(r, v, false);
	if (known_is_word(r, "default") || !known_take_identifier(r, name))
		return false;
	put_element(v, name, is_list);
	return true;
}

static enum known_kind
take_values(struct known_reader *r, struct known *k)
{
	bool is_list = known_quotes_elements(k->name);
	struct value v = { .text = k->value };

	if (!known_put_value(r, &v, is_list))
		return KNOWN_NOT;
	while (known_skip_char(r, ',')) {
		known_put(&v, ", ", 2);
		if (!known_put_value(r, &v, is_list))
			return KNOWN_NOT;
	}
	return v.is_full ? KNOWN_NOT : KNOWN_SET;
}

/* gram.y, var_name. Settings' names have no case. */
static bool
take_setting_name(struct known_reader *r, char name[static KNOWN_NAME_MAX])
{
	char part[KNOWN_NAME_MAX];
	size_t len = 0;

	do {
		if (!known_take_identifier(r, part) || len + (len > 0) + strlen(part) >= KNOWN_NAME_MAX)
			return false;
		len += (size_t)snprintf(name + len, KNOWN_NAME_MAX - len, "%s%s", len > 0 ? "." : "", part);
	} while (known_skip_char(r, '.'));
	for (char *c = name; *c != '\0'; c++)
		*c = sql_fold(*c);
	return true;
}

/* A replay must not decide whom the session acts as. */
static bool
is_never_known(const char *name)
{
	return strcmp(name, "session_authorization") == 0 || strcmp(name, "local") == 0; /* there is no such setting */
}

/* Each transaction begins with its own. */
static bool
is_of_transaction(const char *name)
{
	return strcmp(name, "transaction_isolation") == 0 || strcmp(name, "transaction_read_only") == 0 ||
	       strcmp(name, "transaction_deferrable") == 0;
}

static enum known_kind
set_generic(struct known_reader *r, struct known *k)
{
	enum known_kind kind;

	if (!take_setting_name(r, k->name) || is_never_known(k->name) ||
	    (!known_skip_char(r, '=') && !known_skip_word(r, "to")))
		return KNOWN_NOT;
	kind = known_skip_word(r, "default") ? KNOWN_RESET : take_values(r, k);
	return kind != KNOWN_NOT && is_of_transaction(k->name) ? KNOWN_LOCAL : kind;
}

/* A setting that has a grammar of its own; its argument is a literal, or DEFAULT. */
static enum known_kind
set_special(struct known_reader *r, struct known *k, const char *name)
{
	struct value v = { .text = k->value };

	snprintf(k->name, sizeof(k->name), "%s", name);
	if (known_skip_word(r, "default"))
		return KNOWN_RESET;
	if (r->token.kind != SQL_STRING || !known_put_value(r, &v, known_quotes_elements(name)))
		return KNOWN_NOT;
	return v.is_full ? KNOWN_NOT : KNOWN_SET;
}

static enum known_kind
set_time_zone(struct known_reader *r, struct known *k)
{
	/* Keywords are none: INTERVAL '...' begins with one. */
	bool is_keyword = r->token.kind == SQL_WORD && (sql_name_find(r->token.at, r->token.len) & SQL_KEYWORD) != 0;

	if (r->token.kind == SQL_STRING || known_is_word(r, "default"))
		return set_special(r, k, "timezone");
	snprintf(k->name, sizeof(k->name), "timezone");
	if (known_skip_word(r, "local"))
		return KNOWN_RESET;
	return !is_keyword && known_take_identifier(r, k->value) ? KNOWN_SET : KNOWN_NOT;
}

static enum known_kind
set_names(struct known_reader *r, struct known *k)
{
	if (!known_is_over(r))
		return set_special(r, k, "client_encoding");
	snprintf(k->name, sizeof(k->name), "client_encoding");
	return KNOWN_RESET;
}

/* After one of these words comes a setting of that name if = or TO or a dot follows. */
static bool
skip_syntax(struct known_reader *r, const char *word)
{
	struct known_reader ahead = *r;

	if (!known_skip_word(&ahead, word) || known_is_char(&ahead, '=') || known_is_char(&ahead, '.') ||
	    known_is_word(&ahead, "to"))
		return false;
	*r = ahead;
	return true;
}

/* Returns true for a setting whose value is looked at though it holds for one transaction only. */
static bool
is_read_if_local(const char *name)
{
	return strcmp(name, "search_path") == 0 || strcmp(name, "pgweir.min_lsn") == 0;
}

enum known_kind
known_set(struct known_reader *r, struct known *k)
{
	struct known_reader ahead;

	if (skip_syntax(r, "local"))
		k->is_local = true;
	if (k->is_local || skip_syntax(r, "transaction") || skip_syntax(r, "constraints")) {
		ahead = *r;
		/* Whatever the value is, but for a few; "" is any setting, where the syntax is a special one.
		 */
		if (k->is_local && (!take_setting_name(&ahead, k->name) ||
				    (!known_skip_char(&ahead, '=') && !known_skip_word(&ahead, "to") &&
				     strcmp(k->name, "role") != 0) ||
				    (is_read_if_local(k->name) && take_values(&ahead, k) == KNOWN_NOT)))
			k->name[0] = '\0';
		known_skip_to(r, "");
		return KNOWN_LOCAL;
	}
	if (skip_syntax(r, "session")) {
		if (skip_syntax(r, "authorization"))
			return known_skip_word(r, "default") ? KNOWN_RESET_USER : KNOWN_NOT;
		if (known_is_word(r, "characteristics") || known_is_word(r, "transaction"))
			return KNOWN_NOT;
	}
	if (skip_syntax(r, "time"))
		return known_skip_word(r, "zone") ? set_time_zone(r, k) : KNOWN_NOT;
	if (skip_syntax(r, "names"))
		return set_names(r, k);
	if (skip_syntax(r, "schema"))
		return set_special(r, k, "search_path");
	if (skip_syntax(r, "role")) {
		snprintf(k->name, sizeof(k->name), "role");
		if (r->token.kind == SQL_STRING)
			return known_take_string(r, k->value) ? KNOWN_SET : KNOWN_NOT;
		return known_take_identifier(r, k->value) ? KNOWN_SET : KNOWN_NOT;
	}
	return set_generic(r, k);
}

enum known_kind
known_reset(struct known_reader *r, struct known *k)
{
	struct known_reader ahead = *r;

	if (known_skip_word(&ahead, "all") && known_is_over(&ahead)) {
		*r = ahead;
		return KNOWN_RESET_ALL;
	}
	if (known_skip_word(&ahead, "time") && known_skip_word(&ahead, "zone")) {
		*r = ahead;
		snprintf(k->name, sizeof(k->name), "timezone");
		return KNOWN_RESET;
	}
	if (known_skip_word(&ahead, "session") && known_skip_word(&ahead, "authorization")) {
		*r = ahead;
		return KNOWN_RESET_USER;
	}
	if (!take_setting_name(r, k->name) || is_never_known(k->name))
		return KNOWN_NOT;
	return is_of_transaction(k->name) ? KNOWN_LOCAL : KNOWN_RESET;
}

/* --- SELECT set_config() ----------------------------------------------------------------------------------------- */

/* A cast does not change a literal, but decides the type of a parameter. */
static bool
skip_cast(struct known_reader *r)
{
	if (r->token.kind != SQL_CAST)
		return true;
	known_next(r);
	return known_skip_word(r, "text") || known_skip_word(r, "bool") || known_skip_word(r, "boolean");
}

/* $1 to $255 */
static bool
take_param(struct known_reader *r, uint8_t *param)
{
	unsigned n = 0;

	if (r->token.kind != SQL_PARAM || r->token.len > 4)
		return false;
	for (size_t i = 1; i < r->token.len; i++)
		n = n * 10 + (unsigned)(r->token.at[i] - '0');
	if (n == 0 || n > UINT8_MAX)
		return false;
	*param = (uint8_t)n;
	known_next(r);
	return true;
}

static bool
take_config_name(struct known_reader *r, struct known *k)
{
	char name[KNOWN_VALUE_MAX];

	if (take_param(r, &k->name_param))
		return true;
	if (!known_take_string(r, name) || *name == '\0' || strlen(name) >= KNOWN_NAME_MAX)
		return false;
	for (size_t i = 0; i <= strlen(name); i++)
		k->name[i] = sql_fold(name[i]);
	return !is_never_known(k->name);
}

/* Returns true if the transaction's end won't undo all of it: random()'s seed stays, and tables made in pg_temp. */
static bool
leaves_more(const struct known *k)
{
	for (const char *at = k->value; *at != '\0'; at++)
		if (strncasecmp(at, "pg_temp", 7) == 0)
			return true;
	return strcmp(k->name, "seed") == 0;
}

/* Behind the opening parenthesis. */
static enum known_kind
take_config(struct known_reader *r, struct known *k)
{
	if (!take_config_name(r, k) || !skip_cast(r) || !known_skip_char(r, ',') ||
	    (!take_param(r, &k->value_param) && !known_take_string(r, k->value)) || !skip_cast(r) ||
	    !known_skip_char(r, ','))
		return KNOWN_NOT;
	k->is_local = known_is_word(r, "true");
	if ((!take_param(r, &k->local_param) && !known_skip_word(r, "true") && !known_skip_word(r, "false")) ||
	    !skip_cast(r) || !known_skip_char(r, ')') || (k->is_local && leaves_more(k)))
		return KNOWN_NOT;
	if (k->is_local || (k->name_param == 0 && is_of_transaction(k->name)))
		return KNOWN_LOCAL;
	return k->name_param + k->value_param + k->local_param > 0 ? KNOWN_SET_PARAMS : KNOWN_SET;
}

/* set_config(...) [[AS] name] */
static enum known_kind
take_config_call(struct known_reader *r, struct known *k)
{
	char name[KNOWN_NAME_MAX];
	enum known_kind kind = known_skip_char(r, '(') ? take_config(r, k) : KNOWN_NOT;

	if (known_skip_word(r, "as") || r->token.kind == SQL_QUOTED)
		return known_take_identifier(r, name) ? kind : KNOWN_NOT;
	return kind;
}

static bool
skip_function(struct known_reader *r, const char *name)
{
	struct known_reader ahead = *r;

	if ((known_skip_word(&ahead, "pg_catalog") && !known_skip_char(&ahead, '.')) || !known_skip_word(&ahead, name))
		return false;
	*r = ahead;
	return true;
}

/* Several set_config() are known only if all are local. */
enum known_kind
known_select(struct known_reader *r, struct known *k)
{
	enum known_kind kind;

	if (skip_function(r, "pg_advisory_unlock_all"))
		return known_skip_char(r, '(') && known_skip_char(r, ')') ? KNOWN_UNLOCK_ALL : KNOWN_NOT;
	if (!skip_function(r, "set_config"))
		return KNOWN_NOT;
	kind = take_config_call(r, k);
	while (kind == KNOWN_LOCAL && known_skip_char(r, ',')) {
		*k = (struct known){ .kind = KNOWN_NOT };
		kind =
		    skip_function(r, "set_config") && take_config_call(r, k) == KNOWN_LOCAL ? KNOWN_LOCAL : KNOWN_NOT;
	}
	if (kind == KNOWN_LOCAL)
		*k = (struct known){ .is_local = true };
	return kind;
}
