/*
 * src/wire/messages.h - appends whole messages (PostgreSQL's manual, "Message Formats") to a buf.
 *
 * The functions return no errors, so the caller calls buf_ok() once after a batch.
 */
#pragma once

#include "base/buf.h"
#include "base/fail.h"

#include <stddef.h>
#include <stdint.h>

/* A comment after the first word of each statement of pgweir's own, for readers of pg_stat_statements and
 * pg_stat_activity, where the last query may be such a statement. pg_stat_statements 18 drops leading comments. */
#define MESSAGE_OURS "/* pgweir */ "

/* Begins a message. Returns the offset in b of the message's length, which message_end() fills in. */
size_t message_begin(struct buf *b, uint8_t type);
void message_end(struct buf *b, size_t begun); /* begun is the result of message_begin() */
/* Appends a message of this type with this body. */
void message_put(struct buf *b, uint8_t type, const void *body, size_t body_len);

/* Appends an ErrorResponse; severity is "ERROR" or "FATAL". An empty detail or hint is left out. */
void message_error(struct buf *b, const char *severity, const struct fail *why);
/* Appends a copy of message, an ErrorResponse without a hint (len bytes, with its head), and adds hint. */
void message_error_with_hint(struct buf *b, const uint8_t *message, size_t len, const char *hint);
/* Appends a NoticeResponse; severity is "WARNING" or "NOTICE". */
void message_notice(struct buf *b, const char *severity, const struct fail *what);
/* Appends a NoticeResponse of severity NOTICE and SQLSTATE 00000; text may have any length. */
void message_notice_text(struct buf *b, const char *text);
void message_ready(struct buf *b, uint8_t transaction_status);
void message_parameter(struct buf *b, const char *name, const char *value);
void message_authentication(struct buf *b, uint32_t code, const void *more, size_t more_len);
void message_key(struct buf *b, uint32_t pid, const uint8_t *key, size_t key_len);
void message_complete(struct buf *b, const char *tag);

/* --- Messages to servers. --- */
void message_query(struct buf *b, const char *sql);
void message_parse(struct buf *b, const char *name, const void *query_and_types, size_t len);
/* Appends a Bind with parameters and results in text format. A value that is NULL stands for SQL's NULL. */
void message_bind_text(struct buf *b, const char *portal, const char *statement, const char *const *values,
		       size_t count);
void message_close_statement(struct buf *b, const char *name);
/* Appends Parse, Bind (message_bind_text()) and Execute (all rows) of sql; then Close, if the portal has a name. */
void message_run(struct buf *b, const char *statement, const char *portal, const char *sql, const char *const *values,
		 size_t count);
void message_sync(struct buf *b);

/* A message without a body as two arguments, its bytes and their number: server_write(srv, MESSAGE_BARE("S")). */
#define MESSAGE_BARE(type) type "\0\0\0\4", 5
