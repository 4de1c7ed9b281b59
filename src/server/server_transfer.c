/*
 * src/server/server_transfer.c - see server_transfer.h.
 *
 * If you add a field to one of these structs, decide what the field means on another worker, and list it here.
 *
 *   struct server
 *   kept        stream (but for its loop, inbox and scratch: re-pointed), conn, tx, is_synced, ledger (it is empty),
 *               statements, cluster, cluster_ask_state, sequences_of, random_known_to, role, carry,
 *               is_body_swallowed, id, pid, key, key_len, peer, peer_len, host_index, hosts_passed, address,
 *               created_us, bytes_in, bytes_out, own_cancel_us, has_answered_startup, has_encoding_error,
 *               connect_query, history, tls_phase, dialled_us, question_state, fitness (always SERVER_FIT)
 *   copied      gucs, plan_gucs: by value, because GUC sets belong to a store
 *   changed     state, by server_step(); env, target and owner, which are the other worker's from then on
 *   reset       loan (but for its buffers), reset, unnamed_owner: cleared
 *   nothing     borrower, ledgered_len, deferred, last_words, last_sqlstate, end_log_line, was_owing, is_owed_final, owed,
 *               owed_count, is_discarding_sequences, is_lingering, lingering, cancel, dial, ask, secret, login,
 *               login_timer, all, reading: these belong to a loan, to the login, to a standby, or to the end
 *
 *   struct loan
 *   kept        the buffers: text, bind, kept.copy, sent.copy
 *   reset       all other fields: nothing outlives a loan. DDL that `ddl` notes is handled first, as in server_lend()
 */
#include "server/server_transfer.h"
#include "server/server_parts.h"

#include <assert.h>
#include <string.h>

#ifdef __x86_64__
_Static_assert(sizeof(struct server) - sizeof(struct stream) == 1992 && sizeof(struct loan) == 464,
	       "a field was added: what does it mean on another worker?");
#endif

bool
server_may_be_transferred(const struct server *srv)
{
	return srv->state == SV_IDLE && srv->fitness == SERVER_FIT && !srv->stream.is_broken && srv->cancel == NULL &&
	       srv->ledger.count == 0 && srv->ledger.trust == LEDGER_SYNCHRONISED &&
	       srv->cluster_ask_state != CLUSTER_ASKED;
}

int
server_depart(struct server *srv)
{
	if (server_step(srv, SE_DEPART) < 0)
		return -1;
	stream_detach(&srv->stream);
	srv->owner = NULL;
	return 0;
}

/* Replaces the GUC set in *slot, if there is one, by a copy that belongs to no store. */
static int
take_out(struct gucs **slot)
{
	return *slot == NULL ? 0 : gucs_move(slot, gucs_copy(*slot));
}

static int
take_in(struct guc_store *store, struct gucs **slot)
{
	struct gucs *copy = *slot;

	if (copy == NULL)
		return 0;
	*slot = gucs_adopt(store, copy);
	return *slot == NULL ? -1 : 0;
}

int
server_pack(struct server *srv)
{
	assert(srv->login == NULL && srv->login_timer == NULL && srv->dial == NULL && srv->secret == NULL);
	assert(srv->borrower == NULL && !srv->is_lingering && srv->cancel == NULL && srv->ledger.count == 0);
	/* A function up the stack may have asked for a callback since server_depart(). */
	stream_detach(&srv->stream);
	if (srv->loan.ddl != DDL_NONE)
		server_statements_outdate(&srv->statements);
	loan_begin(&srv->loan, *srv->env->now_us);
	buf_fini(&srv->reset.names);
	buf_fini(&srv->reset.remote);
	memset(&srv->reset, 0, sizeof(srv->reset));
	srv->unnamed_owner = 0;
	if (take_out(&srv->gucs) < 0 || take_out(&srv->plan_gucs) < 0)
		return -1;
	srv->env = NULL;
	srv->target = NULL;
	return 0;
}

int
server_arrive(struct server *srv, const struct server_env *env, void *owner, const struct server_target *target)
{
	assert(srv->state == SV_IN_TRANSFER && srv->owner == NULL && srv->ledger.count == 0);
	if (srv->fitness != SERVER_FIT || srv->stream.is_broken || take_in(env->guc_store, &srv->gucs) < 0 ||
	    take_in(env->guc_store, &srv->plan_gucs) < 0)
		return -1;
	srv->env = env;
	srv->owner = owner;
	srv->target = target;
	if (server_step(srv, SE_ARRIVE) < 0)
		return -1;
	stream_attach(&srv->stream, env->base, env->inbox, env->tls_scratch);
	return 0;
}

void
server_discard(struct server *srv, const struct server_env *env)
{
	srv->env = env;
	stream_attach(&srv->stream, env->base, env->inbox, env->tls_scratch); /* closing TLS sends bytes, too */
	server_write(srv, "X\0\0\0\4", 5);
	server_free_parts(srv);
	server_step(srv, SE_LOST);
	server_free_later(srv);
}
