/*
 * tests/unit/test_tls.c - TLS streams over a socketpair, both ends ours: handshakes in pieces, reads with little room,
 * writes that the peer doesn't take, ends of all kinds; and what contexts refuse.
 */
#include "net/stream.h"
#include "net/tls_state.h"
#include "net/tls.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

/* A certificate that signs itself, for name; in files of their own. */
struct identity {
	char certificate[64], key[64];
};

static void
identity_make(struct identity *id, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *subject = X509_NAME_new();
	X509V3_CTX ctx;
	X509_EXTENSION *names;
	char text[128];
	FILE *file;

	snprintf(id->certificate, sizeof(id->certificate), "/tmp/pgweir-test-XXXXXX");
	snprintf(id->key, sizeof(id->key), "/tmp/pgweir-test-XXXXXX");
	close(mkstemp(id->certificate));
	close(mkstemp(id->key));
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"Acme", -1, -1, 0);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_subject_name(x, subject);
	X509_set_issuer_name(x, subject);
	X509_NAME_free(subject);
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	snprintf(text, sizeof(text), "DNS:%s,email:x@%s", name, name);
	names = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, text);
	X509_add_ext(x, names, -1);
	X509_sign(x, key, EVP_sha256());
	file = fopen(id->certificate, "w");
	PEM_write_X509(file, x);
	fclose(file);
	file = fopen(id->key, "w");
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_EXTENSION_free(names);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
identity_remove(const struct identity *id)
{
	unlink(id->certificate);
	unlink(id->key);
}

/* One end of a connection, and what it heard. */
struct end {
	struct stream stream; /* first */
	struct world *world;
	struct fail why;
	bool is_done, is_failed, is_over;
	enum stream_result last;
	size_t room; /* at each read */
	uint8_t *got;
	size_t got_len;
	int drained;
};

struct world {
	struct event_base *base;
	struct helpers *helpers;
	struct inbox *inbox;
	struct tls_scratch *scratch;
	struct tls_context *accepting, *connecting;
	struct identity id;
	struct end server, client;
};

static void
on_readable(struct stream *s)
{
	struct end *e = (struct end *)s;
	uint8_t *buf = malloc(e->room);
	size_t got = 0;

	e->last = stream_read(&e->stream, buf, e->room, &got);
	if (e->last == STREAM_OK) {
		cr_assert(got > 0 && got <= e->room);
		e->got = realloc(e->got, e->got_len + got);
		memcpy(e->got + e->got_len, buf, got);
		e->got_len += got;
	} else if (e->last != STREAM_AGAIN) {
		e->is_over = true;
		stream_set_reading(&e->stream, false);
	}
	free(buf);
}

static void
on_drained(struct stream *s)
{
	struct end *e = (struct end *)s;

	e->drained++;
}

static const struct stream_ops ops = { on_readable, on_drained, NULL };

static void
on_done(struct stream *s, const struct fail *why, void *arg)
{
	struct end *e = arg;

	e->is_done = true;
	e->is_failed = why != NULL;
	if (why != NULL)
		e->why = *why;
}

static void
begin(struct end *e, struct tls_context *ctx, const char *host)
{
	struct handshake_settings set = { .helpers = e->world->helpers,
					  .inbox = e->world->inbox,
					  .scratch = e->world->scratch,
					  .tls = tls_session_new(ctx, host),
					  .done = on_done,
					  .arg = e };
	struct fail why;

	cr_assert_eq(handshake_begin(&e->stream, &set, NULL, 0, &why), 0);
}

static void
world_init(struct world *w, bool asks_certificate)
{
	struct tls_accept_settings a = { 0 };
	struct tls_connect_settings c = { .verify = TLS_CHECK_NAME };
	struct fail why;
	int fds[2], small = 8192;

	alarm(60); /* ends a test that hangs; Criterion's own time limits leak */
	memset(w, 0, sizeof(*w));
	identity_make(&w->id, "db.example.org");
	a.certificate_files = c.ca_file = c.certificate_file = a.ca_file = w->id.certificate;
	a.key_files = c.key_file = w->id.key;
	a.client_certificate_mode = asks_certificate ? TLS_NEEDED : TLS_NOT_ASKED_FOR;
	if (!asks_certificate)
		c.certificate_file = NULL;
	w->accepting = tls_context_for_accept(&a, &why);
	cr_assert_not_null(w->accepting, "%s", why.text);
	w->connecting = tls_context_for_connect(&c, &why);
	cr_assert_not_null(w->connecting, "%s", why.text);
	w->base = event_base_new();
	w->inbox = inbox_new(w->base, w, &why);
	w->helpers = helpers_new(2, &why);
	w->scratch = tls_scratch_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	w->server.world = w->client.world = w;
	w->server.room = w->client.room = 65536;
	cr_assert_eq(stream_open(&w->server.stream, w->base, fds[0], &ops), 0);
	cr_assert_eq(stream_open(&w->client.stream, w->base, fds[1], &ops), 0);
}

