/*
 * tests/fuzz/fuzz_session.c - whole sessions: clients, pgweir and PostgreSQL, step by step, in one process.
 *
 * The input is lines. The first has words of session_world.c's table (pool_mode, auth, limits ...). All others are
 * steps, after each of which everything runs until nothing moves; with a + in front it does not, so that steps meet.
 * Lines that mean nothing are passed over. The word hidden_lock in the first line, and then in SQL, is a lock that the
 * database's code takes without SQL showing it; others like it are in session_state.c. In texts, \xHH, \0 to \7, \n, \s
 * (a blank) are bytes, ~ is a token that says who sent it (session_text.h).
 *
 *   c0 connect                   to c3; what needs a connection logs in
 *   c0 login USER DATABASE [name=value ...]
 *   c0 Q TEXT | F BODY | H | S | X | d DATA | c | f TEXT
 *   c0 P NAME TEXT | B PORTAL NAME [value ...] | D S|P NAME | E PORTAL [max] | C S|P NAME      - is the empty name
 *   c0 msg TYPE BODY | raw BYTES | mute (answers no password request)
 *   c0 flood N                   CopyData of N bytes
 *   c0 cancel [wrong]            as another connection
 *   c0 deaf | hears | half (closes its sending side) | bye
 *   c0 piece N | hold N | rest   bytes per turn; only N bytes more; all
 *   s0 msg TYPE BODY | raw BYTES | next BYTES (in place of its next answer) | cut N (then it dies) | close
 *   s0 hold | deaf | go | piece N | wake | fail (what it copies in)
 *   sq ok|fail|late|die      what becomes of questions about the database's code (session_state.c)
 *   sl trust|clear|md5|scram|error STATE|raw BYTES      logins to come
 *   t MS                         time passes
 *   w pause | resume | reload | stop
 *
 * Holds besides memory: see session_client.h, session_server.h, and world_fini.
 */
#include "session_world.h"

#include "base/clock.h"
#include "wire/messages.h"
#include "fuzz.h"

#include <stdio.h>
#include <sys/socket.h>

#define FLOOD_MAX 600000 /* bytes */
#define STEPS_MAX 150
#define INPUT_MAX 2048 /* longer ones are rarely better, and slower */

static const char *
name_of(const char *word)
{
	return strcmp(word, "-") == 0 ? "" : word;
}

static void
put_text(struct fake_client *c, struct buf *b, const char *text, bool is_terminated)
{
	text_unescape(b, text, strlen(text), c->letter, &c->sequence);
	if (is_terminated)
		buf_put_u8(b, 0);
}

static void
put_bind(struct fake_client *c, struct buf *b, char **words, size_t count)
{
	put_text(c, b, name_of(words[0]), true);
	put_text(c, b, name_of(words[1]), true);
	buf_put_u16(b, 0);
	buf_put_u16(b, (uint16_t)(count - 2));
	for (size_t i = 2; i < count; i++) {
		struct buf value = { 0 };

		put_text(c, &value, words[i], false);
		buf_put_u32(b, (uint32_t)value.len);
		buf_put(b, value.bytes, value.len);
		buf_fini(&value);
	}
	buf_put_u16(b, 0);
}

/* The body of a message whose step is these words; false: something is missing. */
static bool
put_body(struct fake_client *c, struct buf *b, char type, char *rest)
{
	char *words[8];
	size_t count;

	switch (type) {
	case 'Q':
	case 'f':
		put_text(c, b, rest, true);
		return true;
	case 'd':
	case 'F':
		put_text(c, b, rest, false);
		return true;
	case 'H':
	case 'S':
	case 'X':
	case 'c':
		return true;
	case 'P':
		count = text_words(rest, words, 2);
		if (count < 1)
			return false;
		put_text(c, b, name_of(words[0]), true);
		put_text(c, b, count > 1 ? words[1] : "", true);
		buf_put_u16(b, 0);
		return true;
	case 'B':
		count = text_words(rest, words, 8);
		if (count >= 2)
			put_bind(c, b, words, count);
		return count >= 2;
	case 'E':
		count = text_words(rest, words, 2);
		put_text(c, b, count > 0 ? name_of(words[0]) : "", true);
		buf_put_u32(b, count > 1 ? (uint32_t)strtoul(words[1], NULL, 10) : 0);
		return true;
	case 'D':
	case 'C':
		count = text_words(rest, words, 2);
		if (count < 1)
			return false;
		buf_put_u8(b, (uint8_t)words[0][0]);
		put_text(c, b, count > 1 ? name_of(words[1]) : "", true);
		return true;
	default:
		return false;
	}
}

