/* tests/fuzz/session_quiet.c - see session_quiet.h. Functions of these names in libraries are not linked then. */
#include "session_quiet.h"

#include "base/clock.h"
#include "log/log.h"
#include "log/log_writer.h"
#include "net/helpers.h"

#include "process/process_state.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WALL_BEGAN 1600000000

/* clock_gettime and RAND_bytes have no argument to hang these on. */
static uint64_t now_us, random_state;
static unsigned late_notes, early_notes, failing_halts; /* in 256 */

void
quiet_reset(uint64_t seed)
{
	now_us = 1000 * US_PER_S;
	random_state = seed | 1;
	late_notes = failing_halts = 0;
}

void
quiet_pass(uint64_t us)
{
	now_us += us;
}

uint64_t
quiet_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static bool
is_drawn(unsigned of_256)
{
	return of_256 > 0 && (quiet_random() >> 32 & 255) < of_256;
}

void
quiet_delay_notes(unsigned of_256)
{
	late_notes = of_256;
}

void
quiet_give_up_halts(unsigned of_256)
{
	failing_halts = of_256;
}

/* --- a folder --- */

#define FOLDER_FD 900

static char folder[64];

static void
remove_folder(void)
{
	rmdir(folder);
}

const char *
quiet_folder(void)
{
	static const char name[] = "/proc/self/fd/900";
	int fd;

	if (folder[0] != '\0')
		return name;
	/* A socket is made per run: that is cheap in memory, not on a disk. */
	snprintf(folder, sizeof(folder), "/dev/shm/fuzz.XXXXXX");
	if (mkdtemp(folder) == NULL) {
		snprintf(folder, sizeof(folder), "/tmp/fuzz.XXXXXX");
		if (mkdtemp(folder) == NULL)
			abort();
	}
	atexit(remove_folder);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || dup3(fd, FOLDER_FD, O_CLOEXEC) < 0)
		abort();
	close(fd);
	return name;
}

/* libevent and OpenSSL must find these, too: they are seen from outside whatever -fvisibility says. */
#define IN_PLACE_OF_LIBRARY __attribute__((visibility("default")))

IN_PLACE_OF_LIBRARY int
clock_gettime(clockid_t id, struct timespec *t)
{
	bool is_wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;

	if (!is_wall && id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, id, t);
	t->tv_sec = (time_t)(now_us / US_PER_S) + (is_wall ? WALL_BEGAN : 0);
	t->tv_nsec = (long)(now_us % US_PER_S) * 1000;
	return 0;
}

IN_PLACE_OF_LIBRARY int
RAND_bytes(unsigned char *bytes, int len)
{
	for (int i = 0; i < len; i++)
		bytes[i] = (unsigned char)(quiet_random() >> 32);
	return 1;
}

/* --- log/log.h, log/log_writer.h --- */

struct log {
	bool is_loud;
};

struct log *
log_new(const struct log_settings *settings, struct fail *why)
{
	struct log *log = calloc(1, sizeof(*log));

	(void)settings;
	(void)why;
	if (log != NULL)
		log->is_loud = getenv("SESSION_LOG") != NULL;
	return log;
}

void
log_free(struct log *log)
{
	free(log);
}

int
log_reconfigure(struct log *log, const struct log_settings *settings, struct fail *why)
{
	(void)log;
	(void)settings;
	(void)why;
	return 0;
}

int
log_reopen(struct log *log, struct fail *why)
{
	(void)log;
	(void)why;
	return 0;
}

static void
put_line(const struct log *log, enum log_level level, const char *fmt, va_list args)
{
	char line[2048];

	vsnprintf(line, sizeof(line), fmt, args);
	if (log != NULL && log->is_loud)
		fprintf(stderr, "pgweir %d: %s\n", (int)level, line);
}

void
log_event(struct log *log, enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	va_list args;

	(void)about;
	va_start(args, fmt);
	put_line(log, level, fmt, args);
	va_end(args);
}

/* As in a debug build. */
void
log_bug(struct log *log, const char *what)
{
	(void)log;
	fprintf(stderr, "BUG: %s\n", what);
	abort();
}

int
log_has_pgbouncer_format(const struct log *log)
{
	(void)log;
	return 0;
}

int
log_is_enabled(const struct log *log, enum log_level level)
{
	return level < LOG_LEVEL_DEBUG || (log != NULL && log->is_loud);
}

struct log_writer {
	uint64_t lines;
};

struct log_writer *
log_writer_new(const char *destination, size_t ring_len, struct fail *why)
{
	(void)destination;
	(void)ring_len;
	(void)why;
	return calloc(1, sizeof(struct log_writer));
}

void
log_writer_free(struct log_writer *w)
{
	free(w);
}

void
log_writer_close_later(struct log_writer *w)
{
	free(w);
}

int
log_writer_put(struct log_writer *w, const char *line, size_t line_len)
{
	if (line_len == 0 || memchr(line, '\n', line_len) != line + line_len - 1)
		abort(); /* a line is one line */
	w->lines++;
	return 0;
}

int
log_writer_reopen(struct log_writer *w, struct fail *why)
{
	(void)w, (void)why;
	return 0;
}

uint64_t
log_writer_dropped(const struct log_writer *w)
{
	(void)w;
	return 0;
}

uint64_t
log_writer_errors(const struct log_writer *w)
{
	(void)w;
	return 0;
}

/* --- net/inbox.h: one note per turn of the loop, or all between two events --- */

struct inbox {
	struct inbox_flag flag; /* first */
	bool is_early; /* there is a note that is not late */
	bool is_busy; /* its worker has functions on the stack */
	struct event *event;
	struct note_list notes;
	void *owner;
};

