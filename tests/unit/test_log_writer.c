/* tests/unit/test_log_writer.c - the ring and its thread (log_writer.c), and the log on top of it (log.c). */
#include "base/clock.h"
#include "base/escape.h"
#include "log/log.h"
#include "log/log_writer.h"
#include "threads.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char dir[64], path[96];
};

static void
place_init(struct place *p)
{
	strcpy(p->dir, "/tmp/pgweir-log-XXXXXX");
	cr_assert_not_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/log", p->dir);
}

static void
place_fini(struct place *p)
{
	char other[112];

	unlink(p->path);
	snprintf(other, sizeof(other), "%s.1", p->path);
	unlink(other);
	rmdir(p->dir);
}

/* The whole file, terminated; the caller frees it. Empty if it is not there. */
static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t cap = 8 << 20, n = 0;
	char *text = malloc(cap);

	cr_assert_not_null(text);
	if (f != NULL) {
		n = fread(text, 1, cap - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	return text;
}

static void
expect_file(const char *path, const char *want)
{
	char *text = read_file(path);

	cr_expect_str_eq(text, want);
	free(text);
}

static void
put(struct log_writer *w, const char *line)
{
	cr_expect_eq(log_writer_put(w, line, strlen(line)), 0);
}

Test(log_writer, lines_reach_the_file_in_order)
{
	struct place p;
	struct fail why;
	struct stat st;
	struct log_writer *w;

	umask(0);
	place_init(&p);
	w = log_writer_new(p.path, 4096, &why);
	cr_assert_not_null(w, "%s", why.text);
	put(w, "one\n");
	put(w, "two\n");
	log_writer_free(w);
	expect_file(p.path, "one\ntwo\n");
	cr_expect_eq(stat(p.path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0640, "nobody else reads queries");
	place_fini(&p);
}

static size_t
resident_len(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	cr_assert_not_null(f);
	cr_assert_eq(fscanf(f, "%*u %lu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static bool
has_reached(const char *path, off_t len)
{
	struct stat st;

	for (unsigned tries = 0; tries < 10000; tries++) {
		if (stat(path, &st) == 0 && st.st_size >= len)
			return true;
		usleep(1000);
	}
	return false;
}

Test(log_writer, a_ring_that_is_drained_again_and_again_takes_little_memory)
{
	enum { RING_LEN = 16 << 20, LINE_LEN = 256 << 10 };
	struct place p;
	struct fail why;
	struct log_writer *w;
	char *line = malloc(LINE_LEN + 1);
	size_t before;

	place_init(&p);
	w = log_writer_new(p.path, RING_LEN, &why);
	cr_assert_not_null(w);
	cr_assert_not_null(line);
	memset(line, 'x', LINE_LEN);
	strcpy(line + LINE_LEN - 1, "\n");
	before = resident_len();
	for (unsigned i = 1; i <= RING_LEN / LINE_LEN; i++) {
		put(w, line);
		cr_assert(has_reached(p.path, LINE_LEN));
		/* What is in the file is counted as written a moment later: before the file is made anew. */
		cr_assert_eq(unlink(p.path), 0);
		log_writer_reopen(w, &why);
		cr_assert(has_reached(p.path, 0));
	}
	cr_expect_lt(resident_len() - before, RING_LEN / 2, "what went through it once did not stay");
	log_writer_free(w);
	free(line);
	place_fini(&p);
}

Test(log_writer, a_small_ring_wraps_and_loses_nothing_it_took)
{
	struct place p;
	struct fail why;
	struct log_writer *w;
	char line[64], *text, *at;
	unsigned taken[5000], count = 0;

	place_init(&p);
	w = log_writer_new(p.path, 100, &why);
	cr_assert_not_null(w);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "line %u\n", i);
		if (log_writer_put(w, line, strlen(line)) == 0)
			taken[count++] = i;
		if (i % 7 == 0)
			usleep(50);
	}
	cr_expect_eq(log_writer_dropped(w), 5000 - count, "each line was taken or counted");
	cr_expect_eq(log_writer_errors(w), 0);
	log_writer_free(w);
	text = at = read_file(p.path);
	for (unsigned i = 0; i < count; i++) {
		unsigned n;

		cr_assert_eq(sscanf(at, "line %u\n", &n), 1, "%.20s", at);
		cr_assert_eq(n, taken[i]);
		at = strchr(at, '\n') + 1;
	}
	cr_expect_eq(*at, '\0');
	free(text);
	place_fini(&p);
}

Test(log_writer, a_line_longer_than_the_ring_is_dropped)
{
	struct fail why;
	struct place p;
	struct log_writer *w;

	place_init(&p);
	w = log_writer_new(p.path, 16, &why);
	cr_expect_eq(log_writer_put(w, "this one is too long\n", 21), -1);
	put(w, "this fits just.\n");
	cr_expect_eq(log_writer_dropped(w), 1);
	log_writer_free(w);
	expect_file(p.path, "this fits just.\n");
	place_fini(&p);
}

Test(log_writer, a_path_that_cannot_be_opened_says_why)
{
	struct fail why;

	cr_expect_null(log_writer_new("/nonexistent/dir/log", 4096, &why));
	cr_expect_str_eq(why.text, "could not open \"/nonexistent/dir/log\": No such file or directory");
}

static void
wait_for_text(const char *path, const char *want)
{
	uint64_t give_up_us = clock_now_us() + 5 * US_PER_S;
	bool is_there = false;

	while (!is_there && clock_now_us() < give_up_us) {
		char *text = read_file(path);

		is_there = strcmp(text, want) == 0;
		free(text);
		usleep(1000);
	}
	cr_assert(is_there, "%s never held what it should", path);
}

Test(log_writer, after_a_rotation_lines_go_to_the_new_file)
{
	struct place p;
	struct fail why;
	struct log_writer *w;
	char old[112];

	place_init(&p);
	snprintf(old, sizeof(old), "%s.1", p.path);
	w = log_writer_new(p.path, 4096, &why);
	put(w, "before\n");
	wait_for_text(p.path, "before\n");
	rename(p.path, old);
	log_writer_reopen(w, &why);
	wait_for_text(p.path, "");
	put(w, "after\n");
	log_writer_free(w);
	expect_file(old, "before\n");
	expect_file(p.path, "after\n");
	place_fini(&p);
}

Test(log_writer, a_reopen_that_fails_keeps_the_old_file)
{
	struct place p;
	struct fail why;
	struct log_writer *w;

	place_init(&p);
	w = log_writer_new(p.path, 4096, &why);
	unlink(p.path);
	rmdir(p.dir);
	cr_expect_eq(log_writer_reopen(w, &why), -1);
	cr_expect_eq(log_writer_errors(w), 1);
	put(w, "into the void\n");
	log_writer_free(w);
}

Test(log_writer, lines_a_full_disk_refuses_are_counted)
{
	struct fail why;
	struct log_writer *w = log_writer_new("/dev/full", 4096, &why);
	uint64_t give_up_us = clock_now_us() + 5 * US_PER_S;

	cr_assert_not_null(w, "%s", why.text);
	put(w, "a\n");
	put(w, "b\n");
	put(w, "c\n");
	while (log_writer_errors(w) < 3 && clock_now_us() < give_up_us)
		usleep(1000);
	cr_expect_eq(log_writer_errors(w), 3);
	log_writer_free(w);
}

/* A file size limit cuts a line in two, as a full disk does; then there is room again. */
Test(log_writer, a_line_that_was_cut_off_does_not_swallow_the_next)
{
	struct place p;
	struct fail why;
	struct log_writer *w;
	struct rlimit limit = { .rlim_cur = 10, .rlim_max = RLIM_INFINITY };
	uint64_t give_up_us = clock_now_us() + 5 * US_PER_S;

	signal(SIGXFSZ, SIG_IGN);
	place_init(&p);
	w = log_writer_new(p.path, 4096, &why);
	setrlimit(RLIMIT_FSIZE, &limit);
	put(w, "first\n");
	put(w, "second\n");
	while (log_writer_errors(w) == 0 && clock_now_us() < give_up_us)
		usleep(1000);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	put(w, "third\n");
	log_writer_free(w);
	expect_file(p.path, "first\nseco\nthird\n");
	place_fini(&p);
}

static void
read_whole(int fd, char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t got = read(fd, bytes, len);

		cr_assert_gt(got, 0);
		len -= (size_t)got;
	}
}

/* Else what a client is refused for would be in the log only behind a nap, if its login had a line just before. */
Test(log_writer, a_prompt_writer_takes_no_nap_ahead_of_lines_that_came_while_it_wrote)
{
	enum { LONG = 200000, ROUNDS = 40 }; /* more than a pipe takes at once */
	static char line[LONG], bytes[LONG];
	uint64_t least_us = UINT64_MAX;
	struct place p;
	struct fail why;
	struct log_writer *w;
	int fd;

	place_init(&p);
	cr_assert_eq(mkfifo(p.path, 0600), 0);
	fd = open(p.path, O_RDWR);
	w = log_writer_new(p.path, 1 << 20, &why);
	cr_assert_not_null(w, "%s", why.text);
	log_writer_set_prompt(w, true);
	memset(line, 'x', LONG - 1);
	line[LONG - 1] = '\n';
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t since_us;

		cr_assert_eq(log_writer_put(w, line, LONG), 0);
		read_whole(fd, bytes, 1); /* it is being written */
		put(w, "next\n");
		read_whole(fd, bytes, LONG - 1);
		since_us = clock_now_us();
		read_whole(fd, bytes, 5);
		cr_expect_eq(memcmp(bytes, "next\n", 5), 0);
		if (clock_now_us() - since_us < least_us)
			least_us = clock_now_us() - since_us;
	}
	cr_expect_lt(least_us, 2500); /* a nap takes 5 ms */
	log_writer_free(w);
	close(fd);
	place_fini(&p);
}

Test(log_writer, a_pipe_nobody_reads_stops_neither_the_producer_nor_the_end)
{
	struct fail why;
	struct log_writer *w;
	uint64_t begin_us;
	char line[1001];
	int fds[2], saved = dup(STDERR_FILENO);

	memset(line, 'x', 1000);
	line[999] = '\n';
	cr_assert_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	w = log_writer_new("stderr", 64 * 1024, &why);
	begin_us = clock_now_us();
	for (int i = 0; i < 1000; i++)
		log_writer_put(w, line, 1000);
	dup2(saved, STDERR_FILENO);
	cr_expect_lt(clock_now_us() - begin_us, 500 * US_PER_MS, "the producer never waits");
	cr_expect_gt(log_writer_dropped(w), 0);
	dup2(fds[1], STDERR_FILENO);
	begin_us = clock_now_us();
	log_writer_free(w);
	dup2(saved, STDERR_FILENO);
	cr_expect_lt(clock_now_us() - begin_us, 2 * US_PER_S, "it waits 1 s and no more");
}

#define LINES 2000 /* of each thread */
#define CHANGES 200

struct changed_log {
	struct log *log;
	struct place places[2];
	unsigned events; /* that were read */
	unsigned failed;
};

static void
count_event(const struct log_recent_line *event, void *arg)
{
	unsigned *events = arg;

	*events += strncmp(event->message, "message", 7) == 0;
}

/* The last thread changes all that can be changed, and reads; the others write. */
static void
write_or_change(unsigned number, void *arg)
{
	struct changed_log *c = arg;
	struct log_settings settings = { .level = LOG_LEVEL_INFO };
	uint64_t dropped, failed;
	struct fail why;

	for (unsigned i = 0; i < LINES && number < THREADS - 1; i++)
		log_info(c->log, "message %u of %u", i, number);
	for (unsigned i = 0; i < CHANGES && number == THREADS - 1; i++) {
		settings.destination = c->places[i / 3 % 2].path;
		settings.format = i % 2 == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_PGBOUNCER;
		c->failed += log_reconfigure(c->log, &settings, &why) < 0;
		c->failed += log_reopen(c->log, &why) < 0;
		log_each_recent(c->log, count_event, &c->events);
		log_count_lost_lines(c->log, &dropped, &failed);
		c->failed += failed > 0;
	}
}

static size_t
count_messages(const struct place *p)
{
	char *text = read_file(p->path);
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, "message ")) != NULL; at++)
		n++;
	free(text);
	return n;
}

