/*
 * src/net/tls_scratch.h - buffers that all TLS streams of one loop share; each is empty when the loop is entered.
 */
#ifndef PGWEIR_NET_TLS_SCRATCH_H
#define PGWEIR_NET_TLS_SCRATCH_H

#include "net/tls_state.h"

#define TLS_SCRATCH_IN ((size_t)64 << 10)

struct tls_scratch {
	uint8_t *in; /* ciphertext that was just read */
	uint8_t *gather; /* collects small pieces for one record */
	struct tls_sink sink;
};

#endif
