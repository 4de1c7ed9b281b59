/* tests/fuzz/session_sql.c - what statements do in the fake PostgreSQL: as much of it as pgweir looks at. */
#include "session_server.h"

#include "wire/messages.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ROWS_MAX 3000
#define ROW_MAX ((size_t)300 << 10)

static const struct {
	const char *name, *value;
} defaults[REPORTS] = { { "application_name", "" },
			{ "client_encoding", "UTF8" },
			{ "DateStyle", "ISO, MDY" },
			{ "TimeZone", "UTC" },
			{ "standard_conforming_strings", "on" } };

void
sql_error(struct fake_conn *c, const char *sqlstate, const char *text, const char *tokens)
{
	struct fail why;

	fail_set(&why, sqlstate, "%s %s", text, tokens);
	message_error(&c->out, "ERROR", &why);
}

/* In PostgreSQL's words, of what = "portal" or "prepared statement". */
void
sql_error_of(struct fake_conn *c, const char *sqlstate, const char *what, const char *name, const char *problem)
{
	struct fail why;

	fail_set(&why, sqlstate, "%s \"%.100s\" %s", what, name, problem);
	fake_error_of(c, "ERROR", strcmp(sqlstate, "26000") == 0 ? "FetchPreparedStatement" : "StorePreparedStatement",
		      &why);
}

void
sql_row_description(struct fake_conn *c)
{
	text_row_description(&c->out, (const char *const[]){ "v" }, (const uint32_t[]){ 25 }, 1);
}

/* --- settings --- */

void
sql_reports(struct fake_conn *c)
{
	message_parameter(&c->out, "server_version", "15.0 (fake)");
	message_parameter(&c->out, "server_encoding", "UTF8");
	message_parameter(&c->out, "in_hot_standby", "off");
	message_parameter(&c->out, "session_authorization", "u");
	for (size_t i = 0; i < REPORTS; i++)
		message_parameter(&c->out, defaults[i].name, sql_report(&c->v, i));
}

void
sql_report_changes(struct fake_conn *c, size_t at)
{
	struct buf behind = { 0 };

	buf_put(&behind, c->out.bytes + at, c->out.len - at);
	c->out.len = at;
	for (size_t i = 0; i < REPORTS; i++) {
		const char *now = sql_report(&c->v, i);

		if (strcmp(now, c->told[i] != NULL ? c->told[i] : defaults[i].value) == 0)
			continue;
		message_parameter(&c->out, defaults[i].name, now);
		free(c->told[i]);
		c->told[i] = strdup(now);
		must(c->told[i] != NULL);
	}
	buf_put(&c->out, behind.bytes, behind.len);
	must(buf_ok(&behind) && buf_ok(&c->out));
	buf_fini(&behind);
}

/* In what PostgreSQL tells, all else becomes question marks. */
static void
clean_ascii(char *text)
{
	for (; *text != '\0'; text++)
		if ((*text & 0x80) != 0)
			*text = '?';
}

bool
sql_set(struct fake_conn *c, const char *name, const char *value)
{
	if (state_is_setting(name)) {
		if (value != NULL)
			state_check_characters(c->fake, value);
		state_set(c, name, value != NULL && strcmp(value, "none") == 0 ? NULL : value);
		return true;
	}
	if (strcasecmp(name, defaults[REPORT_ENCODING].name) == 0 && value != NULL &&
	    (value = state_encoding(value)) == NULL) {
		sql_error(c, "22023", "invalid value for client_encoding", "");
		return false;
	}
	for (size_t i = 0; i < REPORTS; i++) {
		if (strcasecmp(defaults[i].name, name) != 0)
			continue;
		if (value != NULL && c->is_liar && strchr(value, '@') != NULL)
			value = defaults[i].value;
		free(c->v.reports[i]);
		c->v.reports[i] = value == NULL ? NULL : strdup(value);
		must(value == NULL || c->v.reports[i] != NULL);
		if (value != NULL)
			clean_ascii(c->v.reports[i]);
	}
	return true;
}

