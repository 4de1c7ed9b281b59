#include "restart/moving.h"
#include "client/clients.h"
#include "listen/listen.h"
#include "net/loop.h"
#include "restart/handover.h"
#include "restart/link.h"
#include "restart/client_record.h"
#include "restart/restart_state.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFERS_MAX PARKED_MAX /* the most clients on their way at a time */
#define TRANSFER_MAX_US (3 * US_PER_S) /* how long a client on its way waits for TAKEN; it is not read meanwhile */
#define PAUSE_US (10 * US_PER_S) /* the pause after a client was not TAKEN in time; see take_back_late() */
#define SILENCE_US US_PER_S /* the time from a failed halt to the next attempt; an attempt may take as long itself */
#define WALK_MAX 512 /* clients looked at in one turn */
#define ROUND_US 100000 /* between two rounds through all clients; most move earlier, when they become idle */

enum stage {
	STAGE_SENT,
	STAGE_REFUSED, /* the successor can't take the client */
	STAGE_TAKEN, /* the successor has the client, and waits until this process has let go of it */
	STAGE_CATCHING_UP, /* like TAKEN, while the client's listener here catches up for the last time */
	STAGE_RELEASED /* YOURS or GONE was sent */
};

/* A client on its way to the successor. */
struct transfer {
	uint64_t number; /* 0 if this place is free */
	struct client *client; /* NULL if the client was closed meanwhile */
	uint64_t since_us;
	enum stage stage;
};

struct moving {
	struct restart *r;
	struct link *link;
	pid_t pid; /* the successor's */
	bool is_on; /* true while clients may be sent */
	bool is_due; /* true if messages have come that move_some() has not handled */
	struct client_record_writer *writer;
	struct timer pump;
	/* the worker that the round has come to; points to NULL at the end of the round */
	struct client_env *const *at;
	struct transfer transfers[TRANSFERS_MAX];
	uint64_t last_number;
	/* no client is sent before all_from_us, and no client that listens before listeners_from_us */
	uint64_t all_from_us, listeners_from_us;
	uint64_t silent_until_us; /* no halt is asked for before this time */
	char last_staying[STAYING_MAX]; /* the text of the last STAYING that was sent */
};

static void
send_shared(void *arg, bool is_pool, const struct buf *what)
{
	struct moving *m = arg;

	link_send(m->link, is_pool ? HANDOVER_POOL : HANDOVER_TEXT, what->bytes, what->len, -1);
}

static struct transfer *
find_transfer(struct moving *m, uint64_t number)
{
	for (size_t i = 0; i < TRANSFERS_MAX; i++)
		if (m->transfers[i].number == number)
			return &m->transfers[i];
	return NULL;
}

bool
moving_has_transfers(const struct moving *m)
{
	for (size_t i = 0; i < TRANSFERS_MAX; i++)
		if (m->transfers[i].number != 0)
			return true;
	return false;
}

/* Writes how many clients stay for each reason. Returns how many clients there are. */
static uint32_t
count_staying(const struct moving *m, char text[STAYING_MAX])
{
	struct client_env *const *client_envs = m->r->host.main_env->client_envs;
	uint32_t counts[CLIENT_RECORD_OBSTACLES] = { 0 }, all = 0;
	size_t len = 0;

	text[0] = '\0';
	for (const struct client *c = clients_walk(client_envs, NULL); c != NULL;
	     c = clients_walk(client_envs, c), all++)
		counts[client_record_find_obstacle(c)]++;
	for (enum client_record_obstacle o = CLIENT_RECORD_NONE; o < CLIENT_RECORD_OBSTACLES; o++)
		if (counts[o] > 0 && len < STAYING_MAX)
			len += (size_t)snprintf(text + len, STAYING_MAX - len, "%s%" PRIu32 " %s", len > 0 ? ", " : "",
						counts[o], client_record_obstacle_name(o));
	return all;
}