static void
world_fini(struct world *w)
{
	stream_close(&w->server.stream);
	stream_close(&w->client.stream);
	helpers_end(w->helpers);
	inbox_free(w->inbox);
	helpers_free(w->helpers);
	tls_scratch_free(w->scratch);
	tls_context_unref(w->accepting);
	tls_context_unref(w->connecting);
	event_base_free(w->base);
	identity_remove(&w->id);
	free(w->server.got);
	free(w->client.got);
}

static void
turn_until(struct world *w, const bool *flag)
{
	while (!*flag)
		cr_assert_geq(event_base_loop(w->base, EVLOOP_ONCE), 0);
}

static void
shake_hands(struct world *w, const char *host)
{
	begin(&w->server, w->accepting, NULL);
	begin(&w->client, w->connecting, host);
	turn_until(w, &w->server.is_done);
	turn_until(w, &w->client.is_done);
}

static void
turn_until_got(struct world *w, const struct end *e, size_t len)
{
	while (e->got_len < len && !e->is_over)
		cr_assert_geq(event_base_loop(w->base, EVLOOP_ONCE), 0);
	cr_assert_eq(e->got_len, len);
}

static void
write_all(struct end *e, const void *bytes, size_t len)
{
	struct iovec piece = { (void *)(uintptr_t)bytes, len };

	cr_assert_eq(stream_write(&e->stream, &piece, 1), 0);
}

static uint8_t *
pattern(size_t len)
{
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 997);
	return bytes;
}

Test(tls, what_is_known_after_a_handshake)
{
	uint8_t here[TLS_END_POINT_MAX], there[TLS_END_POINT_MAX];
	struct world w;
	char subject[128];

	world_init(&w, true);
	shake_hands(&w, "db.example.org");
	cr_assert(!w.server.is_failed && !w.client.is_failed, "%s %s", w.server.why.text, w.client.why.text);
	cr_expect_str_eq(tls_server_name(stream_tls(&w.server.stream)), "db.example.org");
	cr_expect_str_eq(tls_version_name(stream_tls(&w.server.stream)), "TLSv1.3");
	cr_expect(tls_has_alpn(stream_tls(&w.server.stream)));
	cr_expect(tls_has_peer_certificate(stream_tls(&w.server.stream)));
	cr_expect_eq(tls_peer_subject(stream_tls(&w.server.stream), subject, sizeof(subject)), 0);
	cr_expect_str_eq(subject, "CN=db.example.org,O=Acme");
	cr_expect_eq(tls_peer_subject(stream_tls(&w.server.stream), subject, 5), -1);
	cr_expect_eq(tls_get_end_point(stream_tls(&w.server.stream), here), 32);
	cr_expect_eq(tls_get_end_point(stream_tls(&w.client.stream), there), 32);
	cr_expect_eq(memcmp(here, there, 32), 0, "both sides mean the server's certificate");
	cr_expect_gt(tls_context_not_after(w.accepting), 0);
	world_fini(&w);
}

static bool
note_name(char kind, const char *text, void *arg)
{
	char *all = arg;

	snprintf(all + strlen(all), 200 - strlen(all), "%c=%s ", kind, text);
	return true;
}

Test(tls, the_names_of_a_certificate)
{
	struct world w;
	char all[200] = "";

	world_init(&w, true);
	shake_hands(&w, "db.example.org");
	tls_each_peer_name(stream_tls(&w.server.stream), note_name, all);
	cr_expect_str_eq(all, "C=db.example.org D=db.example.org E=x@db.example.org ");
	world_fini(&w);
}

Test(tls, the_wrong_name_is_refused)
{
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "other.example.org");
	cr_expect(w.client.is_failed);
	cr_expect_str_eq(w.client.why.text, "the certificate of the server was refused: hostname mismatch");
	cr_expect(w.server.is_failed, "by the client's alert");
	world_fini(&w);
}

