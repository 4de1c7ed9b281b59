/*
 * src/exchange/client_state.h - the life of a client as a table of steps. Pure; exchange_step() in exchange.h takes
 * them.
 *
 * Only what decides on the client's next bytes is a state. Whether a client that is CL_READY is idle or active is told
 * by its server (exchange.srv); back-pressure, pins and lingering are attributes of any state.
 */
#pragma once

#include <stdbool.h>

/* The order matters: states are compared by it: logging in; never with a server; logged in; with input waiting. */
enum client_state {
	CL_NONE, /* no state: a step that must not happen */
	CL_STARTUP, /* SSLRequest, GSSENCRequest, TLS, then its startup packet */
	CL_AUTHENTICATION, /* its proof */
	CL_DELAYED, /* a wrong proof, answered late; what it sends is dropped */
	CL_WELCOME, /* proved; what its startup settings amount to is found out */
	CL_WELCOME_IN_LINE, /* ... on a server that it waits for */
	CL_CLOSED,
	CL_CANCEL, /* a CancelRequest */
	CL_CONSOLE,
	CL_READY, /* idle, or active if it has a server */
	CL_REJECTING, /* its request got an error; the rest of that is dropped */
	CL_IN_LINE, /* its request waits for a server */
	CL_HELD, /* a message waits for replies to what was sent earlier */
	CL_RETRYING, /* its request is sent once more when the Sync behind the error is answered */
	CL_IN_DOUBT, /* its COMMIT was sent, its server is lost, and another one is asked what became of it */
	CL_CATCHING, /* its request waits until a host shows what it must: relay/reads.h */
	CL_AWAITING, /* its request waits for what listens in its place */
	CL_READY_WITHHELD, /* its ReadyForQuery waits for notifications that were committed earlier */
	CL_CLOSE_AFTER_FLUSH, /* it was told why it is closed, and is closed when it has read that */
	CL_STATES
};
/* Events of its life: X(value, its name in the log). */
/* clang-format off */
#define CLIENT_EVENTS(X) \
	X(CE_ACCEPT, "accept") X(CE_ASK_PROOF, "ask proof") /* its startup packet was good; an exchange begins */ \
	X(CE_WRONG_PROOF, "wrong proof") X(CE_PROVED, "proved") X(CE_ENTER_CONSOLE, "enter console") \
	X(CE_CANCEL, "cancel") X(CE_GREETED, "greeted") /* its first ReadyForQuery */ \
	X(CE_NEED_SERVER, "need server") X(CE_GRANTED, "granted") X(CE_REFUSED, "refused") \
	X(CE_REJECTED, "rejected") /* the end of the refused request was seen */ X(CE_HOLD, "hold") \
	X(CE_RETRY, "retry") X(CE_ANSWERED, "answered") X(CE_DOUBT, "doubt") X(CE_CATCH, "catch") \
	X(CE_CAUGHT, "caught") X(CE_AWAIT, "await") X(CE_KEEP_READY, "keep ready") \
	X(CE_LISTENER_ANSWERED, "listener answered") /* what listens has caught up, or has answered */ \
	X(CE_CLOSE_AFTER_FLUSH, "close after flush") X(CE_CLOSE, "close")
/* clang-format on */
#define CLIENT_EVENT(value, name) value,
enum client_event { CLIENT_EVENTS(CLIENT_EVENT) CE_EVENTS };

/* The state that follows, or CL_NONE: that must not happen in this state. */
enum client_state client_state_next(enum client_state from, enum client_event ev);
/* "idle" and "active" are one state: has_server tells them apart. */
const char *client_state_name(enum client_state s, bool has_server);
const char *client_event_name(enum client_event ev);

/* Returns true until the first ReadyForQuery: login/ reads the input, which may hold a password. */
static inline bool
client_state_is_login(enum client_state s)
{
	return s < CL_CLOSED;
}

/* Returns true for a client that is logged in and not a console: relay/ reads its input. */
static inline bool
client_state_is_ready(enum client_state s)
{
	return s >= CL_READY;
}

/* Returns true while input is kept until something else has happened. */
static inline bool
client_state_waits(enum client_state s)
{
	return s >= CL_IN_LINE || s == CL_WELCOME_IN_LINE;
}

/* Returns true while that is the listener. */
static inline bool
client_state_listens(enum client_state s)
{
	return s >= CL_AWAITING;
}
