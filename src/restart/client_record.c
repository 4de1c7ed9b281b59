#include "restart/client_record.h"
#include "client/cancel.h"
#include "listen/listen.h"
#include "pool/pool_workers.h"
#include "relay/features.h"
#include "statements/statements_transfer.h"
#include "base/alloc.h"
#include "base/table.h"
#include "base/text.h"

#include <assert.h>

#define NUMBERS_MAX ((uint32_t)1 << 20) /* the most pools, and the most texts */

_Static_assert(CLIENT_RECORD_SECRET_MAX == CANCEL_SECRET_MAX, "a cancel key fits");

/* --- whether a client can move --- */

/* Returns true while the client is logged in, and nothing is in progress between it and pgweir. */
static bool
is_at_rest(const struct client *c)
{
	const struct exchange *x = &c->x;

	return x->state == CL_READY && !x->is_closing && x->waiter.waits == WAITS_NOT && x->body_left == 0 &&
	       x->reading != EXCHANGE_STALLED && x->reading != EXCHANGE_IN_TRANSFER && !x->is_in_relay &&
	       stream_queued_len(&x->stream) == 0 && !x->stream.is_broken &&
	       (x->rare == NULL || x->rare->cancels == NULL) && x->client_pid != 0 && !c->is_read_paused;
}

enum client_record_obstacle
client_record_find_obstacle(const struct client *c)
{
	const struct exchange *x = &c->x;

	if (x->state == CL_CONSOLE)
		return CLIENT_RECORD_CONSOLE;
	if (x->stream.tls != NULL)
		return CLIENT_RECORD_TLS;
	if (c->is_staying)
		return CLIENT_RECORD_REFUSED;
	if (x->is_session || x->replication != 0)
		return CLIENT_RECORD_SESSION;
	if (x->srv != NULL)
		return x->pins != 0 ? CLIENT_RECORD_PINNED : CLIENT_RECORD_BUSY;
	if (!is_at_rest(c))
		return CLIENT_RECORD_BUSY;
	if (x->pool->settings.delegation == DELEGATION_ON)
		return CLIENT_RECORD_TICKET;
	return features_tie(x, TIE_PROCESS) ? CLIENT_RECORD_BUSY : CLIENT_RECORD_NONE;
}

const char *
client_record_obstacle_name(enum client_record_obstacle o)
{
	static const char *const names[CLIENT_RECORD_OBSTACLES] = {
		[CLIENT_RECORD_NONE] = "about to move",
		[CLIENT_RECORD_BUSY] = "with a request, a transaction or a login under way",
		[CLIENT_RECORD_PINNED] = "pinned to a server connection",
		[CLIENT_RECORD_SESSION] = "in session mode",
		[CLIENT_RECORD_TLS] = "with TLS",
		[CLIENT_RECORD_CONSOLE] = "in the console",
		[CLIENT_RECORD_TICKET] = "with a delegated ticket",
		[CLIENT_RECORD_REFUSED] = "that the successor could not take",
	};

	return names[o];
}

/* --- the process that the client leaves --- */

/* A statement or pool that was sent already. Holds a reference to a statement, so no other can get its address. */
struct sent {
	struct {
		const void *what;
		uint64_t id; /* the statement's id, which changes when its text does; for a pool a hash of its record */
	} key;
	struct statement *st; /* NULL for a pool */
	uint32_t number;
	UT_hash_handle hh;
};

struct client_record_writer {
	void (*send)(void *arg, bool is_pool, const struct buf *what);
	void *arg;
	struct sent *sent;
	uint32_t pools, texts;
	bool is_bad; /* true if there was no memory, so the present client record can't be used */
};

struct client_record_writer *
client_record_writer_new(void (*send)(void *arg, bool is_pool, const struct buf *what), void *arg)
{
	struct client_record_writer *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->send = send;
	o->arg = arg;
	return o;
}

void
client_record_writer_free(struct client_record_writer *o)
{
	struct sent *s, *next;

	if (o == NULL)
		return;
	HASH_ITER(hh, o->sent, s, next) {
		HASH_DELETE(hh, o->sent, s);
		statement_unref(s->st);
		free(s);
	}
	free(o);
}

