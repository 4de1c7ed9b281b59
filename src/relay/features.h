/*
 * src/relay/features.h - shows messages, errors, ends of requests and releases to the features, in order.
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
 * All features that keep something for a client. Each feature defines three functions. NAME_is_quiet(x) returns true if
 * the client's next message may take the fast lane: it need not wait for anything that the feature has recorded or
 * begun, and can't change what the feature has recorded or begun. NAME_ties(x, to) returns true if the feature ties the
 * client to its server, its request, or (for a client without a server) this process. NAME_free(x) frees the feature's
 * state. A feature that lacks one of these functions does not build.
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
	assert(x->srv == NULL); /* else its ledger would settle what is freed here */
#define FEATURE_FREE(name) name##_free(x);
	FEATURES(FEATURE_FREE)
}

/*
 * Shows the features a Query, Parse, Bind, Describe, Close or Execute of a client that has a server, before the message
 * is sent. Returns STEP_FORWARD if the message may be sent as it is. Returns STEP_SENT if something else is in the
 * outbox and (except for a Query) in the ledger. Returns STEP_HOLD if nothing may be sent before the earlier messages
 * are answered; the caller then calls this again for the message. Returns STEP_FAILED without memory.
 */
enum feature_step features_request(struct exchange *x, struct request *m);
/*
 * Shows the features an error e that the client is owed. message: the first len bytes of the error's message, which may
 * be all. Returns true if the client must not get this error, but something else, or nothing.
 */
bool features_error(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
/* Call when ReadyForQuery of a client's request has come. Returns true if the client gets that message later. */
bool features_request_done(struct exchange *x, const struct owed *ended);
/* Call when nothing is owed and no transaction is open. Returns true if the server may be given back now. */
MAY_CLOSE bool features_release(struct exchange *x);