const char *
sql_report_name(size_t i)
{
	return defaults[i].name;
}

const char *
sql_report(const struct fake_values *v, size_t i)
{
	return v->reports[i] != NULL ? v->reports[i] : defaults[i].value;
}

static void
unlisten(struct fake_conn *c, const char *channel)
{
	for (size_t i = 0; i < CHANNELS_MAX; i++)
		if (channel == NULL || strcmp(c->channels[i], channel) == 0)
			c->channels[i][0] = '\0';
}

void
sql_forget(struct fake_conn *c)
{
	for (size_t i = 0; i < REPORTS; i++)
		sql_set(c, defaults[i].name, NULL);
	unlisten(c, NULL);
	named_free_all(&c->statements);
	c->v.has_temporary = c->has_lock = c->v.has_cursor = false;
	state_reset_all(c, true);
	for (size_t i = 0; i < TRACES; i++)
		if (i != TRACE_SEED && i != TRACE_BACKEND)
			c->traces[i] = 0;
	c->sequences_of = 0;
	c->plan_of = 0;
}

/* A name or a value, out of its quotes. */
static const char *
take_word(const char *at, char out[static 128])
{
	size_t len = 0;
	char quote;

	while (*at == ' ' || *at == '=' || *at == ',')
		at++;
	quote = *at == '"' || *at == '\'' ? *at++ : 0;
	while (*at != '\0' &&
	       (quote != 0 ? *at != quote : isalnum((unsigned char)*at) || strchr("_.@!-*", *at) != NULL)) {
		if (len < 127)
			out[len++] = *at;
		at++;
	}
	out[len] = '\0';
	return *at != '\0' && quote != 0 ? at + 1 : at;
}

/* A name of parts: "a"."b". */
static const char *
take_name(const char *at, char out[static 128])
{
	char part[128];

	at = take_word(at, out);
	while (at[0] == '.' && at[1] == '"') {
		size_t len = strlen(out);

		at = take_word(at + 1, part);
		if (snprintf(out + len, 128 - len, ".%s", part) >= (int)(128 - len))
			break; /* too long for a name */
	}
	return at;
}

struct change {
	const char *name, *value; /* value NULL: back to the default */
	bool is_refused;
};

static void
change_one(struct fake_conn *c, const void *arg)
{
	struct change *what = (struct change *)(uintptr_t)arg;

	if (strcasecmp(what->name, "session_authorization") == 0)
		state_set(c, "role", NULL);
	what->is_refused = !sql_set(c, what->name, what->value);
}

static bool
set(struct fake_conn *c, const char *rest)
{
	char name[128], value[128];
	struct change what = { name, value, false };
	bool is_local;

	rest = take_name(rest, name);
	is_local = strcasecmp(name, "local") == 0;
	if (strcasecmp(name, "session") == 0 || is_local)
		rest = take_name(rest, name);
	rest = take_word(rest, value);
	if (strcasecmp(value, "to") == 0)
		take_word(rest, value);
	if (strcasecmp(name, "authorization") == 0)
		snprintf(name, sizeof(name), "session_authorization");
	if (strcasecmp(value, "default") == 0)
		what.value = NULL;
	if (is_local && c->tx == 'I')
		return true; /* PostgreSQL warns that it has no effect */
	if (is_local) {
		tx_begin_locals(c);
		change_one(c, &what);
	} else
		tx_set_for_good(c, change_one, &what);
	return !what.is_refused;
}

static void
reset_one(struct fake_conn *c, const void *name)
{
	if (strcasecmp(name, "all") == 0)
		state_reset_all(c, false);
	else if (strcasecmp(name, "session") == 0)
		state_reset_all(c, true);
	else if (state_is_setting(name))
		state_set(c, name, NULL);
	for (size_t i = 0; i < REPORTS; i++)
		if (strcasecmp(name, "all") == 0 || strcasecmp(name, defaults[i].name) == 0)
			sql_set(c, defaults[i].name, NULL);
}

static void
reset(struct fake_conn *c, const char *rest)
{
	char name[128];

	take_name(rest, name);
	tx_set_for_good(c, reset_one, name);
}

