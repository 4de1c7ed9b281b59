/*
 * src/config/bouncer_connect.c - the lines of [databases], [users] and [peers]: "name = word=value word='value with
 * blanks'".
 *
 * As PgBouncer reads them (in its loader): a value ends at a blank or, in single quotes, at the quote, where two
 * quotes stand for one; an empty value is an error; the last of several counts.
 */
#include "config/bouncer_state.h"

#include "base/alloc.h"
#include "config/config_keys.h"
#include "config/config_value.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* What becomes of a word: a setting of the section, or a part of upstream. */
struct word {
	const char *name;
	enum { IN_SECTION, IN_UPSTREAM, OF_AUTH, OF_HOSTS } place;
	struct bouncer_key key; /* of IN_SECTION: pgweir's is [section] key, called scope_name there */
};

static const char *const pool_modes[][2] = {
	{ "session", "session" }, { "transaction", "transaction" }, { "statement", "statement" }, { NULL, NULL }
};

#define COUNT(name, section_, key_)                                                                                    \
	{                                                                                                              \
		name, IN_SECTION,                                                                                      \
		{                                                                                                      \
			.fate = BOUNCER_COUNT, .section = (section_), .key = (key_)                                    \
		}                                                                                                      \
	}
#define SIZE(name)                                                                                                     \
	{                                                                                                              \
		name, IN_SECTION,                                                                                      \
		{                                                                                                      \
			.fate = BOUNCER_COUNT, .section = "pool", .key = "pool_size", .zero = "100000"                 \
		}                                                                                                      \
	}
#define TIME(name, section_, key_)                                                                                     \
	{                                                                                                              \
		name, IN_SECTION,                                                                                      \
		{                                                                                                      \
			.fate = BOUNCER_TIME, .section = (section_), .key = (key_)                                     \
		}                                                                                                      \
	}
#define MODE(name)                                                                                                     \
	{                                                                                                              \
		name, IN_SECTION,                                                                                      \
		{                                                                                                      \
			.fate = BOUNCER_WORD, .section = "pgweir", .key = "pool_mode", .words = pool_modes             \
		}                                                                                                      \
	}

static const struct word database_words[] = {
	{ "dbname", IN_UPSTREAM, { 0 } },
	{ "host", OF_HOSTS, { 0 } },
	{ "port", OF_HOSTS, { 0 } },
	{ "user", IN_UPSTREAM, { 0 } },
	{ "password", IN_UPSTREAM, { 0 } },
	{ "auth_user", OF_AUTH, { 0 } },
	{ "auth_dbname", OF_AUTH, { 0 } },
	{ "auth_query", OF_AUTH, { 0 } },
	{ "client_encoding", IN_UPSTREAM, { 0 } },
	{ "datestyle", IN_UPSTREAM, { 0 } },
	{ "timezone", IN_UPSTREAM, { 0 } },
	{ "application_name", IN_UPSTREAM, { 0 } },
	{ "load_balance_hosts", OF_HOSTS, { 0 } },
	{ "connect_query", IN_UPSTREAM, { 0 } },
	SIZE("pool_size"),
	COUNT("min_pool_size", "pool", "min_idle"),
	COUNT("reserve_pool", "pool", "max_overflow"),
	COUNT("reserve_pool_size", "pool", "max_overflow"),
	COUNT("max_db_connections", "limits", "max_db_connections"),
	COUNT("max_db_client_connections", "limits", "max_db_client_connections"),
	TIME("server_lifetime", "pool", "pool_recycle"),
	TIME("query_wait_timeout", "pool", "pool_timeout"),
	MODE("pool_mode"),
	{ NULL, IN_SECTION, { 0 } },
};

static const struct word user_words[] = {
	MODE("pool_mode"),
	SIZE("pool_size"),
	COUNT("reserve_pool_size", "pool", "max_overflow"),
	COUNT("max_user_connections", "limits", "max_user_connections"),
	COUNT("max_user_client_connections", "limits", "max_user_client_connections"),
	TIME("query_timeout", "timeouts", "query_timeout"),
	TIME("query_wait_timeout", "pool", "pool_timeout"),
	TIME("idle_transaction_timeout", "timeouts", "idle_transaction_timeout"),
	TIME("transaction_timeout", "timeouts", "transaction_timeout"),
	TIME("client_idle_timeout", "timeouts", "client_idle_timeout"),
	{ NULL, IN_SECTION, { 0 } },
};

static const struct word peer_words[] = {
	{ "host", OF_HOSTS, { 0 } },
	{ "port", OF_HOSTS, { 0 } },
	{ "pool_size", OF_HOSTS, { 0 } }, /* each cancel request has a connection of its own */
	{ NULL, IN_SECTION, { 0 } },
};

enum { WORDS_MAX = sizeof(database_words) / sizeof(database_words[0]) };