static struct sent *
find_sent(const struct client_record_writer *o, const void *what, uint64_t id)
{
	struct sent *found, key = { .key = { what, id } };

	TABLE_FIND(0, o->sent, &key.key, sizeof(key.key), found);
	return found;
}

/* Remembers that a statement or a pool was sent. Takes over a reference to st. Without memory, the statement or pool is
 * sent again with the next client that has it. */
static void
note_sent(struct client_record_writer *o, const void *what, uint64_t id, struct statement *st, uint32_t number)
{
	struct sent *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		statement_unref(st);
		return;
	}
	s->key.what = what;
	s->key.id = id;
	s->st = st;
	s->number = number;
	if (!TABLE_ADD(0, o->sent, &s->key, sizeof(s->key), s)) {
		statement_unref(st);
		free(s);
	}
}

static void
wipe(struct buf *b)
{
	if (b->bytes != NULL)
		OPENSSL_cleanse(b->bytes, b->len); /* b may contain a pool's secret */
	buf_fini(b);
}

/* Sends a pool or a text, which client records refer to by number, and frees b. Returns false if there was no memory
 * for b; the pool or text then has no number. */
static bool
send_shared(struct client_record_writer *o, bool is_pool, struct buf *b)
{
	bool is_whole = buf_ok(b);

	o->is_bad |= !is_whole;
	if (is_whole)
		o->send(o->arg, is_pool, b);
	wipe(b);
	return is_whole;
}

/* Returns the pool's number. Sends the pool if it was not sent yet, or if its record has changed since: when its
 * clients have moved, a pool may be freed, and another pool be made at the same address. */
static uint32_t
send_pool_once(struct client_record_writer *o, const struct pool *pool)
{
	const struct sent *s;
	const struct scram_keys *keys;
	struct client_record_pool p = { 0 };
	struct buf b = { 0 };
	uint64_t id;

	keys = pool_get_secrets(pool, &p.secret);
	if (p.secret == NULL)
		p.secret = "";
	if (keys->is_set) {
		p.keys = (const uint8_t *)keys;
		p.keys_len = sizeof(*keys);
	}
	client_record_put(&b, client_record_item_pool, &p);
	id = buf_ok(&b) ? table_hash(0, b.bytes, b.len) : 0;
	if ((s = find_sent(o, pool, id)) != NULL) {
		wipe(&b);
		return s->number;
	}
	if (!send_shared(o, true, &b))
		return 0;
	note_sent(o, pool, id, NULL, o->pools);
	return o->pools++;
}

static uint32_t
send_text_once(struct client_record_writer *o, struct statement *st)
{
	const struct sent *s = find_sent(o, st, st->id);
	struct client_record_text t = { .bytes = st->bytes, .len = st->len, .query_len = st->query_len };
	struct buf b = { .limit = 2 * BUF_LIMIT_DEFAULT };

	if (s != NULL)
		return s->number;
	t.types = statement_learnt_types(st, &t.types_len);
	client_record_put(&b, client_record_item_text, &t);
	if (!send_shared(o, false, &b))
		return 0;
	note_sent(o, st, st->id, statement_ref(st), o->texts);
	return o->texts++;
}

struct record_output {
	struct client_record_writer *writer;
	struct buf *out;
};

static void
put_statement(const struct statement_transfer *s, void *arg)
{
	struct record_output *w = arg;
	struct client_record_statement p = { .name = s->name,
					     .shape = s->shape_hash,
					     .types = s->types_hash,
					     .is_of_session = s->is_of_session,
					     .is_proven = s->is_proven,
					     .is_told = s->is_told };

	p.text = send_text_once(w->writer, s->st);
	p.is_shared = statement_is_shared(s->st) && (s->st->context == 0 || s->is_of_session);
	client_record_put(w->out, client_record_item_statement, &p);
}

static void
put_channel(const char *channel, void *arg)
{
	const struct record_output *w = arg;

	client_record_put(w->out, client_record_item_channel, &channel);
}

