/*
 * src/restart/predecessor.c - a hitless restart, in the process that comes: it gets the listening sockets from the
 * process before it, says that it is ready, and then gets that process's clients. See restart/handover.h.
 *
 * Always: nothing is accepted before the old process has said GO, or has died. A client is read here only when the old
 * process has let go of it, or has died.
 */
#include "restart/restart_state.h"

#include "listen/listen.h"
#include "restart/handover.h"
#include "restart/link.h"
#include "restart/passport.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENERS_US (10 * US_PER_S) /* until all of them must have come */
#define LOST_MAX_US (2 * US_PER_S) /* how long an old process may live on without its link */
#define ARRIVALS_MAX 64

/* A client that came and is not this process's yet. */
struct arrival {
	uint64_t number; /* in the old process; 0: free */
	struct client *client; /* NULL: it was closed meanwhile */
	bool is_taken; /* the old process was told that it is here */
	bool is_ours; /* the old process has let go of it; its listener catches up */
	uint8_t *queued; /* notifications that waited for it there */
	size_t queued_len;
};

struct predecessor {
	struct restart *r;
	struct link *link; /* NULL: it is gone */
	pid_t pid;
	bool has_all; /* all listening sockets have come */
	bool is_ready; /* this process is: from here on its loop runs */
	bool is_waiting; /* for its GO */
	struct passport_reader *reader;
	struct arrival arrivals[ARRIVALS_MAX];
	uint32_t moved, refused;
	uint64_t since_us, lost_us; /* lost_us: since when the link is gone; 0: it is there */
};

/* --- from the command line on --- */

int
restart_find_predecessor(void)
{
	const char *text = getenv(HANDOVER_VARIABLE);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	bool is_good;
	long pid;
	int fd;

	if (text == NULL)
		return -1;
	/* The descriptor must be what the variable says: a socket made by that process, which may have died since. */
	is_good = sscanf(text, "%d:%ld", &fd, &pid) == 2 && fd >= 3 &&
		  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof(peer) && peer.pid == pid &&
		  peer.uid == geteuid();
	unsetenv(HANDOVER_VARIABLE);
	if (!is_good) {
		fputs("pgweir: " HANDOVER_VARIABLE " in the environment is none of pgweir's: it is ignored\n", stderr);
		return -1;
	}
	return fd;
}

void
restart_tell_predecessor(int fd, const char *text)
{
	if (fd >= 0)
		link_send_last(fd, HANDOVER_FAILED, text, strlen(text));
}

/* --- what the process before this one has said --- */

static void
on_hello(struct predecessor *p, const uint8_t *body, size_t len)
{
	if (len != 13 || wire_u32(body) != HANDOVER_VERSION)
		return; /* it will find out by our READY that the versions differ */
	restart_env(p->r)->counters->restarts = wire_u64(body + 4) + 1;
	listeners_set_passed(p->r->host.listeners, body[12] != 0);
}

/* Takes fd. */
static void
on_listener(struct predecessor *p, const uint8_t *body, size_t len, int fd)
{
	if (fd >= 0 && len >= 4 && body[len - 1] == '\0' && !p->has_all)
		listeners_inherit(p->r->host.listeners, (char)body[0], (const char *)body + 3, wire_u16(body + 1), fd);
	else if (fd >= 0)
		close(fd);
}

static void
send_number(struct predecessor *p, uint8_t type, uint64_t number, const void *more, size_t more_len)
{
	struct buf b = { 0 };

	buf_put_u64(&b, number);
	buf_put(&b, more, more_len);
	if (p->link != NULL)
		link_send(p->link, type, b.bytes, b.len, -1);
	buf_fini(&b);
}

static struct arrival *
find_arrival(struct predecessor *p, uint64_t number)
{
	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		if (p->arrivals[i].number == number)
			return &p->arrivals[i];
	return NULL;
}

static void
forget_arrival(struct arrival *n)
{
	free(n->queued);
	*n = (struct arrival){ 0 };
}