/* One line taken apart: the values by the row of their word. */
struct connect {
	struct bouncer *b;
	const struct bouncer_entry *entry;
	const struct word *words;
	char *text; /* cut up */
	size_t text_size;
	const char *values[WORDS_MAX];
};

/* --- taking a line apart -------------------------------------------------------------------------------------- */

/* Ends the value at *at and moves behind it. NULL: no closing quote, or empty. */
static char *
cut_value(char **at)
{
	char *from = *at, *to = *at, *value = *at;

	if (*from != '\'') {
		from += strcspn(from, " ");
		to = from;
	} else {
		value = to = ++from;
		for (; *from != '\'' || from[1] == '\''; *to++ = *from++) {
			if (*from == '\0')
				return NULL;
			from += *from == '\'';
		}
		from++;
	}
	*at = from + (*from != '\0');
	*to = '\0';
	return *value != '\0' ? value : NULL;
}

static int
find_word(const struct connect *c, const char *name)
{
	for (int i = 0; c->words[i].name != NULL; i++)
		if (strcmp(c->words[i].name, name) == 0)
			return i;
	return -1;
}

static bool
take_apart(struct connect *c)
{
	unsigned line = c->entry->line;
	char *at = c->text;

	for (at += strspn(at, " \t"); *at != '\0'; at += strspn(at, " \t")) {
		size_t len = strcspn(at, "= ");
		char *name = at, *equals = at + len + strspn(at + len, " \t"), *value;
		int row;

		if (*equals != '=' || len == 0) {
			problem_error(c->b->sink, line, "a parameter has no \"=\"; write name=value");
			return false;
		}
		name[len] = '\0';
		at = equals + 1;
		at += strspn(at, " \t");
		if ((value = cut_value(&at)) == NULL) {
			problem_error(c->b->sink, line, "%.64s has no value, or its quote has no end", name);
			return false;
		}
		if ((row = find_word(c, name)) < 0)
			problem_error(c->b->sink, line, "PgBouncer has no parameter \"%.64s\" here", name);
		else
			c->values[row] = value;
	}
	return true;
}

static const char *
value_of(const struct connect *c, const char *name)
{
	return c->values[find_word(c, name)];
}

static bool
connect_begin(struct connect *c, struct bouncer *b, const struct bouncer_entry *entry, const struct word *words)
{
	*c = (struct connect){ .b = b, .entry = entry, .words = words };
	c->text = xstrdup(entry->value);
	c->text_size = strlen(c->text) + 1;
	return take_apart(c);
}

static void
connect_end(struct connect *c)
{
	OPENSSL_cleanse(c->text, c->text_size);
	free(c->text);
}

/* --- putting it together -------------------------------------------------------------------------------------- */

static void
put_bouncer_word(struct buf *to, const char *name, const char *value)
{
	bool is_quoted = value[strcspn(value, " \t'\\;")] != '\0';

	buf_printf(to, "%s%s=%s", to->len > 0 ? " " : "", name, is_quoted ? "'" : "");
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\' || *value == ';')
			buf_put_u8(to, '\\');
		buf_put_u8(to, (uint8_t)*value);
	}
	buf_printf(to, "%s", is_quoted ? "'" : "");
}

static void
put_hosts(const struct connect *c, struct buf *to)
{
	const char *host = value_of(c, "host"), *port = value_of(c, "port"),
		   *balance = value_of(c, "load_balance_hosts");

	put_bouncer_word(to, "host", host != NULL ? host : bouncer_value(c->b, "unix_socket_dir"));
	if (port != NULL)
		put_bouncer_word(to, "port", port);
	if (host == NULL || strchr(host, ',') == NULL)
		return;
	if (balance != NULL && strcmp(balance, "disable") != 0 && strcmp(balance, "round-robin") != 0)
		problem_error(c->b->sink, c->entry->line, "load_balance_hosts is disable or round-robin");
	put_bouncer_word(to, "load_balance_hosts", balance != NULL ? balance : "round-robin");
}

static void
emit(const struct connect *c, const char *section, const char *key, const char *value)
{
	bouncer_emit(c->b, c->entry->line, "", section, key, value);
}

static void
emit_upstream(const struct connect *c, const char *section)
{
	struct buf upstream = { 0 };

	put_hosts(c, &upstream);
	for (size_t i = 0; c->words[i].name != NULL; i++)
		if (c->words[i].place == IN_UPSTREAM && c->values[i] != NULL)
			put_bouncer_word(&upstream, c->words[i].name, c->values[i]);
	emit(c, section, "upstream", put_end(&upstream));
	OPENSSL_cleanse(upstream.bytes, upstream.len);
	buf_fini(&upstream);
}

/* reserve_pool and reserve_pool_size are one: the first one there counts. */
static bool
is_later_name(const struct connect *c, size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (c->values[i] != NULL && c->words[i].place == IN_SECTION &&
		    strcmp(c->words[i].key.key, c->words[row].key.key) == 0)
			return true;
	return false;
}