Test(log, threads_write_while_file_and_format_change)
{
	struct changed_log c = { 0 };
	uint64_t dropped, failed;
	struct fail why;
	size_t lines = 0;

	place_init(&c.places[0]);
	place_init(&c.places[1]);
	c.log = log_new(&(struct log_settings){ .destination = c.places[0].path, .level = LOG_LEVEL_INFO }, &why);
	cr_assert_not_null(c.log);
	in_threads(write_or_change, &c);
	log_each_recent(c.log, count_event,
			&c.events); /* the last thread may have been through before the others began */
	cr_expect_eq(c.failed, 0);
	cr_expect_gt(c.events, 0);
	log_count_lost_lines(c.log, &dropped, &failed);
	log_free(c.log);
	/* Writers of the earlier files end by themselves. */
	for (int i = 0; i < 2000 && lines + dropped < (THREADS - 1) * LINES; i++) {
		lines = count_messages(&c.places[0]) + count_messages(&c.places[1]);
		usleep(1000);
	}
	cr_expect_eq(lines + dropped, (THREADS - 1) * LINES, "each line once, or counted as lost");
	place_fini(&c.places[0]);
	place_fini(&c.places[1]);
}

Test(log, a_text_line_has_time_process_and_level)
{
	struct place p;
	struct fail why;
	struct log_settings settings = { .format = LOG_FORMAT_TEXT, .level = LOG_LEVEL_WARNING };
	struct log *log;
	char *text, level[16], message[64];
	int y, mo, d, h, mi, s, ms, pid;

	place_init(&p);
	settings.destination = p.path;
	log = log_new(&settings, &why);
	log_info(log, "not wanted");
	log_debug(log, "not even evaluated");
	log_warning(log, "user \"%s\" left", "a\nb\x1b[31m\xff");
	log_free(log);
	text = read_file(p.path);
	cr_assert_eq(sscanf(text, "%d-%d-%d %d:%d:%d.%d UTC [%d] %15[A-Z]: %63[^\n]", &y, &mo, &d, &h, &mi, &s, &ms,
			    &pid, level, message),
		     10, "%s", text);
	cr_expect_eq(pid, getpid());
	cr_expect_str_eq(level, "WARNING");
	cr_expect_str_eq(message, "user \"a\\x0ab\\x1b[31m\xef\xbf\xbd\" left");
	cr_expect_eq(text[strlen(text) - 1], '\n');
	free(text);
	place_fini(&p);
}

