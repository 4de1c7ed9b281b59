/*
 * tests/fuzz/fuzz_server_login.c - a PostgreSQL that sends anything while pgweir logs in to it.
 *
 * The input is lines. The first has words: what we know of the user (plain, md5, keys: its password, its md5 secret,
 * its SCRAM keys), which server is wanted (primary, standby, readonly), and two: there is a second host, which gets
 * what the first left over. All others are sent, one by one:
 *
 *   TYPE BODY       a message
 *   raw BYTES       as they are
 *   piece N         from here on, N bytes at a time
 *   close           the connection ends
 *   t MS            time passes
 *
 * \xHH and the like are bytes (session_text.h). ~ is what a true server would send now in a SCRAM exchange:
 * server-first, then server-final.
 *
 * Besides memory safety it checks: each server has one result, and then its end; no login succeeds without
 * AuthenticationOk, nor after SASL without the true signature; the password is sent only to a server that asked for it.
 */
#include "session_mutate.h"
#include "session_quiet.h"
#include "session_server.h"

#include "auth/encoding.h"
#include "base/clock.h"
#include "net/helpers.h"
#include "server/server.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "fuzz.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PASSWORD "open sesame"
#define GUESS "sesame"
#define LINES_MAX 64
#define TURNS_MAX 2000
#define HOSTS_MAX 3

const char *const mutate_lines[] = {
	"R \\0\\0\\0\\0",
	"R \\0\\0\\0\\x03",
	"R \\0\\0\\0\\x05salt",
	"R \\0\\0\\0\\7",
	"R \\0\\0\\0\\x08token",
	"R \\0\\0\\0\\x0aSCRAM-SHA-256\\0\\0",
	"R \\0\\0\\0\\x0aSCRAM-SHA-256-PLUS\\0SCRAM-SHA-256\\0\\0",
	"R \\0\\0\\0\\x0b~",
	"R \\0\\0\\0\\x0c~",
	"R \\0\\0\\0\\x0br=x,s=c2l4dGVlbiBieXRlcy4uLg==,i=1",
	"R \\0\\0\\0\\x0ce=other-error",
	"S server_version\\015.0\\0",
	"S in_hot_standby\\0on\\0",
	"S default_transaction_read_only\\0on\\0",
	"S TimeZone\\0UTC\\0",
	"K \\0\\0\\x10\\x92\\1\\2\\3\\4",
	"K \\0\\0\\0\\0",
	"Z I",
	"Z T",
	"E SFATAL\\0C28P01\\0Mno\\0\\0",
	"E SFATAL\\0C53300\\0Mtoo many\\0\\0",
	"E Mwhy\\0\\0",
	"N SNOTICE\\0Mhm\\0\\0",
	"v \\0\\3\\0\\0\\0\\0\\0\\1_pq_.x\\0",
	"A \\0\\0\\0\\1ch\\0\\0",
	"T \\0\\0",
	"raw N\\0\\2\\0\\0",
	"raw R\\0\\0\\0\\x08\\0\\0\\0\\0Z\\0\\0\\0\\5I",
	"piece 1",
	"close",
	"t 6000",
};
const size_t mutate_line_count = sizeof(mutate_lines) / sizeof(mutate_lines[0]);

const char *
mutate_word(size_t i)
{
	static const char *const words[] = { "plain", "md5", "keys", "primary", "standby", "readonly", "two", NULL };

	return words[i];
}

struct stage {
	struct event_base *base;
	struct server_env env;
	struct process_counters counters;
	struct server_target target;
	struct server_cancelling *cancelling;
	struct scram_keys keys;
	uint64_t now_us;
	uint8_t buffer[4096 + SERVER_CARRY_MAX];
	char md5[MD5_SECRET_LEN + 1];
	/* the impostor */
	bool has_guessed; /* the password is in what it says */
	int listening, fd; /* fd: -1 while nobody is connected */
	struct buf in, out;
	size_t piece;
	bool is_started;
	struct scram_server *scram;
	struct scram_verifier verifier;
	char truth[SCRAM_TEXT_MAX];
	/* what was said on this connection */
	bool has_asked_clear, has_said_ok, has_asked_sasl, has_proved, has_told_key, has_told_zone;
	/* the verdict */
	unsigned ready_count, failed_count, closed_count;
};

/* --- the owner --- */

