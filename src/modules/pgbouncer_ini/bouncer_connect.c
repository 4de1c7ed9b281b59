/*
 * src/modules/pgbouncer_ini/bouncer_connect.c - the lines of [databases], [users] and [peers]: "name = word=value
 * word='value with blanks'".
 *
 * The lines are read as PgBouncer's loader reads them. A value ends at a space or, if it is in single quotes, at the
 * closing quote; in a quoted value, two quotes stand for one. An empty value is an error. If a word occurs several
 * times, its last value counts.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "base/alloc.h"
#include "config/upstream.h"

#include <openssl/crypto.h>

/* A parsed line. values[i] is the value of the word bouncer_word_at(i), or NULL if the line lacks that word. */
struct connect_line {
	struct bouncer *b;
	const struct bouncer_entry *entry;
	unsigned kind; /* OF_DATABASE, OF_USER or OF_PEER */
	char *text; /* a copy of the line, in which values end with a terminator */
	size_t text_size;
	const char *values[BOUNCER_WORDS_MAX];
};

/* --- taking a line apart -------------------------------------------------------------------------------------- */

/* Ends the value at *at with a terminator, and moves *at past the value. Returns the value without its quotes; NULL if
 * its closing quote is missing, or the value is empty. */
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

static void
report_unknown(const struct connect_line *c, const char *name)
{
	struct nearest nearest = nearest_to(name);
	const struct bouncer_word *word;

	for (size_t i = 0; (word = bouncer_word_at(i)) != NULL; i++)
		if ((word->places & c->kind) != 0)
			nearest_try(&nearest, word->name, NULL);
	problem_error(c->b->sink, c->entry->line, "PgBouncer has no parameter \"%.64s\" here%s%s%s", name,
		      nearest.name != NULL ? "; did you mean \"" : "", nearest.name != NULL ? nearest.name : "",
		      nearest.name != NULL ? "\"?" : "");
}

static const char *
value_of(const struct connect_line *c, const char *name)
{
	return c->values[bouncer_word_row(bouncer_word_find(name, c->kind))];
}

static bool
connect_line_read(struct connect_line *c, struct bouncer *b, const struct bouncer_entry *entry, unsigned kind)
{
	unsigned line = entry->line;
	char *at;

	*c = (struct connect_line){ .b = b, .entry = entry, .kind = kind };
	c->text = xstrdup(entry->value);
	c->text_size = strlen(c->text) + 1;
	at = c->text;
	for (at += strspn(at, " \t"); *at != '\0'; at += strspn(at, " \t")) {
		size_t len = strcspn(at, "= ");
		char *name = at, *equals = at + len + strspn(at + len, " \t"), *value;
		const struct bouncer_word *word;

		if (*equals != '=' || len == 0) {
			/* The message does not quote the parameter, which may be a part of a password. */
			problem_error(c->b->sink, line, "a parameter has no \"=\"; write name=value, like %s",
				      c->kind == OF_USER ? "pool_mode=transaction" : "host=db1 port=5432");
			return false;
		}
		name[len] = '\0';
		at = equals + 1;
		at += strspn(at, " \t");
		if ((value = cut_value(&at)) == NULL) {
			problem_error(c->b->sink, line, "%.64s has no value, or its quote has no end", name);
			return false;
		}
		if ((word = bouncer_word_find(name, c->kind)) == NULL)
			report_unknown(c, name);
		else
			c->values[bouncer_word_row(word)] = value;
	}
	return true;
}

static void
connect_line_free(struct connect_line *c)
{
	OPENSSL_cleanse(c->text, c->text_size);
	free(c->text);
}

/* --- putting it together -------------------------------------------------------------------------------------- */

static void
put_upstream_parameter(struct buf *to, const char *name, const char *value)
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

/* Returns the directory of the Unix socket, for a line without a host. If unix_socket_dir is empty, warns and returns
 * its default: this is no error, because PgBouncer starts, too, although its clients can't use such a database. */
static const char *
socket_dir(const struct connect_line *c)
{
	const char *dir = bouncer_value(c->b, "unix_socket_dir");

	if (*dir != '\0')
		return dir;
	dir = bouncer_key_find("unix_socket_dir")->default_value;
	problem_warning(c->b->sink, c->entry->line, "no host is given and unix_socket_dir is empty: %s is used", dir);
	return dir;
}

/* Writes the names of hosts. PgBouncer takes any text as a name, such as "port=5432" in "host= port=5432", and then
 * does not find the host. Here such a text becomes a name that no host has. */
static void
put_host_names(const struct connect_line *c, const char *list, struct buf *to)
{
	char *names = xstrdup(list), *rest = names, *name;
	struct buf hosts = { 0 };

	while ((name = strsep(&rest, ",")) != NULL) {
		struct fail why;
		bool is_name = *name == '/' || *name == '@' || upstream_check_host(name, &why) == 0;

		if (!is_name)
			problem_warning(c->b->sink, c->entry->line, "%s: clients that are sent there get an error",
					why.text);
		buf_printf(&hosts, "%s%s", hosts.len > 0 ? "," : "", is_name ? name : "no-name.invalid");
	}
	put_upstream_parameter(to, "host", value_put_end(&hosts));
	buf_fini(&hosts);
	free(names);
}

static void
put_hosts(const struct connect_line *c, struct buf *to)
{
	const char *host = value_of(c, "host"), *port = value_of(c, "port"),
		   *balance = value_of(c, "load_balance_hosts");

	put_host_names(c, host != NULL ? host : socket_dir(c), to);
	if (port != NULL)
		put_upstream_parameter(to, "port", port);
	if (host == NULL || strchr(host, ',') == NULL)
		return;
	if (balance != NULL && strcmp(balance, "disable") != 0 && strcmp(balance, "round-robin") != 0)
		problem_error(c->b->sink, c->entry->line, "load_balance_hosts must be disable or round-robin");
	put_upstream_parameter(to, "load_balance_hosts", balance != NULL ? balance : "round-robin");
}

