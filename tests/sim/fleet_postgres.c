/*
 * tests/sim/fleet_postgres.c - see fleet_sim.h. A backend is listed at some moment between its startup packet and its
 * ReadyForQuery, and notices that its client is gone when it would read. Who leaves frees its locks first, then its
 * place in the list.
 */
#include "fleet_sim.h"

#include "kernel.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CANCEL_REQUEST 80877102u
#define LEAVE_US 8000

uint32_t
postgres_listed(const struct postgres *pg)
{
	const struct backend *b;
	uint32_t count = 0;

	TAILQ_FOREACH(b, &pg->backends, link)
		count += b->is_listed;
	return count;
}

uint32_t
backend_marks(const struct backend *b)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < MARKS; i++)
		sum += b->marks[i];
	return sum;
}

uint32_t
postgres_marks(const struct postgres *pg)
{
	const struct backend *b;
	uint32_t sum = 0;

	TAILQ_FOREACH(b, &pg->backends, link)
		sum += backend_marks(b);
	return sum;
}

uint32_t
postgres_fleet_conns(const struct postgres *pg)
{
	const struct backend *b;
	uint32_t count = 0;

	TAILQ_FOREACH(b, &pg->backends, link)
		count += b->has_own_mark;
	return count;
}

struct backend *
postgres_fleet_conn(struct fleet_sim *s, unsigned process)
{
	struct backend *b;

	TAILQ_FOREACH_REVERSE(b, &s->pg.backends, backends, link)
		if (b->is_fleet_conn && b->process == process && b->state != BE_LEAVING)
			return b;
	return NULL;
}

struct backend *
postgres_any(struct fleet_sim *s)
{
	struct backend *b;
	uint32_t at = 0;

	TAILQ_FOREACH(b, &s->pg.backends, link)
		at += !b->is_fleet_conn && b->is_listed && b->process > 0;
	at = fleet_below(s, at);
	TAILQ_FOREACH(b, &s->pg.backends, link)
		if (!b->is_fleet_conn && b->is_listed && b->process > 0 && at-- == 0)
			return b;
	return NULL;
}

static struct backend *
backend_new(struct fleet_sim *s, int fd)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (b == NULL)
		abort();
	b->sim = s;
	b->fd = fd;
	b->process = fd < 0 ? 0 : kernel_owner(fd);
	b->pid = ++s->pg.last_pid;
	TAILQ_INSERT_TAIL(&s->pg.backends, b, link);
	return b;
}

static void
backend_free(struct backend *b)
{
	TAILQ_REMOVE(&b->sim->pg.backends, b, link);
	if (b->fd >= 0)
		close(b->fd);
	free(b->sql);
	buf_fini(&b->in);
	buf_fini(&b->out);
	free(b);
}

void
backend_leave(struct backend *b, const char *why)
{
	struct fail fail;

	if (b->state == BE_LEAVING)
		return;
	if (why != NULL) {
		fail_set(&fail, b->is_listed ? "57P01" : "57P03", "%s", why);
		message_error(&b->out, "FATAL", &fail);
	}
	trace_line("backend %u (%u) leaves%s%s", b->pid, b->process, why != NULL ? ": " : "", why != NULL ? why : "");
	backend_forget(b);
	if (b->is_fleet_conn)
		oracle_unmarked(b->sim, b->process);
	b->state = BE_LEAVING;
	b->due_us = clock_now_us() + fleet_pause_us(b->sim, LEAVE_US);
}

/* --- logging in --- */

static void
take_startup(struct backend *b, const uint8_t *body, size_t len)
{
	const char *at = (const char *)body + 4, *end = (const char *)body + len;

	b->has_started = true;
	b->due_us = clock_now_us() + fleet_pause_us(b->sim, b->sim->profile.login_us);
	if (len < 4 || wire_u32(body) == CANCEL_REQUEST) {
		b->is_lost = true;
		return;
	}
	while (at < end && *at != '\0') {
		const char *value = at + strlen(at) + 1;

		if (strcmp(at, "database") == 0)
			b->is_fleet_conn = strcmp(value, "postgres") == 0;
		at = value + strlen(value) + 1;
	}
	if (!b->is_fleet_conn)
		b->due_us += b->sim->profile.unlisted_us;
	trace_line("backend %u (%u)%s starts", b->pid, b->process, b->is_fleet_conn ? ", a steward," : "");
}

static void
start(struct backend *b)
{
	uint32_t len;

	if (b->has_started)
		return;
	if (b->in.len >= 4 && (len = wire_u32(b->in.bytes)) >= 8 && b->in.len >= len) {
		take_startup(b, b->in.bytes + 4, len - 4);
		buf_drop_front(&b->in, len);
	}
	if (b->is_lost) { /* as long as it has no name, nobody has to know */
		b->state = BE_LEAVING;
		b->due_us = 0;
	}
}

static bool
is_refused(const struct backend *b)
{
	const struct postgres *pg = &b->sim->pg;

	return pg->refuses_until_us > clock_now_us() && pg->refused == b->process && !b->is_fleet_conn;
}

static void
enter_list(struct backend *b)
{
	if (is_refused(b)) {
		backend_leave(b, "the database system is not yet accepting connections");
		return;
	}
	b->is_listed = true;
	b->state = BE_LISTED;
	b->due_us = clock_now_us() + fleet_pause_us(b->sim, b->sim->profile.login_us);
	b->sim->pg.newcomers += b->is_fleet_conn;
	trace_line("backend %u (%u) is listed: %u, and marks of %u", b->pid, b->process, postgres_listed(&b->sim->pg),
		   postgres_marks(&b->sim->pg));
	oracle_check_list(b->sim);
}

