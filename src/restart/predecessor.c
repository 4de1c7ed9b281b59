/*
 * src/restart/predecessor.c - a hitless restart, in the new process: it gets the listening sockets from the old
 * process, says that it is ready, and then gets the old process's clients. See restart/handover.h.
 *
 * Always: nothing is accepted before the old process has sent GO, or has died. A client is read here only when the old
 *         process has let go of it, or has died.
 */
#include "restart/restart_state.h"
#include "listen/listen.h"
#include "restart/handover.h"
#include "restart/link.h"
#include "restart/client_record.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <sys/socket.h>

#define LISTENERS_US (10 * US_PER_S) /* all listening sockets must have come within this time */
#define LOST_MAX_US (2 * US_PER_S) /* how long the old process may take to die after the link is lost */
#define ARRIVALS_MAX 64
#define OLD_IDS 1000 /* room for ids that the old process uses after GO, for servers of its remaining clients */

enum stage {
	STAGE_MADE, /* the struct client exists; next, its pool's listener must listen on its channels, if any */
	STAGE_LISTENS, /* the listener listens on all of the client's channels, and catches up */
	STAGE_TAKEN, /* the old process was told that the client is here */
	STAGE_BACK, /* the old process keeps the client, so it must be closed here */
	STAGE_OURS, /* the old process has let go of the client */
	STAGE_CATCHING_UP /* like OURS, while the listener catches up; then the client is read */
};
#define STAGES_OURS (1u << STAGE_OURS | 1u << STAGE_CATCHING_UP)

/* A client that has come and does not belong to this process yet. */
struct arrival {
	uint64_t number; /* the client's number in the old process; 0 if this place is free */
	struct client *client; /* NULL if the client was closed meanwhile */
	enum stage stage;
	/* notifications that waited for the client in the old process; NULL with queued_len > 0 if there was no memory
	 * for them, so the client must be closed */
	uint8_t *queued;
	size_t queued_len;
};

struct predecessor {
	struct restart *r;
	struct link *link; /* NULL if the link is gone */
	pid_t pid;
	/* MET: some listening sockets have not come yet. HAS_SOCKETS: all have come. READY: this process waits for GO.
	 * SERVES: this process serves in place of the old process. */
	enum { TAKEOVER_MET, TAKEOVER_HAS_SOCKETS, TAKEOVER_READY, TAKEOVER_SERVES } phase;
	bool is_holding; /* true while all workers are halted, until no more messages come */
	struct client_record_reader *reader;
	struct arrival arrivals[ARRIVALS_MAX];
	uint32_t moved, refused;
	/* since_us: when this process met the old process; lost_us: when the link was lost, 0 while the link exists */
	uint64_t since_us, lost_us;
	uint64_t staying; /* how many clients the old process still has, by its last STAYING */
	char stays[STAYING_MAX]; /* which clients these are, by that message */
};

/* --- before there is a struct restart --- */

int
restart_predecessor_fd(void)
{
	const char *text = getenv(HANDOVER_VARIABLE);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	bool is_good;
	long pid;
	int fd;

	if (text == NULL)
		return -1;
	/* The descriptor must be a socket made by the process with this PID; that process may have died meanwhile. */
	is_good = sscanf(text, "%d:%ld", &fd, &pid) == 2 && fd >= 3 &&
		  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && len == sizeof(peer) && peer.pid == pid &&
		  peer.uid == geteuid();
	unsetenv(HANDOVER_VARIABLE);
	if (!is_good) {
		fputs("pgweir: " HANDOVER_VARIABLE " in the environment is not pgweir's, and is ignored\n", stderr);
		return -1;
	}
	return fd;
}

void
restart_send_failed(int fd, const char *text)
{
	if (fd >= 0)
		link_send_last(fd, HANDOVER_FAILED, text, strlen(text));
}

/* --- messages of the old process --- */