static void
emit(const struct connect_line *c, const char *section, const char *key, const char *value)
{
	bouncer_emit(c->b, c->entry->line, "", section, key, value);
}

static void
emit_upstream(const struct connect_line *c, const char *section)
{
	const struct bouncer_word *word;
	struct buf upstream = { 0 };

	put_hosts(c, &upstream);
	for (size_t i = 0; (word = bouncer_word_at(i)) != NULL; i++)
		if (word->part == WORD_UPSTREAM && c->values[i] != NULL)
			put_upstream_parameter(&upstream, word->name, c->values[i]);
	emit(c, section, "upstream", value_put_end(&upstream));
	OPENSSL_cleanse(upstream.bytes, upstream.len);
	buf_fini(&upstream);
}

/* Returns true if a word in an earlier row sets the same setting. That row counts: reserve_pool, not
 * reserve_pool_size. */
static bool
is_overridden(const struct connect_line *c, size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (c->values[i] != NULL && bouncer_word_at(i)->part == WORD_SETTING &&
		    strcmp(bouncer_word_at(i)->key, bouncer_word_at(row)->key) == 0)
			return true;
	return false;
}

static void
emit_settings(const struct connect_line *c, const char *section)
{
	const struct bouncer_word *word;

	for (size_t i = 0; (word = bouncer_word_at(i)) != NULL; i++)
		if (word->part == WORD_SETTING && c->values[i] != NULL && !is_overridden(c, i)) {
			const struct bouncer_key *key = bouncer_key_find(word->key);
			const char *written = c->values[i];
			struct buf value = { 0 };
			struct fail why;
			int result;

			/* PgBouncer ignores a negative count or query_wait_timeout, and a server_lifetime below 1. */
			if ((*written == '-' &&
			     (key->type == BOUNCER_COUNT || strcmp(key->name, "query_wait_timeout") == 0)) ||
			    (strcmp(key->name, "server_lifetime") == 0 && atoi(written) == 0 && *written == '0'))
				continue;
			result = bouncer_convert(key, written, &value, &why);
			if (result < 0)
				problem_error(c->b->sink, c->entry->line, "%s=%s: %s", word->name, written, why.text);
			else if (result > 0)
				problem_warning(c->b->sink, c->entry->line, "%s=%s: %s. %s", word->name, written,
						why.text, why.detail);
			if (result >= 0)
				emit(c, section, bouncer_key_in_pgweir(key)->scope_name, value_put_end(&value));
			buf_fini(&value);
		}
}

/* --- auth_query ----------------------------------------------------------------------------------------------- */

static void
emit_auth(const struct connect_line *c, const char *section)
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

/* Returns the type and the name, such as "database app", with the quotes that pgweir needs. If the name is too long,
 * reports an error and returns NULL. The caller frees the text. */
static char *
section_name(const struct bouncer *b, const struct bouncer_entry *entry, const char *type)
{
	struct buf name = { 0 };
	char *section;

	if (strlen(entry->name) > CONFIG_NAME_MAX) {
		problem_error(b->sink, entry->line, "a name must have at most %d bytes", CONFIG_NAME_MAX);
		return NULL;
	}
	value_put_name(&name, entry->name);
	section = xasprintf("%s %s", type, value_put_end(&name));
	buf_fini(&name);
	return section;
}

void
bouncer_emit_sections(struct bouncer *b, const struct bouncer_entries *entries, const char *type, unsigned kind)
{
	for (size_t i = 0; i < entries->count; i++) {
		const struct bouncer_entry *entry = &entries->list[i];
		char *section = section_name(b, entry, type);
		size_t before = b->setting_count;
		struct connect_line c;

		source_add_name(b->sink->source, entry->line, entry->name);
		if (section == NULL)
			continue;
		if (connect_line_read(&c, b, entry, kind)) {
			if (kind == OF_DATABASE) {
				emit_upstream(&c, section);
				emit_auth(&c, section);
			}
			emit_settings(&c, section);
			if (b->setting_count == before)
				bouncer_emit(b, entry->line, "", section, NULL, NULL);
		}
		connect_line_free(&c);
		free(section);
	}
}

void
bouncer_emit_peers(struct bouncer *b)
{
	struct buf peers = { 0 };

	for (size_t i = 0; i < b->peers.count; i++) {
		struct connect_line c;

		source_add_name(b->sink->source, b->peers.list[i].line, b->peers.list[i].name);
		if (connect_line_read(&c, b, &b->peers.list[i], OF_PEER)) {
			const char *host = value_of(&c, "host"), *port = value_of(&c, "port");
			bool is_v6;

			/* writes "7=10.0.0.1:6432", "7=[::1]:6432" or "7=/run/other:6432" */
			if (host == NULL)
				host = socket_dir(&c);
			is_v6 = *host != '/' && strchr(host, ':') != NULL;
			buf_printf(&peers, "%s%s=%s%s%s:%s", peers.len > 0 ? ", " : "", c.entry->name, is_v6 ? "[" : "",
				   host, is_v6 ? "]" : "", port != NULL ? port : "6432");
		}
		connect_line_free(&c);
	}
	if (peers.len > 0)
		bouncer_emit(b, b->peers.list[0].line, "[peers]", "pgweir", "peers", value_put_end(&peers));
	buf_fini(&peers);
}
