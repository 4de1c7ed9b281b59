/*
 * src/weir_successor.c - a hitless restart, in the process that goes: it starts its successor, passes its listening
 * sockets and then its clients on, and ends when none is left. What the two say to each other: weir_handover.h.
 *
 * Clients move when they are between two requests: all that are idle at first, a few in each turn of the loop, and
 * others as soon as they have given their server back. What can't move is served here until it leaves, or until
 * restart_timeout is over; then this process stops as it does at SIGTERM.
 *
 * Always: a client is closed here only after the successor has confirmed that it has it. If the successor is lost
 * before that, the client is read on.
 */
#include "weir_state.h"

#include "client/passport.h"
#include "listen/listen.h"
#include "net/link.h"
#include "weir_handover.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "wire/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MAX_US (60 * US_PER_S) /* how long a successor may take to start */
#define LOST_MAX_US (2 * US_PER_S) /* how long one may live on without its link */
#define CROSSINGS 32 /* at a time */
#define CROSSING_MAX_US (3 * US_PER_S) /* how long one waits for the successor to take it, and is not read */
#define PAUSE_US (10 * US_PER_S) /* after one has waited for so long in vain */
#define WALK_MAX 512 /* clients looked at in one turn */
#define ROUND_US 100000 /* between two rounds through all clients; most move before, when they become idle */
#define READY_MAX 64 /* of those; what is beyond them moves next time */

enum stage {
	STAGE_STARTING,
	STAGE_MOVING, /* it accepts clients, and takes over ours */
	STAGE_LOST /* its link is broken; whether it lives is not known yet */
};

/* A client on its way. */
struct crossing {
	uint64_t number; /* 0: free */
	struct client *client; /* NULL: it was closed meanwhile */
	int fd; /* its socket */
	uint64_t since_us;
	bool is_taken; /* the successor has it, and waits to hear that we have let go */
	bool is_released; /* that was sent */
};

struct successor {
	struct weir *w;
	struct link *link;
	pid_t pid;
	enum stage stage;
	uint64_t since_us;
	struct passport_office *office;
	struct event *pump;
	struct client *cursor; /* where the round goes on; NULL: at its end */
	struct client *ready[READY_MAX]; /* they have given their server back in this turn */
	unsigned ready_count;
	struct crossing crossings[CROSSINGS];
	uint64_t last_number;
	uint32_t moved;
	bool is_told; /* who stays */
	uint64_t all_from_us, listeners_from_us; /* nobody, and no client that listens, is sent before this time */
};

/* --- starting it --- */

static void on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd);
static void on_drained(void *arg);
static void on_closed(void *arg);
static const struct link_ops link_ops = { on_message, on_drained, on_closed };

static void
send_listener(struct successor *s, char kind, const char *host, uint16_t port, int fd)
{
	struct buf b = { 0 };

	buf_put_u8(&b, (uint8_t)kind);
	buf_put_u16(&b, port);
	buf_put_str(&b, host);
	link_send(s->link, HANDOVER_LISTENER, b.bytes, b.len, fd);
	buf_fini(&b);
}

static void
send_listeners(struct successor *s)
{
	struct weir *w = s->w;
	struct buf b = { 0 };

	buf_put_u32(&b, HANDOVER_VERSION);
	buf_put_u64(&b, w->counters.restarts);
	buf_put_u8(&b, w->is_activated);
	link_send(s->link, HANDOVER_HELLO, b.bytes, b.len, -1);
	buf_fini(&b);
	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++)
		if (w->listeners[i] != NULL)
			send_listener(s, 'S', w->listening[i].host, w->listening[i].port, listener_fd(w->listeners[i]));
	if (w->http != NULL)
		send_listener(s, 'H', w->config->http_listen.host, w->config->http_listen.port,
			      http_listening_fd(w->http));
	link_send(s->link, HANDOVER_LISTENERS_END, NULL, 0, -1);
}

