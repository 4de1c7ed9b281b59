/*
 * tests/fuzz/fuzz_login.c - everything a client may send before it is let in: SSLRequest, GSSENCRequest, CancelRequest,
 * StartupMessage, password and SASL messages, in any order, cut anywhere.
 *
 * The first byte chooses the method (and whether the password is plain text or a verifier), the second how many bytes
 * are sent at once (0: all); the rest is what the client sends. Randomness repeats, so that a recorded login is one
 * that succeeds.
 *
 * Besides memory safety it checks what session_client.h and world_fini do, and that a method that asks for a proof lets
 * in only known users.
 */
#include "session_world.h"

#include "base/clock.h"
#include "client/clients.h"
#include "fuzz.h"

static const char *const methods[] = { "trust", "scram", "md5", "md5 session", "scram few", "trust slow connections" };

#define METHODS (sizeof(methods) / sizeof(methods[0]))

static void
check_user(const struct world *w)
{
	const struct client *c = world_find_client(w, w->clients[0].id);

	if (c == NULL || w->weir->config->auth_method == AUTH_TRUST ||
	    (c->x.state != CL_READY && c->x.state != CL_CONSOLE))
		return;
	must(strcmp(exchange_user(&c->x), "u") == 0 || strcmp(exchange_user(&c->x), "v") == 0 ||
	     strcmp(exchange_user(&c->x), "admin") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;
	struct fake_client *c = &w.clients[0];

	if (size < 2 || size > 20000)
		return -1;
	world_init(&w, methods[data[0] % METHODS], 1);
	world_connect(&w, c);
	c->is_answering = false;
	c->piece = data[1] == 0 ? 0 : data[1] + size / 200; /* not so small that it takes for ever */
	buf_put(&c->out, data + 2, size - 2);
	world_settle(&w);
	check_user(&w);
	world_pass(&w, 31 * US_PER_S); /* login_timeout */
	world_fini(&w);
	return 0;
}