static void
put_gucs(struct buf *out, const struct gucs *gucs)
{
	size_t begun = client_record_begin(out);

	for (size_t i = 0; gucs != NULL && i < gucs_count(gucs); i++) {
		struct guc s = *gucs_at(gucs, i);

		client_record_put(out, client_record_item_setting, &s);
	}
	client_record_end(out, begun);
}

int
client_record_write(struct client_record_writer *o, struct client *c, uint64_t number, struct buf *out)
{
	struct exchange *x = &c->x;
	struct record_output w = { o, out };
	struct client_record p = { .number = number,
				   .database = x->pool->database->name,
				   .user = exchange_user(x),
				   .connected_us = c->connected_us,
				   .idle_since_us = x->waiter.idle_since_us,
				   .pid = x->client_pid,
				   .is_startup_same = x->startup == x->gucs };
	size_t begun;

	o->is_bad = false;
	p.pool = send_pool_once(o, x->pool);
	if (!c->is_unix)
		memcpy(&p.peer, &c->peer, sizeof(p.peer));
	p.secret_len = cancel_copy_secret(c, p.secret);
	client_record_put(out, client_record_item_head, &p);
	OPENSSL_cleanse(p.secret, sizeof(p.secret));
	put_gucs(out, x->gucs);
	put_gucs(out, p.is_startup_same ? NULL : x->startup);
	begun = client_record_begin(out);
	o->is_bad |= statements_each(x, put_statement, &w) < 0;
	client_record_end(out, begun);
	begun = client_record_begin(out);
	listen_each(x, put_channel, &w);
	client_record_end(out, begun);
	begun = client_record_begin(out);
	buf_put(out, x->pending, x->pending_len);
	client_record_end(out, begun);
	return buf_ok(out) && !o->is_bad ? 0 : -1;
}

/* --- the process that the client comes to --- */

struct reader_pool {
	struct scram_keys keys;
	char *secret;
};

struct reader_text {
	uint8_t *bytes;
	size_t len;
	struct client_record_text text; /* points into bytes */
};

struct client_record_reader {
	struct client_env *main_worker;
	struct reader_pool *pools;
	struct reader_text *texts;
	uint32_t pool_count, text_count;
	bool lacks_one; /* true if a pool or a text could not be read, so numbers differ from the old process's */
};

struct client_record_reader *
client_record_reader_new(struct client_env *main_worker)
{
	struct client_record_reader *s = xcalloc(1, sizeof(*s));

	s->main_worker = main_worker;
	return s;
}

void
client_record_reader_free(struct client_record_reader *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->pool_count; i++) {
		secret_free(s->pools[i].secret);
		OPENSSL_cleanse(&s->pools[i].keys, sizeof(s->pools[i].keys));
	}
	for (uint32_t i = 0; i < s->text_count; i++)
		free(s->texts[i].bytes);
	free(s->pools);
	free(s->texts);
	free(s);
}

/* Makes room for one more element in an array that grows by doubling. Returns 0, or -1 without memory. */
static int
grow(void **array, uint32_t count, size_t size)
{
	void *grown =
	    (count & (count - 1)) == 0 ? reallocarray(*array, count == 0 ? 1 : (size_t)count * 2, size) : *array;

	if (grown == NULL)
		return -1;
	*array = grown;
	return 0;
}

static int
read_pool(struct client_record_reader *s, const uint8_t *bytes, size_t len)
{
	struct client_record_pool p;
	struct reader_pool *made;

	if (s->pool_count >= NUMBERS_MAX || client_record_parse_pool(bytes, len, sizeof(struct scram_keys), &p) < 0 ||
	    grow((void **)&s->pools, s->pool_count, sizeof(*s->pools)) < 0)
		return -1;
	made = &s->pools[s->pool_count];
	*made = (struct reader_pool){ .secret = strdup(p.secret) };
	if (made->secret == NULL)
		return -1;
	s->pool_count++;
	if (p.keys_len == sizeof(made->keys))
		memcpy(&made->keys, p.keys, sizeof(made->keys));
	if (made->keys.salt_len > sizeof(made->keys.salt))
		made->keys.is_set = false;
	return 0;
}

