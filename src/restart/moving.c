#include "restart/moving.h"

#include "base/clock.h"
#include "listen/listen.h"
#include "net/timer.h"
#include "restart/handover.h"
#include "restart/link.h"
#include "restart/passport.h"
#include "restart/restart_state.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CROSSINGS 32 /* at a time */
#define CROSSING_MAX_US (3 * US_PER_S) /* how long one waits for the successor to take it, and is not read */
#define PAUSE_US (10 * US_PER_S) /* after one has waited for so long in vain */
#define WALK_MAX 512 /* clients looked at in one turn */
#define ROUND_US 100000 /* between two rounds through all clients; most move before, when they become idle */
#define READY_MAX 64 /* of those; what is beyond them moves next time */

/* A client on its way. */
struct crossing {
	uint64_t number; /* 0: free */
	struct client *client; /* NULL: it was closed meanwhile */
	int fd; /* its socket */
	uint64_t since_us;
	bool is_taken; /* the successor has it, and waits to hear that we have let go */
	bool is_released; /* that was sent */
};

struct moving {
	struct restart *r;
	struct link *link;
	pid_t pid; /* the successor's */
	bool is_on; /* clients may go */
	struct passport_writer *writer;
	struct event *pump;
	struct client *cursor; /* where the round goes on; NULL: at its end */
	struct client *ready[READY_MAX]; /* they have given their server back in this turn */
	unsigned ready_count;
	struct crossing crossings[CROSSINGS];
	uint64_t last_number;
	uint32_t moved;
	bool has_reported; /* who stays */
	uint64_t all_from_us, listeners_from_us; /* nobody, and no client that listens, is sent before this time */
};

static void
send_pool(void *arg, const struct buf *pool)
{
	struct moving *m = arg;

	link_send(m->link, HANDOVER_POOL, pool->bytes, pool->len, -1);
}

static void
send_text(void *arg, const struct buf *text)
{
	struct moving *m = arg;

	link_send(m->link, HANDOVER_TEXT, text->bytes, text->len, -1);
}

static void
send_number(struct moving *m, uint8_t type, uint64_t number, const uint8_t *more, size_t more_len)
{
	struct buf b = { 0 };

	buf_put_u64(&b, number);
	buf_put(&b, more, more_len);
	link_send(m->link, type, b.bytes, b.len, -1);
	buf_fini(&b);
}

static struct crossing *
find_crossing(struct moving *m, uint64_t number)
{
	for (size_t i = 0; i < CROSSINGS; i++)
		if (m->crossings[i].number == number)
			return &m->crossings[i];
	return NULL;
}

bool
moving_has_crossings(const struct moving *m)
{
	for (size_t i = 0; i < CROSSINGS; i++)
		if (m->crossings[i].number != 0)
			return true;
	return false;
}

static void
go_on_reading(struct client *c)
{
	passport_begin_reading(c);
	listen_flush(&c->x);
}

static void
send_client(struct moving *m, struct crossing *at, struct client *c)
{
	struct buf b = { .limit = 2 * BUF_LIMIT_DEFAULT };

	if (passport_write(m->writer, c, m->last_number + 1, &b) < 0 || b.len > LINK_BODY_MAX) {
		c->is_staying = true;
		buf_fini(&b);
		return;
	}
	*at = (struct crossing){
		.number = ++m->last_number, .client = c, .fd = c->x.stream.fd, .since_us = restart_now_us(m->r)
	};
	c->x.is_crossing = true;
	stream_suspend(&c->x.stream, true);
	link_send(m->link, HANDOVER_CLIENT, b.bytes, b.len, c->x.stream.fd);
	explicit_bzero(b.bytes, b.len); /* its cancel key */
	buf_fini(&b);
}

/* How many stay, by the reason. Returns how many there are. */
static uint32_t
count_staying(const struct moving *m, uint32_t counts[static PASSPORT_OBSTACLES])
{
	const struct client *c;
	uint32_t all = 0;

	memset(counts, 0, PASSPORT_OBSTACLES * sizeof(counts[0]));
	TAILQ_FOREACH(c, &m->r->host.clients->clients, all) {
		counts[passport_obstacle(c)]++;
		all++;
	}
	return all;
}

