/*
 * src/server/server_tokens.h - pgweir proves its identity to PostgreSQL by the tokens of a module (auth/auth_module.h).
 * A thread of net/jobs.h makes the first token, because the service that issues it may hang.
 *
 * Owns: the texts that the thread reads, and the module's context. The caller frees the object with
 *       server_tokens_free(). If a thread is using the object then, it is freed when the thread has finished.
 */
#pragma once

#include "auth/auth_module.h"
#include "server/server.h"

struct server_tokens; /* opaque; for one login */

/* Called once, from the loop, when the first token was made, with proof as server_tokens_next() returns it: see
 * server_token(). With PROOF_WRONG and PROOF_FAILED, *why is set. */
typedef void (*server_tokens_done)(struct server *srv, enum proof proof, struct fail *why);

/* Returns true if this authentication code asks for the tokens of a module. */
bool server_tokens_know(const struct server_env *env, uint32_t code);
/*
 * Calls done later, unless server_tokens_free() comes first. Returns NULL with *why set without memory, if too much
 * work waits, or if the delegated credentials can't be used.
 */
struct server_tokens *server_tokens_begin(struct server *srv, uint32_t code, server_tokens_done done, struct fail *why);
/* Judges PostgreSQL's reply, without blocking, and makes the next token. Returns PROOF_MORE if PostgreSQL must answer
 * that token; PROOF_RIGHT if PostgreSQL has proved its identity; PROOF_WRONG or PROOF_FAILED with *why set. */
enum proof server_tokens_next(struct server_tokens *t, const uint8_t *reply, size_t len, struct fail *why);
const struct buf *server_token(const struct server_tokens *t); /* to be sent unless it is empty */
const char *server_tokens_title(const struct server_tokens *t); /* the module's */
void server_tokens_free(struct server_tokens *t); /* done is then not called any more; t may be NULL */
