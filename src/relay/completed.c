/* src/relay/completed.c - handles commands of clients, known by their tags, that PostgreSQL has completed. */
#include "listen/listen.h"
#include "commit_check/commit_check.h"
#include "lookup/auth_query.h"
#include "pool/pool_defaults.h"
#include "relay/relay.h"
#include "state/state.h"
#include "state/compiled.h"
#include "statements/statements.h"

#include <string.h>

/* Handles the end of a transaction that may have run DDL, which other sessions see only from now on. is_done: false if
 * the transaction was rolled back. */
static void
end_transaction(struct exchange *x, bool is_done)
{
	struct loan *loan = &x->srv->loan;

	if (loan->ddl != DDL_NONE && !is_done)
		/* the server's statements may have been prepared under the DDL that was rolled back */
		server_statements_outdate(&x->srv->statements);
	else if (loan->ddl == DDL_CHANGES_PLANS)
		statement_home_renew(x->pool->home);
	if ((loan->changes & TAG_CHANGES_DEFAULTS) != 0 && is_done)
		pool_defaults_note_altered(x->pool);
	loan->changes &= (uint16_t)~TAG_CHANGES_DEFAULTS;
	loan->ddl = DDL_NONE;
	loan->local_context = 0;
	loan->has_local_parse_settings =
	    loan->has_local_parse_settings &&
	    x->srv->ledger.count > 0; /* requests that are still in progress may have set this */
}

void
relay_apply_changes(struct exchange *x, struct server *srv)
{
	if (srv->tx != 'I')
		return;
	if ((srv->loan.changes & TAG_CHANGES_ROLES) != 0)
		auth_queries_outdate(x->env->auth_queries);
	end_transaction(x, srv->loan.tag.id != TAG_ROLLBACK);
	srv->loan.changes = 0;
	state_forget_old_gucs_if_clean(x);
	state_end_code_changes(x, srv->loan.tag.id != TAG_ROLLBACK);
}

/* Clears the counts of the DROP that has ended. Returns true if IF EXISTS found none of its objects. */
static bool
end_drop(struct loan *loan)
{
	bool is_nothing = loan->drops > 0 && loan->skips == loan->drops;

	loan->drops = loan->skips = 0;
	return is_nothing;
}

/*
 * Notes DDL that has completed. With keep_plans, all DDL changes plans: a new object may come first in the search path.
 *
 * If the DDL changes plans, or makes a temporary object or a table from a SELECT, this server's statements are outdated
 * at once. When DDL that changes plans is committed, other servers' statements are outdated, too, unless the DDL made a
 * temporary object: no other server sees that object.
 */
static void
note_ddl(const struct exchange *x, struct server *srv)
{
	struct loan *loan = &srv->loan;
	bool makes_temp = (loan->suspected & SCAN_TEMP) != 0 && (loan->tag.flags & TAG_IS_CREATE) != 0;
	bool is_select = loan->tag.id == TAG_SELECT;
	bool changes_plans = (loan->tag.flags & TAG_CHANGES_PLANS) != 0 || x->settings->keep_plans;

	if ((is_select && loan->ddl != DDL_NONE) || (loan->tag.id == TAG_DROP && end_drop(loan)))
		return;
	if (makes_temp || is_select || changes_plans)
		server_statements_outdate(&srv->statements);
	if (loan->ddl != DDL_CHANGES_PLANS)
		loan->ddl = !makes_temp && changes_plans ? DDL_CHANGES_PLANS : DDL_DONE;
}