/* Returns 0, or -1 with *why set. */
static int
may_restart(const struct weir *w, struct fail *why)
{
	if (w->successor != NULL)
		return fail_set(why, "55000", "a restart is under way already (process %ld)", (long)w->successor->pid);
	if (weir_has_predecessor(w)) {
		fail_set(why, "55000", "the last restart is not over: the process before this one still has clients");
		return fail_hint(why, "It ends when they have left, or after restart_timeout.");
	}
	if (w->is_stopping)
		return fail_set(why, "55000", "pgweir is stopping");
	if (w->clients.x.is_suspended || pool_set_is_paused(w->pools))
		return fail_set(why, "55000", "no restart while pgweir is paused or suspended: RESUME first");
	for (const struct pool_database *d = pool_set_databases(w->pools); d != NULL; d = d->next)
		if (d->is_paused || d->is_disabled)
			return fail_set(why, "55000", "no restart while database \"%s\" is %s: %s it first", d->name,
					d->is_paused ? "paused" : "disabled", d->is_paused ? "RESUME" : "ENABLE");
	if (w->argv == NULL || w->config->path[0] == '\0' || w->config->compat == COMPAT_PGBOUNCER)
		return fail_set(why, "0A000", "a restart needs a configuration file of pgweir's own");
	if (getpid() == 1)
		return fail_set(why, "0A000", "as process 1 of a container pgweir can't have a successor");
	return 0;
}

int
weir_may_hold(const struct weir *w, struct fail *why)
{
	if (w->successor != NULL)
		return fail_set(why, "55000", "pgweir restarts: clients that are in process %ld would go on",
				(long)w->successor->pid);
	if (!weir_has_predecessor(w))
		return 0;
	fail_set(why, "55000", "the last restart is not over: clients in the process before this one would go on");
	return fail_hint(why, "It ends when they have left, or after restart_timeout; SIGTERM ends it sooner.");
}

static void pump(evutil_socket_t fd, short what, void *arg);
static void send_pool(void *arg, const struct buf *pool);
static void send_text(void *arg, const struct buf *text);

int
weir_restart(struct weir *w, struct fail *why)
{
	struct successor *s;
	int ends[2];
	pid_t pid;

	if (may_restart(w, why) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail_set(why, "53000", "cannot make a socket pair: %s", strerror(errno));
	pid = weir_spawn(w->argv, ends[1], why);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -1;
	}
	s = xcalloc(1, sizeof(*s));
	s->w = w;
	s->pid = pid;
	s->since_us = w->now_us;
	s->link = link_new(w->base, ends[0], &link_ops, s);
	s->office = passport_office_new(send_pool, send_text, s);
	s->pump = event_new(w->base, -1, 0, pump, s);
	w->successor = s;
	log_info(w->log, "restart: the successor is process %ld", (long)pid);
	send_listeners(s);
	return 0;
}

void
weir_forget_successor(struct weir *w)
{
	struct successor *s = w->successor;

	if (s == NULL)
		return;
	w->successor = NULL;
	w->clients.x.is_moving = false;
	event_free(s->pump);
	link_free(s->link);
	passport_office_free(s->office);
	free(s);
}

/* --- moving clients --- */

static void
send_pool(void *arg, const struct buf *pool)
{
	struct successor *s = arg;

	link_send(s->link, HANDOVER_POOL, pool->bytes, pool->len, -1);
}

static void
send_text(void *arg, const struct buf *text)
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

static bool
has_crossings(const struct successor *s)
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

static void
pump_again(struct successor *s, suseconds_t us)
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
static void
pump(evutil_socket_t fd, short what, void *arg)
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
	if (c == NULL && !s->is_told && !has_crossings(s))
		tell_who_stays(s);
	pump_again(s, c == NULL || !may_go_on ? ROUND_US : 0);
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
		pump_again(s, 0);
}

