/* src/weir_moving.c - the clients of a process that goes move to its successor. */
#include "weir_moving.h"

#include "listen/listen.h"
#include "weir_handover.h"

#include "base/clock.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CROSSING_MAX_US (3 * US_PER_S) /* how long one waits for the successor to take it, and is not read */
#define PAUSE_US (10 * US_PER_S) /* after one has waited for so long in vain */
#define WALK_MAX 512 /* clients looked at in one turn */
#define ROUND_US 100000 /* between two rounds through all clients; most move before, when they become idle */

void
moving_send_pool(void *arg, const struct buf *pool)
{
	struct successor *s = arg;

	link_send(s->link, HANDOVER_POOL, pool->bytes, pool->len, -1);
}

void
moving_send_text(void *arg, const struct buf *text)
{
	struct successor *s = arg;

	link_send(s->link, HANDOVER_TEXT, text->bytes, text->len, -1);
}

static void
send_number(struct successor *s, uint8_t type, uint64_t number, const uint8_t *more, size_t more_len)
{
	struct buf b = { 0 };

	buf_put_u64(&b, number);
	buf_put(&b, more, more_len);
	link_send(s->link, type, b.bytes, b.len, -1);
	buf_fini(&b);
}

static struct crossing *
find_crossing(struct successor *s, uint64_t number)
{
	for (size_t i = 0; i < CROSSINGS; i++)
		if (s->crossings[i].number == number)
			return &s->crossings[i];
	return NULL;
}