/* Handles a command with effects that other code must know of. Returns true if the client must not get the tag. */
__attribute__((noinline)) static bool
complete_with_effects(struct exchange *x, struct server *srv)
{
	struct tag tag = srv->loan.tag;

	switch ((enum tag_id)tag.id) {
	case TAG_DEALLOCATE:
		statements_deallocated(x, false);
		break;
	case TAG_DEALLOCATE_ALL:
		statements_deallocated(x, true);
		break;
	case TAG_DISCARD_ALL:
		statements_deallocated(x, true);
		state_note_discard_all(x);
		break;
	case TAG_COMMIT:
		end_transaction(x, true);
		state_end_code_changes(x, true);
		break;
	case TAG_COMMIT_PREPARED:
		statement_home_renew(x->pool->home);
		break;
	case TAG_ROLLBACK:
		loan_note_undone(&srv->loan, UNDONE_TRANSACTION);
		if (srv->tx == 'E')
			/* the ROLLBACK may have come ahead of its Sync: the next statements no longer fail */
			srv->tx = 'T';
		break;
	case TAG_SAVEPOINT:
		srv->loan.has_savepoint = true;
		break;
	case TAG_RESET:
		/* RESET also undoes the startup settings (the client's defaults), so the next loan replays them. */
		if (!x->is_session && !exchange_is_followed(x) && gucs_forget_unreported(&srv->gucs) < 0)
			server_condemn(srv, SERVER_IN_DOUBT);
		break;
	default:
		break;
	}
	if ((tag.flags & TAG_IS_DDL) != 0 || tag.id == TAG_SELECT) /* for a SELECT that made a table */
		note_ddl(x, srv);
	state_note_code_change(x);
	/* This runs for a COMMIT, too, because its request may end long after the COMMIT was answered. */
	srv->loan.changes |= tag.flags & (TAG_CHANGES_ROLES | TAG_CHANGES_DEFAULTS);
	if ((srv->loan.changes & TAG_CHANGES_ROLES) != 0)
		auth_queries_outdate(x->env->auth_queries);
	if ((tag.flags & TAG_IS_OF_DATABASE) != 0 &&
	    ((tag.flags & TAG_IS_CREATE) != 0 || (srv->loan.risk & RISK_KEEPS) != 0 || !exchange_is_followed(x)))
		pool_set_databases_changed(x->pool->set);
	return listen_take_complete(x, tag);
}

/* Keeps the tag's text and its zero byte. Most tags are copied as two parts of 8 bytes, which may overlap. */
static inline void
keep_tag_text(struct loan *loan, const char *text, size_t len)
{
	if (len >= 7 && len < 16) {
		memcpy(loan->tag_text, text, 8);
		memcpy(loan->tag_text + len - 7, text + len - 7, 8);
	} else {
		size_t kept = len < sizeof(loan->tag_text) ? len : sizeof(loan->tag_text) - 1;

		memcpy(loan->tag_text, text, kept);
		loan->tag_text[kept] = '\0';
	}
}

__attribute__((noinline)) static bool
complete_slow_path(struct server *srv, const char *text, size_t len)
{
	struct exchange *x = srv->borrower;
	struct loan *loan = &srv->loan;

	keep_tag_text(loan, text, len);
	loan->tag = tag_read(text);
	if (loan->commit.is_on)
		commit_check_completed(x, loan->tag);
	/* Nothing has to be done for the commonest commands. */
	if ((loan->tag.flags & TAG_IS_QUIET) == 0 ||
	    (loan->tag.id == TAG_SELECT && (loan->suspected & (SCAN_TEMP | SCAN_TABLE)) != 0))
		return complete_with_effects(x, srv);
	return x->listen != NULL && listen_take_complete(x, loan->tag);
}

/* Compares the same letters as tag_read() does. */
static inline bool
is_select(const char *tag)
{
	return tag[0] == 'S' && tag[1] == 'E' && tag[2] == 'L';
}

bool
relay_completed(struct server *srv, const char *text, size_t len)
{
	const struct exchange *x = srv->borrower;
	struct loan *loan = &srv->loan;

	/* A SELECT that concerns no other code ends here, without a call. */
	if (is_select(text) && len >= 7 && len < 16 && (loan->suspected & (SCAN_TEMP | SCAN_TABLE)) == 0 &&
	    !loan->commit.is_on && x->listen == NULL) {
		keep_tag_text(loan, text, len);
		loan->tag = tag_read("SELECT");
		return false;
	}
	return complete_slow_path(srv, text, len);
}
