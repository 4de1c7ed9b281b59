/*
 * src/server/server_statements.h - the prepared statements of one server connection, in order of use.
 *
 * They are identified by the statement's id alone. Messages before the next Sync may rely on a Parse or Close that was
 * sent, as an error that skips the one skips the other, too; after that only replies count. Zeroed, it is empty.
 *
 * The borrower's own DDL outdates a server's statements before others see it, and so does its rollback: they keep their
 * names, but count as absent until they were closed and prepared again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct server_statement; /* opaque */

struct server_statements {
	struct server_statement *table;
	struct server_statement *newest; /* of a list by last use */
	uint32_t count; /* how many are there if all goes well */
	uint32_t generation; /* statements of an earlier generation are outdated */
};

void server_statements_clear(struct server_statements *s);
/* Results of server_statements_use(), which counts as a use. sync_no: the borrower's count of Syncs. */
enum statement_presence {
	STATEMENT_ABSENT,
	STATEMENT_THERE,
	STATEMENT_UNSURE /* its Parse or Close was sent before an earlier Sync, and an error may have skipped it */
};
enum statement_presence server_statements_use(struct server_statements *s, uint64_t id, uint32_t sync_no);
/* Notes that the statement's Parse is sent now. Returns 0, or -1 without memory. */
int server_statements_sent(struct server_statements *s, uint64_t id, uint32_t sync_no);
void server_statements_outdate(struct server_statements *s); /* all that are there or under way */
/* Notes that the statement's Close is sent now. Returns false if it is not listed: then it is not to be settled. */
bool server_statements_closing(struct server_statements *s, uint64_t id, uint32_t sync_no);
/* A Parse or Close was answered (is_done), or failed, or was skipped. */
void server_statements_settled(struct server_statements *s, uint64_t id, bool is_close, bool is_done);
void server_statements_doubt(struct server_statements *s, uint64_t id); /* it may have gone: it counts as outdated */
void server_statements_forget_all(struct server_statements *s); /* after DEALLOCATE ALL; what is under way is later */
/* Finds the least recently used one with nothing under way. Returns false if there is none. */
bool server_statements_oldest(const struct server_statements *s, uint64_t *id);