static int
read_text(struct client_record_reader *s, const uint8_t *bytes, size_t len)
{
	struct reader_text made = { .bytes = malloc(len), .len = len };

	if (made.bytes == NULL || s->text_count >= NUMBERS_MAX) {
		free(made.bytes);
		return -1;
	}
	memcpy(made.bytes, bytes, len);
	if (client_record_parse_text(made.bytes, len, &made.text) < 0 ||
	    grow((void **)&s->texts, s->text_count, sizeof(*s->texts)) < 0) {
		free(made.bytes);
		return -1;
	}
	s->texts[s->text_count++] = made;
	return 0;
}

int
client_record_reader_take(struct client_record_reader *s, bool is_pool, const uint8_t *bytes, size_t len)
{
	s->lacks_one |= (is_pool ? read_pool : read_text)(s, bytes, len) < 0;
	return s->lacks_one ? -1 : 0;
}

static struct gucs *
read_gucs(struct guc_store *store, struct client_record_part part)
{
	struct guc of_kind[GUCS_MAX], s = { 0 };
	struct gucs *gucs = gucs_empty(store);

	for (enum guc_kind kind = GUC_OTHER; kind <= GUC_REPORTED && gucs != NULL; kind++) {
		struct client_record_part rest = part;
		size_t count = 0;
		struct gucs *with;

		while (client_record_next(&rest, client_record_item_setting, &s))
			if (s.kind == kind)
				of_kind[count++] = s;
		with = count == 0 ? gucs_ref(gucs) : gucs_replace(gucs, kind, of_kind, count);
		gucs_unref(gucs);
		gucs = with;
	}
	return gucs;
}

static int
take_statement(struct client_record_reader *reader, struct exchange *x, const struct client_record_statement *p)
{
	struct statement_transfer s = { .name = p->name,
					.shape_hash = p->shape,
					.types_hash = p->types,
					.is_proven = p->is_proven,
					.is_told = p->is_told };
	uint32_t context = p->is_of_session ? gucs_context(x->gucs) : 0;
	const struct client_record_text *t;

	if (p->text >= reader->text_count)
		return -1;
	t = &reader->texts[p->text].text;
	s.st = !p->is_shared || context == GUCS_CONTEXT_NONE
		   ? statement_new_unshared(x->pool->home, t->bytes, t->len, t->query_len)
		   : statement_get_or_create(x->pool->home, t->bytes, t->len, t->query_len, context);
	if (s.st != NULL && t->types_len > 0)
		statement_learn_types(s.st, t->types, t->types_len);
	return s.st == NULL ? -1 : statements_add_transferred(x, &s);
}

static int
take_session(struct client_record_reader *s, struct client *c, const struct client_record *p, struct fail *why)
{
	struct exchange *x = &c->x;
	struct client_record_part statements = p->statements, channels = p->channels;
	struct client_record_statement st = { 0 };
	const char *channel = NULL;

	x->gucs = read_gucs(x->env->guc_store, p->settings);
	x->startup = x->gucs == NULL	  ? NULL
		     : p->is_startup_same ? gucs_ref(x->gucs)
					  : read_gucs(x->env->guc_store, p->startup);
	if (x->startup == NULL)
		return fail_memory(why, "the client's settings");
	while (client_record_next(&statements, client_record_item_statement, &st))
		if (take_statement(s, x, &st) < 0)
			return fail_set(why, "53200", "a prepared statement is missing, or pgweir is out of memory");
	while (client_record_next(&channels, client_record_item_channel, &channel))
		if (listen_subscribe(x, channel) < 0)
			return fail_memory(why, "the client's channels");
	if (cancel_restore(c, p->pid, p->secret, p->secret_len) < 0)
		return fail_set(why, "53200", "its cancel key is taken");
	if (exchange_keep(x, p->input.at, p->input.len) < 0)
		return fail_memory(why, "the client's input");
	return 0;
}

