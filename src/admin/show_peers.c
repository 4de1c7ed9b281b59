/* src/admin/show_peers.c - SHOW PEERS and PEER_POOLS: the processes that share our port. */
#include "admin/show.h"
#include "client/cancel.h"

struct peer_row {
	const char *host;
	uint64_t peer_id, port, pool_size;
	uint64_t cl_active_cancel_req, cl_waiting_cancel_req, sv_active_cancel, sv_login;
};

#define COLUMNS_OF struct peer_row
COLUMNS(peers, INT4(peer_id), TEXT(host), INT4(port), INT4(pool_size));
COLUMNS(peer_pools, INT4(peer_id), INT4(cl_active_cancel_req), INT4(cl_waiting_cancel_req), INT4(sv_active_cancel),
	INT4(sv_login));

/* Each cancel request has a connection to the peer of its own, at once: none waits, and there is no size. */
static void
fill_peers(const struct show_env *env, struct rows *rows)
{
	const char *at = env->clients->x.config->peers;
	struct config_peer peer;
	struct fail why;

	while (config_next_peer(&at, &peer, &why) > 0) {
		struct peer_row row = { .host = peer.host, .peer_id = peer.id, .port = peer.port };

		row.cl_active_cancel_req = row.sv_active_cancel = cancel_count_passed(env->clients, peer.id);
		rows_add(rows, &row);
	}
}

const struct show show_peers = { SHOW_COLUMNS(peers_columns), fill_peers, OF_DOOR };
const struct show show_peer_pools = { SHOW_COLUMNS(peer_pools_columns), fill_peers, OF_DOOR };