Test(log, structured_lines_hold_one_field_each)
{
	struct place p;
	struct fail why;
	struct log_settings settings = { .format = LOG_FORMAT_JSON, .level = LOG_LEVEL_DEBUG };
	struct log *log;
	char *text;

	place_init(&p);
	settings.destination = p.path;
	log = log_new(&settings, &why);
	log_error(log, "a \"quote\"");
	log_free(log);
	text = read_file(p.path);
	cr_expect(strncmp(text, "{\"ts\":\"20", 9) == 0, "%s", text);
	cr_expect_not_null(strstr(text, "\",\"level\":\"error\",\"pid\":"), "%s", text);
	cr_expect_not_null(strstr(text, ",\"message\":\"a \\\"quote\\\"\"}\n"), "%s", text);
	free(text);
	place_fini(&p);
}

static void
expect_event(enum log_format format, const char *want)
{
	const struct fail why = {
		.sqlstate = "25P03", .text = "idle", .detail = "the limit is 3 s", .hint = "commit \"soon\""
	};
	const struct log_about about = {
		.event = "e", .client_id = 7, .client = "c:1", .user = "u", .duration_us = 1500, .why = &why
	};
	struct log_settings settings = { .format = format, .level = LOG_LEVEL_INFO };
	struct place p;
	struct fail error;
	struct log *log;
	char *text;

	place_init(&p);
	settings.destination = p.path;
	log = log_new(&settings, &error);
	log_event(log, LOG_LEVEL_WARNING, &about, "gone: %s", why.text);
	log_free(log);
	text = read_file(p.path);
	cr_expect_not_null(strstr(text, want), "%s", text);
	free(text);
	place_fini(&p);
}

