/* tests/fuzz/session_server.c - see session_server.h. */
#include "session_server.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_MAX 16384
#define OUT_MAX ((size_t)1 << 20) /* queued bytes, above which nothing more is answered */

int
fake_listen(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	must(strlen(path) < sizeof(un.sun_path));
	memcpy(un.sun_path, path, strlen(path));
	must(fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 64) == 0);
	return fd;
}

void
fake_init(struct fake *f, int fd, const struct scram_verifier *verifier)
{
	*f = (struct fake){ .fd = fd, .last_pid = 4000, .verifier = *verifier, .sent_max = (size_t)1 << 20 };
	f->cluster.lsn = f->cluster.told = CLUSTER_FIRST_LSN;
	TAILQ_INIT(&f->conns);
}

static struct fake_conn *
conn_new(struct fake *f, int fd)
{
	struct fake_conn *c = calloc(1, sizeof(*c));

	must(c != NULL);
	c->fake = f;
	c->fd = fd;
	c->pid = ++f->last_pid;
	c->tx = 'I';
	c->cut = SIZE_MAX;
	c->login = f->login;
	TAILQ_INIT(&c->statements);
	TAILQ_INIT(&c->portals);
	TAILQ_INSERT_TAIL(&f->conns, c, link);
	return c;
}

void
fake_conn_free(struct fake_conn *c)
{
	TAILQ_REMOVE(&c->fake->conns, c, link);
	if (c->fd >= 0)
		close(c->fd);
	tx_free(c);
	values_free(&c->v);
	for (size_t i = 0; i < REPORTS; i++)
		free(c->told[i]);
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->next);
	scram_server_free(c->scram);
	free(c->behind);
	named_free_all(&c->statements);
	named_free_all(&c->portals);
	free(c);
}

void
fake_fini(struct fake *f)
{
	int fd;

	while (!TAILQ_EMPTY(&f->conns))
		fake_conn_free(TAILQ_FIRST(&f->conns));
	buf_fini(&f->login_raw);
	buf_fini(&f->characters);
	while ((fd = accept(f->fd, NULL, NULL)) >= 0)
		close(fd);
}