static void
send_refusal(struct predecessor *p, uint64_t number, const char *text)
{
	p->refused++;
	send_number(p, HANDOVER_REFUSED, number, text, strlen(text));
}

static void
refuse_arrival(struct predecessor *p, struct arrival *n, const char *text)
{
	struct client *c = n->client;

	send_refusal(p, n->number, text);
	forget_arrival(n);
	if (c != NULL)
		client_let_go(c);
}

/* Tells the old process that the client is taken, once its listener, if any, listens on all its channels here. */
static void
take_if_heard(struct predecessor *p, struct arrival *n)
{
	bool is_refused = false, is_heard = n->client != NULL && listen_is_heard(&n->client->x, &is_refused);

	if (n->is_taken)
		return;
	if (n->client == NULL || is_refused) {
		refuse_arrival(p, n, "it can't listen to its channels");
		return;
	}
	if (!is_heard)
		return;
	n->is_taken = true;
	send_number(p, HANDOVER_TAKEN, n->number, NULL, 0);
}

/* Takes fd. */
static void
on_client(struct predecessor *p, const uint8_t *body, size_t len, int fd)
{
	struct arrival *n = find_arrival(p, 0);
	uint64_t number = len < 10 ? 0 : wire_u64(body + 2);
	struct passport passport;
	struct fail why;

	/* The kernel gives the lowest number that is free: the last ones are for servers, as in net/listener.c. */
	if (fd < 0 || (setup_descriptors_for_clients() > 0 && fd >= setup_descriptors_for_clients())) {
		if (fd >= 0)
			close(fd);
		send_refusal(p, number, "no descriptor is left for it");
		return;
	}
	if (number == 0 || n == NULL || passport_parse(body, len, &passport) < 0) {
		close(fd);
		send_refusal(p, number, "its passport is of another version");
		return;
	}
	n->client = passport_adopt(p->reader, &passport, fd, &why);
	if (n->client == NULL) {
		send_refusal(p, number, why.text);
		return;
	}
	n->number = number;
	take_if_heard(p, n);
}

static void
begin_arrival(struct predecessor *p, struct arrival *n)
{
	struct client *c = n->client;
	bool is_broken = c != NULL && listen_join_queues(&c->x, n->queued, n->queued_len) < 0;

	forget_arrival(n);
	if (c == NULL)
		return;
	p->moved++;
	restart_env(p->r)->counters->clients_moved++;
	passport_begin_reading(c);
	if (is_broken)
		client_close(c, NULL);
	else
		listen_flush(&c->x);
}

static void
on_yours(struct predecessor *p, struct arrival *n, const uint8_t *queued, size_t len)
{
	if (n->is_ours)
		return;
	n->is_ours = true;
	if (len > 0 && (n->queued = malloc(len)) != NULL) {
		memcpy(n->queued, queued, len);
		n->queued_len = len;
	}
	if (n->client == NULL || !listen_crossing_catch_up(&n->client->x))
		begin_arrival(p, n);
}

void
restart_arrival_listening(struct restart *r, struct exchange *x)
{
	struct predecessor *p = r->predecessor;

	for (size_t i = 0; p != NULL && i < ARRIVALS_MAX; i++) {
		struct arrival *n = &p->arrivals[i];

		if (n->number == 0 || n->client != client_of(x))
			continue;
		if (n->is_ours) {
			begin_arrival(p, n);
			restart_predecessor_tick(r); /* there may be nobody else to wait for */
		} else
			take_if_heard(p, n);
		return;
	}
}

void
restart_arrival_gone(struct restart *r, const struct client *c)
{
	struct predecessor *p = r->predecessor;

	for (size_t i = 0; p != NULL && i < ARRIVALS_MAX; i++) {
		struct arrival *n = &p->arrivals[i];

		if (n->number == 0 || n->client != c)
			continue;
		n->client = NULL;
		if (n->is_ours)
			forget_arrival(n);
		else
			take_if_heard(p, n);
	}
}