Test(log, an_event_has_fields)
{
	expect_event(LOG_FORMAT_JSON,
		     ",\"message\":\"gone: "
		     "idle\",\"event\":\"e\",\"user\":\"u\",\"client\":\"c:1\",\"client_id\":7,\"duration_ms\":1.500,"
		     "\"sqlstate\":\"25P03\",\"detail\":\"the limit is 3 s\",\"hint\":\"commit \\\"soon\\\"\"}\n");
	expect_event(LOG_FORMAT_TEXT, "] WARNING: gone: idle; the limit is 3 s; hint: commit \"soon\"\n");
}

/* Reads what is there of these lines. Returns how many, and in *told the number in a line that tells of lost ones. */
static unsigned
read_messages(FILE *from, unsigned long *told)
{
	unsigned n = 0;
	char line[512];

	clearerr(from);
	while (fgets(line, sizeof(line), from) != NULL) {
		n += strstr(line, "INFO: message ") != NULL;
		if (strstr(line, " log lines were lost") != NULL)
			*told += strtoul(strstr(line, "WARNING: ") + 9, NULL, 10);
	}
	return n;
}

Test(log, each_line_that_was_lost_is_counted_once)
{
	struct place p;
	struct fail why;
	unsigned long told = 0;
	uint64_t dropped, failed;
	unsigned lines = 0, all = 10000;
	struct log *log;
	FILE *pipe;

	place_init(&p);
	cr_assert_eq(mkfifo(p.path, 0600), 0);
	pipe = fdopen(open(p.path, O_RDWR | O_NONBLOCK), "r");
	log = log_new(&(struct log_settings){ .destination = p.path, .level = LOG_LEVEL_INFO }, &why);
	cr_assert_not_null(log, "%s", why.text);
	for (unsigned i = 0; i < all; i++)
		log_info(log, "message %040u", i);
	log_count_lost_lines(log, &dropped, &failed);
	cr_expect_gt(dropped, 0);
	for (int i = 0; i < 5000 && lines < all - dropped; i++, usleep(1000))
		lines += read_messages(pipe, &told);
	cr_expect_eq(lines, all - dropped);
	log_info(log, "message after it");
	for (int i = 0; i < 5000 && lines < all - dropped + 1; i++, usleep(1000))
		lines += read_messages(pipe, &told);
	cr_expect_eq(told, dropped);
	log_free(log);
	fclose(pipe);
	place_fini(&p);
}