static void
send_number(struct predecessor *p, uint8_t type, uint64_t number, const void *more, size_t more_len)
{
	if (p->link != NULL)
		link_send_number(p->link, type, number, more, more_len);
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
refuse_arrival(struct predecessor *p, struct arrival *n)
{
	struct client *c = restart_null_if_closed(n->client);

	send_refusal(p, n->number, "it cannot listen to its channels");
	forget_arrival(n);
	if (c != NULL)
		client_close_copy(c);
}

/* Tells the old process that the client is taken, once the client's listener, if any, listens on all the client's
 * channels here and has caught up. Drops notifications that came until then, because the old process sends them. */
static void
take_if_confirmed(struct predecessor *p, struct arrival *n)
{
	struct client *c = restart_null_if_closed(n->client);
	bool is_refused = false, is_confirmed = c != NULL && listen_is_confirmed(&c->x, &is_refused);

	if (c == NULL || is_refused) {
		refuse_arrival(p, n);
		return;
	}
	if (is_confirmed && n->stage == STAGE_MADE) {
		n->stage = STAGE_LISTENS;
		listen_transfer_catch_up(&c->x);
	}
	if (n->stage == STAGE_LISTENS && !listen_transfer_waits(&c->x)) {
		listen_drop_queue(&c->x);
		n->stage = STAGE_TAKEN;
		send_number(p, HANDOVER_TAKEN, n->number, NULL, 0);
	}
}

static void
finish_arrival(struct predecessor *p, struct arrival *n)
{
	struct client *c = restart_null_if_closed(n->client);
	bool lacks_some = n->queued_len > 0 && n->queued == NULL;
	bool is_broken = lacks_some || (c != NULL && listen_join_queues(&c->x, n->queued, n->queued_len) < 0);

	forget_arrival(n);
	if (c == NULL)
		return;
	p->moved++;
	restart_env(p->r)->counters->clients_taken_over++;
	client_record_begin_reading(c);
	if (is_broken)
		client_close(c, NULL);
	else
		exchange_ignore_result(listen_flush(&c->x));
}

/* Takes the next step with a client that has come. Called in a halt. */
static void
advance(struct predecessor *p, struct arrival *n)
{
	struct client *c = restart_null_if_closed(n->client);

	switch (n->stage) {
	case STAGE_MADE:
	case STAGE_LISTENS:
		take_if_confirmed(p, n);
		break;
	case STAGE_TAKEN:
		break;
	case STAGE_BACK:
		forget_arrival(n);
		if (c != NULL)
			client_close_copy(c);
		break;
	case STAGE_OURS:
		n->stage = STAGE_CATCHING_UP;
		if (c != NULL)
			listen_transfer_catch_up(&c->x);
		/* fall through */
	case STAGE_CATCHING_UP:
		if (c == NULL || !listen_transfer_waits(&c->x))
			finish_arrival(p, n);
		break;
	}
}

/* Takes the next step with all clients that have come. Returns 0, or -1 if a worker does not answer. */
static int
advance_all(struct predecessor *p)
{
	const struct restart_host *host = &p->r->host;
	struct fail why;

	if (host->halt(host->w, &why) < 0)
		return -1;
	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		if (p->arrivals[i].number != 0)
			advance(p, &p->arrivals[i]);
	host->end_the_halt(host->w);
	return 0;
}

/* Halts all workers until no more messages come. Returns 0, or -1 with *why set. */
static int
hold_workers(struct predecessor *p, struct fail *why)
{
	if (!p->is_holding && p->r->host.halt(p->r->host.w, why) < 0)
		return -1;
	p->is_holding = true;
	return 0;
}

/* Makes a client from a CLIENT message, and takes over fd. */
static void
on_client(struct predecessor *p, const uint8_t *body, size_t len, int fd)
{
	struct arrival *n = find_arrival(p, 0);
	uint64_t number = len < 10 ? 0 : wire_u64(body + 2);
	struct client_record record;
	const char *refusal = NULL;
	struct fail why;

	/* The kernel gives the lowest free descriptor. The highest ones are for servers, as in net/listener.c. */
	if (fd < 0 || (listeners_client_descriptors_max() > 0 && fd >= listeners_client_descriptors_max()))
		refusal = "no descriptor is left for it";
	else if (number == 0 || n == NULL || client_record_parse(body, len, &record) < 0)
		refusal = "its handover data has another version";
	else if (hold_workers(p, &why) < 0)
		refusal = why.text;
	if (refusal != NULL && fd >= 0)
		close(fd);
	if (refusal == NULL && (n->client = client_record_adopt(p->reader, &record, fd, &why)) == NULL)
		refusal = why.text;
	if (refusal != NULL) {
		send_refusal(p, number, refusal);
		return;
	}
	n->number = number;
	n->stage = STAGE_MADE;
	advance(p, n);
}

static bool
is_ours(const struct arrival *n)
{
	return (STAGES_OURS & 1u << n->stage) != 0;
}

void
restart_advance_arrivals(struct restart *r)
{
	if (r->predecessor == NULL)
		return;
	advance_all(r->predecessor);
	restart_predecessor_tick(r); /* if no arrival is left and the old process is gone, forgets that process */
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
		if (n->stage < STAGE_TAKEN)
			refuse_arrival(p, n);
		else if (n->stage != STAGE_TAKEN) /* a client in STAGE_TAKEN still gets YOURS or GONE */
			forget_arrival(n);
	}
}

