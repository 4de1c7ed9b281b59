/* tests/fuzz/session_client.c - see session_client.h. */
#include "session_client.h"

#include "auth/encoding.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX 16384
#define OUT_MAX ((size_t)1 << 20)

void
fclient_init(struct fake_client *c, char letter)
{
	*c = (struct fake_client){ .letter = letter, .fd = -1 };
}

void
fclient_open(struct fake_client *c, int fd, uint64_t id)
{
	struct fake_client old = *c;

	fclient_close(c);
	fclient_init(c, c->letter);
	c->sequence = old.sequence;
	c->on_message = old.on_message;
	c->arg = old.arg;
	c->fd = fd;
	c->id = id;
	c->allowed = SIZE_MAX;
	c->is_answering = true;
}

void
fclient_close(struct fake_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_fini(&c->in);
	buf_fini(&c->out);
	scram_client_free(c->scram);
	c->scram = NULL;
}

void
fclient_login(struct fake_client *c, const char *user, const char *database, char **settings, size_t count)
{
	size_t begun = c->out.len;

	snprintf(c->user, sizeof(c->user), "%s", user);
	c->is_console = strcmp(database, "pgweir") == 0;
	buf_put_u32(&c->out, 0);
	buf_put_u32(&c->out, 196608);
	buf_put_str(&c->out, "user");
	buf_put_str(&c->out, user);
	buf_put_str(&c->out, "database");
	buf_put_str(&c->out, database);
	for (size_t i = 0; i < count; i++) {
		size_t len = strcspn(settings[i], "=");

		text_unescape(&c->out, settings[i], len, c->letter, &c->sequence);
		buf_put_u8(&c->out, 0);
		if (settings[i][len] == '=')
			len++;
		text_unescape(&c->out, settings[i] + len, strlen(settings[i] + len), c->letter, &c->sequence);
		buf_put_u8(&c->out, 0);
	}
	buf_put_u8(&c->out, 0);
	wire_set_u32(c->out.bytes + begun, (uint32_t)(c->out.len - begun));
}

void
fclient_message(struct fake_client *c, uint8_t type, const struct buf *body)
{
	message_put(&c->out, type, body->bytes, body->len);
}

/* --- what was sent --- */

static void
sent_message(struct sent *s, uint8_t type)
{
	bool is_request = type == 'Q' || type == 'F' || type == 'S';

	/* An error before it would skip it. */
	s->is_mixed |= s->is_open && is_request && type != 'S';
	s->is_open = !is_request;
	s->requests += is_request;
}

static void
sent_head(struct sent *s)
{
	uint32_t said = wire_u32(s->head), code = wire_u32(s->head + 4);

	s->have = 0;
	if (s->phase == SENT_TYPED) {
		said = wire_u32(s->head + 1);
		s->left = said < 4 ? 0 : said - 4;
		if (said < 4)
			s->phase = SENT_WILD;
		else
			sent_message(s, s->head[0]);
	} else if (said == 8 && (code == 80877103 || code == 80877104)) {
		s->encryption_requests++;
	} else if (said < 8 || said > 10000 || code >> 16 != 3) {
		s->phase = SENT_WILD;
	} else {
		s->left = said - 8;
		s->phase = SENT_TYPED;
	}
}

static void
note_sent(struct sent *s, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && s->phase != SENT_WILD;) {
		size_t n = len - i;

		if (s->left > 0) {
			n = n < s->left ? n : s->left;
			s->left -= (uint32_t)n;
			i += n;
			continue;
		}
		s->head[s->have++] = bytes[i++];
		if (s->have == (s->phase == SENT_STARTUP ? 8 : FRAME_HEAD_LEN))
			sent_head(s);
	}
}

/* --- what came --- */

static void
answer_scram(struct fake_client *c, uint32_t code, const uint8_t *text, size_t len)
{
	char out[SCRAM_TEXT_MAX];
	const uint8_t *salt;
	size_t salt_len;
	uint32_t iterations;
	struct scram_keys keys;
	struct buf b = { 0 };
	struct fail why;

	if (code == 10 && c->scram == NULL) {
		c->scram = scram_client_new(&(struct scram_channel){ 0 }, SCRAM_BINDING_DISABLE, "", NULL);
		must(c->scram != NULL && scram_client_first(c->scram, out, &why) == 0);
		buf_put_str(&b, "SCRAM-SHA-256");
		buf_put_u32(&b, (uint32_t)strlen(out));
		buf_put(&b, out, strlen(out));
		fclient_message(c, 'p', &b);
	} else if (code == 11 && c->scram != NULL &&
		   scram_client_challenge(c->scram, (const char *)text, len, &salt, &salt_len, &iterations, &why) ==
		       0) {
		must(scram_keys_from_password(SESSION_PASSWORD, salt, salt_len, iterations, &keys, &why) == 0);
		must(scram_client_final(c->scram, &keys, out, &why) == 0);
		buf_put(&b, out, strlen(out));
		fclient_message(c, 'p', &b);
	} else if (code == 12 && c->scram != NULL) {
		must(scram_client_verify(c->scram, (const char *)text, len, &why) == 0);
	}
	buf_fini(&b);
}