static void
on_number(struct predecessor *p, uint8_t type, const uint8_t *body, size_t len)
{
	uint64_t number = len < 8 ? 0 : wire_u64(body);
	struct arrival *n = number == 0 ? NULL : find_arrival(p, number);
	struct client *c;

	if (n != NULL && type == HANDOVER_YOURS)
		on_yours(p, n, body + 8, len - 8);
	else if (n != NULL && !n->is_ours) { /* GONE */
		c = n->client;
		forget_arrival(n);
		if (c != NULL)
			client_let_go(c);
	}
}

/* --- GO --- */

static void
begin_to_serve(struct predecessor *p)
{
	p->is_waiting = false;
	listeners_close_inherited(p->r->host.listeners, true);
	p->r->host.serve(p->r->host.w);
}

static void
on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	struct predecessor *p = arg;

	*restart_env(p->r)->now_us = clock_now_us();
	if (type == HANDOVER_LISTENER)
		on_listener(p, body, len, fd);
	else if (type == HANDOVER_CLIENT)
		on_client(p, body, len, fd);
	else if (fd >= 0)
		close(fd);
	if (type == HANDOVER_HELLO)
		on_hello(p, body, len);
	else if (type == HANDOVER_LISTENERS_END)
		p->has_all = true;
	else if (type == HANDOVER_GO && p->is_waiting)
		begin_to_serve(p);
	else if (type == HANDOVER_POOL && passport_reader_pool(p->reader, body, len) < 0)
		log_error(restart_env(p->r)->log, "restart: the old process passed on a pool that can't be used");
	else if (type == HANDOVER_TEXT && passport_reader_text(p->reader, body, len) < 0)
		log_error(restart_env(p->r)->log,
			  "restart: the old process passed on a prepared statement that can't be used");
	else if (type == HANDOVER_YOURS || type == HANDOVER_GONE)
		on_number(p, type, body, len);
	else if (type == HANDOVER_CANCEL || type == HANDOVER_CANCELLED)
		restart_heard_cancel(p->r, type, body, len);
	else if (type == HANDOVER_STOP && len == 1 && body[0] <= SHUTDOWN_NOW)
		p->r->host.stop(p->r->host.w, (enum shutdown_how)body[0]);
}

static void
on_drained(void *arg)
{
	(void)arg;
}

/* Returns true if the old process has died, and not just closed its end. */
static bool
is_dead(const struct predecessor *p)
{
	return getppid() != p->pid;
}

/* Clients that the old process had not let go of: if it is dead, they are ours, and else they are its own. */
static void
settle_arrivals(struct predecessor *p, bool are_ours)
{
	for (size_t i = 0; i < ARRIVALS_MAX; i++) {
		struct arrival *n = &p->arrivals[i];
		struct client *c = n->client;

		if (n->number == 0 || n->is_ours)
			continue;
		if (are_ours) {
			on_yours(p, n, NULL, 0);
			continue;
		}
		forget_arrival(n);
		if (c != NULL)
			client_let_go(c);
	}
}

static void
on_closed(void *arg)
{
	struct predecessor *p = arg;

	*restart_env(p->r)->now_us = p->lost_us = clock_now_us();
	link_free(p->link);
	p->link = NULL;
	restart_predecessor_tick(p->r);
}

static const struct link_ops link_ops = { on_message, on_drained, on_closed };

/* How many arrivals there are that is_ours holds for, or does not. */
static size_t
count_arrivals(const struct predecessor *p, bool is_ours)
{
	size_t count = 0;

	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		count += p->arrivals[i].number != 0 && p->arrivals[i].is_ours == is_ours;
	return count;
}

void
restart_forget_predecessor(struct restart *r)
{
	struct predecessor *p = r == NULL ? NULL : r->predecessor;

	if (p == NULL)
		return;
	settle_arrivals(p, false);
	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		if (p->arrivals[i].number != 0)
			begin_arrival(p, &p->arrivals[i]);
	r->predecessor = NULL;
	listeners_close_inherited(r->host.listeners, false);
	link_free(p->link);
	passport_reader_free(p->reader);
	free(p);
}

