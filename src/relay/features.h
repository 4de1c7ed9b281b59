/*
 * src/relay/features.h - calls the features for messages, errors, ends of requests and the release of servers.
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
 * All features that keep state for a client. Each feature must define three functions. NAME_is_quiet(x) returns true if
 * the client's next message may take the fast lane (relay/fast.c), because it need not wait for the feature, and can't
 * change the feature's state. NAME_ties(x, to) returns true if the feature ties the client to its server, its request,
 * or (if the client has no server) this process; see enum feature_tie. NAME_free(x) frees the feature's state.
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

/* Frees what the features keep for a client that is closed and has no server any more. */
static inline void
features_free(struct exchange *x)
{
	assert(x->srv == NULL); /* a server's ledger would use the state that is freed here */
#define FEATURE_FREE(name) name##_free(x);
	FEATURES(FEATURE_FREE)
}

/*
 * Call before a Query, Parse, Bind, Describe, Close or Execute of a client with a server is sent. Shows the message to
 * the features. Returns STEP_FORWARD if the message may be sent as it is; STEP_REPLACED if other bytes were put into
 * the outbox in its place, and (except for a Query) the message is in the ledger; STEP_HOLD if nothing may be sent
 * until earlier messages are answered, after which the caller calls this again; or STEP_FAILED if there is no memory.
 */
enum feature_step features_request(struct exchange *x, struct request *m);
/*
 * Call for an error e that answers a message of the client's. message: the ErrorResponse, of which only the first len
 * bytes may be there. Returns true if the client must not get e, because the client gets another error or none.
 */
bool features_error(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
/* Call when the ReadyForQuery of a client's request has come. Returns true if the client must get it later. */
bool features_request_done(struct exchange *x, const struct owed *ended);
/* Call when nothing is owed and no transaction is open. Returns true if the server may be given back now. */
MAY_CLOSE bool features_release(struct exchange *x);
