/* tests/unit/fake_exchange.c - see fake_exchange.h. */
#include "fake_exchange.h"

#include "exchange/report.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "server/server.h"
#include "unit.h"

struct fake_exchange *fake;

/* --- fakes of what is to the right, and does I/O --- */

void
exchange_step(struct exchange *x, enum client_event ev)
{
	enum client_state next = client_state_next((enum client_state)x->state, ev);

	cr_assert_neq(next, CL_NONE, "%s in %s", client_event_name(ev),
		      client_state_name((enum client_state)x->state, true));
	x->state = (uint8_t)next;
	fake->steps++;
	fake->last_step = ev;
}

void
exchange_unstall(struct exchange *x)
{
	x->reading = EXCHANGE_READS;
}

static void
write_down(char *out, size_t cap, const char *words)
{
	size_t len = strlen(out);

	snprintf(out + len, cap - len, "%s%s", len > 0 ? " " : "", words);
}

void
exchange_answer(struct exchange *x, const void *bytes, size_t len)
{
	const char *at = bytes;

	for (size_t n; len > 0; at += n, len -= n) {
		char words[128];

		n = 1 + wire_u32((const uint8_t *)at + 1);
		if (at[0] == 'C')
			snprintf(words, sizeof(words), "C:%s", at + FRAME_HEAD_LEN);
		else
			snprintf(words, sizeof(words), "%c", at[0]);
		write_down(fake->told, sizeof(fake->told), words);
	}
}

void
exchange_send(struct exchange *x, const struct buf *b)
{
	exchange_answer(x, b->bytes, b->len);
}

void
exchange_out_of_memory(struct exchange *x)
{
	cr_assert_fail("out of memory");
}

void
stream_set_broken(struct stream *s)
{
	cr_assert(fake->may_spoil, "out of memory");
	fake->spoiled++;
}

void
exchange_handle_pending(struct exchange *x, void (*handle)(struct exchange *x, const uint8_t *bytes, size_t len))
{
	fake->resumed++;
}

const char *
exchange_user(const struct exchange *x)
{
	return x->pool->user;
}

const char *
exchange_application(const struct exchange *x)
{
	return "test";
}

void
report_first_text(struct server *srv, const uint8_t *text, size_t len, size_t total, bool is_simple)
{
}

void
report_first_statement(struct server *srv, struct statement *st)
{
}

uint64_t
report_fingerprint(const char *sql, size_t len)
{
	return 0;
}

void
report_request_begins(struct exchange *x, struct server *srv)
{
}

void
report_count_error(struct pool *pool, enum error_origin origin, const char *sqlstate)
{
}

void
report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event)
{
}

void
stream_change_reading(struct stream *s, bool is_on)
{
}

/* A name of pgweir's, pgweir_<tag>_<id>, becomes #id. */
static const char *
short_name(const char *name, char out[static 64])
{
	const char *prefix = statement_store_prefix(fake->store);

	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return name;
	snprintf(out, 64, "#%s", name + strlen(prefix));
	return out;
}

static void
note_message(const uint8_t *message)
{
	const char *body = (const char *)message + FRAME_HEAD_LEN; /* a Sync has none */
	const char *second = message[0] == 'P' || message[0] == 'B' ? body + strlen(body) + 1 : NULL;
	char words[512], name[64];

	switch (message[0]) {
	case 'P':
		snprintf(words, sizeof(words), "P(%s|%.80s)", short_name(body, name), second);
		break;
	case 'B':
		snprintf(words, sizeof(words), "B(%s|%s)", body, short_name(second, name));
		break;
	case 'C':
	case 'D':
		snprintf(words, sizeof(words), "%c%c(%s)", message[0], body[0], short_name(body + 1, name));
		break;
	case 'Q':
		snprintf(words, sizeof(words), "Q(%.80s)", body);
		break;
	default:
		snprintf(words, sizeof(words), "%c", message[0]);
	}
	write_down(fake->sent, sizeof(fake->sent), words);
}

static void
note_messages(const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at < len; at += 1 + wire_u32(bytes + at + 1)) {
		cr_assert_leq(at + 1 + wire_u32(bytes + at + 1), len, "the server gets whole messages");
		note_message(bytes + at);
	}
}

int
stream_write_slow_path(struct stream *s, const struct iovec *pieces, int count)
{
	struct buf all = { 0 };

	for (int i = 0; i < count; i++)
		buf_put(&all, pieces[i].iov_base, pieces[i].iov_len);
	note_messages(all.bytes, all.len);
	buf_fini(&all);
	return 0;
}