static void
on_ready(struct server *srv)
{
	struct stage *s = srv->owner;

	s->ready_count++;
	must(s->ready_count == 1 && s->failed_count == 0 && s->closed_count == 0);
	must(s->has_said_ok && (!s->has_asked_sasl || s->has_proved));
	must(srv->state == SV_IDLE && srv->key_len <= sizeof(srv->key));
	/* nothing is left of what another host has said */
	must(s->has_told_key || srv->key_len == 0);
	must(s->has_told_zone || gucs_get(srv->gucs, "TimeZone") == NULL);
}

static void
on_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct stage *s = srv->owner;

	(void)kind;
	(void)is_fatal;
	s->failed_count++;
	must(s->failed_count == 1 && s->ready_count == 0 && s->closed_count == 0);
	must(strlen(why->sqlstate) == 5 && why->text[0] != '\0');
	must(s->has_guessed || strstr(why->text, PASSWORD) == NULL);
}

static void
on_gone(struct server *srv, const struct fail *why)
{
	(void)srv;
	must(strlen(why->sqlstate) == 5);
}

static void
on_closed(struct server *srv)
{
	struct stage *s = srv->owner;

	s->closed_count++;
	must(s->closed_count == 1 && s->ready_count + s->failed_count <= 1);
}

static const struct server_owner_ops owner_ops = {
	.ready = on_ready, .failed = on_failed, .gone = on_gone, .closed = on_closed
};

/* What may come to an idle server is fuzz_session's. */
static bool
no_error(struct server *srv, const struct error_fields *fields, enum owed_to to, bool is_owed, const uint8_t *message,
	 size_t len)
{
	(void)srv;
	(void)fields;
	(void)to;
	(void)is_owed;
	(void)message;
	(void)len;
	return false;
}

static const struct server_ops ops = { .error = no_error };

/* --- what we send to the impostor --- */

static void
take_sasl(struct stage *s, const uint8_t *body, size_t len)
{
	static const char mechanism[] = "SCRAM-SHA-256";
	struct fail why;

	if (s->scram == NULL) {
		must(len > sizeof(mechanism) + 4 && memcmp(body, mechanism, sizeof(mechanism)) == 0);
		must(wire_u32(body + sizeof(mechanism)) == len - sizeof(mechanism) - 4);
		s->scram = scram_server_new(&s->verifier, false, &(struct scram_channel){ 0 }, NULL);
		must(s->scram != NULL && scram_server_first(s->scram, (const char *)body + sizeof(mechanism) + 4,
							    len - sizeof(mechanism) - 4, s->truth, &why) == 0);
	} else if (scram_server_final(s->scram, (const char *)body, len, s->truth, NULL, &why) < 0)
		s->truth[0] = '\0';
}

static size_t
take_message(struct stage *s)
{
	const uint8_t *bytes = s->in.bytes;
	struct frame f;

	if (!s->is_started) {
		uint32_t said = s->in.len >= 8 ? wire_u32(bytes) : 0;

		must(said == 0 || (said > 8 && wire_u32(bytes + 4) == 196608));
		if (said == 0 || s->in.len < said)
			return 0;
		must(bytes[said - 1] == 0 && bytes[said - 2] == 0);
		s->is_started = true;
		return said;
	}
	if (frame_parse(bytes, s->in.len, &f) != FRAME_OK || s->in.len < FRAME_HEAD_LEN + (size_t)f.body_len)
		return 0;
	must(f.type == 'p' || (f.type == 'X' && s->ready_count > 0));
	if (s->has_asked_sasl && f.type == 'p')
		take_sasl(s, bytes + FRAME_HEAD_LEN, f.body_len);
	return FRAME_HEAD_LEN + (size_t)f.body_len;
}

static bool
read_in(struct stage *s)
{
	uint8_t bytes[4096];
	ssize_t n = read(s->fd, bytes, sizeof(bytes));
	size_t used = 1;

	if (n <= 0)
		return false;
	buf_put(&s->in, bytes, (size_t)n);
	must(buf_ok(&s->in));
	if (!s->has_asked_clear && !s->has_guessed)
		must(memmem(s->in.bytes, s->in.len, PASSWORD, strlen(PASSWORD)) == NULL);
	while (used > 0 && s->in.len > 0)
		buf_drop_front(&s->in, used = take_message(s));
	return true;
}

/* --- turns --- */