static void
cancel(struct world *w, const struct fake_client *c, bool is_wrong)
{
	struct buf *out = &w->canceller.out;

	world_connect(w, &w->canceller);
	if (w->canceller.fd < 0)
		return;
	buf_put_u32(out, 16);
	buf_put_u32(out, 80877102);
	buf_put_u32(out, c->pid);
	buf_put_u32(out, c->secret ^ (is_wrong ? 1u : 0));
}

static void
login(struct world *w, struct fake_client *c, char *rest)
{
	char *words[8];
	size_t count = text_words(rest, words, 8);

	if (c->fd < 0 || c->sent.phase != SENT_STARTUP || c->out.len > 0)
		world_connect(w, c);
	if (c->fd >= 0)
		fclient_login(c, count > 0 ? words[0] : "u", count > 1 ? words[1] : "app", words + 2,
			      count > 2 ? count - 2 : 0);
}

static void
client_message(struct fake_client *c, char type, char *rest)
{
	struct buf body = { 0 };

	if (put_body(c, &body, type, rest))
		fclient_message(c, (uint8_t)type, &body);
	buf_fini(&body);
}

/* More CopyData than fits between two sockets. */
static void
flood(struct fake_client *c, size_t len)
{
	struct buf body = { 0 };
	uint8_t *room;

	if (c->out.len > FLOOD_MAX)
		return; /* nobody takes it */
	room = buf_room(&body, len + 1);
	must(room != NULL);
	memset(room, 'x', len);
	body.len = len;
	fclient_message(c, 'd', &body);
	buf_fini(&body);
}

static void
client_line(struct world *w, struct fake_client *c, const char *verb, char *rest)
{
	size_t n = strtoul(rest, NULL, 10);
	char none[1] = "";

	if (strcmp(verb, "login") == 0) {
		login(w, c, rest);
		return;
	}
	if (strcmp(verb, "connect") == 0)
		world_connect(w, c);
	else if (c->fd < 0)
		login(w, c, none);
	if (c->fd < 0)
		return;
	if (strlen(verb) == 1)
		client_message(c, verb[0], rest);
	else if (strcmp(verb, "msg") == 0 && rest[0] != '\0') {
		struct buf body = { 0 };

		put_text(c, &body, rest + 1 + (rest[1] == ' '), false);
		fclient_message(c, (uint8_t)rest[0], &body);
		buf_fini(&body);
	} else if (strcmp(verb, "flood") == 0)
		flood(c, n % FLOOD_MAX);
	else if (strcmp(verb, "raw") == 0)
		put_text(c, &c->out, rest, false);
	else if (strcmp(verb, "mute") == 0)
		c->is_answering = false;
	else if (strcmp(verb, "cancel") == 0)
		cancel(w, c, rest[0] != '\0');
	else if (strcmp(verb, "deaf") == 0 || strcmp(verb, "hears") == 0)
		c->is_deaf = verb[0] == 'd';
	else if (strcmp(verb, "half") == 0)
		shutdown(c->fd, SHUT_WR);
	else if (strcmp(verb, "bye") == 0)
		fclient_close(c);
	else if (strcmp(verb, "piece") == 0)
		c->piece = n;
	else if (strcmp(verb, "hold") == 0)
		c->allowed = n;
	else if (strcmp(verb, "rest") == 0)
		c->allowed = SIZE_MAX;
}

