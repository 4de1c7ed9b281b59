/*
 * src/sql/known_setting.c - SET, RESET and SELECT set_config(): gram.y's VariableSetStmt and VariableResetStmt, and
 * guc.c's flatten_set_variable_args().
 */
#include "sql/known_rules.h"
#include "sql/sql_class.h"
#include "sql/sql_words.h"
#include "base/own_settings.h"
#include "base/text.h"

/* A value while it is built. If a value does not fit, the statement counts as unknown. */
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

/* Returns true for names that ruleutils.c's quote_identifier() quotes in any version of PostgreSQL. Quotes that an
 * older version would not need do no harm: the name stays the same. */
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
count_digits(const struct sql_token *t, size_t from)
{
	size_t i = from;

	while (i < t->len && t->at[i] >= '0' && t->at[i] <= '9')
		i++;
	return i - from;
}

/* Returns how many leading zeros PostgreSQL drops when it prints the number: none if the number exceeds an integer. */
static size_t
count_leading_zeros(const struct sql_token *t)
{
	uint64_t value = 0;
	size_t zeros = 0;

	for (size_t i = 0; i < t->len && value <= INT32_MAX; i++)
		value = value * 10 + (uint64_t)(t->at[i] - '0');
	while (value <= INT32_MAX && zeros + 1 < t->len && t->at[zeros] == '0')
		zeros++;
	return zeros;
}

/* Reads a decimal number. Drops an integer's leading zeros: 010 is ten in SQL, but eight in the text of a setting. */
static bool
append_number(struct known_reader *r, struct value *v, bool is_negative)
{
	const struct sql_token *t = &r->token;
	size_t whole = count_digits(t, 0), from = whole == t->len ? count_leading_zeros(t) : 0;

	if (whole != t->len && (t->at[whole] != '.' || whole + 1 + count_digits(t, whole + 1) != t->len))
		return false;
	if (is_negative && (t->len - from > 1 || t->at[from] != '0'))
		known_put(v, "-", 1);
	known_put(v, t->at + from, t->len - from);
	known_next(r);
	return true;
}

/* Reads gram.y's var_value. */
static bool
append_value(struct known_reader *r, struct value *v, bool is_list)
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
		return r->token.kind == SQL_NUMBER && append_number(r, v, is_negative);
	}
	if (r->token.kind == SQL_NUMBER)
		return append_number(r, v, false);
	/* NULL empties a list since PostgreSQL 19, and is an error in older versions, so a probe must find out. */
	if (known_is_word(r, "default") || known_is_word(r, "null") || !known_take_identifier(r, name))
		return false;
	put_element(v, name, is_list);
	return true;
}

bool
known_take_values(struct known_reader *r, struct known_statement *k)
{
	bool is_list = known_quotes_elements(k->name);
	struct value v = { .text = k->value };

	while (append_value(r, &v, is_list)) {
		if (!known_skip_char(r, ','))
			return !v.is_full;
		known_put(&v, ", ", 2);
	}
	return false;
}

/* Reads gram.y's var_name. Names of settings have no case. */
bool
known_take_setting(struct known_reader *r, struct known_statement *k)
{
	char part[KNOWN_NAME_MAX], *to = k->name;
	size_t len;

	do {
		if (to > k->name)
			to[-1] = '.';
		if (!known_take_identifier(r, part) ||
		    (len = strlen(part) + 1) > (size_t)(k->name + KNOWN_NAME_MAX - to))
			return false;
		for (size_t i = 0; i < len; i++)
			*to++ = sql_fold(part[i]);
	} while (known_skip_char(r, '.'));
	return true;
}

/* Returns true for session_authorization, which a replay must not set, because that setting decides whom the session
 * acts as. Also returns true for "local", which is no setting of PostgreSQL. */
static bool
is_never_known(const char *name)
{
	return strcmp(name, "session_authorization") == 0 || strcmp(name, "local") == 0;
}

bool
known_is_transaction_setting(const char *name)
{
	return text_is_one_of(name, "transaction_isolation transaction_read_only transaction_deferrable");
}

void
known_judge_setting(struct known_statement *k)
{
	if (is_never_known(k->name))
		k->kind = KNOWN_NOT;
	else if (known_is_transaction_setting(k->name))
		k->kind = KNOWN_LOCAL;
}

/* Reads the value if pgweir needs this setting even for a single transaction; skips the value of any other setting. */
bool
known_take_local_value(struct known_reader *r, struct known_statement *k)
{
	bool is_read = strcmp(k->name, "search_path") == 0 || strcmp(k->name, OWN_MIN_LSN) == 0;

	if (is_read && !known_take_values(r, k))
		k->name[0] = '\0';
	known_skip_to(r, "");
	return true;
}

bool
known_take_literal(struct known_reader *r, struct known_statement *k)
{
	return r->token.kind == SQL_STRING && known_take_values(r, k);
}

/* Reads a zone that is an identifier. A keyword is refused, because INTERVAL '...' begins with one. */
bool
known_take_zone(struct known_reader *r, struct known_statement *k)
{
	return (sql_name_find(r->token.at, r->token.len) & SQL_KEYWORD) == 0 && known_take_identifier(r, k->value);
}

/* --- SELECT set_config() ----------------------------------------------------------------------------------------- */

/* Skips a cast to text or boolean, if there is one. Returns false for any other cast. */
static bool
skip_cast(struct known_reader *r)
{
	if (r->token.kind != SQL_CAST)
		return true;
	known_next(r);
	return known_skip_word(r, "text") || known_skip_word(r, "bool") || known_skip_word(r, "boolean");
}

/* Reads $1 to $255. */
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
take_config_name(struct known_reader *r, struct known_statement *k)
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

/* Returns true if the end of the transaction won't undo all effects of this local setting: the seed of random() stays,
 * and so do tables that were made in pg_temp. */
static bool
outlasts_transaction(const struct known_statement *k)
{
	for (const char *at = k->value; *at != '\0'; at++)
		if (strncasecmp(at, "pg_temp", 7) == 0)
			return true;
	return strcmp(k->name, "seed") == 0;
}

/* Reads the arguments between the parentheses of set_config(). */
bool
known_take_config(struct known_reader *r, struct known_statement *k)
{
	if (!take_config_name(r, k) || !skip_cast(r) || !known_skip_char(r, ',') ||
	    (!take_param(r, &k->value_param) && !known_take_string(r, k->value)) || !skip_cast(r) ||
	    !known_skip_char(r, ','))
		return false;
	k->is_local = known_skip_word(r, "true");
	if ((!k->is_local && !take_param(r, &k->local_param) && !known_skip_word(r, "false")) || !skip_cast(r) ||
	    (k->is_local && outlasts_transaction(k)))
		return false;
	k->kind = k->name_param + k->value_param + k->local_param > 0 ? KNOWN_SET_PARAMS : KNOWN_SET;
	if (k->is_local)
		k->kind = KNOWN_LOCAL;
	else
		known_judge_setting(k);
	return true;
}

/* Takes one call of set_config(), or several if all are local. Names and values of local calls are not kept. */
bool
known_take_configs(struct known_reader *r, struct known_statement *k)
{
	bool is_local;

	do {
		is_local = k->kind == KNOWN_LOCAL;
		if (!known_match_form(r, k, "[pg_catalog .] set_config ( CONFIG ) [as] [ANY]"))
			return false;
		if (k->kind == KNOWN_LOCAL)
			*k = (struct known_statement){ .kind = KNOWN_LOCAL, .is_local = true };
		else if (is_local)
			return false;
	} while (k->kind == KNOWN_LOCAL && known_skip_char(r, ','));
	return true;
}
