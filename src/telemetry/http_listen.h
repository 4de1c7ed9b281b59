/* src/telemetry/http_listen.h - the socket that the metrics thread accepts on. */
#ifndef PGWEIR_TELEMETRY_HTTP_LISTEN_H
#define PGWEIR_TELEMETRY_HTTP_LISTEN_H

#include "base/fail.h"

/* host: a numeric address, or a path when port is 0. A listening, non-blocking descriptor; -1 and why on failure. */
int http_listen(const char *host, unsigned short port, struct fail *why);

#endif