static void
on_yours_or_gone(struct predecessor *p, uint8_t type, const uint8_t *body, size_t len)
{
	uint64_t number = len < 8 ? 0 : wire_u64(body);
	struct arrival *n = number == 0 ? NULL : find_arrival(p, number);
	struct fail why;

	if (n == NULL || n->stage == STAGE_BACK || is_ours(n))
		return;
	n->stage = type == HANDOVER_YOURS ? STAGE_OURS : STAGE_BACK;
	n->queued_len = type == HANDOVER_YOURS ? len - 8 : 0;
	if (n->queued_len > 0 && (n->queued = malloc(n->queued_len)) != NULL)
		memcpy(n->queued, body + 8, n->queued_len);
	if (hold_workers(p, &why) == 0)
		advance(p, n);
}

/* --- GO --- */

/* Sets the first id of this process's clients and servers, well above the old process's last id, which is in body. */
static void
set_first_id(const struct predecessor *p, const uint8_t *body, size_t len)
{
	if (len == 8)
		atomic_store(p->r->host.last_id, (wire_u64(body) / OLD_IDS + 2) * OLD_IDS);
}

static void
begin_to_serve(struct predecessor *p)
{
	p->phase = TAKEOVER_SERVES;
	listeners_close_inherited(p->r->host.listeners, true);
	p->r->host.begin_service(p->r->host.w);
}

/* Takes the descriptor of a message: a listening socket or a client's socket. Any other descriptor is closed. */
static void
take_descriptor(struct predecessor *p, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	if (type == HANDOVER_LISTENER && fd >= 0 && len >= 4 && body[len - 1] == '\0' && p->phase == TAKEOVER_MET)
		listeners_inherit(p->r->host.listeners, (char)body[0], (const char *)body + 3, wire_u16(body + 1), fd);
	else if (type == HANDOVER_CLIENT)
		on_client(p, body, len, fd);
	else if (fd >= 0)
		close(fd);
}