static void
authentication(struct fake_client *c, const uint8_t *body, size_t len)
{
	char secret[MD5_SECRET_LEN + 1], answer[MD5_SECRET_LEN + 1];
	struct fail why;
	uint32_t code;

	must(len >= 4);
	code = wire_u32(body);
	if (!c->is_answering)
		return;
	if (code == 5) {
		struct buf b = { 0 };

		must(len == 8 && md5_secret(SESSION_PASSWORD, c->user, secret, &why) == 0 &&
		     md5_answer(secret, body + 4, answer, &why) == 0);
		buf_put_str(&b, answer);
		fclient_message(c, 'p', &b);
		buf_fini(&b);
	} else
		answer_scram(c, code, body + 4, len - 4);
}

static void
check_tokens(const struct fake_client *c, const uint8_t *body, size_t len)
{
	const uint8_t *at = body, *end = body + len;

	while (at < end && (at = memchr(at, '@', (size_t)(end - at))) != NULL) {
		char letter = text_token_at(at, (size_t)(end - at));

		if (letter != 0 && letter != c->letter) {
			fprintf(stderr, "client %c got a byte of client %c's\n", c->letter, letter);
			abort();
		}
		at++;
	}
}

static void
look_at(struct fake_client *c, uint8_t type, const uint8_t *body, size_t len)
{
	if (getenv("SESSION_LOG") != NULL)
		fprintf(stderr, "%c <- %c (%zu)\n", c->letter, type, len);
	must(type != 0 && strchr("RSKZTtDCEINA123nsGHWcdVv", type) != NULL);
	switch (type) {
	case 'R':
		authentication(c, body, len);
		return;
	case 'K':
		if (len >= 8) {
			c->pid = wire_u32(body);
			c->secret = wire_u32(body + 4);
		}
		return;
	case 'Z':
		must(len == 1 && strchr("ITE", body[0]) != NULL && body[0] != 0);
		c->ready_count++;
		must(c->ready_count <= 1 + c->sent.requests);
		return;
	case 'G':
	case 'W':
		c->has_copied = true;
		break;
	case 'A': /* is for all who listen */
		return;
	case 'S': /* with session_state = allow, settings are whoever's came before */
		if (!c->is_leak_free)
			return;
		break;
	default:
		break;
	}
	if (!c->is_console && !c->shares_names)
		check_tokens(c, body, len);
}

static void
received(struct fake_client *c, uint8_t type, const uint8_t *body, size_t len)
{
	look_at(c, type, body, len);
	if (c->on_message != NULL)
		c->on_message(c->arg, type, body, len);
}

static void
handle(struct fake_client *c)
{
	size_t at = 0;
	struct frame f;

	/* The only answer that is none of PostgreSQL's, to a request of HTTP's: it is the last one. */
	if (c->in.len >= strlen("HTTP/") && memcmp(c->in.bytes, "HTTP/", strlen("HTTP/")) == 0)
		at = c->in.len;
	while (c->in.len - at > 0) {
		if (c->sent.encryption_requests > 0 && c->in.bytes[at] == 'N') {
			c->sent.encryption_requests--;
			at++;
			continue;
		}
		c->sent.encryption_requests = 0; /* it was refused */
		switch (frame_parse(c->in.bytes + at, c->in.len - at, &f)) {
		case FRAME_BAD:
			must(false);
			break;
		case FRAME_OK:
			if (c->in.len - at - FRAME_HEAD_LEN < f.body_len)
				break;
			received(c, f.type, c->in.bytes + at + FRAME_HEAD_LEN, f.body_len);
			at += FRAME_HEAD_LEN + (size_t)f.body_len;
			continue;
		case FRAME_PARTIAL:
			break;
		}
		break;
	}
	buf_drop_front(&c->in, at);
}

static bool
read_in(struct fake_client *c)
{
	uint8_t bytes[READ_MAX];
	ssize_t n = read(c->fd, bytes, sizeof(bytes));

	if (n > 0) {
		buf_put(&c->in, bytes, (size_t)n);
		handle(c);
		return true;
	}
	if (n < 0 && errno == EAGAIN)
		return false;
	fclient_close(c);
	return true;
}

static bool
write_out(struct fake_client *c)
{
	size_t len = c->out.len;
	ssize_t n;

	must(buf_ok(&c->out));
	if (c->piece > 0 && len > c->piece)
		len = c->piece;
	if (len > c->allowed)
		len = c->allowed;
	if (len == 0)
		return false;
	n = send(c->fd, c->out.bytes, len, MSG_NOSIGNAL);
	if (n <= 0)
		return false; /* the reading side sees that it has gone */
	note_sent(&c->sent, c->out.bytes, (size_t)n);
	buf_drop_front(&c->out, (size_t)n);
	if (c->allowed != SIZE_MAX)
		c->allowed -= (size_t)n;
	return true;
}

bool
fclient_turn(struct fake_client *c)
{
	bool has_moved;

	if (c->fd < 0)
		return false;
	must(c->out.len < OUT_MAX * 4);
	has_moved = write_out(c);
	return (!c->is_deaf && read_in(c)) || has_moved;
}

void
fclient_check_answered(const struct fake_client *c)
{
	bool is_between = c->sent.phase == SENT_TYPED && c->sent.have == 0 && c->sent.left == 0 && c->out.len == 0;

	if (c->fd < 0 || !is_between || c->has_copied || c->is_deaf || c->sent.is_mixed)
		return;
	if (c->ready_count != 1 + c->sent.requests) {
		fprintf(stderr, "client %c: %u ReadyForQuery for %u requests\n", c->letter, c->ready_count - 1,
			c->sent.requests);
		abort();
	}
}