/* Gives the client its pool, settings and user. Counts the client in the limits, in its pool and on its worker, but not
 * as a login. Returns 0, or -1 with *why set. */
static int
take_place(struct client_record_reader *s, struct client *c, const struct client_record *p, struct fail *why)
{
	struct client_env *env = c->env;
	const struct reader_pool *learnt = &s->pools[p->pool];
	struct pool *pool = pool_set_get_or_create(env->x.pools, p->database, p->user, *env->x.now_us, why);

	if (pool == NULL)
		return -1;
	if (admission_restore(s->main_worker->admission, &c->admission, c->is_unix ? NULL : &c->peer.any, p->user,
			      p->database) < 0)
		return fail_memory(why, "the client's place in the limits");
	c->x.settings = pool_adopt_user(pool, p->user, *env->x.now_us);
	if (c->x.settings == NULL)
		return fail_memory(why, "the client's settings");
	if (c->x.settings->pool_mode == POOL_MODE_SESSION)
		return fail_set(why, "0A000", "its pool has pool_mode = session now");
	if (pool->settings.delegation == DELEGATION_ON)
		return fail_set(why, "0A000", "its pool has gss_accept_delegation = on now");
	pool_take_secrets(pool, learnt->keys.is_set ? &learnt->keys : NULL,
			  learnt->secret[0] != '\0' ? learnt->secret : NULL);
	c->x.pool = pool;
	pool->clients++;
	env->pool_client_count++;
	c->is_counted = true;
	if (strcmp(p->user, pool->user) != 0 && exchange_set_user(&c->x, p->user) < 0)
		return fail_memory(why, "the client's user");
	return 0;
}

static uint64_t
limit_to_now(uint64_t us, uint64_t now_us)
{
	return us == 0 || us > now_us ? now_us : us;
}

/* Makes a client on the worker of its pool, and takes over fd. Returns NULL with *why set on failure. */
static struct client *
make_client(struct client_env *main_worker, const struct client_record *p, int fd, struct fail *why)
{
	uint32_t worker = pool_workers_choose(main_worker->pool_workers, main_worker->x.config, p->database, p->user,
					      main_worker->pool_client_count, why);
	struct client *c;

	if (worker == POOL_NO_WORKER) {
		close(fd);
		return NULL;
	}
	c = client_new(main_worker->client_envs[worker], fd, (const struct sockaddr *)&p->peer,
		       p->peer.sin6_family == AF_UNSPEC);
	if (c == NULL)
		fail_memory(why, "a client");
	else if (worker != main_worker->number)
		pool_workers_client_moved(main_worker->pool_workers, worker);
	return c;
}

struct client *
client_record_adopt(struct client_record_reader *s, const struct client_record *p, int fd, struct fail *why)
{
	struct client *c;
	uint64_t now_us;

	if (s->lacks_one || p->pool >= s->pool_count) {
		close(fd);
		fail_set(why, "XX000", "its pool is missing");
		return NULL;
	}
	if ((c = make_client(s->main_worker, p, fd, why)) == NULL)
		return NULL;
	now_us = *c->env->x.now_us;
	stream_suspend(&c->x.stream, true);
	c->x.reading = EXCHANGE_IN_TRANSFER;
	c->connected_us = limit_to_now(p->connected_us, now_us);
	exchange_step(&c->x, CE_PROVED);
	if (take_place(s, c, p, why) < 0 || take_session(s, c, p, why) < 0) {
		client_close_copy(c);
		return NULL;
	}
	c->x.waiter.idle_since_us = limit_to_now(p->idle_since_us, now_us);
	exchange_step(&c->x, CE_GREETED);
	c->x.has_seen_primary = true; /* assumed, because this process does not know which data the client has seen */
	assert(c->env->login_count > 0);
	c->env->login_count--;
	return c;
}

void
client_record_begin_reading(struct client *c)
{
	if (c->x.reading == EXCHANGE_IN_TRANSFER) /* a client that was merely parked may be EXCHANGE_STALLED */
		c->x.reading = EXCHANGE_READS;
	stream_suspend(&c->x.stream, false);
}