static void
on_message(void *arg, uint8_t type, const uint8_t *body, size_t len, int fd)
{
	struct predecessor *p = arg;

	*restart_env(p->r)->now_us = clock_now_us();
	take_descriptor(p, type, body, len, fd);
	/* If the versions differ, the old process notices that when it gets our READY. */
	if (type == HANDOVER_HELLO && len == 13 && wire_u32(body) == HANDOVER_VERSION) {
		restart_env(p->r)->counters->restarts = wire_u64(body + 4) + 1;
		listeners_set_passed(p->r->host.listeners, body[12] != 0);
	} else if (type == HANDOVER_LISTENERS_END)
		p->phase = TAKEOVER_HAS_SOCKETS;
	else if (type == HANDOVER_GO && p->phase != TAKEOVER_SERVES) {
		set_first_id(p, body, len);
		begin_to_serve(p);
	} else if ((type == HANDOVER_POOL || type == HANDOVER_TEXT) &&
		   client_record_reader_take(p->reader, type == HANDOVER_POOL, body, len) < 0)
		log_error(restart_env(p->r)->log, "restart: the old process passed on a %s that cannot be used",
			  type == HANDOVER_POOL ? "pool" : "prepared statement");
	else if (type == HANDOVER_YOURS || type == HANDOVER_GONE)
		on_yours_or_gone(p, type, body, len);
	else if (type == HANDOVER_STAYING && len >= 8) {
		p->staying = wire_u64(body);
		snprintf(p->stays, sizeof(p->stays), "%.*s", (int)(len - 8 < STAYING_MAX ? len - 8 : STAYING_MAX),
			 (const char *)body + 8);
	} else if (type == HANDOVER_CANCEL || type == HANDOVER_CANCELLED)
		restart_on_cancel(p->r, type, body, len);
	else if (type == HANDOVER_STOP && len == 1 && body[0] <= SHUTDOWN_NOW)
		p->r->host.stop(p->r->host.w, (enum shutdown_how)body[0]);
}

static void
on_batch_end(void *arg)
{
	struct predecessor *p = arg;

	if (p->is_holding)
		p->r->host.end_the_halt(p->r->host.w);
	p->is_holding = false;
}

/* Returns true if the old process has died, false if it has only closed its end of the link. */
static bool
is_dead(const struct predecessor *p)
{
	return getppid() != p->pid;
}

