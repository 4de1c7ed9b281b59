/*
 * src/relay/features.h - who sees a message, an error, the end of a request and a hand-over, and in which order.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"
#include "listen/listen.h"
#include "commit_check/commit_check.h"
#include "relay/reads.h"
#include "state/observe.h"
#include "state/state.h"
#include "statements/statements.h"
#include "statements/statements_transfer.h"

#include <assert.h>

/*
 * All features that have something of a client's own. Each has NAME_is_quiet(x): nothing of it is noted or under way
 * that the client's next message must wait for or change, so the fast lane is open; NAME_ties(x, to): something of it
 * ties the client to its server, its request or (it has no server then) this process; and NAME_free(x). A feature that
 * lacks any of these does not build.
 */
#define FEATURES(each) each(statements) each(commit_check) each(listen) each(state) each(reads)

static inline bool
features_are_quiet(const struct exchange *x)
{
#define FEATURE_IS_QUIET(name) &&name##_is_quiet(x)
	return true FEATURES(FEATURE_IS_QUIET);
}

static inline bool
features_tie(const struct exchange *x, enum feature_tie to)
{
#define FEATURE_TIES(name) || name##_ties(x, to)
	return false FEATURES(FEATURE_TIES);
}

/* The client is closed, and has no server any more. */
static inline void
features_free(struct exchange *x)
{
	assert(x->srv == NULL); /* its ledger would settle what is freed here */
#define FEATURE_FREE(name) name##_free(x);
	FEATURES(FEATURE_FREE)
}

/*
 * A Query, Parse, Bind, Describe, Close or Execute of a client that has a server, before it is sent. Returns FORWARD:
 * it may be sent as it lies; SENT: something else is in the outbox, and (except for a Query) in the ledger; HOLD:
 * nothing may be sent before the earlier messages are answered, then it comes here again; FAILED: no memory.
 */
enum feature_step features_request(struct exchange *x, struct request *m);
/*
 * An error that is due to the client; message: len bytes of it have come. Returns true if the client gets something
 * else in its place, or nothing.
 */
bool features_error(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
/* ReadyForQuery of a request of the client's has come. Returns true if the client gets it later. */
bool features_request_done(struct exchange *x, const struct owed *ended);
/* Nothing is owed, no transaction is open. Returns true if the server may be given back now. */
MAY_CLOSE bool features_release(struct exchange *x);