static void
server_misstep(struct fake_conn *c, const char *verb, char *rest)
{
	size_t n = strtoul(rest, NULL, 10);
	struct buf b = { 0 };

	if (c == NULL)
		return;
	if (strcmp(verb, "msg") == 0 && rest[0] != '\0') {
		c->is_liar |= strchr("ANS", rest[0]) == NULL; /* these may come at any time */
		text_unescape(&b, rest + 1 + (rest[1] == ' '), strlen(rest + 1 + (rest[1] == ' ')), 0, NULL);
		message_put(&c->out, (uint8_t)rest[0], b.bytes, b.len);
	} else if (strcmp(verb, "raw") == 0) {
		c->is_liar = true;
		text_unescape(&b, rest, strlen(rest), 0, NULL);
		fake_put(c, b.bytes, b.len);
	} else if (strcmp(verb, "next") == 0 && rest[0] != '\0') {
		c->is_liar = true;
		text_unescape(&c->next, rest, strlen(rest), 0, NULL);
	} else if (strcmp(verb, "cut") == 0)
		c->cut = n;
	else if (strcmp(verb, "close") == 0)
		c->cut = 0;
	else if (strcmp(verb, "hold") == 0)
		c->is_held = true;
	else if (strcmp(verb, "deaf") == 0)
		c->is_deaf = true;
	else if (strcmp(verb, "go") == 0)
		c->is_held = c->is_deaf = false;
	else if (strcmp(verb, "piece") == 0)
		c->piece = n;
	else if (strcmp(verb, "wake") == 0)
		fake_wake(c, false);
	else if (strcmp(verb, "fail") == 0)
		fake_fail_copy(c, "22P02", "invalid input");
	c->fake->has_lied |= c->is_liar || (strcmp(verb, "msg") == 0 && rest[0] == 'S');
	buf_fini(&b);
}

static void
login_step(struct fake *f, const char *verb, const char *rest)
{
	static const char *const names[] = { "trust", "clear", "md5", "scram", "error", "raw" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(verb, names[i]) == 0)
			f->login = (enum fake_login)i;
	f->login_raw.len = 0;
	text_unescape(&f->login_raw, rest, strlen(rest), 0, NULL);
}

static void
question_step(struct fake *f, const char *verb)
{
	static const char *const names[] = { "ok", "fail", "late", "die" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(verb, names[i]) == 0)
			f->code_answer = (enum fake_code)i;
}

static void
weir_step(struct world *w, const char *verb)
{
	w->weir->main_worker->now_us = clock_now_us();
	if (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0)
		world_pause(w, verb[0] == 'p');
	else if (strcmp(verb, "reload") == 0)
		world_reload(w);
	else if (strcmp(verb, "stop") == 0)
		process_stop(w->weir, false);
}

static void
step(struct world *w, char *line)
{
	bool is_alone = line[0] != '+';
	char *words[3] = { NULL, NULL, NULL }, none[1] = "";
	size_t count = text_words(line + !is_alone, words, 3);
	char *rest = count > 2 ? words[2] : none;
	size_t i;

	if (count < 2)
		return;
	i = (size_t)(words[0][1] - '0');
	if (words[0][0] == 'c')
		client_line(w, &w->clients[i % TEXT_CLIENTS], words[1], rest);
	else if (strcmp(words[0], "sl") == 0)
		login_step(&w->fake, words[1], rest);
	else if (strcmp(words[0], "sq") == 0)
		question_step(&w->fake, words[1]);
	else if (words[0][0] == 's')
		server_misstep(fake_find(&w->fake, i), words[1], rest);
	else if (words[0][0] == 't')
		world_pass(w, strtoul(words[1], NULL, 10) % 100000 * US_PER_MS);
	else if (words[0][0] == 'w')
		weir_step(w, words[1]);
	if (is_alone)
		world_settle(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;
	char *text, *at, *line;

	if (size > INPUT_MAX)
		return -1;
	text = malloc(size + 1);
	must(text != NULL);
	for (size_t i = 0; i < size; i++)
		text[i] = data[i] == 0 ? ' ' : (char)data[i];
	text[size] = '\0';
	at = text;
	line = strsep(&at, "\n");
	world_init(&w, line, 1);
	for (int i = 0; i < STEPS_MAX && w.weir->stopping.stage != STOP_ENDING && (line = strsep(&at, "\n")) != NULL;
	     i++)
		step(&w, line);
	world_fini(&w);
	free(text);
	return 0;
}