Test(tls, all_sizes_pass_whatever_the_room)
{
	static const size_t rooms[] = { 65536, 33000, 16384, 4096, 100 },
			    sizes[] = { 1, 100, 16383, 16384, 16385, 40000, 200000 };
	struct world w;
	uint8_t *bytes = pattern(200000);

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	for (size_t r = 0; r < COUNT(rooms); r++)
		for (size_t s = 0; s < COUNT(sizes); s++) {
			w.client.room = w.server.room = rooms[r];
			w.client.got_len = w.server.got_len = 0;
			write_all(&w.server, bytes, sizes[s]);
			turn_until_got(&w, &w.client, sizes[s]);
			cr_expect_eq(memcmp(w.client.got, bytes, sizes[s]), 0, "room %zu, size %zu", rooms[r],
				     sizes[s]);
			write_all(&w.client, bytes, sizes[s]);
			turn_until_got(&w, &w.server, sizes[s]);
			cr_expect_eq(memcmp(w.server.got, bytes, sizes[s]), 0);
		}
	free(bytes);
	world_fini(&w);
}

Test(tls, pieces_go_in_order_and_small_ones_share_a_record)
{
	uint8_t *bytes = pattern(100000);
	struct iovec pieces[] = {
		{ bytes, 5 },		{ bytes + 5, 0 },	  { bytes + 5, 20000 },	   { bytes + 20005, 1 },
		{ bytes + 20006, 300 }, { bytes + 20306, 60000 }, { bytes + 80306, 19694 }
	};
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	cr_assert_eq(stream_write(&w.server.stream, pieces, 7), 0);
	turn_until_got(&w, &w.client, 100000);
	cr_expect_eq(memcmp(w.client.got, bytes, 100000), 0);
	free(bytes);
	world_fini(&w);
}

Test(tls, what_the_peer_does_not_take_waits)
{
	uint8_t *bytes = pattern(1000000);
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	stream_set_reading(&w.client.stream, false);
	write_all(&w.server, bytes, 1000000);
	cr_expect(stream_is_full(&w.server.stream));
	stream_set_reading(&w.client.stream, true);
	turn_until_got(&w, &w.client, 1000000);
	cr_expect_eq(memcmp(w.client.got, bytes, 1000000), 0);
	cr_expect_gt(w.server.drained, 0);
	free(bytes);
	world_fini(&w);
}

Test(tls, reading_off_and_on_loses_nothing)
{
	uint8_t *bytes = pattern(50000);
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	w.client.room = 10; /* so that decrypted bytes are left over at each read */
	write_all(&w.server, bytes, 50000);
	while (w.client.got_len < 50000) {
		event_base_loop(w.base, EVLOOP_ONCE);
		stream_set_reading(&w.client.stream, false);
		event_base_loop(w.base, EVLOOP_NONBLOCK);
		stream_set_reading(&w.client.stream, true);
	}
	cr_expect_eq(memcmp(w.client.got, bytes, 50000), 0);
	free(bytes);
	world_fini(&w);
}

Test(tls, an_end_with_and_without_good_bye)
{
	for (int is_polite = 0; is_polite < 2; is_polite++) {
		struct world w;

		world_init(&w, false);
		shake_hands(&w, "db.example.org");
		write_all(&w.server, "last words", 10);
		if (is_polite)
			stream_close(&w.server.stream);
		else
			shutdown(w.server.stream.fd, SHUT_WR);
		turn_until(&w, &w.client.is_over);
		cr_expect_eq(w.client.got_len, 10);
		cr_expect_eq(w.client.last, STREAM_EOF);
		world_fini(&w);
	}
}

Test(tls, bytes_that_were_changed_on_the_way_end_it)
{
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	cr_assert_eq(send(w.server.stream.fd, "\x17\x03\x03\x00\x20garbagegarbagegarbagegarbagegarb", 37, 0), 37);
	turn_until(&w, &w.client.is_over);
	cr_expect_eq(w.client.last, STREAM_ERROR);
	cr_expect_eq(w.client.got_len, 0);
	write_all(&w.client, "x", 1); /* must not crash */
	world_fini(&w);
}

Test(tls, a_stream_may_be_closed_at_any_moment_of_a_handshake)
{
	for (int turns = 0; turns < 12; turns++) {
		struct world w;

		world_init(&w, false);
		begin(&w.server, w.accepting, NULL);
		begin(&w.client, w.connecting, "db.example.org");
		for (int i = 0; i < turns && !w.client.is_done; i++)
			event_base_loop(w.base, EVLOOP_ONCE);
		stream_close(turns % 2 == 0 ? &w.server.stream : &w.client.stream);
		world_fini(&w);
	}
}

Test(tls, the_other_end_may_go_during_a_handshake)
{
	struct world w;

	world_init(&w, false);
	begin(&w.server, w.accepting, NULL);
	stream_close(&w.client.stream);
	turn_until(&w, &w.server.is_done);
	cr_expect(w.server.is_failed);
	cr_expect_str_eq(w.server.why.text, "the connection was closed during the TLS handshake");
	world_fini(&w);
}

