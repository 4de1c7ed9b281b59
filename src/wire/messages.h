/*
 * src/wire/messages.h - builds whole messages (protocol chapter, "Message Formats") at the end of a buf.
 *
 * The functions return no errors: check buf_ok() once after a batch.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A comment that follows the first word of each statement of pgweir's own. It marks the statement as pgweir's in
 * pg_stat_statements, and in pg_stat_activity, which may show the statement as a client's last query. The comment is
 * not before the first word, because pg_stat_statements 18 and newer drop comments there.
 */
#define MESSAGE_OURS "/* pgweir */ "

/* Begins a message and returns the offset of its length word in b, which message_end() needs. */
size_t message_begin(struct buf *b, uint8_t type);
void message_end(struct buf *b, size_t begun);
/* Appends a message of this type with this body. */
void message_put(struct buf *b, uint8_t type, const void *body, size_t body_len);

/* Appends an ErrorResponse; severity is "ERROR" or "FATAL". Detail and hint are left out if they are empty. */
void message_error(struct buf *b, const char *severity, const struct fail *why);
/* Appends a copy of the ErrorResponse in message, which has len bytes and no hint, with this hint added. */
void message_hinted(struct buf *b, const uint8_t *message, size_t len, const char *hint);
/* Appends a NoticeResponse; severity is "WARNING" or "NOTICE". */
void message_notice(struct buf *b, const char *severity, const struct fail *what);
/* Appends a NoticeResponse with a text of any length, as a NOTICE of SQLSTATE 00000. */
void message_notice_text(struct buf *b, const char *text);
void message_ready(struct buf *b, uint8_t transaction_status);
void message_parameter(struct buf *b, const char *name, const char *value);
void message_authentication(struct buf *b, uint32_t code, const void *more, size_t more_len);
void message_key(struct buf *b, uint32_t pid, const uint8_t *key, size_t key_len);
void message_complete(struct buf *b, const char *tag);

/* --- Messages to servers. --- */
void message_query(struct buf *b, const char *sql);
void message_parse(struct buf *b, const char *name, const void *query_and_types, size_t len);
/* Appends a Bind of a portal to a statement, with parameters in text format. A value of NULL stands for SQL's NULL. */
void message_bind_text(struct buf *b, const char *portal, const char *statement, const char *const *values,
		       size_t count);
void message_close_statement(struct buf *b, const char *name);
/*
 * Appends Parse, Bind (see message_bind_text()) and Execute of this SQL, for all rows, and Close of the portal if the
 * portal has a name.
 */
void message_run(struct buf *b, const char *statement, const char *portal, const char *sql, const char *const *values,
		 size_t count);
void message_sync(struct buf *b);

/* A message without a body, as the two arguments bytes and count: server_write(srv, MESSAGE_BARE("S")). */
#define MESSAGE_BARE(type) type "\0\0\0\4", 5