static void
tell_who_stays(struct moving *m)
{
	uint32_t counts[PASSPORT_OBSTACLES], all = count_staying(m, counts);
	char text[512] = "";
	size_t len = 0;

	m->has_reported = true;
	for (enum passport_obstacle o = PASSPORT_NONE; o < PASSPORT_OBSTACLES; o++)
		if (counts[o] > 0 && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu32 " %s",
						len > 0 ? ", " : ": ", counts[o], passport_obstacle_name(o));
	log_info(restart_env(m->r)->log,
		 "restart: %" PRIu32 " clients have moved to process %ld, %" PRIu32 " stay for now%s", m->moved,
		 (long)m->pid, all, text);
}

static void
pump_again(struct moving *m, uint64_t us)
{
	timer_start(m->pump, us);
}

/* Sends the client, if it can move now. Returns false if no more can move for now. */
static bool
try_client(struct moving *m, struct client *c)
{
	struct crossing *at;

	if (passport_obstacle(c) != PASSPORT_NONE || restart_now_us(m->r) < m->all_from_us ||
	    (c->x.listen != NULL && restart_now_us(m->r) < m->listeners_from_us))
		return true;
	if (!link_is_drained(m->link) || (at = find_crossing(m, 0)) == NULL)
		return false;
	send_client(m, at, c);
	return true;
}

/* Moves clients that have just given their server back, before their next bytes are read. */
static bool
move_ready(struct moving *m)
{
	while (m->ready_count > 0 && try_client(m, m->ready[m->ready_count - 1]))
		m->ready_count--;
	return m->ready_count == 0;
}

/* Does one turn: a part of a round through all clients. */
static void
pump(evutil_socket_t fd, short what, void *arg)
{
	struct moving *m = arg;
	struct client *c;
	bool may_go_on;

	(void)fd;
	(void)what;
	if (!m->is_on)
		return;
	*restart_env(m->r)->now_us = clock_now_us();
	c = m->cursor != NULL ? m->cursor : TAILQ_FIRST(&m->r->host.clients->clients);
	may_go_on = move_ready(m);
	for (int i = 0; may_go_on && c != NULL && i < WALK_MAX; i++)
		if ((may_go_on = try_client(m, c)))
			c = TAILQ_NEXT(c, all);
	m->cursor = c;
	if (c == NULL && !m->has_reported && !moving_has_crossings(m))
		tell_who_stays(m);
	pump_again(m, c == NULL || !may_go_on ? ROUND_US : 0);
}

/* Sooner or later: from the loop, since whoever has called may go on with c. */
void
moving_client_released(struct moving *m, struct client *c)
{
	if (c->is_staying || c->x.stream.secured != NULL || m->ready_count == READY_MAX)
		return;
	m->ready[m->ready_count++] = c;
	if (m->ready_count == 1)
		pump_again(m, 0);
}

/* The successor knows that the client is its own once this is out of our hands. */
static void
let_go_of_released(struct moving *m)
{
	if (!link_is_drained(m->link))
		return;
	for (size_t i = 0; i < CROSSINGS; i++) {
		struct client *c = m->crossings[i].client;

		if (!m->crossings[i].is_released)
			continue;
		m->crossings[i] = (struct crossing){ 0 };
		if (c == NULL)
			continue;
		m->moved++;
		client_let_go(c); /* may end this process's work */
	}
}

static void
release(struct moving *m, struct crossing *at)
{
	size_t len = 0;
	const uint8_t *queued = at->client == NULL ? NULL : listen_queued(&at->client->x, &len);

	at->is_released = true;
	send_number(m, at->client == NULL ? HANDOVER_GONE : HANDOVER_YOURS, at->number, queued, len);
	let_go_of_released(m);
}

static void
on_taken(struct moving *m, struct crossing *at)
{
	if (at->is_taken)
		return;
	at->is_taken = true;
	if (at->client == NULL || !listen_crossing_catch_up(&at->client->x))
		release(m, at);
}

static void
on_refused(struct moving *m, struct crossing *at, const uint8_t *text, size_t len)
{
	struct client *c = at->client;

	*at = (struct crossing){ 0 };
	if (c == NULL)
		return;
	log_warning(restart_env(m->r)->log, "restart: client %" PRIu64 " stays: the successor can't take it: %.*s",
		    c->x.ticket.id, (int)(len < 200 ? len : 200), (const char *)text);
	c->is_staying = true;
	go_on_reading(c);
}