static void
welcome(struct backend *b)
{
	static const char *const settings[][2] = { { "server_version", "15.0" },
						   { "client_encoding", "UTF8" },
						   { "server_encoding", "UTF8" },
						   { "DateStyle", "ISO, MDY" },
						   { "TimeZone", "UTC" },
						   { "integer_datetimes", "on" },
						   { "standard_conforming_strings", "on" },
						   { "in_hot_standby", "off" },
						   { "default_transaction_read_only", "off" } };
	static const uint8_t key[4] = "key";

	message_authentication(&b->out, 0, NULL, 0);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		message_parameter(&b->out, settings[i][0], settings[i][1]);
	message_key(&b->out, b->pid, key, sizeof(key));
	message_ready(&b->out, 'I');
	b->state = BE_READY;
	trace_line("backend %u (%u) is ready", b->pid, b->process);
}

/* --- its socket --- */

static void
receive(struct backend *b)
{
	uint8_t bytes[4096];
	ssize_t n;

	if (b->fd < 0 || b->is_lost)
		return;
	while ((n = recv(b->fd, bytes, sizeof(bytes), 0)) > 0)
		buf_put(&b->in, bytes, (size_t)n);
	b->is_lost = n == 0 || errno != EAGAIN;
}

static void
transmit(struct backend *b)
{
	ssize_t n;

	if (b->fd < 0 || b->out.len == 0)
		return;
	n = send(b->fd, b->out.bytes, b->out.len, MSG_NOSIGNAL);
	if (n > 0)
		buf_drop_front(&b->out, (size_t)n);
	else if (errno != EAGAIN)
		b->is_lost = true;
}

static void
take_message(struct backend *b)
{
	struct frame f;

	if (!frame_parse_whole(b->in.bytes, b->in.len, &f)) {
		if (b->is_lost && b->fd >= 0)
			backend_leave(b, NULL);
		return;
	}
	if (f.type == 'Q')
		backend_query(b, (const char *)b->in.bytes + FRAME_HEAD_LEN);
	else if (f.type == 'X')
		backend_leave(b, NULL);
	else
		sim_fail("backend %u gets a message of type %c", b->pid, f.type);
	buf_drop_front(&b->in, FRAME_HEAD_LEN + f.body_len);
}

static void
backend_turn(struct backend *b)
{
	bool is_due;

	receive(b);
	if (b->state == BE_STARTING)
		start(b);
	is_due = clock_now_us() >= b->due_us;
	if (b->state == BE_STARTING && b->has_started && is_due)
		enter_list(b);
	else if (b->state == BE_LISTED && is_due)
		welcome(b);
	else if (b->state == BE_READY && b->fd >= 0)
		take_message(b);
	else if (b->state == BE_READY && is_due)
		backend_leave(b, NULL); /* a stranger */
	else if (b->state == BE_RUNNING && is_due)
		backend_go_on(b);
	transmit(b);
	if (b->state == BE_LEAVING && is_due)
		backend_free(b);
}

/* --- all of it --- */

static void
accept_some(struct fleet_sim *s)
{
	int fd;

	while (fleet_chance(s, 2048) && (fd = accept4(s->pg.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct backend *b;

		if (s->pg.down_until_us > clock_now_us()) { /* it is starting up */
			close(fd);
			continue;
		}
		b = backend_new(s, fd);
		b->is_unmarked = b->process > 0 && s->processes[b->process - 1].unmarked_us > 0;
	}
}

void
postgres_turn(struct fleet_sim *s)
{
	struct backend *b, *next;

	accept_some(s);
	for (b = TAILQ_FIRST(&s->pg.backends); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		backend_turn(b);
	}
}

void
postgres_stranger(struct fleet_sim *s, uint64_t stays_us)
{
	struct backend *b = backend_new(s, -1);
	struct postgres *pg = &s->pg;

	/* One that is there while nobody looks, and leaves what is reserved, is as good as any. */
	b->is_beyond = pg->lock_holder != NULL || postgres_listed(pg) + postgres_marks(pg) + 3 > s->profile.budget;
	b->is_listed = true;
	b->state = BE_READY;
	b->due_us = clock_now_us() + stays_us;
	trace_line("a stranger is listed%s: %u, and marks of %u", b->is_beyond ? ", beyond the budget" : "",
		   postgres_listed(pg), postgres_marks(pg));
	oracle_check_list(s);
}

void
postgres_restart(struct fleet_sim *s, uint64_t down_us)
{
	trace_line("PostgreSQL restarts");
	for (unsigned i = 0; i < PROCESSES; i++)
		oracle_unmarked(s, i + 1);
	while (!TAILQ_EMPTY(&s->pg.backends)) {
		backend_forget(TAILQ_FIRST(&s->pg.backends));
		backend_free(TAILQ_FIRST(&s->pg.backends));
	}
	s->pg.down_until_us = clock_now_us() + down_us;
}

void
postgres_begin(struct fleet_sim *s)
{
	TAILQ_INIT(&s->pg.backends);
	s->pg.last_pid = 4000;
}

void
postgres_end(struct fleet_sim *s)
{
	int fd;

	while (!TAILQ_EMPTY(&s->pg.backends))
		backend_free(TAILQ_FIRST(&s->pg.backends));
	while ((fd = accept4(s->pg.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		close(fd);
}
