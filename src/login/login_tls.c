/* src/login/login_tls.c - TLS with a client: whether pgweir offers it, and the handshake. */
#include "base/clock.h"
#include "login/login_steps.h"
#include "net/stream.h"

bool
login_may_use_tls(const struct client *c)
{
	return c->env->tls != NULL && !c->is_unix;
}

static void
on_done(struct stream *s, const struct fail *failed, void *arg)
{
	struct client *c = arg;
	struct process_counters *counters = c->env->x.counters;
	char peer[80];

	*c->env->x.now_us = clock_now_us();
	if (failed != NULL) {
		counters->tls_handshakes[TLS_SIDE_CLIENT][TLS_RESULT_FAILED]++;
		client_peer_text(&c->x, peer, sizeof(peer));
		log_info(c->env->x.log, "client %llu (%s): %s", (unsigned long long)c->x.waiter.id, peer, failed->text);
		client_close(c, NULL);
		return;
	}
	counters->tls_handshakes[TLS_SIDE_CLIENT][tls_is_resumed(stream_tls(s)) ? TLS_RESULT_RESUMED : TLS_RESULT_OK]++;
	histogram_observe_us(&counters->tls_handshake_duration, &histogram_bounds_wait,
			     *c->env->x.now_us - c->login->tls_begun_us);
	if (!c->login->has_ssl_asked && !tls_has_alpn(stream_tls(s))) {
		struct fail why;

		fail_set(&why, "08P01",
			 "received direct SSL connection request without ALPN protocol negotiation "
			 "extension");
		login_refuse(c, &why, LR_ERROR);
	}
}

void
login_tls_begin(struct client *c, const uint8_t *first, size_t first_len)
{
	struct handshake_settings set = { .helpers = c->env->helpers,
					  .inbox = c->env->inbox,
					  .scratch = c->env->tls_scratch,
					  .tls = tls_session_new(c->env->tls, NULL),
					  .queue = WORK_NEW,
					  .done = on_done,
					  .arg = c };
	struct fail why;

	c->login->tls_begun_us = *c->env->x.now_us;
	if (set.tls == NULL)
		fail_memory(&why, "a TLS session");
	else if (handshake_begin(&c->x.stream, &set, first, first_len, &why) == 0)
		return;
	c->env->x.counters->tls_handshakes[TLS_SIDE_CLIENT][TLS_RESULT_FAILED]++;
	log_warning(c->env->x.log, "client %llu: %s", (unsigned long long)c->x.waiter.id, why.text);
	client_close(c, NULL);
}
