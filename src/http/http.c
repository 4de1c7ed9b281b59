/*
 * src/http/http.c - see http.h.
 *
 * The HTTP thread and the main loop share one mailbox (the fields under the lock, and struct http_served.mail): the
 * thread wakes the loop to ask for a snapshot or a table; the loop puts these into the mailbox and wakes the thread.
 * The loop also reads the list of pages, which does not change. Everything else belongs to the HTTP thread. A request
 * that needs a snapshot waits on its connection; one snapshot serves all requests that wait.
 */
#include "http/http.h"
#include "base/alloc.h"
#include "http/http_state.h"
#include "net/tls.h"

#include <event2/listener.h>
#include <pthread.h>
#include <signal.h>

#define WAIT_US (1 * US_PER_S)
#define HEADERS_MAX 8192
#define IDLE_TIMEOUT_S 5
#define NO_DESCRIPTORS_PAUSE_US (100 * US_PER_MS)

struct http {
	struct event_base *base;
	struct evhttp *evhttp;
	struct inbox *inbox; /* of the HTTP thread's loop */
	struct wake answered; /* posted to the HTTP thread when the main loop has answered */
	struct wake stopped; /* posted to the HTTP thread when it must end */
	struct wake *asked; /* posted to the main loop when a snapshot or a table is wanted */
	pthread_t thread;
	bool has_thread;
	char *path; /* the Unix socket's file, or NULL */
	bool owns_path; /* true if http_free() removes the file */
	int listening_fd;

	pthread_mutex_t lock;
	struct snapshot *incoming_table; /* under the lock: the newest snapshot that the thread has not taken */
	unsigned wanted_tables; /* under the lock: the tables that the loop must send */
	bool has_answered; /* under the lock: the loop has answered, perhaps without a snapshot */
	struct tls_context *tls; /* under the lock: for new connections; a counted reference; NULL for no TLS */

	/* The HTTP thread alone uses the fields below, except the mail of pages (under the lock) and the list of pages,
	 * which does not change. */
	struct http_conns conns;
	struct http_pages pages;
	bool is_asking;
	struct event *every_second;
};

/* --- requests --- */

static const char *
path_of(struct evhttp_request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;

	return path != NULL ? path : "";
}

static bool
is_read_only(struct evhttp_request *request)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(request);

	return method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;
}

static const char *
find_header(struct evhttp_request *request, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(request), name);
}

static struct http_request_info
make_request_info(struct http *h, struct evhttp_request *request, bool is_alive)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *query = uri != NULL ? evhttp_uri_get_query(uri) : NULL;

	return (struct http_request_info){
		.path = path_of(request),
		.query = query != NULL ? query : "",
		.accept = find_header(request, "Accept"),
		.accept_encoding = find_header(request, "Accept-Encoding"),
		.authorization = find_header(request, "Authorization"),
		.host = find_header(request, "Host"),
		.peer = evhttp_connection_get_addr(evhttp_request_get_connection(request)),
		.pages = &h->pages,
		.is_read_only = is_read_only(request),
		.is_alive = is_alive,
	};
}

/* Answers the request of a connection. is_alive is false if the loop has not answered in time. */
static void
answer(struct http *h, struct http_conn *c, bool is_alive)
{
	uint64_t asked_us = c->last_request_us;
	struct http_reply r = { .is_last = http_conn_is_old(c, clock_now_us()) };
	struct evhttp_request *request = http_conn_end_wait(c);
	struct http_request_info info = make_request_info(h, request, is_alive);
	struct buf body = { 0 };

	http_page_fill(&info, &body, &r);
	http_reply_send(request, &r);
	buf_fini(&body);
	if (r.is_scrape)
		histogram_observe_us(&h->pages.scrape_duration, &histogram_bounds_proxy, clock_now_us() - asked_us);
}

static void
ask_loop(struct http *h, unsigned tables)
{
	if (tables != 0) {
		pthread_mutex_lock(&h->lock);
		h->wanted_tables |= tables;
		pthread_mutex_unlock(&h->lock);
	}
	if (!h->is_asking || tables != 0)
		wake_post(h->asked);
	h->is_asking = true;
}