/*
 * Takes back clients that the successor has not taken in time: they listen and it has no server for that, or it hangs.
 * A TAKEN that comes later finds nobody.
 */
void
moving_tick(struct moving *m)
{
	for (size_t i = 0; i < CROSSINGS && link_is_drained(m->link); i++) {
		struct crossing *at = &m->crossings[i];
		struct client *c = at->client;

		if (c == NULL || at->is_taken || restart_now_us(m->r) - at->since_us < CROSSING_MAX_US)
			continue;
		log_warning(restart_env(m->r)->log,
			    "restart: client %" PRIu64 " stays for now: the successor has not taken it in time",
			    c->x.ticket.id);
		send_number(m, HANDOVER_GONE, at->number, NULL, 0);
		*at = (struct crossing){ 0 };
		*(c->x.listen != NULL ? &m->listeners_from_us : &m->all_from_us) = restart_now_us(m->r) + PAUSE_US;
		go_on_reading(c);
	}
}

void
moving_client_caught_up(struct moving *m, const struct client *c)
{
	for (size_t i = 0; i < CROSSINGS; i++)
		if (m->crossings[i].number != 0 && m->crossings[i].client == c && m->crossings[i].is_taken &&
		    !m->crossings[i].is_released)
			release(m, &m->crossings[i]);
}

void
moving_client_gone(struct moving *m, const struct client *c)
{
	if (m->cursor == c)
		m->cursor = TAILQ_NEXT(c, all);
	for (unsigned i = 0; i < m->ready_count; i++)
		if (m->ready[i] == c)
			m->ready[i--] = m->ready[--m->ready_count];
	for (size_t i = 0; i < CROSSINGS; i++) {
		if (m->crossings[i].number == 0 || m->crossings[i].client != c)
			continue;
		m->crossings[i].client = NULL;
		link_take_back(m->link, m->crossings[i].fd);
		if (m->crossings[i].is_taken && !m->crossings[i].is_released)
			release(m, &m->crossings[i]);
	}
}

void
moving_take_back(struct moving *m, bool is_dead)
{
	for (size_t i = 0; i < CROSSINGS; i++) {
		struct client *c = m->crossings[i].client;
		bool is_released = m->crossings[i].is_released;

		m->crossings[i] = (struct crossing){ 0 };
		if (c != NULL && is_released && !is_dead)
			client_let_go(c);
		else if (c != NULL)
			go_on_reading(c);
	}
}

void
moving_on_message(struct moving *m, uint8_t type, const uint8_t *body, size_t len)
{
	struct crossing *at = len < 8 || wire_u64(body) == 0 ? NULL : find_crossing(m, wire_u64(body));

	if (at == NULL)
		return;
	if (type == HANDOVER_TAKEN)
		on_taken(m, at);
	else if (!at->is_taken)
		on_refused(m, at, body + 8, len - 8);
	if (m->cursor != NULL || m->ready_count > 0)
		pump_again(m, 0);
	restart_end_if_moved(m->r);
}

struct moving *
moving_new(struct restart *r, struct link *link, pid_t successor)
{
	struct moving *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->r = r;
	m->link = link;
	m->pid = successor;
	m->writer = passport_writer_new(send_pool, send_text, m);
	m->pump = event_new(restart_env(r)->base, -1, 0, pump, m);
	if (m->writer != NULL && m->pump != NULL)
		return m;
	moving_free(m);
	return NULL;
}

void
moving_free(struct moving *m)
{
	if (m == NULL)
		return;
	if (m->pump != NULL)
		event_free(m->pump);
	passport_writer_free(m->writer);
	free(m);
}

void
moving_begin(struct moving *m)
{
	m->is_on = m->r->host.clients->x.is_moving = true;
	pump_again(m, 0);
}

void
moving_stop(struct moving *m)
{
	m->is_on = false;
}

void
moving_on_drained(struct moving *m)
{
	let_go_of_released(m);
	pump_again(m, 0);
	restart_end_if_moved(m->r);
}

uint32_t
moving_count(const struct moving *m)
{
	return m->moved;
}

bool
moving_has_reported(const struct moving *m)
{
	return m->has_reported;
}