void
restart_predecessor_tick(struct restart *r)
{
	struct log *log = restart_env(r)->log;
	struct predecessor *p = r->predecessor;
	bool is_sure;

	if (p == NULL || p->lost_us == 0 || !p->is_ready)
		return;
	/* A process closes its sockets a moment before it is dead. */
	is_sure = is_dead(p) || restart_now_us(r) - p->lost_us >= LOST_MAX_US;
	if (!is_sure && (p->is_waiting || count_arrivals(p, false) > 0))
		return;
	if (p->is_waiting && !is_dead(p)) {
		log_error(log, "restart: process %ld goes on without this one", (long)p->pid);
		r->host.stop(r->host.w, SHUTDOWN_NOW);
		return;
	}
	if (p->is_waiting) {
		log_warning(log, "restart: process %ld has died; this one takes its place", (long)p->pid);
		begin_to_serve(p);
	}
	settle_arrivals(p, is_dead(p));
	if (count_arrivals(p, true) > 0)
		return; /* the listener catches up for them, or gives it up in a moment */
	restart_end_far_cancels(r);
	log_info(log,
		 "restart: process %ld, the one before this, has ended: %" PRIu32 " clients came from there in %" PRIu64
		 " ms, %" PRIu32 " could not be taken",
		 (long)p->pid, p->moved, (restart_now_us(r) - p->since_us) / 1000, p->refused);
	restart_forget_predecessor(r);
}

/* --- what the others ask --- */

/* The process that has made the socket pair; restart_find_predecessor() has seen to it that this can be told. */
static pid_t
pid_of_peer(int fd)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	return peer.pid;
}

int
restart_meet_predecessor(struct restart *r, int fd, struct fail *why)
{
	struct predecessor *p = xcalloc(1, sizeof(*p));

	r->predecessor = p;
	p->r = r;
	p->pid = pid_of_peer(fd);
	p->since_us = restart_now_us(r);
	p->is_waiting = true;
	listeners_expect(r->host.listeners);
	p->reader = passport_reader_new(r->host.clients);
	p->link = link_new(restart_env(r)->base, fd, &link_ops, p);
	/* The tick of the loop, ten times a second, ends each turn. */
	while (!p->has_all && p->link != NULL && restart_now_us(r) - p->since_us < LISTENERS_US)
		event_base_loop(restart_env(r)->base, EVLOOP_ONCE);
	if (!p->has_all)
		return fail_set(why, "08006", "the process before this one has not passed its listening sockets");
	return 0;
}

void
restart_tell_failure(const struct restart *r, int fd, const struct fail *why)
{
	if (r == NULL || r->predecessor == NULL || r->predecessor->link != NULL)
		restart_tell_predecessor(fd, why->text);
}

bool
restart_has_predecessor(const struct restart *r)
{
	return r->predecessor != NULL;
}

bool
restart_predecessor_lives(const struct restart *r)
{
	return r->predecessor != NULL && (r->predecessor->is_waiting || !is_dead(r->predecessor));
}

bool
restart_is_waiting_for_go(const struct restart *r)
{
	return r->predecessor != NULL && r->predecessor->is_waiting;
}

void
restart_tell_ready(struct restart *r)
{
	const uint8_t version[4] = { 0, 0, 0, HANDOVER_VERSION };

	r->predecessor->is_ready = true;
	if (r->predecessor->link != NULL)
		link_send(r->predecessor->link, HANDOVER_READY, version, sizeof(version), -1);
}

bool
restart_send_predecessor(struct restart *r, uint8_t type, const void *body, size_t len)
{
	if (r->predecessor == NULL || r->predecessor->link == NULL || r->predecessor->is_waiting)
		return false;
	link_send(r->predecessor->link, type, body, len, -1);
	return true;
}