static void
on_request(struct evhttp_request *request, void *arg)
{
	struct http *h = arg;
	uint64_t now_us = clock_now_us();
	struct http_conn *c = http_conn_begin_wait(&h->conns, request, WAIT_US, now_us);
	const struct http_served *served = is_read_only(request) ? http_served_find(&h->pages, path_of(request)) : NULL;
	struct http_request_info info = make_request_info(h, request, true);
	struct http_reply refusal = { 0 };

	if (c == NULL)
		evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
	else if (served != NULL && !http_page_check_access(served->page, &info, now_us, &refusal)) {
		/* The loop is not asked for a page that the client may not see. */
		refusal.is_last = http_conn_is_old(c, now_us);
		http_reply_send(http_conn_end_wait(c), &refusal);
	} else if (served == NULL || http_page_is_fresh(&h->pages, served, now_us))
		answer(h, c, true);
	else
		ask_loop(h, served->table_bit);
}

static void
on_late(struct http_conn *c, void *arg)
{
	answer(arg, c, false);
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;

	timer_rearm_event(h->every_second, HTTP_EVERY_US);
	if (clock_now_us() + HTTP_EVERY_US / 2 >= h->pages.due_us)
		ask_loop(h, 0);
}

/* --- the mailbox --- */

/* Answers the requests whose page is fresh now. Other requests still wait, because their table was asked for later, and
 * may be on its way. */
static void
answer_fresh(struct http *h, uint64_t now_us)
{
	struct http_conn *c, *next;

	for (c = TAILQ_FIRST(&h->conns.list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link); /* sending may close this connection, but no other one */
		if (c->state == HTTP_CONN_WAITING &&
		    http_page_is_fresh(&h->pages, http_served_find(&h->pages, path_of(c->request)), now_us))
			answer(h, c, true);
	}
}

static bool
is_awaited(const struct http *h)
{
	const struct http_conn *c;

	TAILQ_FOREACH(c, &h->conns.list, link)
		if (c->state == HTTP_CONN_WAITING)
			return true;
	return false;
}

static void
on_answered(void *arg)
{
	struct http *h = arg;
	uint64_t now_us = clock_now_us();
	struct snapshot *snapshot;
	bool has_answered;

	pthread_mutex_lock(&h->lock);
	snapshot = h->incoming_table;
	has_answered = h->has_answered;
	http_pages_take_tables(&h->pages, now_us);
	h->incoming_table = NULL;
	h->has_answered = false;
	pthread_mutex_unlock(&h->lock);
	if (has_answered)
		h->is_asking = false;
	if (snapshot == NULL)
		return; /* the loop had no memory for a snapshot, so on_late() answers the requests that wait */
	http_pages_take(&h->pages, snapshot, is_awaited(h), now_us);
	answer_fresh(h, now_us);
}

unsigned
http_take_wanted_tables(struct http *h)
{
	unsigned wanted;

	pthread_mutex_lock(&h->lock);
	wanted = h->wanted_tables;
	h->wanted_tables = 0;
	pthread_mutex_unlock(&h->lock);
	return wanted;
}

const struct http_page *
http_page_of_table(const struct http *h, unsigned number)
{
	return h->pages.served[number].page;
}

void
http_deliver_table(struct http *h, unsigned number, struct buf *json)
{
	struct buf *incoming_table = &h->pages.served[number].incoming_table;

	pthread_mutex_lock(&h->lock);
	buf_fini(incoming_table);
	*incoming_table = *json;
	pthread_mutex_unlock(&h->lock);
	*json = (struct buf){ 0 };
}

void
http_deliver_snapshot(struct http *h, struct snapshot *snapshot)
{
	struct snapshot *unread = NULL;

	pthread_mutex_lock(&h->lock);
	if (snapshot != NULL) {
		unread = h->incoming_table;
		h->incoming_table = snapshot;
	}
	h->has_answered = true;
	pthread_mutex_unlock(&h->lock);
	snapshot_free(unread);
	wake_post(&h->answered);
}

/* --- life --- */

static struct tls_context *
tls_of(void *arg)
{
	struct http *h = arg;
	struct tls_context *tls;

	pthread_mutex_lock(&h->lock);
	tls = h->tls == NULL ? NULL : tls_context_ref(h->tls);
	pthread_mutex_unlock(&h->lock);
	return tls;
}

void
http_use_tls(struct http *h, struct tls_context *tls)
{
	struct tls_context *before;

	pthread_mutex_lock(&h->lock);
	before = h->tls;
	h->tls = tls == NULL ? NULL : tls_context_ref(tls);
	pthread_mutex_unlock(&h->lock);
	tls_context_unref(before);
}

static void
on_stopped(void *arg)
{
	struct http *h = arg;

	event_base_loopbreak(h->base);
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	evconnlistener_enable(arg);
}

