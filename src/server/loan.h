/*
 * src/server/loan.h - what belongs to whoever has borrowed a server connection now.
 *
 * A loan begins when the pool lends the server (server_lend) and ends when it is returned, reset or closed. Nothing in
 * it outlives the loan: loan_begin is the one place that forgets what the last borrower left here.
 */
#ifndef PGWEIR_SERVER_LOAN_H
#define PGWEIR_SERVER_LOAN_H

#include <stdbool.h>
#include <stdint.h>

enum kept_state {
	KEPT_NOTHING, /* nothing of the request was sent yet */
	KEPT_SO_FAR, /* all of it that was sent */
	KEPT_WHOLE, /* all of it, with its Sync */
	KEPT_NOT
};

/* The borrower's request as it came, in case it must be sent once more (relay/retry.c). */
struct kept_request {
	uint8_t *bytes;
	uint32_t len, cap;
	uint8_t state; /* enum kept_state */
	const uint8_t *from; /* while a batch is walked: what of it is not copied yet begins here */
};

struct loan {
	bool has_run; /* the borrower has sent something that runs */
	bool announces_ready; /* the borrower's wish: see server_ops.request_done */
	bool watches_tags; /* the borrower wants to answer something ahead of the next CommandComplete */
	bool has_failed, has_rolled_back; /* since it began, or last settled: a statement; a transaction */
	bool has_ddl, has_changed_plans; /* any CREATE, ALTER or DROP in this transaction; one that others must know */
	bool has_changed_code, has_made_code; /* by DDL, in the transaction that is open */
	bool has_run_code; /* the database's, which may have set, unseen, what parsing depends on */
	bool has_local_settings; /* under which PostgreSQL parses: of this transaction alone, or not yet told */
	uint32_t drops; /* names in the DROP ... IF EXISTS that runs alone */
	uint32_t skips; /* notices that there was no such thing */
	bool is_end_told; /* the borrower has PostgreSQL's own FATAL */
	bool makes_true; /* the next row answers a warning that was not passed: see server_ops.no_such_pid */
	uint32_t suspicion; /* enum scan_flag: of what ran since it began, or was last settled */
	uint32_t shown; /* enum scan_flag: of all that was settled since it began */
	/* What it notifies arrives there as if from PID notify_as; only compared; NULL: as it is. */
	const void *notify_hub;
	uint32_t notify_as;
	struct kept_request kept;
	/* The request under way, for the measures. */
	uint64_t lent_us, sent_us, first_reply_us, tx_started_us;
	uint64_t last_done_us, idle_in_tx_us, paused_since_us, paused_us, bytes_to_client, bytes_from_client;
	char tag[32], sqlstate[6];
	uint8_t *text; /* the first REQUEST_TEXT_MAX bytes of its SQL; allocated at first use */
	uint32_t text_len, statements_run;
	bool is_text_cut, is_text_spent, is_simple;
};

/* Forgets all of the last loan; its buffers are kept for this one. l was zeroed once, when its server was made. */
void loan_begin(struct loan *l, uint64_t now_us);
void loan_fini(struct loan *l); /* frees its buffers */

#endif