/* Called at the end of a round if no client is on its way. The first time, logs which clients stay. Tells the successor
 * whenever the reasons or their numbers have changed. */
static void
report_staying(struct moving *m)
{
	char text[STAYING_MAX];
	uint32_t all = count_staying(m, text);

	if (!m->r->has_reported)
		log_info(restart_env(m->r)->log, "restart: %s moved to process %ld, %" PRIu32 " staying for now%s%s",
			 base_format_count(m->r->moved, "client has", "clients have").text, (long)m->pid, all,
			 all > 0 ? ": " : "", text);
	m->r->has_reported = true;
	if (strcmp(text, m->last_staying) == 0)
		return;
	memcpy(m->last_staying, text, sizeof(text));
	link_send_number(m->link, HANDOVER_STAYING, all, text, strlen(text));
}

/* Returns true if another client can be sent now. */
static bool
may_send(struct moving *m)
{
	return link_is_drained(m->link) && restart_now_us(m->r) >= m->all_from_us && find_transfer(m, 0) != NULL;
}

/* Sends the client, if it can move now. Returns false if it stays for now. */
static bool
try_client(struct moving *m, struct client *c)
{
	struct buf b = { .limit = 2 * BUF_LIMIT_DEFAULT };

	if (!may_send(m) || client_record_find_obstacle(c) != CLIENT_RECORD_NONE ||
	    (c->x.listen != NULL && restart_now_us(m->r) < m->listeners_from_us))
		return false;
	if (client_record_write(m->writer, c, m->last_number + 1, &b) < 0 || b.len > LINK_BODY_MAX)
		c->is_staying = true;
	else {
		*find_transfer(m, 0) = (struct transfer){
			.number = ++m->last_number, .client = c, .since_us = restart_now_us(m->r), .stage = STAGE_SENT
		};
		c->x.reading = EXCHANGE_IN_TRANSFER;
		stream_suspend(&c->x.stream, true);
		link_send(m->link, HANDOVER_CLIENT, b.bytes, b.len, c->x.stream.fd);
		explicit_bzero(b.bytes, b.len); /* the client's cancel key */
	}
	buf_fini(&b);
	return c->x.reading == EXCHANGE_IN_TRANSFER;
}

/* Returns the next client of a round through all workers; NULL at the end of the round. */
static struct client *
next_of_round(struct moving *m)
{
	struct client *c = (*m->at)->cursor;

	while (c == NULL && *++m->at != NULL)
		c = TAILQ_FIRST(&(*m->at)->clients);
	if (c != NULL)
		(*m->at)->cursor = TAILQ_NEXT(c, all);
	return c;
}

/* Does a part of a round. Returns true at the end of the round. */
static bool
walk_round(struct moving *m)
{
	struct client *c;

	if (*m->at == NULL) {
		m->at = m->r->host.main_env->client_envs;
		(*m->at)->cursor = TAILQ_FIRST(&(*m->at)->clients);
	}
	for (int i = 0; i < WALK_MAX && may_send(m); i++) {
		if ((c = next_of_round(m)) == NULL)
			return true;
		try_client(m, c);
	}
	return false;
}

/* Closes clients for which YOURS was sent, once YOURS has left this process: the successor then reads from them. */
static void
close_released(struct moving *m)
{
	if (!link_is_drained(m->link))
		return;
	for (size_t i = 0; i < TRANSFERS_MAX; i++) {
		struct client *c = m->transfers[i].client;

		if (m->transfers[i].number == 0 || m->transfers[i].stage != STAGE_RELEASED)
			continue;
		m->transfers[i] = (struct transfer){ 0 };
		if (c == NULL)
			continue;
		m->r->moved++;
		client_close_copy(c);
	}
}