/* Called if no descriptor is left for a new connection, which then stays in the backlog. Accepts nothing for a while;
 * otherwise libevent would report the same connection at once, again and again. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct timeval pause = { .tv_usec = NO_DESCRIPTORS_PAUSE_US };

	evconnlistener_disable(listener);
	if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_pause_over, listener, &pause) < 0)
		evconnlistener_enable(listener);
}

static void *
http_run(void *arg)
{
	struct http *h = arg;

	pthread_setname_np(pthread_self(), "pgweir-http");
	event_base_dispatch(h->base);
	return NULL;
}

static int
start_server(struct http *h, const struct http_settings *settings, struct fail *why)
{
	struct evconnlistener *listener;
	int fd = settings->passed_fd != 0 ? settings->passed_fd : http_listen(settings->host, settings->port, why);

	if (fd < 0)
		return -1;
	h->listening_fd = fd;
	if (settings->port == 0)
		h->path = xstrdup(settings->host);
	h->owns_path = settings->passed_fd == 0;
	listener = evconnlistener_new(h->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener == NULL || evhttp_bind_listener(h->evhttp, listener) == NULL) {
		if (listener != NULL)
			evconnlistener_free(listener); /* closes fd, too */
		else
			close(fd);
		return fail_memory(why, "the HTTP listener");
	}
	evconnlistener_set_error_cb(listener, on_accept_error);
	evhttp_set_max_headers_size(h->evhttp, HEADERS_MAX);
	evhttp_set_max_body_size(h->evhttp, 0);
	evhttp_set_timeout(h->evhttp, IDLE_TIMEOUT_S);
	/* All methods that evhttp knows are allowed, because pgweir answers the wrong ones itself. */
	evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
						  EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						  EVHTTP_REQ_PATCH);
	evhttp_set_gencb(h->evhttp, on_request, h);
	http_conns_init(&h->conns, h->evhttp);
	h->conns.on_late = on_late;
	h->conns.tls = tls_of;
	h->conns.arg = h;
	h->conns.log = h->pages.log;
	return 0;
}

static int
start_all(struct http *h, const struct http_settings *settings, struct fail *why)
{
	struct timeval second = timer_interval(HTTP_EVERY_US);
	sigset_t all, before;
	int error;

	if (http_pages_init(&h->pages, settings) < 0)
		return fail_memory(why, "the HTTP thread");
	h->base = event_base_new();
	h->evhttp = h->base != NULL ? evhttp_new(h->base) : NULL;
	h->every_second = h->base != NULL ? event_new(h->base, -1, EV_PERSIST, on_second, h) : NULL;
	if (h->evhttp == NULL || h->every_second == NULL || event_add(h->every_second, &second) < 0)
		return fail_memory(why, "the HTTP thread");
	h->inbox = inbox_new(h->base, h, why);
	if (h->inbox == NULL)
		return -1;
	wake_init(&h->answered, h->inbox, on_answered, h);
	wake_init(&h->stopped, h->inbox, on_stopped, h);
	h->asked = settings->asked;
	if (start_server(h, settings, why) < 0)
		return -1;
	/* The thread must not handle signals: they belong to the main loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&h->thread, NULL, http_run, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return fail_set(why, "53000", "could not start the HTTP thread: %s", strerror(error));
	h->has_thread = true;
	return 0;
}

int
http_listening_fd(const struct http *h)
{
	return h->listening_fd;
}

void
http_set_path_removal(struct http *h, bool is_own)
{
	h->owns_path = is_own;
}

struct http *
http_new(const struct http_settings *settings, struct fail *why)
{
	struct http *h = xcalloc(1, sizeof(*h));

	pthread_mutex_init(&h->lock, NULL);
	http_use_tls(h, settings->tls);
	if (start_all(h, settings, why) < 0) {
		http_free(h);
		return NULL;
	}
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	if (h->has_thread) {
		wake_post(&h->stopped);
		pthread_join(h->thread, NULL);
	}
	if (h->evhttp != NULL)
		evhttp_free(h->evhttp); /* also frees its connections and the listener */
	http_conns_fini(&h->conns);
	if (h->every_second != NULL)
		event_free(h->every_second);
	inbox_free(h->inbox);
	if (h->base != NULL)
		event_base_free(h->base);
	if (h->path != NULL && h->owns_path)
		unlink(h->path);
	snapshot_free(h->incoming_table);
	http_pages_fini(&h->pages);
	tls_context_unref(h->tls);
	pthread_mutex_destroy(&h->lock);
	free(h->path);
	free(h);
}