static void
read_first(struct inbox *in, bool is_over)
{
	struct note *n = STAILQ_FIRST(&in->notes);

	STAILQ_REMOVE_HEAD(&in->notes, next);
	if (!STAILQ_EMPTY(&in->notes))
		event_active(in->event, EV_TIMEOUT, 0);
	else
		in->is_early = false;
	n->read(n, in->owner, is_over);
}

bool
inbox_read(struct inbox *in, bool is_over)
{
	bool had_some = in->is_early;
	const struct note *n;
	unsigned count = 0;

	in->flag.is_set = false;
	if (!had_some)
		return false;
	STAILQ_FOREACH(n, &in->notes, next)
		count++;
	while (count-- > 0 && !STAILQ_EMPTY(&in->notes)) /* others may have been taken back meanwhile */
		read_first(in, is_over);
	return had_some;
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct inbox *in = arg;

	(void)fd;
	(void)what;
	if (!STAILQ_EMPTY(&in->notes))
		read_first(in, false);
}

struct inbox *
inbox_new(struct event_base *base, void *owner, struct fail *why)
{
	struct inbox *in = calloc(1, sizeof(*in));

	(void)why;
	if (in == NULL || (in->event = event_new(base, -1, 0, on_turn, in)) == NULL)
		abort();
	STAILQ_INIT(&in->notes);
	in->owner = owner;
	return in;
}

void
inbox_take_back(struct inbox *from, bool (*is_meant)(const struct note *n, void *arg), void *arg, struct note_list *out)
{
	note_list_pick(&from->notes, is_meant, arg, out);
	from->is_early = from->is_early && !STAILQ_EMPTY(&from->notes);
}

uint64_t
inbox_waiting_us(struct inbox *in, uint64_t at_us)
{
	(void)in;
	(void)at_us;
	return 0;
}

bool
inbox_drain(struct inbox *in)
{
	bool had_some = false;

	for (; !STAILQ_EMPTY(&in->notes); had_some = true)
		read_first(in, true);
	return had_some;
}

void
inbox_free(struct inbox *in)
{
	if (in == NULL)
		return;
	inbox_drain(in);
	event_free(in->event);
	free(in);
}

static void
read_at_once(struct inbox *in)
{
	in->is_busy = true;
	while (!STAILQ_EMPTY(&in->notes))
		read_first(in, false);
	in->is_busy = false;
}

void
quiet_turn(const struct worker *k, unsigned of_256)
{
	early_notes = of_256;
	k->inbox->is_busy = true;
	event_base_loop(k->base, EVLOOP_NONBLOCK);
	k->inbox->is_busy = false;
	early_notes = 0;
}

void
inbox_post(struct inbox *to, struct note *n)
{
	STAILQ_INSERT_TAIL(&to->notes, n, next);
	if (!to->is_busy && is_drawn(early_notes))
		read_at_once(to);
	else if (is_drawn(late_notes))
		event_add(to->event, &(struct timeval){ .tv_usec = (suseconds_t)(quiet_random() >> 32) % 5000 });
	else {
		to->flag.is_set = to->is_early = true;
		event_active(to->event, EV_TIMEOUT, 0);
	}
}

/* --- net/helpers.h: whoever reads the note does the work --- */

struct helpers {
	bool is_ending;
};

static void
read_work(struct note *n, void *owner, bool is_over)
{
	struct work *w = (struct work *)n;

	(void)owner;
	if (!is_over)
		w->run(w);
	w->done(w);
}

struct helpers *
helpers_new(unsigned threads, struct fail *why)
{
	struct helpers *hs = calloc(1, sizeof(*hs));

	(void)threads;
	(void)why;
	if (hs == NULL)
		abort();
	return hs;
}

void
helpers_end(struct helpers *hs)
{
	if (hs != NULL)
		hs->is_ending = true;
}

void
helpers_free(struct helpers *hs)
{
	free(hs);
}

int
helpers_submit(struct helpers *hs, struct inbox *to, struct work *w, enum work_queue line)
{
	(void)line;
	if (hs->is_ending)
		return -1;
	w->note.read = read_work;
	inbox_post(to, &w->note);
	return 0;
}

size_t
helpers_count_waiting(struct helpers *hs)
{
	(void)hs;
	return 0;
}

bool
helpers_are_busy(const struct helpers *hs)
{
	(void)hs;
	return false;
}

/* --- process/worker.h: whoever calls runs alone, so all others stand still --- */

struct worker_threads {
	unsigned depth, others;
};

struct worker_threads *
worker_threads_new(struct weir *w, struct fail *why)
{
	struct worker_threads *t = calloc(1, sizeof(*t));

	(void)why;
	if (t == NULL)
		abort();
	t->others = w->worker_count - 1;
	return t;
}

int
worker_threads_free(struct worker_threads *t, struct fail *why)
{
	(void)why;
	if (t != NULL && t->depth > 0)
		abort();
	free(t);
	return 0;
}

int
worker_threads_halt(struct weir *w, struct fail *why)
{
	if (w->threads == NULL)
		return 0;
	if (w->threads->depth == 0 && w->threads->others > 0 && is_drawn(failing_halts))
		return fail_set(why, "58000", "worker 1 does not answer");
	w->threads->depth++;
	return 0;
}

void
worker_threads_end_halt(struct weir *w)
{
	if (w->threads != NULL && w->threads->depth-- == 0)
		abort();
}

void
log_count_lost_lines(struct log *log, uint64_t *dropped, uint64_t *failed)
{
	(void)log;
	*dropped = *failed = 0;
}

void
log_each_recent(struct log *log, void (*row)(const struct log_recent_line *event, void *arg), void *arg)
{
	(void)log;
	(void)row;
	(void)arg;
}
