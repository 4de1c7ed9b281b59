#include "restart/client_record_form.h"
#include "wire/frame.h"

#include <string.h>

#define SECRET_SHORT 4u

/* Bytes that are written or read. If the input is malformed, every field from there on reads as 0, "" or NULL. */
struct client_record_form {
	struct buf *out; /* NULL when reading */
	struct client_record_part left; /* bytes that are not read yet */
	bool is_bad;
};

/* --- pieces of items: each function writes its argument, or reads a value, which most of them return --- */

static const uint8_t *
form_bytes(struct client_record_form *f, const uint8_t *bytes, size_t len)
{
	if (f->out != NULL) {
		buf_put(f->out, bytes, len);
		return bytes;
	}
	f->is_bad |= len > f->left.len;
	if (f->is_bad)
		return NULL;
	bytes = f->left.at;
	f->left.at += len;
	f->left.len -= len;
	return bytes;
}

static void
form_array(struct client_record_form *f, uint8_t *array, size_t len)
{
	const uint8_t *bytes = form_bytes(f, array, len);

	if (bytes == NULL)
		memset(array, 0, len);
	else if (bytes != array)
		memcpy(array, bytes, len);
}

/* Writes or reads a number of len bytes, in network order. */
static uint64_t
form_number(struct client_record_form *f, uint64_t value, size_t len)
{
	uint8_t net[sizeof(value)];
	uint64_t n = 0;

	for (size_t i = len; i-- > 0; value >>= 8)
		net[i] = (uint8_t)value;
	form_array(f, net, len);
	for (size_t i = 0; i < len; i++)
		n = n << 8 | net[i];
	return n;
}

/* Writes or reads a string with its terminator. */
static const char *
form_string(struct client_record_form *f, const char *text, size_t max)
{
	const char *from = f->out != NULL ? text : (const char *)f->left.at;
	size_t len = f->out != NULL ? strlen(text) : f->left.len == 0 ? 0 : strnlen(from, f->left.len);

	f->is_bad |= f->out == NULL && len > max;
	text = (const char *)form_bytes(f, (const uint8_t *)text, len + 1);
	return text != NULL ? text : "";
}

/* Writes *len bytes, or reads all bytes that are left and sets *len. */
static const uint8_t *
form_rest(struct client_record_form *f, const uint8_t *bytes, size_t *len)
{
	*len = f->out != NULL ? *len : f->left.len;
	return form_bytes(f, bytes, *len);
}

static struct client_record_part
read_part(struct client_record_form *f)
{
	size_t len = form_number(f, 0, 4);
	const uint8_t *at = form_bytes(f, NULL, len);

	return at == NULL ? (struct client_record_part){ 0 } : (struct client_record_part){ at, len };
}

/* --- items --- */

void
client_record_item_setting(struct client_record_form *f, void *of)
{
	struct guc *s = of;
	uint64_t kind = form_number(f, (uint64_t)s->kind, 1);

	s->kind = (enum guc_kind)kind;
	s->name = form_string(f, s->name, GUCS_TEXT_MAX);
	s->value = form_string(f, s->value, GUCS_TEXT_MAX);
	f->is_bad |= kind > GUC_REPORTED;
}

void
client_record_item_statement(struct client_record_form *f, void *of)
{
	struct client_record_statement *s = of;
	bool *const flags[] = { &s->is_shared, &s->is_of_session, &s->is_proven, &s->is_told };
	uint64_t bits = 0;

	s->name = form_string(f, s->name, SIZE_MAX);
	s->text = (uint32_t)form_number(f, s->text, 4);
	s->shape = (uint32_t)form_number(f, s->shape, 4);
	s->types = (uint32_t)form_number(f, s->types, 4);
	for (unsigned i = 0; i < 4; i++)
		bits |= (uint64_t)*flags[i] << i;
	bits = form_number(f, bits, 1);
	for (unsigned i = 0; i < 4; i++)
		*flags[i] = (bits >> i & 1) != 0;
	f->is_bad |= bits >> 4 != 0;
}

void
client_record_item_channel(struct client_record_form *f, void *of)
{
	const char **channel = of;

	*channel = form_string(f, *channel, CLIENT_RECORD_NAME_MAX);
}