Test(log, a_bad_destination_keeps_the_old_one)
{
	struct place p;
	struct fail why = { 0 };
	struct log_settings settings = { .format = LOG_FORMAT_JSON, .level = LOG_LEVEL_INFO };
	struct log *log;
	char *text;

	place_init(&p);
	settings.destination = p.path;
	log = log_new(&settings, &why);
	settings.destination = "/nonexistent/log";
	settings.format = LOG_FORMAT_TEXT;
	cr_expect_eq(log_reconfigure(log, &settings, &why), -1);
	cr_expect(strstr(why.text, "/nonexistent/log") != NULL, "%s", why.text);
	log_info(log, "still here");
	log_free(log);
	text = read_file(p.path);
	cr_expect_not_null(strstr(text, "\"message\":\"still here\""), "old file and old format: %s", text);
	free(text);
	place_fini(&p);
}

Test(log, reopening_a_file_that_cannot_be_opened_fails_at_once)
{
	struct place p;
	struct fail why = { 0 };
	struct log_settings settings = { .format = LOG_FORMAT_TEXT, .level = LOG_LEVEL_INFO };
	struct log *log;

	place_init(&p);
	settings.destination = p.path;
	log = log_new(&settings, &why);
	place_fini(&p);
	cr_expect_eq(log_reopen(log, &why), -1);
	cr_expect(strstr(why.text, "No such file") != NULL, "%s", why.text);
	log_free(log);
}

