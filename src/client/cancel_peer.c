/*
 * src/client/cancel_peer.c - passes a CancelRequest on to the process that has the client (peers).
 *
 * Where several processes share a port, the kernel hands a cancel request to any of them. So the key says which process
 * has the client, as with PgBouncer, which may be among the peers: the second and third byte of the PID are the peer_id
 * (little-endian). The lowest two bits of the secret's fourth byte are a hop count: 3 in every key, and one less each
 * time that a request is passed on. A request with no hops left must be going in circles, and is refused.
 */
#include "client/cancel.h"
#include "client/clients.h"
#include "server/server.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define HOPS 3u
#define PASSED_MAX 256u /* cancels passed on at a time; limited because any host can send cancel requests */
#define PASSED_TO_ONE_MAX 64u /* a peer that hangs must not block the requests for other peers */
#define PASS_TIMEOUT_US 10000000u

struct passing_cancel {
	struct client_env *env;
	uint64_t asker_id; /* the asker may have left */
	uint32_t peer_id;
	LIST_ENTRY(passing_cancel) all;
};

uint32_t
cancel_peer_of(uint32_t pid)
{
	return (pid >> 16 & 0xff) | (pid & 0xff00);
}

void
cancel_peer_mark(uint32_t id, uint32_t *pid, uint32_t *secret)
{
	*pid = (*pid & 0xff0000ff) | (id & 0xff) << 16 | (id & 0xff00);
	*secret |= HOPS;
}

void
cancel_peer_reset_hops(uint8_t *secret)
{
	secret[3] |= HOPS;
}

/* Called when the peer closes the connection, which shows that the cancel is done, or after a failure. */
static void
on_passed(bool is_confirmed, const char *why, void *arg)
{
	struct passing_cancel *p = arg;
	struct client *asker = client_find_by_id(p->env, p->asker_id);

	if (why != NULL)
		log_warning(p->env->x.log, "could not pass a cancel request on to peer %u: %s", p->peer_id, why);
	p->env->passing_cancel_count--;
	LIST_REMOVE(p, all);
	p->env->x.counters->cancels[is_confirmed ? CR_PASSED_ON : CR_FAILED]++;
	if (asker != NULL)
		client_close(
		    asker, NULL); /* the client that sent the request may be waiting for this connection to be closed */
	free(p);
}

/* Returns 0, or -1 without memory. */
static int
begin_passing(struct passing_cancel *p, uint32_t pid, const uint8_t *secret, size_t len, const struct config_peer *peer)
{
	uint8_t key[CANCEL_SECRET_MAX];
	const struct server_cancel_place at = { peer->host, peer->port, pid, key, len };
	int result;

	memcpy(key, secret, len);
	key[3]--; /* the hop count is not 0 */
	result = server_cancel_elsewhere(pool_set_server_env(p->env->x.pools), &at, PASS_TIMEOUT_US, on_passed, p);
	OPENSSL_cleanse(key, sizeof(key));
	return result;
}

enum cancel_result
cancel_pass_on(struct client *asker, uint32_t pid, const uint8_t *secret, size_t len)
{
	struct client_env *env = asker->env;
	uint32_t peer_id = cancel_peer_of(pid);
	struct config_peer peer;
	struct passing_cancel *p;

	if ((secret[3] & HOPS) == 0 || !config_find_peer(env->x.config, peer_id, &peer))
		return CR_WRONG_KEY;
	if (env->passing_cancel_count >= PASSED_MAX || cancel_count_passing(env, peer_id) >= PASSED_TO_ONE_MAX ||
	    (p = malloc(sizeof(*p))) == NULL)
		return CR_FAILED;
	*p = (struct passing_cancel){ .env = env, .asker_id = asker->x.waiter.id, .peer_id = peer_id };
	if (begin_passing(p, pid, secret, len, &peer) < 0) {
		free(p);
		return CR_FAILED;
	}
	LIST_INSERT_HEAD(&env->passing_cancels, p, all);
	env->passing_cancel_count++;
	return CR_PASSED_ON;
}

uint32_t
cancel_count_passing(const struct client_env *env, uint32_t peer_id)
{
	const struct passing_cancel *p;
	uint32_t n = 0;

	LIST_FOREACH(p, &env->passing_cancels, all)
		n += p->peer_id == peer_id;
	return n;
}