static void
hang_up(struct stage *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->in.len = s->out.len = 0;
	s->is_started = s->has_asked_clear = s->has_said_ok = s->has_asked_sasl = s->has_proved = false;
	s->has_told_key = s->has_told_zone = false;
	scram_server_free(s->scram);
	s->scram = NULL;
	s->truth[0] = '\0';
}

static bool
write_out(struct stage *s)
{
	size_t len = s->piece > 0 && s->out.len > s->piece ? s->piece : s->out.len;
	ssize_t n = len > 0 ? send(s->fd, s->out.bytes, len, MSG_NOSIGNAL) : 0;

	if (n < 0)
		s->out.len = 0;
	if (n > 0)
		buf_drop_front(&s->out, (size_t)n);
	return n > 0;
}

static void
settle(struct stage *s)
{
	for (int i = 0, quiet = 0; i < TURNS_MAX && quiet < 3; i++) {
		bool has_moved = false;
		int fd;

		event_base_loop(s->base, EVLOOP_NONBLOCK);
		if ((fd = accept4(s->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			hang_up(s);
			s->fd = fd;
			has_moved = true;
		}
		if (s->fd >= 0) {
			has_moved |= write_out(s);
			has_moved |= read_in(s);
		}
		quiet = has_moved ? 0 : quiet + 1;
	}
}

/* --- lines --- */

static void
put_body(struct buf *b, const struct stage *s, const char *text)
{
	size_t len = strcspn(text, "~");

	text_unescape(b, text, len, 0, NULL);
	if (text[len] != '~')
		return;
	buf_put(b, s->truth, strlen(s->truth));
	text_unescape(b, text + len + 1, strlen(text + len + 1), 0, NULL);
}

/* What it amounts to, if it is not sent in vain. */
static void
note(struct stage *s, uint8_t type, const struct buf *body)
{
	uint32_t code = type == 'R' && body->len >= 4 ? wire_u32(body->bytes) : UINT32_MAX;

	s->has_said_ok |= code == 0;
	s->has_asked_clear |= code == 3;
	s->has_told_key |= type == 'K';
	s->has_told_zone |= type == 'S' && body->len >= 8 && strncasecmp((const char *)body->bytes, "TimeZone", 8) == 0;
	s->has_asked_sasl |= code == 10;
	s->has_proved |= code == 12 && s->scram != NULL && strncmp(s->truth, "v=", 2) == 0 &&
			 body->len == 4 + strlen(s->truth) && memcmp(body->bytes + 4, s->truth, body->len - 4) == 0;
}

/* Bytes without form may be anything. */
static void
note_all(struct stage *s)
{
	s->has_said_ok = s->has_asked_clear = s->has_asked_sasl = s->has_proved = true;
	s->has_told_key = s->has_told_zone = true;
}

static void
step(struct stage *s, char *line)
{
	char *words[2] = { NULL, NULL }, none[1] = "";
	size_t count = text_words(line, words, 2);
	const char *rest = count > 1 ? words[1] : none;
	struct buf b = { 0 };

	if (count == 0 || s->fd < 0)
		return;
	if (strlen(words[0]) == 1 && words[0][0] != 't') {
		put_body(&b, s, rest);
		note(s, (uint8_t)words[0][0], &b);
		message_put(&s->out, (uint8_t)words[0][0], b.bytes, b.len);
	} else if (strcmp(words[0], "raw") == 0) {
		note_all(s);
		put_body(&s->out, s, rest);
	} else if (strcmp(words[0], "piece") == 0)
		s->piece = strtoul(rest, NULL, 10);
	else if (strcmp(words[0], "close") == 0)
		hang_up(s);
	else if (strcmp(words[0], "t") == 0)
		quiet_pass(strtoul(rest, NULL, 10) % 100000 * US_PER_MS);
	s->has_guessed |= s->out.len > 0 && memmem(s->out.bytes, s->out.len, GUESS, strlen(GUESS)) != NULL;
	buf_fini(&b);
	settle(s);
}

/* --- the stage --- */

/* Once per process, as the fuzzer has no place of its own to keep them. */
static const char *folder;
static char upstream_words[HOSTS_MAX * 128];
static int listening;

static void
empty_folder(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", folder);
	unlink(path);
}

static void
make_folder(void)
{
	char path[128];

	if (folder != NULL)
		return;
	folder = quiet_folder();
	atexit(empty_folder);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", folder);
	listening = fake_listen(path);
}

static void
set_target(struct stage *s, const char *words)
{
	static const uint8_t salt[16] = {
		's', 'i', 'x', 't', 'e', 'e', 'n', ' ', 'b', 'y', 't', 'e', 's', '.', '.', '.'
	};
	const char *wanted = strstr(words, "primary") != NULL	 ? "primary"
			     : strstr(words, "standby") != NULL	 ? "standby"
			     : strstr(words, "readonly") != NULL ? "read-only"
								 : "any";
	struct fail why;

	snprintf(upstream_words, sizeof(upstream_words), "host=%s%s%s port=5432 target_session_attrs=%s", folder,
		 strstr(words, "two") != NULL ? "," : "", strstr(words, "two") != NULL ? folder : "", wanted);
	s->target = (struct server_target){ .upstream = upstream_parse(upstream_words, false, &why),
					    .user = "u",
					    .database = "app",
					    .keys = &s->keys,
					    .connect_timeout_us = 5 * US_PER_S };
	must(s->target.upstream != NULL);
	must(scram_verifier_from_password(PASSWORD, salt, sizeof(salt), 1, &s->verifier, &why) == 0);
	if (strstr(words, "plain") != NULL)
		s->target.password = PASSWORD;
	if (strstr(words, "md5") != NULL) {
		must(md5_secret(PASSWORD, "u", s->md5, &why) == 0);
		s->target.md5_secret = s->md5;
	}
	if (strstr(words, "keys") != NULL)
		must(scram_keys_from_password(PASSWORD, salt, sizeof(salt), 1, &s->keys, &why) == 0);
}

static void
set_stage(struct stage *s)
{
	struct event_config *cfg = event_config_new();
	struct fail why;

	must(cfg != NULL && event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0);
	s->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	must(s->base != NULL);
	s->listening = listening;
	s->fd = -1;
	s->now_us = clock_now_us();
	s->env = (struct server_env){ .base = s->base,
				      .dialer = dialer_new(s->base, &(struct tcp_options){ 0 }, ""),
				      .deferred_frees = deferred_frees_new(s->base, NULL),
				      .inbox = inbox_new(s->base, s, &why),
				      .helpers = helpers_new(1, &why),
				      .counters = &s->counters,
				      .guc_store = guc_store_new(1, NULL),
				      .read_buffer = s->buffer,
				      .read_cap = 4096,
				      .now_us = &s->now_us,
				      .ops = &ops,
				      .owner_ops = &owner_ops,
				      .cancelling = &s->cancelling };
	must(s->env.helpers != NULL && s->env.inbox != NULL && s->env.dialer != NULL && s->env.deferred_frees != NULL &&
	     s->env.guc_store != NULL);
}

static void
clear_stage(struct stage *s)
{
	int fd;

	hang_up(s);
	settle(s);
	helpers_end(s->env.helpers);
	inbox_free(s->env.inbox);
	helpers_free(s->env.helpers);
	deferred_frees_free(s->env.deferred_frees);
	dialer_free(s->env.dialer);
	guc_store_free(s->env.guc_store);
	event_base_free(s->base);
	upstream_free((struct upstream *)(uintptr_t)s->target.upstream);
	buf_fini(&s->in);
	buf_fini(&s->out);
	while ((fd = accept(s->listening, NULL, NULL)) >= 0)
		close(fd);
	free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stage *s = calloc(1, sizeof(*s));
	char *text = malloc(size + 1), *at = text, *line;
	struct server *srv;

	must(s != NULL && text != NULL);
	for (size_t i = 0; i < size; i++)
		text[i] = data[i] == 0 ? ' ' : (char)data[i];
	text[size] = '\0';
	make_folder();
	quiet_reset(1);
	set_stage(s);
	line = strsep(&at, "\n");
	set_target(s, line);
	srv = server_new(&s->env, &s->target, NULL, s, 1, 1, NULL, s->now_us);
	must(srv != NULL);
	settle(s);
	for (int i = 0;
	     i < LINES_MAX && s->closed_count == 0 && s->ready_count == 0 && (line = strsep(&at, "\n")) != NULL; i++)
		step(s, line);
	if (s->closed_count == 0)
		server_close(srv);
	must(s->closed_count == 1);
	clear_stage(s);
	free(text);
	return 0;
}
