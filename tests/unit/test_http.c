/*
 * tests/unit/test_http.c - the metrics thread, asked over real sockets. Another thread plays the loop: it answers with
 * snapshots, or is told not to.
 */
#include "base/clock.h"
#include "config/module.h"
#include "http/http.h"
#include "http/http_state.h"
#include "unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define ANSWER_MAX (4 << 20)

/* --- a module: its pages, in place of those that this build has --- */

static _Atomic unsigned told_count;
static _Atomic uint64_t wanted_us; /* how long after each snapshot it wants the next one; 0: never */

static uint64_t
note(void *state, const struct snapshot *s)
{
	(*(unsigned *)state)++;
	told_count++;
	return wanted_us != 0 ? clock_now_us() + wanted_us : UINT64_MAX;
}

static void
fill_told(const struct http_request_info *info, struct buf *body, struct http_reply *r)
{
	buf_printf(body, "{\"told\":%u,\"asked\":\"%s\"}", *(unsigned *)info->state, info->query);
	http_reply_json(r, 200, body);
}

enum { TOLD = 1 };
static struct http_page pages[] = {
	{ "/", .file_type = "text/html; charset=utf-8", .file = (const unsigned char *)"<h1>", .file_len = 4 },
	{ "/told", .needs_snapshot = true, .fill = fill_told, .state_len = sizeof(unsigned) },
	{ "/table", .command = "SHOW TABLE", .rows_max = 1 },
	{ "/another", .command = "SHOW ANOTHER", .rows_max = 1 },
	{ .path = NULL },
};
const struct http_page *const http_module_pages[] = { pages, NULL };
const struct module *const modules[MODULE_COUNT + 1] = { NULL };

/* --- a loop, and pgweir's metrics thread beside it --- */

struct world {
	struct http *http;
	unsigned short port;
	const char *path; /* instead of a port */
	bool is_public; /* as if it were no loopback address */
	uint32_t from; /* the address that clients connect from; 0: any */
	struct event_base *base; /* of the loop, which is asked by its inbox */
	struct inbox *inbox;
	struct wake asked;
	pthread_t loop;
	_Atomic bool is_stopping, is_stuck;
	_Atomic unsigned asked_count;
	_Atomic unsigned delay_us;
	unsigned pool_count;
	const char *not_ready;
};

static struct snapshot *
make_snapshot(const struct world *w)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	s->pools = calloc(w->pool_count + 1, sizeof(*s->pools));
	s->pool_count = w->pool_count;
	for (unsigned i = 0; i < w->pool_count; i++) {
		snprintf(s->pools[i].database, sizeof(s->pools[i].database), "database_%u", i);
		strcpy(s->pools[i].user, "web");
	}
	s->process.client_connections = w->asked_count;
	if (w->not_ready != NULL) {
		snprintf(s->not_ready[0], sizeof(s->not_ready[0]), "%s", w->not_ready);
		strcpy(s->not_ready[1], "paused");
		s->not_ready_count = 2;
	}
	return s;
}

static void
answer_as_loop(struct world *w)
{
	unsigned wanted = http_take_wanted_tables(w->http);
	struct buf json = { 0 };

	for (unsigned t = 0; t < HTTP_PAGES_MAX; t++)
		if ((wanted >> t & 1) != 0) {
			buf_printf(&json, "[\"%s\"]", http_page_of_table(w->http, t)->command);
			http_deliver_table(w->http, t, &json);
		}
	http_deliver_snapshot(w->http, make_snapshot(w));
}

static void
on_asked(void *arg)
{
	struct world *w = arg;

	if (w->is_stuck) { /* so that it is asked once more */
		wake_post(&w->asked);
		return;
	}
	w->asked_count++;
	usleep(w->delay_us);
	answer_as_loop(w);
}

static void *
play_loop(void *arg)
{
	struct world *w = arg;

	while (!w->is_stopping) {
		event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		usleep(1000);
	}
	return NULL;
}

static unsigned short
free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	getsockname(fd, (struct sockaddr *)&a, &len);
	close(fd);
	return ntohs(a.sin_port);
}