static void
listen_or_notify(struct fake_conn *c, const char *word, const char *rest)
{
	char channel[128], payload[128];

	rest = take_word(rest, channel);
	take_word(rest, payload);
	if (strcmp(word, "NOTIFY") == 0) {
		tx_notify(c, channel, payload);
		return;
	}
	unlisten(c, strcmp(channel, "*") == 0 ? NULL : channel);
	if (strcmp(word, "UNLISTEN") == 0 && (strcmp(channel, "*") == 0 || strcmp(channel, "hid") == 0))
		c->traces[TRACE_LISTEN] = 0;
	for (size_t i = 0; strcmp(word, "LISTEN") == 0 && i < CHANNELS_MAX; i++)
		if (c->channels[i][0] == '\0') {
			snprintf(c->channels[i], CHANNEL_LEN, "%.*s", CHANNEL_LEN - 1, channel);
			return;
		}
}

/* --- rows --- */

static size_t
number_after(const char *sql, const char *word, size_t max)
{
	const char *at = strcasestr(sql, word);
	size_t n = at != NULL ? strtoul(at + strlen(word), NULL, 10) : 1;

	return n > max ? max : n;
}

/* pgweir's own question: what state is there? See seal/probe.c. Returns false if it fails. */
static bool
probe(struct fake_conn *c, const char *sql)
{
	const struct {
		bool is_so;
		const char *mark, *kind, *name, *value;
	} facts[] = { { c->v.has_temporary, "SELECT 't'", "t", "", "" },
		      { c->has_lock, "SELECT 'l'", "l", "", "" },
		      { c->v.has_cursor, "SELECT 'c'", "c", "held", "" } };
	struct named *n;
	bool is_put;

	text_row_description(&c->out, (const char *const[]){ "kind", "name", "value" },
			     (const uint32_t[]){ 25, 25, 25 }, 3);
	is_put = state_probe(c, sql);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (facts[i].is_so && strstr(sql, facts[i].mark) != NULL)
			text_data_row(&c->out, (const char *const[]){ facts[i].kind, facts[i].name, facts[i].value },
				      3);
	if (strstr(sql, "SELECT 'p'") != NULL)
		TAILQ_FOREACH(n, &c->statements, link)
			if (n->is_sql)
				text_data_row(&c->out, (const char *const[]){ "p", n->name, n->text }, 3);
	for (size_t i = 0; i < REPORTS && strstr(sql, "SELECT CASE WHEN context") != NULL; i++)
		if (c->v.reports[i] != NULL && !(c->is_liar && strchr(c->v.reports[i], '@') != NULL))
			text_data_row(&c->out, (const char *const[]){ "s", defaults[i].name, c->v.reports[i] }, 3);
	for (size_t i = 0; i < CHANNELS_MAX && strstr(sql, "SELECT 'n'") != NULL; i++)
		if (c->channels[i][0] != '\0')
			text_data_row(&c->out, (const char *const[]){ "n", c->channels[i], "" }, 3);
	return is_put;
}

static bool
set_config(struct fake_conn *c, char **values)
{
	size_t count = 0;

	for (; values != NULL && values[count] != NULL && values[count + 1] != NULL; count += 2) {
		struct change what = { values[count], values[count + 1], false };

		tx_set_for_good(c, change_one, &what);
		if (what.is_refused)
			return false;
	}
	text_data_row(&c->out, (const char *const *)values, count);
	return true;
}

/* A client's own: SELECT set_config('a.b', 'value', false). */
static void
set_config_literally(struct fake_conn *c, const char *sql)
{
	const char *at = strcasestr(sql, "select set_config('");
	char name[128], value[128], local[128];

	if (at == NULL)
		return;
	at = take_word(at + strlen("select set_config("), name);
	at = take_word(at, value);
	take_word(at, local);
	if (state_is_setting(name) && strcasecmp(local, "false") == 0)
		tx_set_for_good(c, change_one, &(struct change){ name, value, false });
}