Test(tls, sessions_are_resumed)
{
	struct world w;
	int fds[2];

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	cr_expect(!tls_is_resumed(stream_tls(&w.server.stream)));
	write_all(&w.server, "x", 1);
	turn_until_got(&w, &w.client, 1); /* the ticket came before it */
	stream_close(&w.server.stream);
	stream_close(&w.client.stream);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	stream_open(&w.server.stream, w.base, fds[0], &ops);
	stream_open(&w.client.stream, w.base, fds[1], &ops);
	w.server.is_done = w.client.is_done = false;
	shake_hands(&w, "db.example.org");
	cr_expect(tls_is_resumed(stream_tls(&w.server.stream)));
	cr_expect(tls_has_alpn(stream_tls(&w.client.stream)));
	world_fini(&w);
}

Test(tls, contexts_refuse_what_does_not_fit)
{
	struct identity one, two;
	struct fail why;
	char both[160];

	identity_make(&one, "one.example.org");
	identity_make(&two, "two.example.org");
	snprintf(both, sizeof(both), "%s, %s", one.certificate, two.certificate);
	cr_expect_null(tls_context_for_accept(
	    &(struct tls_accept_settings){ .certificate_files = "/no/such.pem", .key_files = one.key }, &why));
	cr_expect(strstr(why.text, "/no/such.pem") != NULL, "%s", why.text);
	cr_expect_null(tls_context_for_accept(
	    &(struct tls_accept_settings){ .certificate_files = one.certificate, .key_files = two.key }, &why));
	cr_expect(strstr(why.text, two.key) != NULL, "%s", why.text);
	cr_expect_null(tls_context_for_accept(
	    &(struct tls_accept_settings){ .certificate_files = both, .key_files = one.key }, &why));
	cr_expect(strstr(why.text, "no key") != NULL, "%s", why.text);
	cr_expect_null(tls_context_for_accept(&(struct tls_accept_settings){ .certificate_files = one.certificate,
									     .key_files = one.key,
									     .ciphers = "NONSENSE" },
					      &why));
	cr_expect(strstr(why.text, "NONSENSE") != NULL, "%s", why.text);
	cr_expect_null(tls_context_for_accept(&(struct tls_accept_settings){ .certificate_files = one.certificate,
									     .key_files = one.key,
									     .client_certificate_mode = TLS_ASKED_FOR,
									     .ca_file = one.key },
					      &why));
	cr_expect_null(tls_context_for_connect(
	    &(struct tls_connect_settings){ .verify = TLS_CHECK_CHAIN, .ca_file = "/no/ca" }, &why));
	cr_expect(strstr(why.text, "/no/ca") != NULL, "%s", why.text);
	identity_remove(&one);
	identity_remove(&two);
}

/* TLS 1.3: each is to be answered by one of the same length. */
static void
ask_for_new_keys(struct end *e)
{
	struct tls_session *tls = stream_tls(&e->stream);
	struct buf sink = { 0 };
	struct iovec piece;

	tls->out = &sink;
	cr_assert_eq(SSL_key_update(tls->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	cr_assert_eq(SSL_do_handshake(tls->ssl), 1);
	tls->out = NULL;
	piece = (struct iovec){ sink.bytes, sink.len };
	cr_assert_eq(stream_write_raw(&e->stream, &piece, 1), 0);
	buf_fini(&sink);
}

Test(tls, a_peer_that_asks_for_new_keys_and_never_reads_does_not_fill_our_memory)
{
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	stream_set_reading(&w.client.stream, false);
	for (int i = 0; i < 40000 && !w.server.is_over; i++) {
		ask_for_new_keys(&w.client);
		cr_assert_geq(event_base_loop(w.base, EVLOOP_NONBLOCK), 0);
		cr_assert_leq(stream_queued_len(&w.server.stream), 200000, "after %d", i);
	}
	cr_expect(w.server.is_over);
	world_fini(&w);
}

Test(tls, new_keys_are_fine_while_the_queue_is_full)
{
	uint8_t *bytes = pattern(4000000);
	struct world w;

	world_init(&w, false);
	shake_hands(&w, "db.example.org");
	stream_set_reading(&w.client.stream, false);
	write_all(&w.server, bytes, 4000000);
	for (int i = 0; i < 100; i++) {
		ask_for_new_keys(&w.client);
		cr_assert_geq(event_base_loop(w.base, EVLOOP_NONBLOCK), 0);
	}
	write_all(&w.client, bytes, 1000);
	turn_until_got(&w, &w.server, 1000);
	stream_set_reading(&w.client.stream, true);
	turn_until_got(&w, &w.client, 4000000);
	cr_expect_eq(memcmp(w.client.got, bytes, 4000000), 0);
	free(bytes);
	world_fini(&w);
}
