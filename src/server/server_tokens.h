/*
 * src/server/server_tokens.h - proves pgweir's identity to PostgreSQL by the tokens of a module (auth/auth_module.h). A
 * thread (net/jobs.h) makes the first token, because the service that issues tokens may hang.
 *
 * Owns: the texts that the thread reads, and the module's context. The caller calls server_tokens_free(). If the thread
 *       still works then, the memory is freed when the thread has finished.
 */
#pragma once

#include "auth/auth_module.h"
#include "server/server.h"

struct server_tokens; /* opaque; for one login */

/* Called once, from the loop, when the thread is done. proof, *why: as from server_tokens_next(). server_tokens_last()
 * then returns the first token. */
typedef void (*server_tokens_done)(struct server *srv, enum proof_verdict proof, struct fail *why);

/* Returns true if a module makes the tokens that PostgreSQL asks for by this authentication code. */
bool server_tokens_know(const struct server_env *env, uint32_t code);
/*
 * Calls done() later, unless server_tokens_free() comes first. Returns NULL with *why set if out of memory, if too much
 * work waits for threads, or if the delegated credentials can't be used.
 */
struct server_tokens *server_tokens_begin(struct server *srv, uint32_t code, server_tokens_done done, struct fail *why);
/* Judges PostgreSQL's reply and makes the next token, without blocking. Returns PROOF_MORE if PostgreSQL must answer
 * that token; PROOF_RIGHT if PostgreSQL has proved its identity; PROOF_WRONG or PROOF_FAILED with *why set. */
enum proof_verdict server_tokens_next(struct server_tokens *t, const uint8_t *reply, size_t len, struct fail *why);
/* Returns the token that was made last, which is to be sent unless it is empty. */
const struct buf *server_tokens_last(const struct server_tokens *t);
const char *server_tokens_title(const struct server_tokens *t); /* returns the module's title */
void server_tokens_free(struct server_tokens *t); /* done() is then not called any more; t may be NULL */