/* The successor knows that the client is its own once this is out of our hands. */
static void
let_go_of_released(struct successor *s)
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
	let_go_of_released(s);
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
static void
call_back_late(struct successor *s)
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

/* --- the end --- */

/* Nobody but the console is left. */
void
weir_end_if_moved(struct weir *w)
{
	const struct successor *s = w->successor;
	const struct client *c;

	if (s == NULL || s->stage != STAGE_MOVING || w->is_ending || has_crossings(s))
		return;
	TAILQ_FOREACH(c, &w->clients.clients, all)
	if (c->x.state != CL_CONSOLE)
		return;
	log_info(w->log, "restart: %" PRIu32 " clients have moved to process %ld; this one ends", s->moved,
		 (long)s->pid);
	weir_end(w);
}

/* Both processes have servers for a while: those that are not needed here make room for the other's. */
static void
make_room(const struct successor *s)
{
	pool_set_close_unneeded(s->w->pools, !s->is_told, RR_RELOAD, s->w->now_us);
}

/* The successor is ready: from here on it accepts clients. */
static void
go(struct successor *s)
{
	struct weir *w = s->w;
	char state[64];

	for (size_t i = 0; i < WEIR_LISTENERS_MAX; i++) {
		if (w->listeners[i] == NULL)
			continue;
		if (w->is_activated) { /* it could not be opened again: see serve_again() */
			listener_rest(w->listeners[i]);
			continue;
		}
		listener_give_away(w->listeners[i]);
		w->listeners[i] = NULL;
	}
	weir_stop_http(w);
	w->has_pid_file = false; /* it is the successor's now */
	snprintf(state, sizeof(state), "MAINPID=%ld", (long)s->pid);
	weir_notify(state);
	link_send(s->link, HANDOVER_GO, NULL, 0, -1);
	s->stage = STAGE_MOVING;
	s->since_us = w->now_us;
	w->clients.x.is_moving = true;
	log_info(w->log, "restart: process %ld is ready; clients move there as they become idle", (long)s->pid);
	make_room(s);
	pump_again(s, 0);
	weir_end_if_moved(w);
}

static void
give_up(struct successor *s, const char *why, int why_len)
{
	struct weir *w = s->w;

	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	w->counters.restarts_failed++;
	log_error(w->log, "restart: process %ld is given up: %.*s; this process goes on", (long)s->pid, why_len, why);
	weir_forget_successor(w);
}

void
weir_abandon_successor(struct weir *w)
{
	static const char stopping[] = "pgweir is stopping";

	if (w->successor != NULL && w->successor->stage == STAGE_STARTING)
		give_up(w->successor, stopping, (int)sizeof(stopping) - 1);
}

static void
on_ready(struct successor *s, const uint8_t *body, size_t len)
{
	static const char strange[] = "it speaks another version of the handover";

	if (len != 4 || wire_u32(body) != HANDOVER_VERSION)
		give_up(s, strange, (int)sizeof(strange) - 1);
	else
		go(s);
}

static void
on_client_message(struct successor *s, uint8_t type, const uint8_t *body, size_t len)
{
	struct crossing *at = len < 8 || wire_u64(body) == 0 ? NULL : find_crossing(s, wire_u64(body));

	if (at == NULL)
		return;
	if (type == HANDOVER_TAKEN)
		on_taken(s, at);
	else if (!at->is_taken)
		on_refused(s, at, body + 8, len - 8);
	if (s->cursor != NULL || s->ready_count > 0)
		pump_again(s, 0);
	weir_end_if_moved(s->w);
}

bool
weir_send_successor(struct weir *w, uint8_t type, const void *body, size_t len)
{
	if (w->successor == NULL || w->successor->stage != STAGE_MOVING)
		return false;
	link_send(w->successor->link, type, body, len, -1);
	return true;
}

