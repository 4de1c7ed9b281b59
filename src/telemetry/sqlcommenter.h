/* src/telemetry/sqlcommenter.h - the W3C trace context that an application's ORM wrote into a comment. Pure. */
#ifndef PGWEIR_TELEMETRY_SQLCOMMENTER_H
#define PGWEIR_TELEMETRY_SQLCOMMENTER_H

#include <stddef.h>

#define TRACEPARENT_LEN 55 /* 00-<32 digits>-<16 digits>-<2 digits> */
#define TRACEPARENT_TRACE_AT 3
#define TRACEPARENT_TRACE_LEN 32
#define TRACEPARENT_SPAN_AT 36
#define TRACEPARENT_SPAN_LEN 16

/* comment: the text between its marks. out is empty unless a traceparent stood there that is well formed. */
void sqlcommenter_traceparent(const char *comment, size_t len, char out[TRACEPARENT_LEN + 1]);

#endif