static void
emit_word(const struct connect *c, const char *section, size_t row)
{
	const struct bouncer_key *key = &c->words[row].key;
	const struct config_key *ours = config_key_find(key->section, key->key);
	struct buf value = { 0 };
	struct fail why;

	if (ours == NULL || ours->scope_name == NULL)
		bouncer_note(c->b, c->entry->line, "%s: %s=%s is not in this version", c->entry->name,
			     c->words[row].name, c->values[row]);
	else if (bouncer_convert(key, c->values[row], &value, &why) < 0)
		problem_error(c->b->sink, c->entry->line, "%s=%s: %s", c->words[row].name, c->values[row], why.text);
	else
		emit(c, section, ours->scope_name, put_end(&value));
	buf_fini(&value);
}

static void
emit_words(const struct connect *c, const char *section)
{
	for (size_t i = 0; c->words[i].name != NULL; i++)
		if (c->words[i].place == IN_SECTION && c->values[i] != NULL && !is_later_name(c, i))
			emit_word(c, section, i);
}

/* --- who runs auth_query, and where --------------------------------------------------------------------------- */

static void
emit_auth(const struct connect *c, const char *section)
{
	const char *user = value_of(c, "auth_user"), *query = value_of(c, "auth_query");
	const char *database = value_of(c, "auth_dbname"), *all_user = bouncer_value(c->b, "auth_user");

	if (user == NULL && *all_user == '\0')
		return;
	if (user != NULL)
		emit(c, section, "auth_user", user);
	if (query != NULL || *all_user == '\0')
		emit(c, section, "auth_query", query != NULL ? query : bouncer_value(c->b, "auth_query"));
	if (database != NULL)
		emit(c, section, "auth_database", database);
}

/* --- sections ------------------------------------------------------------------------------------------------- */

/* "database NAME", quoted where pgweir needs it. The caller frees. */
static char *
section_name(const struct bouncer *b, const struct bouncer_entry *entry, const char *word)
{
	struct buf name = { 0 };
	char *section;

	if (strlen(entry->name) > CONFIG_NAME_MAX) {
		problem_error(b->sink, entry->line, "a name has at most %d bytes", CONFIG_NAME_MAX);
		return NULL;
	}
	put_name(&name, entry->name);
	section = xasprintf("%s %s", word, put_end(&name));
	buf_fini(&name);
	return section;
}

/* Writes a section of ours for each entry; only that of a database has an upstream. */
static void
emit_sections(struct bouncer *b, const struct bouncer_entries *entries, const char *word, const struct word *words)
{
	for (size_t i = 0; i < entries->count; i++) {
		const struct bouncer_entry *entry = &entries->list[i];
		char *section = section_name(b, entry, word);
		size_t before = b->setting_count;
		struct connect c;

		source_add_name(b->sink->source, entry->line, entry->name);
		if (section == NULL)
			continue;
		if (connect_begin(&c, b, entry, words)) {
			if (words == database_words) {
				emit_upstream(&c, section);
				emit_auth(&c, section);
			}
			emit_words(&c, section);
			if (b->setting_count == before)
				bouncer_emit(b, entry->line, "", section, NULL, NULL);
		}
		connect_end(&c);
		free(section);
	}
}

void
bouncer_databases(struct bouncer *b)
{
	emit_sections(b, &b->databases, "database", database_words);
}

void
bouncer_users(struct bouncer *b)
{
	emit_sections(b, &b->users, "user", user_words);
}

/* "7=10.0.0.1:6432", "7=[::1]:6432" or "7=/run/other:6432". */
static void
put_peer(struct buf *to, const struct connect *c)
{
	const char *host = value_of(c, "host"), *port = value_of(c, "port");
	bool is_v6;

	if (host == NULL)
		host = bouncer_value(c->b, "unix_socket_dir");
	is_v6 = *host != '/' && strchr(host, ':') != NULL;
	buf_printf(to, "%s%s=%s%s%s:%s", to->len > 0 ? ", " : "", c->entry->name, is_v6 ? "[" : "", host,
		   is_v6 ? "]" : "", port != NULL ? port : "6432");
}

void
bouncer_peers(struct bouncer *b)
{
	struct buf peers = { 0 };

	for (size_t i = 0; i < b->peers.count; i++) {
		struct connect c;

		source_add_name(b->sink->source, b->peers.list[i].line, b->peers.list[i].name);
		if (connect_begin(&c, b, &b->peers.list[i], peer_words))
			put_peer(&peers, &c);
		connect_end(&c);
	}
	if (peers.len > 0)
		bouncer_emit(b, b->peers.list[0].line, "[peers]", "pgweir", "peers", put_end(&peers));
	buf_fini(&peers);
}