static void
start(struct world *w)
{
	struct http_settings settings = { .is_local = !w->is_public, .asked = &w->asked };
	struct fail why = { 0 };

	w->base = event_base_new();
	w->inbox = inbox_new(w->base, w, &why);
	wake_init(&w->asked, w->inbox, on_asked, w);

	w->port = w->path != NULL ? 0 : free_port();
	settings.host = w->path != NULL ? w->path : "127.0.0.1";
	settings.port = w->port;
	w->http = http_new(&settings, &why);
	cr_assert_not_null(w->http, "%s", why.text);
	pthread_create(&w->loop, NULL, play_loop, w);
}

static void
stop(struct world *w)
{
	w->is_stopping = true;
	pthread_join(w->loop, NULL);
	http_free(w->http);
	inbox_free(w->inbox);
	event_base_free(w->base);
}

/* --- a client --- */

static void
connect_to(const struct world *w, int fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(w->port) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int result;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (w->path != NULL) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", w->path);
		result = connect(fd, (struct sockaddr *)&un, sizeof(un));
	} else {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(w->from) };

		if (w->from != 0)
			cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
		result = connect(fd, (struct sockaddr *)&in, sizeof(in));
	}
	cr_assert_eq(result, 0);
}

static int
dial(const struct world *w)
{
	int fd = socket(w->path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

	connect_to(w, fd);
	return fd;
}

static void
send_text(int fd, const char *text)
{
	ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL);

	(void)n;
}

/* All there is until the other side closes. The caller frees it. */
static char *
read_all(int fd, size_t *len)
{
	char *answer = malloc(ANSWER_MAX + 1);
	ssize_t n;

	*len = 0;
	while ((n = recv(fd, answer + *len, ANSWER_MAX - *len, 0)) > 0)
		*len += (size_t)n;
	answer[*len] = '\0';
	close(fd);
	return answer;
}

static char *
ask_with(const struct world *w, const char *method, const char *path, const char *headers, size_t *len)
{
	char request[1024];
	int fd = dial(w);

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n", method,
		 path, headers);
	send_text(fd, request);
	return read_all(fd, len);
}

static char *
ask(const struct world *w, const char *method, const char *path)
{
	size_t len;

	return ask_with(w, method, path, "", &len);
}

static void
expect_answer(const struct world *w, const char *method, const char *path, int status, const char *having)
{
	char *answer = ask(w, method, path), line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	cr_expect_eq(strncmp(answer, line, strlen(line)), 0, "%s %s: %.60s", method, path, answer);
	cr_expect_not_null(strstr(answer, having), "%s %s: %.400s", method, path, answer);
	free(answer);
}

static const char *
body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end != NULL ? end + 4 : "";
}

/* --- what is there --- */