void
client_record_item_head(struct client_record_form *f, void *of)
{
	struct client_record *p = of;
	uint64_t is_same;

	f->is_bad |= form_number(f, CLIENT_RECORD_VERSION, 2) != CLIENT_RECORD_VERSION;
	p->number = form_number(f, p->number, 8);
	p->pool = (uint32_t)form_number(f, p->pool, 4);
	p->database = form_string(f, p->database, CLIENT_RECORD_NAME_MAX);
	p->user = form_string(f, p->user, CLIENT_RECORD_NAME_MAX);
	form_array(f, (uint8_t *)&p->peer, sizeof(p->peer));
	f->is_bad |=
	    p->peer.sin6_family != AF_UNSPEC && p->peer.sin6_family != AF_INET && p->peer.sin6_family != AF_INET6;
	p->connected_us = form_number(f, p->connected_us, 8);
	p->idle_since_us = form_number(f, p->idle_since_us, 8);
	p->pid = (uint32_t)form_number(f, p->pid, 4);
	p->secret_len = form_number(f, p->secret_len, 1);
	f->is_bad |= p->secret_len != SECRET_SHORT && p->secret_len != CLIENT_RECORD_SECRET_MAX;
	form_array(f, p->secret, f->is_bad ? 0 : p->secret_len);
	is_same = form_number(f, p->is_startup_same, 1);
	f->is_bad |= is_same > 1;
	p->is_startup_same = is_same == 1;
}

void
client_record_item_text(struct client_record_form *f, void *of)
{
	struct client_record_text *t = of;

	t->query_len = form_number(f, t->query_len, 4);
	t->types_len = form_number(f, t->types_len, 4);
	t->types = form_bytes(f, t->types, t->types_len);
	t->bytes = form_rest(f, t->bytes, &t->len);
}

void
client_record_item_pool(struct client_record_form *f, void *of)
{
	struct client_record_pool *p = of;

	p->secret = form_string(f, p->secret, SIZE_MAX);
	p->keys = form_rest(f, p->keys, &p->keys_len);
}

/* --- writing --- */

void
client_record_put(struct buf *b, client_record_item *item, void *of)
{
	item(&(struct client_record_form){ .out = b }, of);
}

size_t
client_record_begin(struct buf *b)
{
	buf_put_u32(b, 0);
	return b->len;
}

void
client_record_end(struct buf *b, size_t begun)
{
	if (buf_ok(b))
		wire_set_u32(b->bytes + begun - 4, (uint32_t)(b->len - begun));
}

/* --- reading --- */

bool
client_record_next(struct client_record_part *part, client_record_item *item, void *of)
{
	struct client_record_form f = { .left = *part };

	if (part->len == 0)
		return false;
	item(&f, of);
	if (!f.is_bad)
		*part = f.left;
	return !f.is_bad;
}

/* Returns true if the part consists of items of this type, at most `most` of them. */
static bool
are_all(struct client_record_part part, client_record_item *item, void *of, size_t most)
{
	while (most > 0 && client_record_next(&part, item, of))
		most--;
	return part.len == 0;
}

int
client_record_parse(const uint8_t *bytes, size_t len, struct client_record *out)
{
	struct client_record_form f = { .left = { bytes, len } };
	struct guc setting = { 0 };
	struct client_record_statement statement = { 0 };
	const char *channel = NULL;

	memset(out, 0, sizeof(*out));
	client_record_item_head(&f, out);
	out->settings = read_part(&f);
	out->startup = read_part(&f);
	out->statements = read_part(&f);
	out->channels = read_part(&f);
	out->input = read_part(&f);
	if (f.is_bad || f.left.len > 0 || (out->is_startup_same && out->startup.len > 0) ||
	    !are_all(out->settings, client_record_item_setting, &setting, GUCS_MAX) ||
	    !are_all(out->startup, client_record_item_setting, &setting, GUCS_MAX) ||
	    !are_all(out->statements, client_record_item_statement, &statement, SIZE_MAX) ||
	    !are_all(out->channels, client_record_item_channel, &channel, SIZE_MAX))
		return -1;
	return 0;
}

int
client_record_parse_text(const uint8_t *bytes, size_t len, struct client_record_text *out)
{
	struct client_record_form f = { .left = { bytes, len } };
	size_t count;

	memset(out, 0, sizeof(*out));
	client_record_item_text(&f, out);
	/* The bytes are the query, its terminator, the number of parameter types, and that many types. */
	if (f.is_bad || out->query_len > out->len || out->len - out->query_len < 3 ||
	    memchr(out->bytes, 0, out->len) != out->bytes + out->query_len)
		return -1;
	count = (size_t)(out->bytes[out->query_len + 1] << 8 | out->bytes[out->query_len + 2]);
	return out->len - out->query_len - 3 == count * 4 ? 0 : -1;
}

int
client_record_parse_pool(const uint8_t *bytes, size_t len, size_t keys_len, struct client_record_pool *out)
{
	struct client_record_form f = { .left = { bytes, len } };

	memset(out, 0, sizeof(*out));
	client_record_item_pool(&f, out);
	return !f.is_bad && (out->keys_len == 0 || out->keys_len == keys_len) ? 0 : -1;
}
