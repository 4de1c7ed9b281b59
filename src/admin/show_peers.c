/* src/admin/show_peers.c - SHOW PEERS and PEER_POOLS: the processes that share pgweir's port. */
#include "admin/show.h"
#include "client/cancel.h"

SHOW_ROW(peer, (INT4, peer_id) (TEXT, host) (INT4, port) (INT4, pool_size));
SHOW_ROW(peer_pool, (INT4, peer_id) (INT4, cl_active_cancel_req) (INT4, cl_waiting_cancel_req) (INT4, sv_active_cancel)
	(INT4, sv_login));

/* Each cancel request gets its own connection to the peer at once, so no request waits, and pool_size is 0. */
static void
fill_peers(const struct show_env *env, struct rows *rows)
{
	const char *at = env->clients->x.config->peers;
	struct config_peer peer;
	struct fail why;

	while (config_next_peer(&at, &peer, &why) > 0) {
		uint64_t passing = cancel_count_passing(env->clients, peer.id);

		if (rows->columns == peer_columns)
			rows_add(rows, &(struct peer_row){ peer.id, peer.host, peer.port, 0 });
		else
			rows_add(rows, &(struct peer_pool_row){ peer.id, passing, 0, passing, 0 });
	}
}

const struct show show_peers = { SHOW_COLUMNS(peer_columns), fill_peers, OF_MAIN_WORKER };
const struct show show_peer_pools = { SHOW_COLUMNS(peer_pool_columns), fill_peers, OF_MAIN_WORKER };