static void
on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	struct successor *s = arg;

	if (fd >= 0)
		close(fd);
	s->w->now_us = clock_now_us();
	if (type == HANDOVER_FAILED && s->stage == STAGE_STARTING)
		give_up(s, (const char *)body, (int)(len < 1000 ? len : 1000));
	else if (type == HANDOVER_READY && s->stage == STAGE_STARTING)
		on_ready(s, body, len);
	else if ((type == HANDOVER_TAKEN || type == HANDOVER_REFUSED) && s->stage == STAGE_MOVING)
		on_client_message(s, type, body, len);
	else if ((type == HANDOVER_CANCEL || type == HANDOVER_CANCELLED) && s->stage == STAGE_MOVING)
		weir_heard_cancel(s->w, type, body, len);
	else if (type == HANDOVER_STOP && len == 1 && body[0] <= SHUTDOWN_NOW)
		weir_stop(s->w, (enum shutdown_how)body[0]);
}

static void
on_drained(void *arg)
{
	struct successor *s = arg;

	s->w->now_us = clock_now_us();
	let_go_of_released(s);
	pump_again(s, 0);
	weir_end_if_moved(s->w);
}

/* Those on their way are read on here, but for those that a successor which lives may be reading. */
static void
take_back_clients(struct successor *s, bool is_dead)
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

/* The successor was ready, and has died: this process listens again, if it can. */
static void
serve_again(struct weir *w)
{
	struct fail why;

	if (w->is_stopping)
		return;
	if (weir_listen_again(w, &why) < 0) {
		log_error(w->log, "restart: the successor has died, and this process can't listen again: %s", why.text);
		weir_stop(w, SHUTDOWN_CLIENTS);
		return;
	}
	log_warning(w->log, "restart: the successor has died; this process serves again");
	weir_serve(w);
}

static void
lost(struct successor *s, bool is_dead)
{
	struct weir *w = s->w;

	log_error(w->log, "restart: process %ld %s; %" PRIu32 " clients had moved there", (long)s->pid,
		  is_dead ? "has died" : "has closed its link to this one", s->moved);
	w->counters.restarts_failed++;
	s->stage = STAGE_LOST;
	take_back_clients(s, is_dead);
	weir_end_far_cancels(w);
	weir_forget_successor(w);
	if (is_dead)
		serve_again(w);
	else
		weir_stop(w, SHUTDOWN_CLIENTS); /* the successor serves */
}

static void
on_closed(void *arg)
{
	static const char died[] = "it ended before it was ready";
	struct successor *s = arg;

	s->w->now_us = clock_now_us();
	if (s->stage == STAGE_STARTING)
		give_up(s, died, (int)sizeof(died) - 1);
	else {
		s->stage = STAGE_LOST;
		s->since_us = s->w->now_us;
		weir_successor_tick(s->w);
	}
}

void
weir_successor_tick(struct weir *w)
{
	static const char slow[] = "it was not ready in time";
	struct successor *s = w->successor;
	uint64_t since_us = s == NULL ? 0 : w->now_us - s->since_us;

	if (s == NULL)
		return;
	if (s->stage == STAGE_STARTING && since_us >= START_MAX_US)
		give_up(s, slow, (int)sizeof(slow) - 1);
	else if (s->stage == STAGE_LOST && waitpid(s->pid, NULL, WNOHANG) == s->pid)
		lost(s, true);
	else if (s->stage == STAGE_LOST && since_us >= LOST_MAX_US)
		lost(s, false);
	else if (s->stage == STAGE_MOVING && !w->is_stopping && w->config->restart_timeout_us > 0 &&
		 since_us >= w->config->restart_timeout_us) {
		log_warning(w->log, "restart_timeout is over: %u clients that could not move are disconnected",
			    w->clients.client_count);
		weir_stop(w, SHUTDOWN_SERVERS);
	} else if (s->stage == STAGE_MOVING) {
		make_room(s);
		call_back_late(s);
		weir_end_if_moved(w);
	}
}
