/* tests/fuzz/session_protocol.c - what the fake PostgreSQL answers to each message. See session_server.h. */
#include "session_server.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>

void
named_free_all(struct named_list *list)
{
	struct named *n;

	while ((n = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, n, link);
		for (char **v = n->values; v != NULL && *v != NULL; v++)
			free(*v);
		free(n->values);
		free(n->name);
		free(n->text);
		free(n);
	}
}

struct named *
named_find(struct named_list *list, const char *name)
{
	struct named *n;

	TAILQ_FOREACH(n, list, link)
		if (strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

void
named_drop(struct named_list *list, const char *name)
{
	struct named_list alone = TAILQ_HEAD_INITIALIZER(alone);
	struct named *n = named_find(list, name);

	if (n == NULL)
		return;
	TAILQ_REMOVE(list, n, link);
	TAILQ_INSERT_TAIL(&alone, n, link);
	named_free_all(&alone);
}

struct named *
named_put(struct named_list *list, const char *name, const char *text)
{
	struct named *n = calloc(1, sizeof(*n));

	named_drop(list, name);
	must(n != NULL && (n->name = strdup(name)) != NULL && (n->text = strdup(text)) != NULL);
	TAILQ_INSERT_TAIL(list, n, link);
	return n;
}

/* Whoever lies about what it answers can't be asked whose answers they are. */
static void
take_tokens(const struct fake_conn *c, const void *bytes, size_t len, char tokens[static TOKENS_MAX])
{
	if (!c->is_liar)
		text_tokens(bytes, len, tokens);
}

/* One transaction is one client's. */
static void
check_owner(struct fake_conn *c, const char *tokens)
{
	char letter = text_token_at(tokens, strlen(tokens));

	if (letter == 0 || c->is_liar)
		return;
	must(c->tx == 'I' || c->owner == 0 || c->owner == letter);
	c->owner = letter;
}

/* What the transaction has done is undone: now if it ends here, else when it is rolled back. */
static void
statement_failed(struct fake_conn *c)
{
	if (c->tx == 'T')
		c->tx = 'E';
	if (c->tx == 'I')
		tx_end(c, false);
}

static void
failed(struct fake_conn *c)
{
	c->is_skipping = true;
	statement_failed(c);
}

static void
refuse_name(struct fake_conn *c, const char *sqlstate, const char *what, const char *name, const char *problem)
{
	sql_error_of(c, sqlstate, what, name, problem);
	failed(c);
}

static void
refuse(struct fake_conn *c, const char *sqlstate, const char *text, const char *tokens)
{
	sql_error(c, sqlstate, text, tokens);
	failed(c);
}

/* In an aborted transaction nothing but its end can be prepared or bound, and nothing that has rows described. */
static bool
is_too_late(struct fake_conn *c, const char *text, const char *tokens)
{
	if (c->tx != 'E' || sql_is_exit(text))
		return false;
	refuse(c, "25P02", "current transaction is aborted", tokens);
	return true;
}

static void
parse(struct fake_conn *c, const char *name, const char *text, bool is_declared, const char *tokens)
{
	struct named *n;

	if (name[0] == '\0')
		named_drop(&c->statements, "");
	if (name[0] != '\0' && named_find(&c->statements, name) != NULL) {
		refuse_name(c, "42P05", "prepared statement", name, "already exists");
		return;
	}
	if (strcasestr(text, "wrong") != NULL) {
		refuse(c, "42601", "syntax error", tokens);
		return;
	}
	if (text[0] != '\0' && is_too_late(c, text, tokens))
		return;
	n = named_put(&c->statements, name, text);
	n->has_parameter = is_declared || strchr(text, '$') != NULL;
	n->analysed = strstr(text, "analysed") != NULL ? state_context(c) : 0;
	take_tokens(c, text, strlen(text), n->tokens);
	message_put(&c->out, '1', NULL, 0);
}

static void
on_parse(struct fake_conn *c, const char *name, const char *raw, bool is_declared, const char *tokens)
{
	char *text = state_to_server(c, raw);

	if (text == NULL)
		refuse(c, "22021", "invalid byte sequence", tokens);
	else
		parse(c, name, text, is_declared, tokens);
	for (const char *at = raw; *at != '\0'; at++)
		c->fake->has_parsed |= (*at & 0x80) != 0;
	free(text);
}

/* The values of a Bind whose names end at body; malformed: as many as there are. Binary ones stay as they are. */
static char **
read_values(struct fake_conn *c, const uint8_t *body, size_t len, bool *is_text_bad)
{
	size_t formats = len >= 2 ? wire_u16(body) : 0, at = 2 + 2 * formats, count, have = 0;
	char **values, *raw;

	if (len < at + 2)
		return NULL;
	count = wire_u16(body + at);
	at += 2;
	values = calloc(count + 1, sizeof(*values));
	must(values != NULL);
	for (; have < count && len - at >= 4; have++) {
		uint32_t n = wire_u32(body + at);

		at += 4;
		n = n == UINT32_MAX ? 0 : n;
		if (n > len - at)
			break;
		raw = strndup((const char *)body + at, n);
		must(raw != NULL);
		values[have] = state_to_server(c, raw);
		*is_text_bad |= values[have] == NULL && formats == 0;
		if (values[have] == NULL) {
			state_check_refused(c->fake, raw);
			values[have] = raw;
		} else
			free(raw);
		at += n;
	}
	return values;
}

static void
on_bind(struct fake_conn *c, const char *portal, const char *name, const uint8_t *rest, size_t len)
{
	struct named *st = named_find(&c->statements, name), *p;
	bool is_text_bad = false;
	char tokens[TOKENS_MAX] = "";

	take_tokens(c, rest, len, tokens);
	if (st == NULL) {
		refuse_name(c, "26000", "prepared statement", name, "does not exist");
		return;
	}
	check_owner(c, st->tokens);
	if (is_too_late(c, st->text, tokens))
		return;
	if (name[0] != '\0' && !c->was_stale && strcasestr(st->text, "stale") != NULL) {
		static const char body[] = "SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0"
					   "RRevalidateCachedQuery\0";

		c->was_stale = true;
		message_put(&c->out, 'E', body, sizeof(body));
		failed(c);
		return;
	}
	p = named_put(&c->portals, portal, st->text);
	memcpy(p->tokens, st->tokens, sizeof(p->tokens));
	p->analysed = st->analysed;
	take_tokens(c, rest, len, p->tokens);
	p->values = read_values(c, rest, len, &is_text_bad);
	if (is_text_bad)
		refuse(c, "22021", "invalid byte sequence", tokens);
	else
		message_put(&c->out, '2', NULL, 0);
}

static void
on_describe(struct fake_conn *c, uint8_t kind, const char *name)
{
	struct named *n = named_find(kind == 'S' ? &c->statements : &c->portals, name);

	if (n == NULL) {
		refuse_name(c, kind == 'S' ? "26000" : "34000", kind == 'S' ? "prepared statement" : "portal", name,
			    "does not exist");
		return;
	}
	if (sql_has_rows(n->text) && is_too_late(c, n->text, ""))
		return;
	if (kind == 'S')
		message_put(&c->out, 't', n->has_parameter ? "\0\1\0\0\0\x19" : "\0", n->has_parameter ? 6 : 2);
	if (sql_has_rows(n->text))
		sql_row_description(c);
	else
		message_put(&c->out, 'n', NULL, 0);
}

/* One statement, and what it has PostgreSQL report at once. */
static enum sql_result
run(struct fake_conn *c, const char *sql, const char *tokens, struct named *portal, uint32_t max)
{
	size_t from = c->out.len;
	enum sql_result r = sql_run(c, sql, tokens, portal, max);

	if (c->fake->reports_at_once && r == SQL_DONE)
		sql_report_changes(c, from);
	return r;
}

static void
on_execute(struct fake_conn *c, const char *name, uint32_t max)
{
	struct named *p = named_find(&c->portals, name);

	if (p == NULL) {
		refuse_name(c, "34000", "portal", name, "does not exist");
		return;
	}
	switch (run(c, p->text, c->is_liar ? "" : p->tokens, p, max)) {
	case SQL_FAILED:
		failed(c);
		break;
	case SQL_COPY_IN:
		c->is_copying = true;
		c->is_copy_cancelled = false;
		c->is_copy_simple = false;
		break;
	case SQL_SLEEPS:
		c->is_asleep = true;
		c->is_sleep_simple = false;
		break;
	case SQL_DONE:
		if (sql_is_exit(p->text) && strcasestr(p->text, " to ") == NULL)
			named_free_all(&c->portals); /* none outlives its transaction, not even that one's */
		break;
	case SQL_SUSPENDED:
		break;
	}
}

static void
end_request(struct fake_conn *c)
{
	if (c->tx == 'I') {
		c->owner = 0;
		tx_end(c, true);
		named_free_all(&c->portals);
	}
	sql_report_changes(c, c->out.len);
	message_ready(&c->out, c->tx);
	c->is_ready = true;
}

/* seal/database_code.h asks what the database's code can touch. */
static void
on_question(struct fake_conn *c)
{
	switch (c->fake->code_answer) {
	case CODE_TOLD:
		state_put_code(c);
		end_request(c);
		return;
	case CODE_FAILS:
		sql_error(c, "57014", "canceling statement due to statement timeout", "");
		end_request(c);
		break;
	case CODE_LATE:
		c->is_asleep = c->is_sleep_simple = c->is_asked = true;
		break;
	case CODE_DIES:
		c->is_over = true;
		break;
	}
	state_forget_code(c->fake);
}

/* Statements of a simple Query, or those behind one that slept or copied, one by one. */
static void
run_all(struct fake_conn *c, const char *text, const char *tokens, bool is_empty)
{
	enum sql_result r = SQL_DONE;

	while (*text != '\0' && r == SQL_DONE) {
		size_t len = strcspn(text, ";");
		char *one = strndup(text, len);

		must(one != NULL);
		if (one[strspn(one, " \n\t")] != '\0') {
			is_empty = false;
			r = run(c, one, tokens, NULL, 0);
		}
		free(one);
		text += len + (text[len] == ';');
	}
	if (is_empty)
		message_put(&c->out, 'I', NULL, 0);
	if (r == SQL_FAILED)
		statement_failed(c);
	c->is_copying = r == SQL_COPY_IN;
	c->is_copy_cancelled = false;
	c->is_copy_simple = true;
	c->is_asleep = r == SQL_SLEEPS;
	c->is_sleep_simple = true;
	if (r == SQL_DONE || r == SQL_FAILED) {
		end_request(c);
		return;
	}
	snprintf(c->sleep_tokens, sizeof(c->sleep_tokens), "%s", tokens);
	free(c->behind);
	c->behind = strdup(text);
	must(c->behind != NULL);
}

/* What a simple Query has waited for is over. */
static void
go_on(struct fake_conn *c, bool has_failed)
{
	char *text = c->behind, tokens[TOKENS_MAX];

	c->behind = NULL;
	memcpy(tokens, c->sleep_tokens, sizeof(tokens));
	if (has_failed || text == NULL)
		end_request(c);
	else
		run_all(c, text, tokens, false);
	free(text);
}

static void
on_query(struct fake_conn *c, const char *raw, const char *tokens)
{
	char *text = state_to_server(c, raw);

	if (text != NULL) {
		named_drop(&c->statements, "");
		named_drop(&c->portals, "");
	}
	if (text == NULL) {
		sql_error(c, "22021", "invalid byte sequence", tokens);
		statement_failed(c);
		end_request(c);
	} else if (strstr(text, "RECURSIVE known(") != NULL && c->tx == 'I')
		on_question(c);
	else
		run_all(c, text, tokens, true);
	free(text);
}

void
fake_wake(struct fake_conn *c, bool is_cancelled)
{
	if (!c->is_asleep)
		return;
	c->is_asleep = false;
	if (is_cancelled) {
		sql_error(c, "57014", "canceling statement due to user request", c->is_liar ? "" : c->sleep_tokens);
		statement_failed(c);
		c->is_skipping = !c->is_sleep_simple;
	} else if (c->is_asked)
		state_put_code(c);
	else
		message_complete(&c->out, "SELECT 0");
	c->is_asked = false;
	if (c->is_sleep_simple)
		go_on(c, is_cancelled);
}

void
fake_fail_copy(struct fake_conn *c, const char *sqlstate, const char *text)
{
	if (!c->is_copying)
		return;
	sql_error(c, sqlstate, text, "");
	statement_failed(c);
	c->is_copying = false;
	c->is_skipping = !c->is_copy_simple;
	if (c->is_copy_simple)
		go_on(c, true);
}

static void
copy_data(struct fake_conn *c, uint8_t type, const uint8_t *body, size_t len)
{
	if (type == 'd' && c->is_copy_cancelled)
		fake_fail_copy(c, "57014", "canceling statement due to user request");
	else if (type == 'd' && memmem(body, len, "wrong", 5) != NULL)
		fake_fail_copy(c, "22P02", "invalid input");
	else if (type == 'f')
		fake_fail_copy(c, "57014", "COPY from stdin failed");
	if (type != 'c' || !c->is_copying)
		return;
	message_complete(&c->out, "COPY 1");
	c->is_copying = false;
	if (c->is_copy_simple)
		go_on(c, false);
}

/* A call that its first number asks to fail, or of a transaction that has failed, fails. */
static void
on_call(struct fake_conn *c, const char *first, const uint8_t *body, size_t len, const char *tokens)
{
	if (!state_check(c, tokens)) {
		sql_error(c, "XX001", "there is something of another client's", tokens);
		statement_failed(c);
	} else if (c->tx == 'E' || (len >= 4 && wire_u32(body) == 1)) {
		sql_error(c, c->tx == 'E' ? "25P02" : "22012", "the function was not called", tokens);
		statement_failed(c);
	} else {
		state_run_code(c, first, tokens, true);
		message_put(&c->out, 'V', "\xff\xff\xff\xff", 4);
	}
	end_request(c);
}

/* Text with a terminator behind it, whatever the message says. */
static const char *
string_at(const uint8_t *body, size_t len, size_t *at)
{
	const char *s = (const char *)body + (*at < len ? *at : len);

	*at += strlen(s) + 1;
	return s;
}

/* Returns true if the signal of a cancel has hit this message: it has failed. */
static bool
is_hit(struct fake_conn *c, uint8_t type, const char *body)
{
	if (!c->is_signalled || strchr("QPBEF", type) == NULL || (type == 'Q' && strstr(body, "RECURSIVE known(")))
		return false;
	c->is_signalled = false;
	sql_error(c, "57014", "canceling statement due to user request", "");
	statement_failed(c);
	c->is_skipping = type != 'Q' && type != 'F';
	if (!c->is_skipping)
		end_request(c);
	return true;
}

void
fake_message(struct fake_conn *c, uint8_t type, const uint8_t *body, size_t len)
{
	char tokens[TOKENS_MAX] = "";
	size_t at = type == 'D' || type == 'C' ? 1 : 0;
	const char *first, *second;
	struct buf copy = { 0 };

	must(type != 0 && strchr("QPBDECSHXFpdcf", type) != NULL);
	c->is_ready = false;
	if (c->fake->on_message != NULL)
		c->fake->on_message(c, type, body, len);
	if (type == 'X') {
		c->is_over = true;
		return;
	}
	if (!c->is_authenticated) {
		must(type == 'p');
		fake_password(c, body, len);
		return;
	}
	must(type != 'p');
	take_tokens(c, body, len, tokens);
	if (type != 'P') /* a statement may be prepared for somebody long before it runs */
		check_owner(c, tokens);
	if (c->next.len > 0) {
		buf_put(&c->out, c->next.bytes, c->next.len);
		c->next.len = 0;
		return;
	}
	if (c->is_copying) {
		if (strchr("dcfHS", type) != NULL) {
			copy_data(c, type, body, len);
			return;
		}
		fake_fail_copy(c, "08P01", "unexpected message during COPY from stdin");
	}
	if ((c->is_skipping && type != 'S') || is_hit(c, type, (const char *)body))
		return;
	first = string_at(body, len, &at);
	second = at < len ? (const char *)body + at : "";
	switch (type) {
	case 'Q':
		on_query(c, first, tokens);
		break;
	case 'P':
		at += strlen(second) + 1;
		on_parse(c, first, text_without_mark(second, &copy), len >= at + 2 && wire_u16(body + at) > 0, tokens);
		buf_fini(&copy);
		break;
	case 'B':
		string_at(body, len, &at);
		on_bind(c, first, second, body + (at < len ? at : len), at < len ? len - at : 0);
		break;
	case 'D':
		on_describe(c, body[0], first);
		break;
	case 'E':
		on_execute(c, first, len - at >= 4 && at < len ? wire_u32(body + at) : 0);
		break;
	case 'C':
		named_drop(body[0] == 'S' ? &c->statements : &c->portals, first);
		message_put(&c->out, '3', NULL, 0);
		break;
	case 'S':
		c->is_skipping = false;
		end_request(c);
		break;
	case 'F':
		on_call(c, first, body, len, tokens);
		break;
	default:
		break;
	}
}