/* Never called: the streams are closed. */
int
stream_queue_rest(struct stream *s, const struct iovec *pieces, int count, ssize_t sent)
{
	return -1;
}

int
server_write(struct server *srv, const void *bytes, size_t len)
{
	struct iovec piece = { (void *)(uintptr_t)bytes, len };

	stream_write(&srv->stream, &piece, 1);
	return 0;
}

/* --- the client and its server --- */

static void
on_close(struct exchange *x, const struct fail *why, const struct fail *logged)
{
	x->is_closing = true;
	fake->closed++;
}

static void
on_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
}

static void
on_try_release(struct exchange *x)
{
	fake->released++;
}

static void
on_settled(void *arg, const struct owed *o, enum owed_end how)
{
	if (o->ref != NULL && fake->settled != NULL)
		fake->settled(arg, o, how);
}

static void
on_local(void *arg, const struct owed *o)
{
	write_down(fake->told, sizeof(fake->told), o->kind == OWED_LOCAL_PARSE ? "1" : "3");
}

static const struct ledger_ops ledger_ops = { on_settled, on_local, NULL };

static void
open_server(void)
{
	memset(&fake->srv, 0, sizeof(fake->srv));
	fake->srv.stream.fd = -1;
	fake->srv.env = &fake->server_env;
	fake->srv.target = &fake->target;
	fake->srv.owner = &fake->pool;
	fake->target.upstream = &fake->upstream;
	fake->srv.tx = 'I';
	fake->srv.is_synced = true;
	fake->srv.borrower = &fake->x;
	fake->srv.gucs = gucs_ref(fake->x.gucs);
	ledger_init(&fake->srv.ledger, &ledger_ops, &fake->srv);
	loan_begin(&fake->srv.loan, fake->now_us);
	fake->x.srv = &fake->srv;
}

static void
close_server(void)
{
	ledger_fini(&fake->srv.ledger);
	server_statements_clear(&fake->srv.statements);
	gucs_unref(fake->srv.gucs);
	loan_fini(&fake->srv.loan);
}

void
fake_begin(void (*settled)(struct server *srv, const struct owed *o, enum owed_end how))
{
	struct exchange *x;

	fake = calloc(1, sizeof(*fake));
	x = &fake->x;
	fake->settled = settled;
	fake->now_us = 1000000;
	fake->guc_store = guc_store_new(1, NULL);
	fake->store = statement_store_new(1, 2, NULL, (size_t)1 << 20);
	fake->ops = (struct exchange_ops){ .close = on_close, .handle_bytes = on_bytes, .try_release = on_try_release };
	fake->env.ops = &fake->ops;
	fake->env.config = &fake->config;
	fake->config.prepared_statements_memory = (size_t)1 << 20;
	fake->env.now_us = &fake->now_us;
	fake->env.statements = fake->store;
	fake->env.guc_store = fake->guc_store;
	fake->server_env.now_us = &fake->now_us;
	fake->server_env.guc_store = fake->guc_store;
	fake->pool.database = &fake->database;
	fake->pool.code = &fake->code;
	snprintf(fake->pool.user, sizeof(fake->pool.user), "u");
	fake->pool.settings.prepared_statements = 100;
	fake->pool.settings.max_statement_size = 4096;
	fake->pool.settings.session_state = SESSION_TRACK;
	fake->pool.home = statement_home_get_or_create(fake->store, "home");
	x->env = &fake->env;
	x->pool = &fake->pool;
	x->settings = &fake->pool.settings;
	x->stream.fd = -1;
	x->waiter.id = 7;
	x->client_pid = 77;
	x->state = CL_READY;
	x->gucs = gucs_empty(fake->guc_store); /* the reference is new */
	x->startup = gucs_ref(x->gucs);
	open_server();
	outbox_begin(&fake->env.to_server, &fake->srv.stream);
}

void
fake_change_server(void)
{
	close_server();
	open_server();
}

void
fake_end(void)
{
	close_server();
	gucs_unref(fake->x.gucs);
	gucs_unref(fake->x.startup);
	statement_home_unref(fake->pool.home);
	statement_store_free(fake->store);
	guc_store_free(fake->guc_store);
	buf_fini(&fake->message);
	free(fake);
	fake = NULL;
}

const char *
fake_sent(void)
{
	static char sent[sizeof(fake->sent)];

	outbox_flush(&fake->env.to_server);
	outbox_begin(&fake->env.to_server, &fake->srv.stream);
	memcpy(sent, fake->sent, sizeof(sent));
	fake->sent[0] = '\0';
	return sent;
}