Test(log, no_log_at_all_is_fine)
{
	log_error(NULL, "nobody hears this");
	log_debug(NULL, "nor this");
	log_free(NULL);
	cr_expect_eq(log_is_enabled(NULL, LOG_LEVEL_ERROR), 0);
}

static const struct {
	const char *rule, *bytes, *text, *json, *label;
} escapes[] = {
	{ "plain", "plain", "plain", "plain", "plain" },
	{ "quotes and backslashes", "\"\\", "\"\\", "\\\"\\\\", "\\\"\\\\" },
	{ "whitespace", "\t\r\n", "\\x09\\x0d\\x0a", "\\t\\r\\n", "\t\r\\n" },
	{ "a terminal's escape", "\x1b[", "\\x1b[", "\\u001b[", "\x1b[" },
	{ "two-byte control characters", "\xc2\x9b", "\\x9b", "\\u009b", "\xc2\x9b" },
	{ "UTF-8 of each length", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98",
	  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98" },
	{ "a byte that is never UTF-8",
	  "a\xff"
	  "b",
	  "a\xef\xbf\xbd"
	  "b",
	  "a\xef\xbf\xbd"
	  "b",
	  "a\xef\xbf\xbd"
	  "b" },
	{ "an overlong slash", "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd",
	  "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "cut short at the end", "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd",
	  "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "half a surrogate pair", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
	  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
};

Test(escape, rules)
{
	EACH(row, escapes) {
		const char *want[] = { row->text, row->json, row->label };
		char out[64];

		for (int style = ESCAPE_TEXT; style <= ESCAPE_LABEL; style++) {
			escape_text((enum escape_style)style, row->bytes, strlen(row->bytes), out, sizeof(out));
			cr_expect_str_eq(out, want[style], "%s, style %d", row->rule, style);
		}
	}
}

Test(escape, what_does_not_fit_is_left_out_in_whole_characters)
{
	char out[6];

	cr_expect_eq(escape_text(ESCAPE_JSON, "abc\"\"", 5, out, sizeof(out)), 5);
	cr_expect_str_eq(out, "abc\\\"");
	cr_expect_eq(escape_text(ESCAPE_JSON, "abcd\"", 5, out, sizeof(out)), 4);
	cr_expect_str_eq(out, "abcd");
}

Test(line, a_field_that_does_not_fit_is_left_out_whole)
{
	char out[24];
	struct json_line l;

	json_line_begin(&l, out, sizeof(out));
	json_line_str(&l, "a", "123456");
	json_line_str(&l, "long", "does not fit");
	json_line_u64(&l, "b", 7);
	cr_expect_eq(json_line_end(&l), strlen(out));
	cr_expect_str_eq(out, "{\"a\":\"123456\",\"b\":7}\n");
}

Test(line, values_that_are_not_known)
{
	char out[64];
	struct json_line l;

	json_line_begin(&l, out, sizeof(out));
	json_line_str(&l, "a", NULL);
	json_line_ms(&l, "b", 1500);
	json_line_ms_short(&l, "c", 100000);
	json_line_bool(&l, "d", true);
	json_line_end(&l);
	cr_expect_str_eq(out, "{\"a\":null,\"b\":1.500,\"c\":100,\"d\":true}\n");
}

Test(timestamp, known_times)
{
	char out[BASE_TIMESTAMP_LEN];

	base_timestamp_iso(1795156763123456ull, out);
	cr_expect_str_eq(out, "2026-11-20T06:39:23.123456Z");
	base_timestamp_text(1795156763123456ull, out);
	cr_expect_str_eq(out, "2026-11-20 06:39:23.123 UTC");
	base_timestamp_iso(UINT64_MAX, out);
	cr_expect_lt(strlen(out), BASE_TIMESTAMP_LEN);
}
