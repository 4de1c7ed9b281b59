/*
 * src/server/server_statements.h - the prepared statements of one server connection, in order of use.
 *
 * A statement is identified by its id alone. Messages before the next Sync may rely on a Parse or Close that was sent,
 * because an error that skips the Parse or Close skips those messages, too. After the Sync, only the reply to the Parse
 * or Close counts.
 *
 * When the borrower runs DDL, the statements on its server become outdated at once, before other sessions see the DDL,
 * and again if the DDL is rolled back. Outdated statements keep their names, but count as absent until prepared again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct server_statement; /* opaque */

/* A zeroed struct is an empty list. */
struct server_statements {
	struct server_statement *table;
	struct server_statement *newest; /* head of a list, in which the last used statement comes first */
	uint32_t count; /* how many statements the server has if no message under way fails */
	uint32_t generation; /* statements of an earlier generation are outdated */
};

void server_statements_clear(struct server_statements *s);
enum statement_presence {
	STATEMENT_ABSENT,
	STATEMENT_THERE,
	STATEMENT_UNSURE /* its Parse or Close was sent before an earlier Sync, and an error may have skipped it */
};
/* Says if a message that is sent now will find the statement on the server. Counts as a use of the statement. sync_no:
 * how many Syncs the borrower has sent. */
enum statement_presence server_statements_use(struct server_statements *s, uint64_t id, uint32_t sync_no);
/* Notes that the statement's Parse is sent now. Returns 0, or -1 if out of memory. */
int server_statements_note_parse(struct server_statements *s, uint64_t id, uint32_t sync_no);
/* Outdates all statements that are on the server, or whose Parse is under way. */
void server_statements_outdate(struct server_statements *s);
/* Notes that the statement's Close is sent now. Returns false if the statement is not in the list; then do not call
 * server_statements_note_end() for this Close. */
bool server_statements_note_close(struct server_statements *s, uint64_t id, uint32_t sync_no);
/* Notes that a Parse or Close was answered with success (is_done), or has failed or was skipped (not is_done). */
void server_statements_note_end(struct server_statements *s, uint64_t id, bool is_close, bool is_done);
/* Outdates this statement, because the server may not have it any more. */
void server_statements_outdate_one(struct server_statements *s, uint64_t id);
/* Call after DEALLOCATE ALL. Keeps statements with a Parse or Close under way, which runs after DEALLOCATE ALL. */
void server_statements_forget_all(struct server_statements *s);
/* Finds the least recently used statement that has no Parse or Close under way. Returns false if there is none. */
bool server_statements_find_lru(const struct server_statements *s, uint64_t *id);