static void
put_row(struct fake_conn *c, const char *sql, const char *tokens)
{
	size_t filler = number_after(sql, "wide ", ROW_MAX), begun = message_begin(&c->out, 'D');
	uint8_t *room;

	if (c->fake->sent > c->fake->sent_max)
		filler = 1;
	c->fake->sent += filler + strlen(tokens) + 16;
	buf_put_u16(&c->out, 1);
	buf_put_u32(&c->out, (uint32_t)(strlen(tokens) + filler));
	buf_put(&c->out, tokens, strlen(tokens));
	room = buf_room(&c->out, filler);
	must(room != NULL);
	memset(room, 'x', filler);
	c->out.len += filler;
	message_end(&c->out, begun);
}

/* Shows under which settings PostgreSQL has analysed the statement: that must be those of its client's Parse. */
static void
put_analysed(struct fake_conn *c, const struct named *portal)
{
	char text[24];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)portal->analysed);
	text_data_row(&c->out, (const char *const[]){ text }, 1);
}

static enum sql_result
rows(struct fake_conn *c, const char *sql, const char *tokens, struct named *portal, uint32_t max)
{
	size_t want = number_after(sql, "rows ", ROWS_MAX);
	char tag[32];

	if (portal != NULL && !portal->is_begun)
		portal->rows_left = (uint32_t)want;
	if (portal != NULL) {
		portal->is_begun = true;
		want = portal->rows_left;
	}
	if (max > 0 && want > max)
		want = max;
	if (portal == NULL)
		sql_row_description(c);
	for (size_t i = 0; i < want; i++)
		if (portal != NULL && portal->analysed != 0)
			put_analysed(c, portal);
		else
			put_row(c, sql, tokens);
	if (portal != NULL)
		portal->rows_left -= (uint32_t)want;
	if (portal != NULL && portal->rows_left > 0) {
		message_put(&c->out, 's', NULL, 0);
		return SQL_SUSPENDED;
	}
	snprintf(tag, sizeof(tag), "SELECT %zu", want);
	message_complete(&c->out, tag);
	return SQL_DONE;
}

/* SELECT FROM ...: a row that has no column, as the seal wants it. */
static enum sql_result
put_empty_row(struct fake_conn *c)
{
	text_row_description(&c->out, NULL, NULL, 0);
	text_data_row(&c->out, NULL, 0);
	message_complete(&c->out, "SELECT 1");
	return SQL_DONE;
}

static enum sql_result
copy(struct fake_conn *c, const char *sql, const char *tokens)
{
	if (strcasestr(sql, "stdin") != NULL) {
		message_put(&c->out, 'G', "\0\0\1\0\0", 5);
		return SQL_COPY_IN;
	}
	message_put(&c->out, 'H', "\0\0\1\0\0", 5);
	for (size_t i = number_after(sql, "rows ", ROWS_MAX); i > 0; i--)
		message_put(&c->out, 'd', tokens, strlen(tokens));
	if (strstr(sql, "failing") != NULL) {
		sql_error(c, "22012", "division by zero", tokens);
		return SQL_FAILED;
	}
	message_put(&c->out, 'c', NULL, 0);
	message_complete(&c->out, "COPY 1");
	return SQL_DONE;
}

/* --- statements --- */