static const struct {
	const char *method, *path;
	int status;
	const char *having;
} routes[] = {
	{ "GET", "/metrics", 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" },
	{ "GET", "/metrics", 200, "\npgweir_client_connections_total " },
	{ "GET", "/metrics?name=x", 200, "# TYPE" },
	{ "GET", "/healthz", 200, "\r\n\r\nok\n" },
	{ "GET", "/readyz", 200, "{\"ready\":true,\"reasons\":[]}\n" },
	{ "GET", "/readyz", 200, "Content-Type: application/json; charset=utf-8\r\n" },
	{ "GET", "/", 200, "\r\n\r\n<h1>" },
	{ "GET", "/told?by=whom", 200, ",\"asked\":\"by=whom\"}" },
	{ "GET", "/table", 200, "\r\n\r\n[\"SHOW TABLE\"]" },
	{ "GET", "/another", 200, "\r\n\r\n[\"SHOW ANOTHER\"]" },
	{ "GET", "/", 200, "Content-Type: text/html; charset=utf-8\r\n" },
	{ "GET", "/", 200, "X-Content-Type-Options: nosniff\r\n" },
	{ "GET", "/", 200, "Cache-Control: no-store\r\n" },
	{ "GET", "/nowhere", 404, "/metrics, /healthz or /readyz\n" },
	{ "GET", "/table/nothing", 404, "not found" },
	{ "GET", "/metrics/", 404, "not found" },
	{ "GET", "/../metrics", 404, "not found" },
	{ "POST", "/metrics", 405, "Allow: GET, HEAD\r\n" },
	{ "PUT", "/", 405, "Allow: GET, HEAD\r\n" },
	{ "DELETE", "/nowhere", 405, "Allow: GET, HEAD\r\n" },
	{ "OPTIONS", "/metrics", 405, "Allow: GET, HEAD\r\n" },
	{ "BREW", "/metrics", 501, "" },
};

Test(http, routes)
{
	struct world w = { .pool_count = 3 };

	start(&w);
	EACH(row, routes)
		expect_answer(&w, row->method, row->path, row->status, row->having);
	stop(&w);
}

Test(http, a_head_has_no_body)
{
	struct world w = { .pool_count = 3 };
	char *answer;

	start(&w);
	answer = ask(&w, "HEAD", "/metrics");
	cr_expect_eq(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
	cr_expect_not_null(strstr(answer, "\r\nContent-Length: "));
	cr_expect_null(strstr(answer, "\r\nContent-Length: 0\r\n"), "that of the body it would have");
	cr_expect_str_eq(body_of(answer), "");
	free(answer);
	stop(&w);
}

Test(http, not_ready_says_why)
{
	struct world w = { .not_ready = "no backend is up: \"db1\"" };

	start(&w);
	expect_answer(&w, "GET", "/readyz", 503,
		      "{\"ready\":false,\"reasons\":[\"no backend is up: \\\"db1\\\"\",\"paused\"]}\n");
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	stop(&w);
}

Test(http, compressed_for_those_who_want_it)
{
	struct world w = { .pool_count = 50, .is_public = true };
	size_t len, plain_len;
	char *packed, *plain, *unpacked = malloc(ANSWER_MAX);
	z_stream z = { 0 };

	start(&w);
	packed = ask_with(&w, "GET", "/metrics", "Accept-Encoding: deflate, gzip;q=0.5\r\n", &len);
	plain = ask_with(&w, "GET", "/metrics", "Accept-Encoding: gzip;q=0\r\n", &plain_len);
	cr_expect_not_null(strstr(packed, "Content-Encoding: gzip\r\n"));
	cr_expect_not_null(strstr(packed, "Vary: Accept, Accept-Encoding\r\n"));
	cr_expect_null(strstr(plain, "Content-Encoding"));
	cr_expect_lt(len * 5, plain_len);
	cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = (Bytef *)body_of(packed);
	z.avail_in = (uInt)(len - (size_t)(body_of(packed) - packed));
	z.next_out = (Bytef *)unpacked;
	z.avail_out = ANSWER_MAX - 1;
	cr_expect_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	unpacked[ANSWER_MAX - 1 - z.avail_out] = '\0';
	inflateEnd(&z);
	cr_expect_str_eq(unpacked, body_of(plain), "both are of the same snapshot");
	free(packed);
	free(plain);
	free(unpacked);
	stop(&w);
}

Test(http, not_compressed_for_this_host)
{
	struct world w = { .pool_count = 50 };
	size_t len;
	char *plain;

	start(&w);
	plain = ask_with(&w, "GET", "/metrics", "Accept-Encoding: gzip\r\n", &len);
	cr_expect_null(strstr(plain, "Content-Encoding"));
	cr_expect_not_null(strstr(body_of(plain), "pgweir_build_info{"));
	free(plain);
	stop(&w);
}

static const struct {
	const char *header;
	bool wants;
} encodings[] = {
	{ NULL, false },
	{ "", false },
	{ "gzip", true },
	{ "GZIP", true },
	{ "x-gzip", true },
	{ "deflate, gzip, br", true },
	{ "deflate,gzip ; q=0.001", true },
	{ "gzip;q=0", false },
	{ "gzip; q=0.000, deflate", false },
	{ "gzip;x=1, deflate;q=0", true },
	{ "gzip;x=q;q=0, deflate", false },
	{ "gzipped", false },
	{ "identity", false },
	{ "*", false },
	{ ",,,;;q=1,", false },
};

Test(http, who_wants_gzip)
{
	EACH(row, encodings)
		cr_expect_eq(http_accepts_gzip(row->header), row->wants, "%s", row->header);
}

/* --- the loop behind it --- */

Test(http, a_stuck_loop_leaves_the_last_metrics_and_ill_health)
{
	struct world w = { .pool_count = 1 };
	uint64_t begin_us;

	start(&w);
	w.is_stuck = true;
	begin_us = clock_now_us();
	expect_answer(&w, "GET", "/metrics", 503, "does not answer");
	cr_expect_gt(clock_now_us() - begin_us, 900 * US_PER_MS, "it was given its second");
	cr_expect_lt(clock_now_us() - begin_us, 2 * US_PER_S);
	expect_answer(&w, "GET", "/healthz", 503, "does not answer");
	expect_answer(&w, "GET", "/readyz", 503, "{\"ready\":false,\"reasons\":[\"the event loop does not answer\"]}");
	w.is_stuck = false;
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	w.is_stuck = true;
	usleep(300000);
	expect_answer(&w, "GET", "/healthz", 503, "does not answer");
	expect_answer(&w, "GET", "/metrics", 200, "\npgweir_client_connections_total ");
	w.is_stuck = false;
	expect_answer(&w, "GET", "/readyz", 200, "true");
	stop(&w);
}

/* It reads requests in the order in which they come: behind an answer that needs no loop it has read those before it.
 */
Test(http, scrapes_at_once_share_one_snapshot)
{
	struct world w = { .is_stuck = true };
	int fds[8];
	size_t len;

	start(&w);
	for (int i = 0; i < 8; i++) {
		fds[i] = dial(&w);
		send_text(fds[i], "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
	}
	expect_answer(&w, "GET", "/", 200, "<h1>");
	w.is_stuck = false;
	for (int i = 0; i < 8; i++) {
		char *answer = read_all(fds[i], &len);

		cr_expect_not_null(strstr(answer, "\npgweir_client_connections_total 1\n"), "%.400s", answer);
		free(answer);
	}
	cr_expect_eq(w.asked_count, 1);
	usleep(300000);
	expect_answer(&w, "GET", "/metrics", 200, "\npgweir_client_connections_total 2\n");
	cr_expect_eq(w.asked_count, 2, "a snapshot is used for 250 ms and no longer");
	stop(&w);
}

Test(http, a_module_is_told_of_each_snapshot)
{
	struct world w = { .pool_count = 1 };
	unsigned before;

	pages[TOLD].on_snapshot = note;
	start(&w);
	expect_answer(&w, "GET", "/metrics", 200, "");
	before = told_count;
	cr_expect_geq(before, 1);
	http_deliver_snapshot(w.http, make_snapshot(&w)); /* nobody waits for it */
	while (told_count == before)
		usleep(1000);
	stop(&w);
}

Test(http, a_module_has_a_snapshot_when_it_wants_one)
{
	struct world w = { .pool_count = 1 };

	pages[TOLD].on_snapshot = note;
	wanted_us = 1;
	start(&w);
	while (told_count < 2)
		usleep(10000);
	stop(&w);
}

Test(http, a_stuck_loop_leaves_a_table_out)
{
	struct world w = { .is_stuck = true };

	start(&w);
	expect_answer(&w, "GET", "/table", 503, "does not answer");
	w.is_stuck = false;
	expect_answer(&w, "GET", "/table", 200, "[\"SHOW TABLE\"]");
	stop(&w);
}

Test(http, answers_nobody_waits_for_are_no_harm)
{
	struct world w = { .is_stuck = true };

	start(&w);
	http_deliver_snapshot(w.http, make_snapshot(&w));
	http_deliver_snapshot(w.http, make_snapshot(&w));
	http_deliver_snapshot(w.http, NULL); /* no memory for another one */
	expect_answer(&w, "GET", "/metrics", 200, "");
	stop(&w);
}

Test(http, it_ends_with_requests_under_way)
{
	struct world w = { .is_stuck = true };
	int fds[10];

	start(&w);
	for (int i = 0; i < 10; i++) {
		fds[i] = dial(&w);
		send_text(fds[i], i % 2 ? "GET /metrics HTTP/1.1\r\n\r\n" : "GET /met");
	}
	usleep(100000);
	close(fds[1]);
	stop(&w);
	for (int i = 0; i < 10; i++)
		if (i != 1)
			close(fds[i]);
}

/* --- hostile clients --- */

/* Milliseconds until the other side closes; -1: not within ms. */
static int
closed_after(int fd, int ms)
{
	uint64_t begin_us = clock_now_us();
	char bytes[4096];

	for (;;) {
		int spent = (int)((clock_now_us() - begin_us) / US_PER_MS);
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (spent > ms)
			return -1;
		if (poll(&p, 1, 20) > 0 && recv(fd, bytes, sizeof(bytes), 0) <= 0)
			return spent;
	}
}

Test(http, a_silent_crowd_keeps_nobody_out)
{
	struct world w = { 0 };
	int fds[40];

	start(&w);
	for (int i = 0; i < 40; i++)
		fds[i] = dial(&w);
	for (int i = 0; i < 8; i++)
		cr_expect(closed_after(fds[i], 2000) >= 0, "the %d. of 40 goes", i + 1);
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	for (int i = 0; i < 40; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		cr_expect_eq(poll(&p, 1, 0), i < 9, "the %d. of 40: the oldest go, and one for whoever asked", i + 1);
		close(fds[i]);
	}
	stop(&w);
}

/* On a busy machine the answer may be gone before all are accepted: then once more. */
Test(http, who_has_asked_stays_before_the_silent)
{
	struct world w = { .delay_us = 800000 };
	bool has_closed = false;

	start(&w);
	for (int attempt = 0; attempt < 8 && !has_closed; attempt++) {
		int asked = dial(&w), silent[32];
		unsigned before = w.asked_count;
		char *answer;
		size_t len;

		send_text(asked, "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
		while (w.asked_count == before)
			usleep(1000);
		for (int i = 0; i < 32; i++)
			silent[i] = dial(&w);
		has_closed = closed_after(silent[0], 2000) >= 0;
		answer = read_all(asked, &len);
		cr_expect_eq(strncmp(answer, "HTTP/1.1 200", 12), 0, "%.40s", answer);
		free(answer);
		for (int i = 0; i < 32; i++)
			close(silent[i]);
		usleep(300000); /* a fresh snapshot would be answered at once */
	}
	cr_expect(has_closed, "the oldest of the silent");
	stop(&w);
}

/* --- Those who take too long; all at the same time, as each takes its seconds. --- */

#define PATIENCE_MS 40000 /* a busy machine closes them later, and never earlier */

static void *
be_silent(void *world)
{
	int fd = dial(world), after = closed_after(fd, PATIENCE_MS);

	cr_expect_gt(after, 4500, "silent: %d ms", after);
	close(fd);
	return NULL;
}

static void *
drip(void *world)
{
	uint64_t begin_us = clock_now_us();
	int fd = dial(world), after = -1;

	send_text(fd, "GET /metrics HTTP/1.1\r\n");
	for (int i = 0; i < PATIENCE_MS / 100 && after < 0; i++) {
		send_text(fd, "X: y\r\n");
		after = closed_after(fd, 100);
	}
	cr_expect_geq(after, 0, "closed");
	cr_expect_gt(clock_now_us() - begin_us, 4500 * US_PER_MS, "slow");
	close(fd);
	return NULL;
}

static int
ask_and_take_little(const struct world *w)
{
	int fd = dial(w), small = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	send_text(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	return fd;
}

/* Neither takes its answer nor stops talking: no more of that is kept than a little. */
static void *
talk_and_take_nothing(void *world)
{
	static const char junk[65536];
	uint64_t begin_us = clock_now_us(), sent = 0;
	int fd = ask_and_take_little(world);
	ssize_t n = 0;

	while (clock_now_us() - begin_us < PATIENCE_MS * US_PER_MS) {
		n = send(fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			sent += (uint64_t)n;
		else if (errno != EAGAIN)
			break;
		else
			usleep(1000);
	}
	cr_expect_leq(n, 0);
	cr_expect_neq(errno, EAGAIN, "closed");
	cr_expect_lt(sent, 16 << 20, "%llu bytes were taken", (unsigned long long)sent);
	cr_expect_gt(clock_now_us() - begin_us, 4 * US_PER_S);
	close(fd);
	return NULL;
}

static void *
sip(void *world)
{
	uint64_t begin_us = clock_now_us();
	int fd = ask_and_take_little(world);
	ssize_t n = 1;
	char bytes[20000];

	while (n > 0 && clock_now_us() - begin_us < 9 * US_PER_S) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		usleep(100000);
	}
	cr_expect(n > 0 || clock_now_us() - begin_us > 10 * US_PER_S, "it has its time");
	usleep(3000000);
	send_text(fd, "anybody there?");
	usleep(100000);
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		;
	cr_expect_lt(n, 0, "reset: the other side did not wait for the end");
	close(fd);
	return NULL;
}

Test(http, silent_and_slow_ones_are_closed_after_five_seconds_and_who_does_not_take_its_answer_after_ten,
     .timeout = 120)
{
	static void *(*const kinds[])(void *) = { be_silent, drip, talk_and_take_nothing, sip };
	enum { COUNT = COUNT(kinds) };
	struct world w = { .pool_count = 4000 };
	pthread_t threads[COUNT];

	start(&w);
	for (int i = 0; i < COUNT; i++)
		pthread_create(&threads[i], NULL, kinds[i], &w);
	for (int i = 0; i < COUNT; i++)
		pthread_join(threads[i], NULL);
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	stop(&w);
}

static const struct {
	const char *rule, *request;
	const char *status; /* "": closed without a word is fine too */
} oddities[] = {
	{ "a body", "POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413" },
	{ "a body without end", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", "" },
	{ "no HTTP", "\xff\xfe\xfd\r\n\r\n", "" },
	{ "an SSLRequest", "\x16\x03\x01\x02\r\n\r\n", "" },
	{ "another version", "GET / HTTP/9.9\r\n\r\n", "" },
	{ "a path of dots", "GET /%2e%2e/%00 HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 404" },
	{ "an absolute address", "GET http://x/healthz HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 200" },
	{ "two requests at once", "GET /healthz HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n",
	  "HTTP/1.1 200" },
};

Test(http, odd_requests_hurt_nobody, .timeout = 30)
{
	enum { COUNT = COUNT(oddities) };
	struct world w = { 0 };
	int fds[COUNT];

	start(&w);
	for (size_t i = 0; i < COUNT; i++) {
		fds[i] = dial(&w);
		send_text(fds[i], oddities[i].request);
	}
	for (size_t i = 0; i < COUNT; i++) {
		size_t len;
		char *answer = read_all(fds[i], &len);

		cr_expect_eq(strncmp(answer, oddities[i].status, strlen(oddities[i].status)), 0, "%s: %.40s",
			     oddities[i].rule, answer);
		free(answer);
	}
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	stop(&w);
}

Test(http, headers_are_read_up_to_8_KiB)
{
	struct world w = { 0 };
	char *huge = malloc(20000), *answer;
	size_t len;
	int fd;

	start(&w);
	memset(huge, 'x', 20000);
	memcpy(huge, "GET / HTTP/1.1\r\nX: ", 19);
	huge[19999] = '\0';
	fd = dial(&w);
	send_text(fd, huge);
	answer = read_all(fd, &len);
	cr_expect_eq(strncmp(answer, "HTTP/1.1 400", len > 12 ? 12 : len), 0, "%.40s", answer);
	free(answer);
	free(huge);
	stop(&w);
}

/* The connection stays in the backlog meanwhile, and must not keep the thread busy. */
Test(http, out_of_descriptors_it_waits_and_recovers)
{
	struct world w = { 0 };
	struct rlimit limit, none;
	clock_t begin;
	char *answer;
	size_t len;
	int fd;

	start(&w);
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	connect_to(&w, fd);
	send_text(fd, "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
	begin = clock();
	usleep(500000);
	cr_expect_lt(clock() - begin, CLOCKS_PER_SEC / 10, "%ld us of processor time", (long)(clock() - begin));
	setrlimit(RLIMIT_NOFILE, &limit);
	answer = read_all(fd, &len);
	cr_expect_eq(strncmp(answer, "HTTP/1.1 200", 12), 0, "%.40s", answer);
	free(answer);
	stop(&w);
}

Test(http, a_connection_may_ask_again)
{
	struct world w = { 0 };
	char answer[4096];
	int fd;

	start(&w);
	fd = dial(&w);
	for (int i = 0; i < 5; i++) {
		ssize_t n;

		send_text(fd, "GET /healthz HTTP/1.1\r\n\r\n");
		n = recv(fd, answer, sizeof(answer) - 1, 0);
		cr_assert_gt(n, 0);
		answer[n] = '\0';
		cr_expect_eq(strncmp(answer, "HTTP/1.1 200", 12), 0, "%s", answer);
	}
	close(fd);
	stop(&w);
}

/* --- where it listens --- */

Test(http, a_unix_socket_replaces_a_stale_one_and_is_removed)
{
	char dir[] = "/tmp/pgweir-http-XXXXXX", path[64];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct world w = { .path = path };
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	strcpy(un.sun_path, path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	start(&w);
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	cr_expect_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0660);
	stop(&w);
	cr_expect_eq(stat(path, &st), -1);
	rmdir(dir);
}

Test(http, an_address_that_is_taken_says_so)
{
	struct world w = { 0 };
	struct http_settings settings = { .is_local = true, .host = "127.0.0.1" };
	struct fail why = { 0 };

	start(&w);
	settings.port = w.port;
	cr_expect_null(http_new(&settings, &why));
	cr_expect_not_null(strstr(why.text, "Address already in use"), "%s", why.text);
	cr_expect_not_null(strstr(why.hint, "[http]"), "%s", why.hint);
	settings.host = "localhost.example";
	cr_expect_null(http_new(&settings, &why));
	cr_expect_not_null(strstr(why.text, "localhost.example"), "%s", why.text);
	http_free(NULL);
	stop(&w);
}

/* The signals that the thread of this name blocks; 0 if there is no such thread. */
static unsigned long long
signals_blocked_by(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	char path[64], line[128], found[32];
	unsigned long long blocked, result = 0;

	while ((entry = readdir(tasks)) != NULL) {
		bool is_it = false;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/status", entry->d_name);
		f = fopen(path, "r");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			if (sscanf(line, "Name: %31s", found) == 1)
				is_it = strcmp(found, name) == 0;
			if (is_it && sscanf(line, "SigBlk: %llx", &blocked) == 1)
				result = blocked;
		}
		if (f != NULL)
			fclose(f);
	}
	closedir(tasks);
	return result;
}

Test(http, its_thread_takes_no_signals)
{
	const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };
	struct world w = { 0 };
	unsigned long long blocked;

	start(&w);
	expect_answer(&w, "GET", "/healthz", 200, "ok"); /* it runs by now */
	blocked = signals_blocked_by("pgweir-http");
	for (size_t i = 0; i < COUNT(signals); i++)
		cr_expect_eq(blocked >> (signals[i] - 1) & 1, 1, "signal %d", signals[i]);
	stop(&w);
}

/* --- who may see what is not open --- */

Test(http, beyond_loopback_pages_need_a_password)
{
	struct world w = { .is_public = true, .from = 0x7f000002 }; /* what is not 127.0.0.1 may be anybody */

	start(&w);
	expect_answer(&w, "GET", "/", 403, "auth_file");
	expect_answer(&w, "GET", "/told", 403, "auth_file");
	expect_answer(&w, "GET", "/table", 403, "auth_file");
	expect_answer(&w, "GET", "/metrics", 200, "# TYPE");
	expect_answer(&w, "GET", "/healthz", 200, "ok");
	w.from = 0x7f000001; /* a container's own localhost, a forwarded port */
	expect_answer(&w, "GET", "/", 200, "<h1>");
	stop(&w);
}

Test(http, a_name_and_its_password_open_pages)
{
	static const char file[] = "\"plain\" \"sesame\"\n";
	struct fail why;
	struct users *users = users_load_text(file, sizeof(file) - 1, "x", false, NULL, NULL, &why);

	cr_expect(http_is_authorized(users, "Basic cGxhaW46c2VzYW1l"), "plain:sesame");
	cr_expect(http_is_authorized(users, "basic cGxhaW46c2VzYW1l"), "the scheme's case is free");
	cr_expect(!http_is_authorized(users, "Basic cGxhaW46c2VzYW1"), "broken base64");
	cr_expect(!http_is_authorized(users, "Basic cGxhaW46c2VzYW1m"), "plain:sesamf");
	cr_expect(!http_is_authorized(users, "Basic cGxhaW4="), "no colon");
	cr_expect(!http_is_authorized(users, "Basic bm9ib2R5OnNlc2FtZQ=="), "nobody:sesame");
	cr_expect(!http_is_authorized(users, "Bearer cGxhaW46c2VzYW1l"));
	cr_expect(!http_is_authorized(users, NULL));
	users_unref(users);
}

#define RIGHT "Basic cGxhaW46c2VzYW1l" /* plain:sesame */
#define WRONG "Basic cGxhaW46c2VzYW1m" /* plain:sesamf */

struct guesser {
	struct http_guesses g;
	struct users *users;
	unsigned wait_s;
	uint64_t now_us;
};

static void
guesser_init(struct guesser *t)
{
	static const char file[] = "\"plain\" \"sesame\"\n";
	struct fail why;

	memset(t, 0, sizeof(*t));
	t->now_us = 1000 * US_PER_S;
	t->users = users_load_text(file, sizeof(file) - 1, "x", false, NULL, NULL, &why);
	cr_assert_eq(http_guesses_init(&t->g), 0);
}

static void
guesser_fini(struct guesser *t)
{
	http_guesses_fini(&t->g);
	users_unref(t->users);
}

/* The last byte of an IPv4 address. */
static enum http_proof
guess(struct guesser *t, const char *authorization, unsigned char host)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000u + host) };

	return http_guesses_check(&t->g, t->users, authorization, (struct sockaddr *)&peer, t->now_us, &t->wait_s);
}

Test(http, a_wrong_password_makes_its_address_wait)
{
	struct guesser t;

	guesser_init(&t);
	cr_expect_eq(guess(&t, NULL, 1), HTTP_UNPROVED, "a browser asks without one first");
	cr_expect_eq(guess(&t, RIGHT, 9), HTTP_PROVED);
	cr_expect_eq(guess(&t, WRONG, 1), HTTP_UNPROVED);
	t.now_us += 300 * US_PER_MS; /* it cost less than 30 ms to look at */
	cr_expect_eq(guess(&t, WRONG, 1), HTTP_TOO_SOON);
	cr_expect_eq(t.wait_s, 1);
	cr_expect_eq(guess(&t, RIGHT, 1), HTTP_PROVED, "it was right before, from wherever");
	cr_expect_eq(guess(&t, "Basic cGxhaW46", 2), HTTP_UNPROVED, "another address is looked at");
	t.now_us += 500 * US_PER_MS;
	cr_expect_eq(guess(&t, WRONG, 1), HTTP_UNPROVED);
	t.now_us += 500 * US_PER_MS;
	cr_expect_eq(guess(&t, WRONG, 1), HTTP_TOO_SOON, "twice as long after the second");
	guesser_fini(&t);
}

Test(http, delays_grow_up_to_half_a_minute_and_are_forgotten)
{
	struct guesser t;

	guesser_init(&t);
	for (int i = 0; i < 20; i++) {
		cr_expect_eq(guess(&t, WRONG, 1), HTTP_UNPROVED);
		cr_expect_eq(guess(&t, "Basic cGxhaW46", 1), HTTP_TOO_SOON);
		cr_expect_leq(t.wait_s, 30);
		t.now_us += t.wait_s * US_PER_S;
	}
	cr_expect_eq(t.wait_s, 30);
	cr_expect_eq(guess(&t, RIGHT, 1), HTTP_PROVED);
	t.now_us += 100 * US_PER_S;
	cr_expect_eq(guess(&t, WRONG, 1), HTTP_UNPROVED);
	cr_expect_eq(guess(&t, WRONG, 1), HTTP_TOO_SOON);
	cr_expect_eq(t.wait_s, 1, "like the first");
	guesser_fini(&t);
}

/* A secret that takes a tenth of a second to compare: many addresses must not take the thread. */
Test(http, wrong_passwords_take_a_tenth_of_the_thread_whoever_sends_them)
{
	static const char file[] =
	    "\"slow\" "
	    "\"SCRAM-SHA-256$400000:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n";
	unsigned looked_at = 0;
	struct guesser t;
	struct fail why;
	uint64_t begin_us, spent_us;

	guesser_init(&t);
	users_unref(t.users);
	t.users = users_load_text(file, sizeof(file) - 1, "x", false, NULL, NULL, &why);
	cr_assert_not_null(t.users, "%s", why.text);
	begin_us = clock_now_us();
	for (int i = 0; i < 250; i++) {
		looked_at += guess(&t, "Basic c2xvdzp4", (unsigned char)i) == HTTP_UNPROVED; /* slow:x */
		t.now_us += 10 * US_PER_MS;
	}
	spent_us = clock_now_us() - begin_us;
	cr_expect_geq(looked_at, 1);
	cr_expect_leq(spent_us, 2500 * US_PER_MS / 10 + spent_us / looked_at + 100 * US_PER_MS, "%u took %llu us",
		      looked_at, (unsigned long long)spent_us);
	guesser_fini(&t);
}

Test(http, a_host_that_is_a_name_is_from_elsewhere)
{
	static const char *const own[] = { NULL,	 "",	      "127.0.0.1",  "127.0.0.1:9930",
					   "[::1]:9930", "localhost", "LOCALHOST:1" };
	static const char *const foreign[] = { "evil.example", "evil.example:9930", "localhost.evil.example",
					       "127.0.0.1.evil.example", "[::1x]" };

	for (size_t i = 0; i < COUNT(own); i++)
		cr_expect(http_host_is_ip_or_localhost(own[i]), "%s", own[i] != NULL ? own[i] : "none");
	for (size_t i = 0; i < COUNT(foreign); i++)
		cr_expect(!http_host_is_ip_or_localhost(foreign[i]), "%s", foreign[i]);
}