/* Decides where clients belong that the old process has not released: here if are_ours, else in that process. */
static void
settle_arrivals(struct predecessor *p, bool are_ours)
{
	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		if (p->arrivals[i].number != 0 && !is_ours(&p->arrivals[i]))
			p->arrivals[i].stage = are_ours ? STAGE_OURS : STAGE_BACK;
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

static const struct link_ops link_ops = { .on_message = on_message,
					  .on_batch_end = on_batch_end,
					  .on_closed = on_closed };

/* Returns true if there are arrivals in one of these stages (bits 1 << enum stage). */
static bool
has_arrivals(const struct predecessor *p, unsigned stages)
{
	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		if (p->arrivals[i].number != 0 && (stages & 1u << p->arrivals[i].stage) != 0)
			return true;
	return false;
}

void
restart_forget_predecessor(struct restart *r)
{
	struct predecessor *p = r == NULL ? NULL : r->predecessor;

	if (p == NULL)
		return;
	settle_arrivals(p, false);
	advance_all(p);
	for (size_t i = 0; i < ARRIVALS_MAX; i++)
		if (p->arrivals[i].number != 0)
			finish_arrival(p, &p->arrivals[i]);
	r->predecessor = NULL;
	listeners_close_inherited(r->host.listeners, false);
	link_free(p->link);
	client_record_reader_free(p->reader);
	free(p);
}

void
restart_predecessor_tick(struct restart *r)
{
	struct log *log = restart_env(r)->log;
	struct predecessor *p = r->predecessor;
	bool is_sure;

	if (p != NULL &&
	    has_arrivals(p, 1u << STAGE_OURS | 1u << STAGE_BACK)) /* the workers could not be halted before */
		advance_all(p);
	if (p == NULL || p->lost_us == 0 || p->phase < TAKEOVER_READY)
		return;
	/* A process closes its sockets a moment before it is dead. */
	is_sure = is_dead(p) || restart_now_us(r) - p->lost_us >= LOST_MAX_US;
	if (!is_sure && (p->phase != TAKEOVER_SERVES || has_arrivals(p, ~STAGES_OURS)))
		return;
	if (p->phase != TAKEOVER_SERVES && !is_dead(p)) {
		log_error(log, "restart: process %ld continues without this one", (long)p->pid);
		r->host.stop(r->host.w, SHUTDOWN_NOW);
		return;
	}
	if (p->phase != TAKEOVER_SERVES) {
		log_warning(log, "restart: process %ld has died; this one takes its place", (long)p->pid);
		begin_to_serve(p);
	}
	settle_arrivals(p, is_dead(p));
	if (advance_all(p) < 0 || has_arrivals(p, STAGES_OURS))
		return; /* the listener catches up for these clients, or gives up soon */
	restart_end_forwarded_cancels(r);
	log_info(log,
		 "restart: the previous process, %ld, has ended: %s came from there in %" PRIu64 " ms, %" PRIu32
		 " could not be taken",
		 (long)p->pid, base_format_count(p->moved, "client", "clients").text,
		 (restart_now_us(r) - p->since_us) / 1000, p->refused);
	restart_forget_predecessor(r);
}

/* --- for other files --- */

bool
restart_describe_staying(const struct restart *r, char *out, size_t size)
{
	const struct predecessor *p = r->predecessor;

	if (p == NULL || p->phase != TAKEOVER_SERVES)
		return false;
	snprintf(out, size, "process %ld, %llu s after the restart, has %s that can't move yet%s%s", (long)p->pid,
		 (restart_now_us(r) - p->since_us) / US_PER_S, base_format_count(p->staying, "client", "clients").text,
		 p->staying > 0 ? ": " : "", p->stays);
	return true;
}

int
restart_meet_predecessor(struct restart *r, int fd, struct fail *why)
{
	struct predecessor *p = xcalloc(1, sizeof(*p));
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	r->predecessor = p;
	p->r = r;
	/* The peer made the socket pair; restart_predecessor_fd() has checked that getsockopt() works. */
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	p->pid = peer.pid;
	p->since_us = restart_now_us(r);
	listeners_hold(r->host.listeners);
	p->reader = client_record_reader_new(r->host.main_env);
	p->link = link_new(restart_env(r)->base, fd, &link_ops, p);
	/* Because of the tick, each turn of the loop ends after about 100 ms at the latest. */
	while (p->phase == TAKEOVER_MET && p->link != NULL && restart_now_us(r) - p->since_us < LISTENERS_US)
		event_base_loop(restart_env(r)->base, EVLOOP_ONCE);
	if (p->phase == TAKEOVER_MET)
		return fail_set(why, "08006", "the previous process has not passed its listening sockets");
	return 0;
}

void
restart_tell_failure(const struct restart *r, int fd, const struct fail *why)
{
	if (r == NULL || r->predecessor == NULL || r->predecessor->link != NULL)
		restart_send_failed(fd, why->text);
}

bool
restart_predecessor_may_live(const struct restart *r)
{
	return r->predecessor != NULL && (r->predecessor->phase != TAKEOVER_SERVES || !is_dead(r->predecessor));
}

bool
restart_is_waiting_for_go(const struct restart *r)
{
	return r->predecessor != NULL && r->predecessor->phase != TAKEOVER_SERVES;
}

void
restart_tell_ready(struct restart *r)
{
	const uint8_t version[4] = { 0, 0, 0, HANDOVER_VERSION };

	r->predecessor->phase = TAKEOVER_READY;
	if (r->predecessor->link != NULL)
		link_send(r->predecessor->link, HANDOVER_READY, version, sizeof(version), -1);
}

bool
restart_send_predecessor(struct restart *r, uint8_t type, const void *body, size_t len)
{
	if (r->predecessor == NULL || r->predecessor->link == NULL || r->predecessor->phase != TAKEOVER_SERVES)
		return false;
	link_send(r->predecessor->link, type, body, len, -1);
	return true;
}