bool
sql_has_rows(const char *sql)
{
	static const char *const words[] = { "SELECT", "SHOW", "VALUES", "EXECUTE", "FETCH", "WITH" };

	sql += strspn(sql, " \n\t(");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strncasecmp(sql, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static const char *
take_upper(const char *sql, char out[static 32])
{
	size_t len = 0;

	sql += strspn(sql, " \n\t(");
	while (isalpha((unsigned char)*sql) || *sql == '_') {
		if (len < 31)
			out[len++] = (char)toupper((unsigned char)*sql);
		sql++;
	}
	out[len] = '\0';
	return sql;
}

bool
sql_is_exit(const char *sql)
{
	char word[32];

	take_upper(sql, word);
	return strcmp(word, "COMMIT") == 0 || strcmp(word, "END") == 0 || strcmp(word, "ROLLBACK") == 0;
}

static void
end_transaction(struct fake_conn *c, bool is_commit)
{
	is_commit = is_commit && c->tx != 'E';
	message_complete(&c->out, is_commit ? "COMMIT" : "ROLLBACK");
	c->tx = 'I';
	tx_end(c, is_commit);
}

static void
drop_temporary(struct fake_conn *c)
{
	c->v.has_temporary = false;
	c->traces[TRACE_TEMP] = 0;
}

static void
close_cursors(struct fake_conn *c)
{
	c->v.has_cursor = false;
	c->traces[TRACE_CURSOR] = 0;
}

static void
discard(struct fake_conn *c, const char *rest)
{
	char what[32];

	take_upper(rest, what);
	if (strcmp(what, "ALL") == 0) {
		tx_free(c);
		sql_forget(c);
	}
	if (strncmp(what, "TEMP", 4) == 0)
		drop_temporary(c);
	if (strcmp(what, "SEQUENCES") == 0)
		c->sequences_of = 0;
	if (strcmp(what, "PLANS") == 0)
		c->plan_of = 0;
}

/* False: there is no such statement. */
static bool
deallocate(struct fake_conn *c, const char *rest)
{
	char name[128];
	bool is_all, is_hidden;

	take_word(rest, name);
	is_all = strcasecmp(name, "all") == 0;
	is_hidden = strcmp(name, "hid") == 0 && c->traces[TRACE_SQL] != 0;
	if (is_all || is_hidden)
		c->traces[TRACE_SQL] = 0;
	if (is_all)
		named_free_all(&c->statements);
	else if (!is_hidden && named_find(&c->statements, name) == NULL) {
		sql_error_of(c, "26000", "prepared statement", name, "does not exist");
		return false;
	} else
		named_drop(&c->statements, name);
	return true;
}

/* False: the name is taken. */
static bool
prepare(struct fake_conn *c, const char *sql, const char *rest, const char *tokens)
{
	struct named *n;
	char name[128];

	take_word(rest, name);
	if (named_find(&c->statements, name) != NULL) {
		sql_error_of(c, "42P05", "prepared statement", name, "already exists");
		return false;
	}
	n = named_put(&c->statements, name, sql);
	n->is_sql = true;
	snprintf(n->tokens, sizeof(n->tokens), "%s", tokens);
	return true;
}

static void
lock_or_unlock(struct fake_conn *c, const char *sql, const char *tokens)
{
	c->has_lock = strcasestr(sql, "pg_advisory_lock") != NULL;
	if (strcasestr(sql, "pg_advisory_unlock_all()") != NULL ||
	    (strcasestr(sql, "pg_advisory_unlock(") != NULL && (c->fake->code & STATE_LOCKS) == 0))
		c->traces[TRACE_LOCK] = 0;
	if (strncasecmp(sql, "SELECT pg_advisory_lock(", 24) == 0)
		state_trace(c, TRACE_LOCK, tokens);
}

static void
use_sequence(struct fake_conn *c, const char *sql, const char *word, const char *tokens)
{
	if (strncasecmp(sql, "SELECT currval(", 15) == 0)
		state_read_sequence(c, tokens);
	if (strcmp(word, "INSERT") == 0 || strncasecmp(sql, "SELECT nextval(", 15) == 0)
		state_next_sequence(c, tokens);
}

static void
plant_seed(struct fake_conn *c, const char *sql, const char *tokens)
{
	if (strncmp(sql, "SET seed = ", 11) == 0)
		c->traces[TRACE_SEED] = 0;
	if (strncasecmp(sql, "SELECT setseed(", 15) == 0)
		state_trace(c, TRACE_SEED, tokens);
}

/* False: what is behind CREATE reaches nothing but what its own words name. */
static bool
makes_code(const char *rest)
{
	char what[32];

	take_upper(rest, what);
	return strcmp(what, "TABLE") != 0 && strcmp(what, "VIEW") != 0 && strcmp(what, "INDEX") != 0;
}

/* What a statement leaves in the session. False: it is refused. */
static bool
leave_traces(struct fake_conn *c, const char *sql, const char *word, const char *rest, const char *tokens)
{
	bool is_create = strcmp(word, "CREATE") == 0,
	     is_drop = strcmp(word, "DROP") == 0 && strncasecmp(rest, " function", 9) == 0;

	if (strcmp(word, "SET") == 0 && !set(c, rest))
		return false;
	else if (strcmp(word, "RESET") == 0)
		reset(c, rest);
	else if (strcmp(word, "LISTEN") == 0 || strcmp(word, "UNLISTEN") == 0 || strcmp(word, "NOTIFY") == 0)
		listen_or_notify(c, word, rest);
	else if (strcmp(word, "DISCARD") == 0)
		discard(c, rest);
	else if (strcmp(word, "DROP") == 0 && !is_drop)
		drop_temporary(c);
	else if (strcmp(word, "CLOSE") == 0)
		close_cursors(c);
	else if (strcmp(word, "DEALLOCATE") == 0 && !deallocate(c, rest))
		return false;
	else if (strcmp(word, "PREPARE") == 0 && !prepare(c, sql, rest, tokens))
		return false;
	if (is_create && strncasecmp(rest, " temp", 5) == 0)
		state_trace(c, TRACE_TEMP, tokens);
	if (strcmp(word, "DECLARE") == 0 && strcasestr(sql, " cursor with hold") != NULL)
		state_trace(c, TRACE_CURSOR, tokens);
	c->v.has_temporary |= strcasestr(sql, "create temp") != NULL;
	c->v.has_cursor |= strcasestr(sql, "with hold") != NULL;
	if (strcasestr(sql, "pg_advisory_") != NULL)
		lock_or_unlock(c, sql, tokens);
	use_sequence(c, sql, word, tokens);
	plant_seed(c, sql, tokens);
	set_config_literally(c, sql);
	if (is_drop || (is_create && makes_code(rest)))
		state_change_code(c, sql, is_drop);
	else if (!is_create)
		state_run_code(c, sql, tokens, false);
	return true;
}

static void
complete(struct fake_conn *c, const char *word, const char *rest)
{
	char second[32], tag[72];

	take_upper(rest, second);
	if (strcmp(word, "INSERT") == 0 || strcmp(word, "UPDATE") == 0 || strcmp(word, "DELETE") == 0)
		snprintf(tag, sizeof(tag), "%s%s", word, word[0] == 'I' ? " 0 1" : " 1");
	else if (strcmp(word, "CREATE") == 0 || strcmp(word, "ALTER") == 0 || strcmp(word, "DROP") == 0)
		snprintf(tag, sizeof(tag), "%s %s", word, strncmp(second, "TEMP", 4) == 0 ? "TABLE" : second);
	else if (strcmp(word, "DISCARD") == 0 || strcmp(second, "ALL") == 0)
		snprintf(tag, sizeof(tag), "%s%s", word, strcmp(second, "ALL") == 0 && word[0] == 'D' ? " ALL" : "");
	else
		snprintf(tag, sizeof(tag), "%s", word);
	message_complete(&c->out, tag);
}

/* One row, of one value. */
static enum sql_result
put_value(struct fake_conn *c, const char *value, const struct named *portal)
{
	if (portal == NULL)
		sql_row_description(c);
	text_data_row(&c->out, (const char *const[]){ value }, 1);
	message_complete(&c->out, "SELECT 1");
	return SQL_DONE;
}

static enum sql_result
refuse(struct fake_conn *c, const char *sqlstate, const char *text, const char *tokens)
{
	sql_error(c, sqlstate, text, tokens);
	return SQL_FAILED;
}

static enum sql_result
show(struct fake_conn *c, const char *rest, const struct named *portal)
{
	const char *value = NULL;
	char name[128];

	take_name(rest, name);
	for (size_t i = 0; i < REPORTS; i++)
		if (strcasecmp(name, defaults[i].name) == 0)
			value = sql_report(&c->v, i);
	if (value == NULL)
		value = state_get(c, name);
	return put_value(c, value != NULL ? value : "", portal);
}

static enum sql_result
execute(struct fake_conn *c, const char *rest, const char *tokens, struct named *portal, uint32_t max)
{
	const struct named *n;
	char name[128], both[2 * TOKENS_MAX];

	take_word(rest, name);
	n = named_find(&c->statements, name);
	if (n == NULL) {
		sql_error_of(c, "26000", "prepared statement", name, "does not exist");
		return SQL_FAILED;
	}
	/* where session state may follow others, it may be another's; but for a session alone (fake_new_alone) */
	snprintf(both, sizeof(both), "%s%s", c->fake->is_leaky && c->fd >= 0 ? "" : n->tokens, tokens);
	return rows(c, n->text, both, portal, max);
}

static enum sql_result
savepoint(struct fake_conn *c, const char *word, const char *rest, const char *tokens)
{
	enum savepoint_verb verb = word[0] == 'S'   ? SAVEPOINT_MAKE
				   : word[1] == 'E' ? SAVEPOINT_RELEASE
						    : SAVEPOINT_BACK;
	char name[128];

	if (c->tx == 'I')
		return refuse(c, "25P01", "this can only be used in transaction blocks", tokens);
	rest = take_word(rest, name);
	if (strcasecmp(name, "to") == 0)
		rest = take_word(rest, name);
	if (strcasecmp(name, "savepoint") == 0)
		take_word(rest, name);
	if (!tx_savepoint(c, verb, name))
		return refuse(c, "3B001", "savepoint does not exist", tokens);
	if (verb == SAVEPOINT_BACK)
		c->tx = 'T';
	message_complete(&c->out, word);
	return SQL_DONE;
}

static enum sql_result
failing_commit(struct fake_conn *c, const char *tokens)
{
	c->tx = 'I';
	tx_end(c, false);
	return refuse(c, "23503", "a deferred constraint is violated", tokens);
}

/* What the session must have for this statement. NULL: it has it, else the SQLSTATE of the error. */
static const char *
lacks(const struct fake_conn *c, const char *sql, const char *word)
{
	if (!c->v.has_temporary && strstr(sql, "FROM tmp") != NULL)
		return "42P01";
	if (!c->v.has_cursor && (strcmp(word, "FETCH") == 0 || strcmp(word, "CLOSE") == 0) &&
	    strstr(sql, "held") != NULL)
		return "34000";
	if (c->tx != 'I' && strcmp(word, "DISCARD") == 0 && strcasestr(sql, " all") != NULL)
		return "25001";
	return NULL;
}

/* A portal writes when it is executed for the first time. */
static void
write_rows(struct fake_conn *c, const char *word, const char *tokens, struct named *portal)
{
	if ((strcmp(word, "INSERT") != 0 && strcmp(word, "UPDATE") != 0 && strcmp(word, "DELETE") != 0) ||
	    (portal != NULL && portal->has_written))
		return;
	cluster_write(c, tokens);
	if (portal != NULL)
		portal->has_written = true;
}

static enum sql_result
run(struct fake_conn *c, const char *sql, bool is_marked, const char *tokens, struct named *portal, uint32_t max)
{
	char word[32];
	const char *rest = take_upper(sql, word), *missing;
	bool is_own = true;
	bool is_end = strcmp(word, "COMMIT") == 0 || strcmp(word, "END") == 0, is_back = strcmp(word, "ROLLBACK") == 0;
	bool had_lock = c->has_lock;

	if (word[0] == '\0') {
		message_put(&c->out, 'I', NULL, 0);
		return SQL_DONE;
	}
	tx_open(c);
	if (c->tx == 'E' && !is_end && !is_back)
		return refuse(c, "25P02", "current transaction is aborted", tokens);
	if (is_marked && cluster_answer(c, sql))
		return SQL_DONE;
	if (is_end && c->tx == 'T' && c->xid != 0 && strcasestr(sql, "wrong") != NULL)
		return failing_commit(c, tokens);
	if ((strcasestr(sql, "wrong") != NULL && !is_end) || strcmp(word, "ERROR") == 0)
		return refuse(c, "22012", "division by zero", tokens);
	if (strcmp(word, "FATAL") == 0) {
		sql_error(c, "57P01", "terminating connection", tokens);
		c->is_over = true;
		return SQL_SLEEPS;
	}
	if (strcmp(word, "BEGIN") == 0 || strcmp(word, "START") == 0) {
		c->tx = 'T';
		message_complete(&c->out, word[0] == 'B' ? "BEGIN" : "START TRANSACTION");
		return SQL_DONE;
	}
	if (is_end || (is_back && strcasestr(rest, "to ") == NULL)) {
		end_transaction(c, is_end);
		return SQL_DONE;
	}
	if (is_back || strcmp(word, "SAVEPOINT") == 0 || strcmp(word, "RELEASE") == 0)
		return savepoint(c, word, rest, tokens);
	if (strcasestr(sql, "sleep") != NULL) {
		snprintf(c->sleep_tokens, sizeof(c->sleep_tokens), "%s", tokens);
		return SQL_SLEEPS;
	}
	if (strcmp(word, "SET") != 0 && strcmp(word, "RESET") != 0 && strcmp(word, "DEALLOCATE") != 0 &&
	    strcmp(word, "DISCARD") != 0 && strstr(sql, "pg_catalog.") == NULL) /* not pgweir's own */
		is_own = state_check(c, tokens);
	if (!is_own)
		return refuse(c, "XX001", "there is something of another client's", tokens);
	missing = lacks(c, sql, word);
	if (missing != NULL)
		return refuse(c, missing, "there is no such thing here", tokens);
	if (!leave_traces(c, sql, word, rest, tokens))
		return SQL_FAILED;
	write_rows(c, word, tokens, portal);
	if (strcmp(word, "COPY") == 0 && portal != NULL && portal->is_begun)
		return refuse(c, "55000", "portal cannot be run", tokens);
	if (strcmp(word, "COPY") == 0 && portal != NULL)
		portal->is_begun = true;
	if (strcmp(word, "COPY") == 0)
		return copy(c, sql, tokens);
	if (!sql_has_rows(sql)) {
		complete(c, word, rest);
		return SQL_DONE;
	}
	if (strcmp(word, "SHOW") == 0)
		return show(c, rest, portal);
	if (strcmp(word, "EXECUTE") == 0)
		return execute(c, rest, tokens, portal, max);
	if (strncasecmp(sql, "SELECT pg_advisory_unlock(", 26) == 0)
		return put_value(c, had_lock ? "t" : "f", portal);
	if (portal == NULL && strstr(sql, "pg_catalog.") != NULL &&
	    (strncmp(sql, "SELECT '", 8) == 0 || strncmp(sql, "SELECT CASE ", 12) == 0 ||
	     strncmp(sql, "SELECT pg_catalog.concat('k'", 28) == 0)) {
		if (!probe(c, sql)) /* as PostgreSQL does behind the rows ahead of that one */
			return refuse(c, "22P05", "character has no equivalent in encoding \"LATIN1\"", tokens);
	} else if (portal != NULL && strstr(sql, "pg_catalog.set_config") != NULL) {
		if (!set_config(c, portal->values))
			return SQL_FAILED;
	} else if (strstr(sql, "count(*) FROM pg_catalog.pg_prepared_statements") != NULL) {
		state_put_prepared(c);
		return SQL_DONE;
	} else if (portal == NULL && strncmp(sql, "SELECT FROM ", 12) == 0) {
		return put_empty_row(c);
	} else
		return rows(c, sql, tokens, portal, max);
	message_complete(&c->out, "SELECT 1");
	return SQL_DONE;
}

enum sql_result
sql_run(struct fake_conn *c, const char *text, const char *tokens, struct named *portal, uint32_t max)
{
	struct buf copy = { 0 };
	const char *sql = portal == NULL ? text_without_mark(text, &copy) : text;
	enum sql_result result = run(c, sql, sql != text, tokens, portal, max);

	buf_fini(&copy);
	return result;
}
