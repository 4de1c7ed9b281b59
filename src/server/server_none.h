/* src/server/server_none.h - callbacks of a server's for those who have nothing to do then: see server.h. */
#ifndef PGWEIR_SERVER_SERVER_NONE_H
#define PGWEIR_SERVER_SERVER_NONE_H

#include "server/server.h"

void server_none(struct server *srv); /* probe_done, batch_end, drained, clean */
void server_none_pass(struct server *srv, const uint8_t *bytes, size_t len);
bool server_none_request_done(struct server *srv, const struct owed *ended); /* false */
void server_none_settled(struct server *srv, const struct owed *o, enum owed_end how);
void server_none_made(struct server *srv, const struct owed *o);
void server_none_described(struct server *srv, const struct owed *o, uint8_t type, const uint8_t *body, size_t len,
			   bool is_whole);
bool server_none_complete(struct server *srv, const char *tag); /* false */
bool server_none_parameter(struct server *srv, const char *name, const char *value, bool is_passed); /* false */
bool server_none_pid(struct server *srv, uint32_t pid); /* false */
void server_none_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole); /* answer_row */
void server_none_pinged(struct server *srv, bool ok); /* answered */
void server_none_why(struct server *srv, const struct fail *why); /* gone, lost */

#endif