static void
release(struct moving *m, struct transfer *t)
{
	const struct client *c = restart_null_if_closed(t->client);
	size_t len = 0;
	const uint8_t *queued = c == NULL ? NULL : listen_queued(&c->x, &len);

	t->stage = STAGE_RELEASED;
	if (c == NULL)
		t->client = NULL;
	link_send_number(m->link, c == NULL ? HANDOVER_GONE : HANDOVER_YOURS, t->number, queued, len);
}

/* Takes back a client that the successor has not taken in time. If c listens, the successor may lack a server for c's
 * listener, so no listening client is sent for PAUSE_US; else it may hang, so none is. A later TAKEN is ignored. */
static void
take_back_late(struct moving *m, struct transfer *t)
{
	struct client *c = restart_null_if_closed(t->client);

	link_send_number(m->link, HANDOVER_GONE, t->number, NULL, 0);
	*t = (struct transfer){ 0 };
	if (c == NULL)
		return;
	log_warning(restart_env(m->r)->log,
		    "restart: client %" PRIu64 " stays for now: the successor has not taken it in time",
		    c->x.waiter.id);
	*(c->x.listen != NULL ? &m->listeners_from_us : &m->all_from_us) = restart_now_us(m->r) + PAUSE_US;
	parked_resume(c);
}

/* Takes the next step with a client on its way. */
static void
advance(struct moving *m, struct transfer *t)
{
	struct client *c = restart_null_if_closed(t->client);

	switch (t->stage) {
	case STAGE_SENT:
		if (restart_now_us(m->r) - t->since_us >= TRANSFER_MAX_US)
			take_back_late(m, t);
		break;
	case STAGE_REFUSED:
		*t = (struct transfer){ 0 };
		if (c != NULL) {
			c->is_staying = true;
			parked_resume(c);
		}
		break;
	case STAGE_TAKEN:
		t->stage = STAGE_CATCHING_UP;
		if (c != NULL)
			listen_transfer_catch_up(&c->x);
		/* fall through */
	case STAGE_CATCHING_UP:
		if (c == NULL || !listen_transfer_waits(&c->x))
			release(m, t);
		break;
	case STAGE_RELEASED:
		break;
	}
}

/* Called when a worker does not answer: no client moves for now. Clients on their way stay here, unless YOURS was sent
 * for them. */
static void
stay_for_now(struct moving *m, const struct fail *why)
{
	uint64_t now_us = restart_now_us(m->r);

	if (now_us >= m->silent_until_us + SILENCE_US) /* else the log says so already */
		log_warning(restart_env(m->r)->log, "restart: no client moves for now: %s", why->text);
	m->silent_until_us = now_us + SILENCE_US;
	parked_set_room(m->r->parked, 0, 0);
	for (size_t i = 0; i < TRANSFERS_MAX; i++) {
		struct transfer *t = &m->transfers[i];

		if (t->number == 0 || t->stage == STAGE_RELEASED)
			continue;
		if (t->stage != STAGE_REFUSED)
			link_send_number(m->link, HANDOVER_GONE, t->number, NULL, 0);
		if (t->client != NULL)
			parked_add_stranded(m->r->parked, t->client);
		*t = (struct transfer){ 0 };
	}
}

/* Moves some clients, in a halt. Returns true at the end of a round. */
static bool
move_some(struct moving *m)
{
	unsigned free_count = 0;
	struct client *c;
	bool is_end;

	for (size_t i = 0; i < TRANSFERS_MAX; i++)
		if (m->transfers[i].number != 0)
			advance(m, &m->transfers[i]);
	close_released(m);
	/* Moves clients that have just given their server back, before their next bytes are read. */
	while ((c = parked_take(m->r->parked, NULL)) != NULL)
		if (c->x.reading == EXCHANGE_IN_TRANSFER ||
		    !try_client(m, c)) /* a client in transfer comes from parked_add_stranded() */
			parked_resume(c);
	is_end = walk_round(m);
	for (size_t i = 0; i < TRANSFERS_MAX; i++)
		free_count += m->transfers[i].number == 0;
	parked_set_room(m->r->parked, may_send(m) ? free_count : 0, m->listeners_from_us);
	if (is_end && !moving_has_transfers(m))
		report_staying(m);
	return is_end;
}