bool
fake_accept(struct fake *f)
{
	bool has_moved = false;
	int fd;

	while ((fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		conn_new(f, fd);
		has_moved = true;
	}
	return has_moved;
}

struct fake_conn *
fake_find(struct fake *f, size_t i)
{
	struct fake_conn *c;
	size_t count = 0;

	TAILQ_FOREACH(c, &f->conns, link)
		count++;
	if (count == 0)
		return NULL;
	i %= count;
	TAILQ_FOREACH(c, &f->conns, link)
		if (i-- == 0)
			return c;
	return NULL;
}

void
fake_put(struct fake_conn *c, const void *bytes, size_t len)
{
	buf_put(&c->out, bytes, len);
}

void
fake_behave(struct fake *f)
{
	struct fake_conn *c;

	f->login = LOGIN_TRUST;
	f->code_answer = CODE_TOLD;
	f->are_cancels_late = false;
	TAILQ_FOREACH(c, &f->conns, link) {
		c->is_held = c->is_deaf = false;
		c->piece = 0;
		/* Only the bytes of its login were a lie: it answers nothing. */
		c->is_over = c->is_over || (c->is_started && !c->is_authenticated && c->login == LOGIN_RAW);
		fake_wake(c, false);
	}
}

/* Returns true if c has listened to it since before its transaction, if there is one: LISTEN begins with its commit. */
static bool
listens(const struct fake_conn *c, const char *channel)
{
	const char(*channels)[CHANNEL_LEN] = c->save_count > 0 ? c->saves[0].channels : c->channels;

	for (size_t i = 0; i < CHANNELS_MAX; i++)
		if (channels[i][0] != '\0' && strcmp(channels[i], channel) == 0)
			return true;
	return false;
}

void
fake_notify(struct fake *f, uint32_t pid, const char *channel, const char *payload)
{
	struct fake_conn *c;

	if (f->on_notify != NULL)
		f->on_notify(f, channel, payload);
	TAILQ_FOREACH(c, &f->conns, link)
		if (listens(c, channel)) {
			size_t begun = message_begin(&c->out, 'A');

			buf_put_u32(&c->out, pid);
			buf_put_str(&c->out, channel);
			buf_put_str(&c->out, payload);
			message_end(&c->out, begun);
		}
}

/* --- login --- */

static void
welcome(struct fake_conn *c)
{
	static const uint8_t key[4] = "key";

	c->is_authenticated = true;
	message_authentication(&c->out, 0, NULL, 0);
	sql_reports(c);
	message_key(&c->out, c->pid, key, sizeof(key));
	message_ready(&c->out, 'I');
	c->is_ready = true;
}

static void
begin_login(struct fake_conn *c)
{
	static const uint32_t codes[] = { 0, 3, 5, 10 };
	struct buf *raw = &c->fake->login_raw;
	struct fail why;

	c->is_started = true;
	switch (c->login) {
	case LOGIN_TRUST:
		welcome(c);
		break;
	case LOGIN_CLEAR:
		message_authentication(&c->out, codes[c->login], NULL, 0);
		break;
	case LOGIN_MD5:
		message_authentication(&c->out, codes[c->login], "salt", 4);
		break;
	case LOGIN_SCRAM:
		message_authentication(&c->out, codes[c->login], "SCRAM-SHA-256\0", 15);
		break;
	case LOGIN_ERROR:
		fail_set(&why, "", "no");
		if (raw->len > 0)
			memcpy(why.sqlstate, raw->bytes, raw->len < 5 ? raw->len : 5);
		message_error(&c->out, "FATAL", &why);
		c->is_over = true;
		break;
	case LOGIN_RAW:
		buf_put(&c->out, raw->bytes, raw->len);
		break;
	}
}

void
fake_error_of(struct fake_conn *c, const char *severity, const char *routine, const struct fail *why)
{
	struct buf b = { 0 };

	message_error(&b, severity, why);
	must(buf_ok(&b) && b.len > 5);
	b.len--; /* the terminator of the fields */
	buf_put_u8(&b, 'R');
	buf_put_str(&b, routine);
	buf_put_u8(&b, 0);
	must(buf_ok(&b));
	wire_set_u32(b.bytes + 1, (uint32_t)b.len - 1);
	buf_put(&c->out, b.bytes, b.len);
	buf_fini(&b);
}

void
fake_password(struct fake_conn *c, const uint8_t *body, size_t len)
{
	char out[SCRAM_TEXT_MAX];
	const uint8_t *text = body;
	struct fail why;

	if (c->login != LOGIN_SCRAM) {
		if (c->login == LOGIN_CLEAR || c->login == LOGIN_MD5)
			welcome(c);
		return;
	}
	if (!c->has_scram_begun) {
		c->has_scram_begun = true;
		c->scram = scram_server_new(&c->fake->verifier, false, &(struct scram_channel){ 0 }, NULL);
		must(c->scram != NULL && len > 18 && memcmp(body, "SCRAM-SHA-256", 14) == 0);
		text += 18;
		must(scram_server_first(c->scram, (const char *)text, len - 18, out, &why) == 0);
		message_authentication(&c->out, 11, out, strlen(out));
		return;
	}
	if (scram_server_final(c->scram, (const char *)text, len, out, NULL, &why) < 0) {
		message_error(&c->out, "FATAL", &why);
		c->is_over = true;
		return;
	}
	message_authentication(&c->out, 12, out, strlen(out));
	welcome(c);
}

static void
read_user(struct fake_conn *c, const char *at, const char *end)
{
	while (at < end && *at != '\0') {
		const char *value = at + strlen(at) + 1;

		if (value < end && strcmp(at, "user") == 0)
			snprintf(c->user, sizeof(c->user), "%s", value);
		at = value < end ? value + strlen(value) + 1 : end;
	}
}

/* A packet without a type. Bytes used; 0: more are needed. */
static size_t
startup(struct fake_conn *c, const uint8_t *bytes, size_t len)
{
	struct fake_conn *other;
	uint32_t said, code;

	if (len < 8)
		return 0;
	said = wire_u32(bytes);
	code = wire_u32(bytes + 4);
	must(said >= 8);
	if (len < said)
		return 0;
	if (code == 80877103 || code == 80877104) {
		buf_put_u8(&c->out, 'N');
	} else if (code == 80877102) {
		must(said >= 12);
		if (c->fake->are_cancels_late)
			return 0;
		TAILQ_FOREACH(other, &c->fake->conns, link)
			if (other->is_authenticated && other->pid == wire_u32(bytes + 8)) {
				other->is_signalled = !other->is_asleep && other->in.len > 0 &&
						      other->fake->hits_what_begins != NULL &&
						      other->fake->hits_what_begins(other);
				fake_wake(other, true);
				other->is_copy_cancelled = other->is_copying;
			}
		if (c->fake->signals_twice && !c->has_signalled) {
			c->has_signalled = true; /* the same bytes are read again in another turn */
			return 0;
		}
		c->is_over = true;
	} else {
		must(code >> 16 == 3 && bytes[said - 1] == 0);
		read_user(c, (const char *)bytes + 8, (const char *)bytes + said);
		begin_login(c);
	}
	return said;
}

/* --- bytes --- */

static bool
read_in(struct fake_conn *c)
{
	uint8_t bytes[READ_MAX];
	ssize_t n = read(c->fd, bytes, sizeof(bytes));

	if (n > 0)
		buf_put(&c->in, bytes, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->cut = 0; /* it has gone: so do we */
	return n >= 0;
}

static bool
handle(struct fake_conn *c)
{
	bool has_moved = false;
	size_t used = 1;

	while (!c->is_held && !c->is_over && !c->is_asleep && c->out.len < OUT_MAX && used > 0 && c->in.len > 0) {
		struct frame f;
		uint8_t *body;

		used = 0;
		if (!c->is_started) {
			used = startup(c, c->in.bytes, c->in.len);
		} else if (c->login == LOGIN_RAW) {
			used = c->in.len;
		} else {
			enum frame_result r = frame_parse(c->in.bytes, c->in.len, &f);

			must(r != FRAME_BAD);
			if (r == FRAME_OK && c->in.len - FRAME_HEAD_LEN >= f.body_len) {
				used = FRAME_HEAD_LEN + (size_t)f.body_len;
				body = malloc((size_t)f.body_len + 2);
				must(body != NULL);
				memcpy(body, c->in.bytes + FRAME_HEAD_LEN, f.body_len);
				memset(body + f.body_len, 0, 2);
				fake_message(c, f.type, body, f.body_len);
				free(body);
			}
		}
		buf_drop_front(&c->in, used);
		has_moved = has_moved || used > 0;
	}
	c->is_signalled &= c->in.len > 0; /* a signal that comes while nothing runs is ignored */
	return has_moved;
}

static bool
write_out(struct fake_conn *c)
{
	size_t len = c->out.len - c->out_at;
	ssize_t n;

	must(buf_ok(&c->out));
	if (c->piece > 0 && len > c->piece)
		len = c->piece;
	if (len > c->cut)
		len = c->cut;
	if (len == 0)
		return false;
	n = send(c->fd, c->out.bytes + c->out_at, len, MSG_NOSIGNAL);
	if (n <= 0) {
		if (n < 0 && errno != EAGAIN)
			c->cut = 0;
		return false;
	}
	c->out_at += (size_t)n;
	if (c->commit_lsn > c->fake->cluster.told)
		c->fake->cluster.told = c->commit_lsn;
	if (c->out_at == c->out.len)
		c->out_at = c->out.len = 0;
	if (c->cut != SIZE_MAX)
		c->cut -= (size_t)n;
	return true;
}

void
fake_conn_execute(struct fake_conn *c)
{
	read_in(c);
	handle(c);
}

bool
fake_conn_turn(struct fake_conn *c)
{
	bool has_moved = false;

	if (!c->is_deaf && c->out.len < OUT_MAX)
		has_moved |= read_in(c);
	has_moved |= handle(c);
	has_moved |= write_out(c);
	if (c->cut > 0 && (!c->is_over || c->out.len > 0))
		return has_moved;
	fake_conn_free(c);
	return true;
}

bool
fake_turn(struct fake *f)
{
	bool has_moved = fake_accept(f);

	for (struct fake_conn *c = TAILQ_FIRST(&f->conns), *next; c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		has_moved |= fake_conn_turn(c);
	}
	return has_moved;
}

struct fake_conn *
fake_new_alone(struct fake *f, const char *user)
{
	struct fake_conn *c = conn_new(f, -1);

	snprintf(c->user, sizeof(c->user), "%s", user);
	c->is_started = c->is_authenticated = true;
	return c;
}

void
fake_feed(struct fake_conn *c, const void *bytes, size_t len)
{
	buf_put(&c->in, bytes, len);
	must(buf_ok(&c->in));
	handle(c);
}
