/*
 * src/server/server_statements.h - which prepared statements one server connection has, in order of use.
 *
 * Known by the statement's id alone. A statement is SENT from the moment its Parse goes out and READY at its
 * ParseComplete. Zeroed is empty.
 */
#ifndef PGWEIR_SERVER_SERVER_STATEMENTS_H
#define PGWEIR_SERVER_SERVER_STATEMENTS_H

#include <stdbool.h>
#include <stdint.h>

struct server_statement; /* opaque */

struct server_statements {
	struct server_statement *table;
	struct server_statement *newest, *oldest; /* by last use */
	uint32_t count;
};

void server_statements_clear(struct server_statements *s);
/* Is it there? Counts as a use. scope: the borrower's count of Syncs; its Parse is as sure as what stands with it. */
enum statement_presence {
	STATEMENT_ABSENT,
	STATEMENT_THERE,
	STATEMENT_UNSURE /* its Parse was sent before an earlier Sync: an error there may have undone it */
};
enum statement_presence server_statements_use(struct server_statements *s, uint64_t id, uint32_t scope);
/* Its Parse goes out now. -1: no memory. */
int server_statements_sent(struct server_statements *s, uint64_t id, uint32_t scope);
void server_statements_ready(struct server_statements *s, uint64_t id);
void server_statements_forget(struct server_statements *s, uint64_t id); /* it is closed */
void server_statements_not_made(struct server_statements *s, uint64_t id);   /* its Parse failed or was skipped */
int server_statements_not_closed(struct server_statements *s, uint64_t id);  /* its Close was skipped: it is there still */
void server_statements_forget_ready(struct server_statements *s); /* DEALLOCATE ALL: those on their way came after it */
/* The one unused for longest that is READY: *id; false: none. */
bool server_statements_oldest(const struct server_statements *s, uint64_t *id);

#endif