bool
moving_has_crossings(const struct successor *s)
{
	for (size_t i = 0; i < CROSSINGS; i++)
		if (s->crossings[i].number != 0)
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
send_client(struct successor *s, struct crossing *at, struct client *c)
{
	struct buf b = { .limit = 2 * BUF_LIMIT_DEFAULT };

	if (passport_write(s->office, c, s->last_number + 1, &b) < 0 || b.len > LINK_BODY_MAX) {
		c->is_staying = true;
		buf_fini(&b);
		return;
	}
	*at = (struct crossing){
		.number = ++s->last_number, .client = c, .fd = c->x.stream.fd, .since_us = s->w->now_us
	};
	c->x.is_crossing = true;
	stream_suspend(&c->x.stream, true);
	link_send(s->link, HANDOVER_CLIENT, b.bytes, b.len, c->x.stream.fd);
	explicit_bzero(b.bytes, b.len); /* its cancel key */
	buf_fini(&b);
}

/* How many stay, by the reason. Returns how many there are. */
static uint32_t
count_staying(const struct successor *s, uint32_t counts[static PASSPORT_OBSTACLES])
{
	const struct client *c;
	uint32_t all = 0;

	memset(counts, 0, PASSPORT_OBSTACLES * sizeof(counts[0]));
	TAILQ_FOREACH(c, &s->w->clients.clients, all)
	{
		counts[passport_obstacle(c)]++;
		all++;
	}
	return all;
}

static void
tell_who_stays(struct successor *s)
{
	uint32_t counts[PASSPORT_OBSTACLES], all = count_staying(s, counts);
	char text[512] = "";
	size_t len = 0;

	s->is_told = true;
	for (enum passport_obstacle o = PASSPORT_NONE; o < PASSPORT_OBSTACLES; o++)
		if (counts[o] > 0 && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu32 " %s",
						len > 0 ? ", " : ": ", counts[o], passport_obstacle_name(o));
	log_info(s->w->log, "restart: %" PRIu32 " clients have moved to process %ld, %" PRIu32 " stay for now%s",
		 s->moved, (long)s->pid, all, text);
}

void
moving_pump_again(struct successor *s, suseconds_t us)
{
	struct timeval tv = { 0, us };

	event_add(s->pump, &tv);
}

/* Sends the client, if it can move now. Returns false: no more for now. */
static bool
try_client(struct successor *s, struct client *c)
{
	struct crossing *at;

	if (passport_obstacle(c) != PASSPORT_NONE || s->w->now_us < s->all_from_us ||
	    (c->x.listen != NULL && s->w->now_us < s->listeners_from_us))
		return true;
	if (!link_is_drained(s->link) || (at = find_crossing(s, 0)) == NULL)
		return false;
	send_client(s, at, c);
	return true;
}

/* Those that have given their server back just now, before the next bytes of theirs are read. */
static bool
move_ready(struct successor *s)
{
	while (s->ready_count > 0 && try_client(s, s->ready[s->ready_count - 1]))
		s->ready_count--;
	return s->ready_count == 0;
}

/* One turn: a part of a round through all clients. */
void
moving_pump(evutil_socket_t fd, short what, void *arg)
{
	struct successor *s = arg;
	struct client *c;
	bool may_go_on;

	(void)fd;
	(void)what;
	if (s->stage != STAGE_MOVING)
		return;
	s->w->now_us = clock_now_us();
	c = s->cursor != NULL ? s->cursor : TAILQ_FIRST(&s->w->clients.clients);
	may_go_on = move_ready(s);
	for (int i = 0; may_go_on && c != NULL && i < WALK_MAX; i++)
		if ((may_go_on = try_client(s, c)))
			c = TAILQ_NEXT(c, all);
	s->cursor = c;
	if (c == NULL && !s->is_told && !moving_has_crossings(s))
		tell_who_stays(s);
	moving_pump_again(s, c == NULL || !may_go_on ? ROUND_US : 0);
}

/* Sooner or later: from the loop, since whoever has called may go on with x. */
void
weir_client_released(struct exchange *x)
{
	struct weir *w = x->env->up;
	struct successor *s = w->successor;
	struct client *c = client_of(x);

	if (s == NULL || c->is_staying || x->stream.secured != NULL || s->ready_count == READY_MAX)
		return;
	s->ready[s->ready_count++] = c;
	if (s->ready_count == 1)
		moving_pump_again(s, 0);
}

/* The successor knows that the client is its own once this is out of our hands. */
void
moving_let_go_of_released(struct successor *s)
{
	if (!link_is_drained(s->link))
		return;
	for (size_t i = 0; i < CROSSINGS; i++) {
		struct client *c = s->crossings[i].client;

		if (!s->crossings[i].is_released)
			continue;
		s->crossings[i] = (struct crossing){ 0 };
		if (c == NULL)
			continue;
		s->moved++;
		client_let_go(c); /* may end this process's work */
	}
}

static void
release(struct successor *s, struct crossing *at)
{
	size_t len = 0;
	const uint8_t *queued = at->client == NULL ? NULL : listen_queued(&at->client->x, &len);

	at->is_released = true;
	send_number(s, at->client == NULL ? HANDOVER_GONE : HANDOVER_YOURS, at->number, queued, len);
	moving_let_go_of_released(s);
}

static void
on_taken(struct successor *s, struct crossing *at)
{
	if (at->is_taken)
		return;
	at->is_taken = true;
	if (at->client == NULL || !listen_crossing_catch_up(&at->client->x))
		release(s, at);
}

static void
on_refused(struct successor *s, struct crossing *at, const uint8_t *text, size_t len)
{
	struct client *c = at->client;

	*at = (struct crossing){ 0 };
	if (c == NULL)
		return;
	log_warning(s->w->log, "restart: client %" PRIu64 " stays: the successor can't take it: %.*s", c->x.ticket.id,
		    (int)(len < 200 ? len : 200), (const char *)text);
	c->is_staying = true;
	go_on_reading(c);
}

/* It would listen there, and no server can be had; or the successor hangs. TAKEN may still come, and finds nobody. */
void
moving_call_back_late(struct successor *s)
{
	for (size_t i = 0; i < CROSSINGS && link_is_drained(s->link); i++) {
		struct crossing *at = &s->crossings[i];
		struct client *c = at->client;

		if (c == NULL || at->is_taken || s->w->now_us - at->since_us < CROSSING_MAX_US)
			continue;
		log_warning(s->w->log,
			    "restart: client %" PRIu64 " stays for now: the successor has not taken it in time",
			    c->x.ticket.id);
		send_number(s, HANDOVER_GONE, at->number, NULL, 0);
		*at = (struct crossing){ 0 };
		*(c->x.listen != NULL ? &s->listeners_from_us : &s->all_from_us) = s->w->now_us + PAUSE_US;
		go_on_reading(c);
	}
}

/* The listener has caught up: what was notified before is in the client's queue. */
void
weir_crossing_heard(struct exchange *x)
{
	struct weir *w = x->env->up;
	struct successor *s = w->successor;

	if (s == NULL) {
		weir_newcomer_heard(x);
		return;
	}
	for (size_t i = 0; i < CROSSINGS; i++)
		if (s->crossings[i].number != 0 && s->crossings[i].client == client_of(x) && s->crossings[i].is_taken &&
		    !s->crossings[i].is_released)
			release(s, &s->crossings[i]);
}

void
weir_client_gone_moving(struct weir *w, const struct client *c)
{
	struct successor *s = w->successor;

	if (s == NULL)
		return;
	if (s->cursor == c)
		s->cursor = TAILQ_NEXT(c, all);
	for (unsigned i = 0; i < s->ready_count; i++)
		if (s->ready[i] == c)
			s->ready[i--] = s->ready[--s->ready_count];
	for (size_t i = 0; i < CROSSINGS; i++) {
		if (s->crossings[i].number == 0 || s->crossings[i].client != c)
			continue;
		s->crossings[i].client = NULL;
		link_take_back(s->link, s->crossings[i].fd);
		if (s->crossings[i].is_taken && !s->crossings[i].is_released)
			release(s, &s->crossings[i]);
	}
	weir_end_if_moved(w);
}

/* Those on their way are read on here, but for those that a successor which lives may be reading. */
void
moving_take_back(struct successor *s, bool is_dead)
{
	for (size_t i = 0; i < CROSSINGS; i++) {
		struct client *c = s->crossings[i].client;
		bool is_released = s->crossings[i].is_released;

		s->crossings[i] = (struct crossing){ 0 };
		if (c != NULL && is_released && !is_dead)
			client_let_go(c);
		else if (c != NULL)
			go_on_reading(c);
	}
}

void
moving_on_message(struct successor *s, uint8_t type, const uint8_t *body, size_t len)
{
	struct crossing *at = len < 8 || wire_u64(body) == 0 ? NULL : find_crossing(s, wire_u64(body));

	if (at == NULL)
		return;
	if (type == HANDOVER_TAKEN)
		on_taken(s, at);
	else if (!at->is_taken)
		on_refused(s, at, body + 8, len - 8);
	if (s->cursor != NULL || s->ready_count > 0)
		moving_pump_again(s, 0);
	weir_end_if_moved(s->w);
}