const char *
fake_told(void)
{
	static char told[sizeof(fake->told)];

	memcpy(told, fake->told, sizeof(told));
	fake->told[0] = '\0';
	return told;
}

/* --- requests --- */

static struct request
request_of_message(void)
{
	struct request m = { .type = fake->message.bytes[0] };

	m.message = fake->message.bytes;
	m.total = m.have = fake->message.len;
	return m;
}

struct request
fake_query(const char *sql)
{
	struct request m;

	buf_fini(&fake->message);
	message_put(&fake->message, 'Q', sql, strlen(sql) + 1);
	m = request_of_message();
	m.sql = (const char *)m.message + FRAME_HEAD_LEN;
	m.sql_len = strlen(sql);
	scan_text(&fake->scan, gucs_scan_options(fake->x.gucs), m.sql, m.sql_len);
	traits_set_from_scan(&fake->traits, &fake->scan, m.sql, m.sql_len);
	m.scan = &fake->scan;
	m.traits = &fake->traits;
	return m;
}

struct request
fake_parse(const char *name, const char *sql)
{
	struct buf rest = { 0 };
	struct request m;

	buf_fini(&fake->message);
	buf_put(&rest, sql, strlen(sql) + 1);
	buf_put_u16(&rest, 0);
	message_parse(&fake->message, name, rest.bytes, rest.len);
	buf_fini(&rest);
	m = request_of_message();
	cr_assert(fields_read_parse(m.message + FRAME_HEAD_LEN, m.total - FRAME_HEAD_LEN, &m.parse));
	m.sql = (const char *)m.parse.rest;
	m.sql_len = m.parse.query_len;
	traits_set_for_all_options(&fake->traits, m.sql, m.sql_len);
	traits_add_parse_hints(&fake->traits, m.sql, m.sql_len);
	m.traits = &fake->traits;
	return m;
}

struct request
fake_bind(const char *portal, const char *statement)
{
	struct buf body = { 0 };
	struct request m;

	buf_fini(&fake->message);
	buf_put(&body, portal, strlen(portal) + 1);
	buf_put(&body, statement, strlen(statement) + 1);
	buf_put(&body, "\0\0\0\0\0\0", 6);
	message_put(&fake->message, 'B', body.bytes, body.len);
	buf_fini(&body);
	m = request_of_message();
	cr_assert(fields_read_bind(m.message + FRAME_HEAD_LEN, m.total - FRAME_HEAD_LEN, &m.names.portal,
				   &m.names.statement, &m.names.len));
	return m;
}

struct request
fake_target(uint8_t type, uint8_t target, const char *name)
{
	struct buf body = { 0 };
	struct request m;

	buf_fini(&fake->message);
	buf_put_u8(&body, target);
	buf_put(&body, name, strlen(name) + 1);
	message_put(&fake->message, type, body.bytes, body.len);
	buf_fini(&body);
	m = request_of_message();
	m.target = target;
	m.name = (const char *)m.message + FRAME_HEAD_LEN + 1;
	return m;
}

struct request
fake_execute(void)
{
	struct request m;

	buf_fini(&fake->message);
	message_put(&fake->message, 'E', "\0\0\0\0", 5);
	m = request_of_message();
	m.portal = "";
	return m;
}

void
fake_forward(const struct request *m, enum owed_kind kind)
{
	struct owed_request r = { .started_us = fake->now_us, .statements = 1 };

	if (kind == OWED_QUERY)
		ledger_push_request(&fake->srv.ledger, kind, OWED_TO_CLIENT, &r);
	else {
		ledger_push(&fake->srv.ledger, kind, OWED_TO_CLIENT, NULL);
		fake->srv.is_synced = false;
	}
	if (m->instead.len > 0 && m->type == 'Q')
		outbox_copy(&fake->env.to_server, m->instead.bytes, m->instead.len);
	else
		outbox_copy(&fake->env.to_server, m->message, m->total);
}

void
fake_sync(void)
{
	server_owe_sync(&fake->srv, OWED_TO_CLIENT);
	outbox_copy(&fake->env.to_server, "S\0\0\0\4", 5);
	fake->srv.is_synced = true;
}

void
fake_reply(const char *types)
{
	for (; *types != '\0'; types++) {
		struct owed ended;
		bool is_end;

		if (*types == ' ')
			continue;
		ledger_advance(&fake->srv.ledger);
		cr_assert_neq(ledger_receive(&fake->srv.ledger, (uint8_t)*types, &ended, &is_end), LEDGER_VIOLATION,
			      "%c is not owed", *types);
		ledger_advance(&fake->srv.ledger);
	}
}
