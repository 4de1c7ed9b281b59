/*
 * src/server/server_statements.h - which prepared statements one server connection has, in order of use.
 *
 * Known by the statement's id alone. What is sent (a Parse, a Close) is believed by what follows before the next Sync,
 * for an error that skips the one skips the other too; beyond that only replies are believed. Zeroed is empty.
 *
 * A server's statements are outdated by DDL of its borrower's that others do not see yet, and by its undoing: they keep
 * their names, and count as absent until they were closed and prepared anew.
 */
#ifndef PGWEIR_SERVER_SERVER_STATEMENTS_H
#define PGWEIR_SERVER_SERVER_STATEMENTS_H

#include <stdbool.h>
#include <stdint.h>

struct server_statement; /* opaque */

struct server_statements {
	struct server_statement *table;
	struct server_statement *newest, *oldest; /* by last use */
	uint32_t count; /* that are there if all goes well */
	uint32_t generation; /* those of an earlier one are outdated */
};

void server_statements_clear(struct server_statements *s);
/* Is it there? Counts as a use. scope: the borrower's count of Syncs. */
enum statement_presence {
	STATEMENT_ABSENT,
	STATEMENT_THERE,
	STATEMENT_UNSURE /* its Parse or Close was sent before an earlier Sync: an error there may have skipped it */
};
enum statement_presence server_statements_use(struct server_statements *s, uint64_t id, uint32_t scope);
/* Its Parse goes out now. -1: no memory. */
int server_statements_sent(struct server_statements *s, uint64_t id, uint32_t scope);
void server_statements_outdate(struct server_statements *s); /* all that are there, or on their way */
/* Absent to server_statements_use only because it is outdated: a Close goes ahead of its Parse. */
bool server_statements_is_outdated(const struct server_statements *s, uint64_t id);
/* Its Close goes out now. */
void server_statements_closing(struct server_statements *s, uint64_t id, uint32_t scope);
/* What became of a Parse or a Close: is_done, or it failed or was skipped. */
void server_statements_settled(struct server_statements *s, uint64_t id, bool is_close, bool is_done);
void server_statements_forget(struct server_statements *s, uint64_t id); /* DEALLOCATE: nothing of it is under way */
void server_statements_forget_all(struct server_statements *s); /* DEALLOCATE ALL: what is under way came after it */
/* The one unused for longest of which nothing is under way: *id; false: none. */
bool server_statements_oldest(const struct server_statements *s, uint64_t *id);
/* From the oldest on: *id is 0, or the one before; then the next of which nothing is under way. False: no more. */
bool server_statements_next(const struct server_statements *s, uint64_t *id);

#endif