/* Moves some clients if the workers can be halted. Returns true if nothing is left to do for now. */
static bool
move_in_halt(struct moving *m)
{
	const struct restart_host *host = &m->r->host;
	struct fail why;
	bool is_end;

	if (restart_now_us(m->r) < m->silent_until_us)
		return true;
	if (host->halt(host->w, &why) < 0) {
		stay_for_now(m, &why);
		return true;
	}
	is_end = move_some(m);
	host->end_the_halt(host->w);
	return is_end || !may_send(m);
}

void
moving_advance(struct moving *m)
{
	if (!m->is_on)
		return;
	m->is_due = false;
	*restart_env(m->r)->now_us = clock_now_us();
	timer_start(&m->pump, move_in_halt(m) ? ROUND_US : 0);
	restart_end_if_moved(m->r);
}

static void
on_pump(void *arg)
{
	moving_advance(arg);
}

void
moving_client_gone(struct moving *m, const struct client *c)
{
	for (size_t i = 0; i < TRANSFERS_MAX; i++)
		if (m->transfers[i].number != 0 && m->transfers[i].client == c) {
			m->transfers[i].client = NULL;
			timer_start(&m->pump, 0);
		}
}

void
moving_take_back(struct moving *m, bool is_dead)
{
	for (size_t i = 0; i < TRANSFERS_MAX; i++) {
		struct client *c = restart_null_if_closed(m->transfers[i].client);
		bool is_released = m->transfers[i].stage == STAGE_RELEASED;

		m->transfers[i] = (struct transfer){ 0 };
		if (c != NULL && is_released && !is_dead)
			client_close_copy(c);
		else if (c != NULL)
			parked_resume(c);
	}
}

void
moving_on_message(struct moving *m, uint8_t type, const uint8_t *body, size_t len)
{
	struct transfer *t = len < 8 || wire_u64(body) == 0 ? NULL : find_transfer(m, wire_u64(body));

	if (t == NULL || t->stage != STAGE_SENT)
		return;
	t->stage = type == HANDOVER_TAKEN ? STAGE_TAKEN : STAGE_REFUSED;
	if (type != HANDOVER_TAKEN && t->client != NULL) /* the text of REFUSED gives the reason */
		log_warning(restart_env(m->r)->log,
			    "restart: client %" PRIu64 " stays: the successor cannot take it: %.*s",
			    t->client->x.waiter.id, (int)(len - 8 < 200 ? len - 8 : 200), (const char *)body + 8);
	m->is_due = true;
}

void
moving_on_batch_end(struct moving *m)
{
	if (m->is_due)
		moving_advance(m);
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
	r->moved = 0;
	r->has_reported = false;
	m->writer = client_record_writer_new(send_shared, m);
	timer_init(&m->pump, restart_env(r)->base, restart_env(r)->now_us, on_pump, m);
	if (m->writer != NULL)
		return m;
	moving_free(m);
	return NULL;
}

void
moving_free(struct moving *m)
{
	if (m == NULL)
		return;
	timer_stop(&m->pump);
	client_record_writer_free(m->writer);
	free(m);
}

void
moving_begin(struct moving *m)
{
	struct client_env *const *client_envs = m->r->host.main_env->client_envs;

	m->is_on = true;
	for (m->at = client_envs; *m->at != NULL; m->at++)
		(*m->at)->x.is_moving = true;
	timer_start(&m->pump, 0);
}

void
moving_stop(struct moving *m)
{
	m->is_on = false;
	parked_set_room(m->r->parked, 0, 0);
}

void
moving_on_drained(struct moving *m)
{
	if (m->is_on)
		timer_start(&m->pump, 0);
}
