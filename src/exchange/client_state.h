/*
 * src/exchange/client_state.h - the states of a client, and which state follows which. exchange_step() in exchange.h
 * takes the steps.
 *
 * A state tells only how the client's next bytes are handled. A CL_READY client is active if it has a server
 * (exchange.srv), else idle. Back-pressure, pins and lingering (state/state.h) don't change the state.
 */
#pragma once

#include <stdbool.h>

/* Comparisons of states rely on this order: first the states of a login, then states in which a client never has a
 * server, then the states of a client that is logged in. In the last of these states, the client's input waits. */
enum client_state {
	CL_NONE, /* not a state: client_state_next() returns this for a step that must not happen */
	CL_STARTUP, /* the client may send SSLRequest, GSSENCRequest and TLS, and then sends its startup packet */
	CL_AUTHENTICATION, /* the client proves its identity */
	CL_DELAYED, /* the client's proof was wrong; the error is sent after a delay, and input is dropped */
	CL_WELCOME, /* the proof was good; a server is asked for the values of ParameterStatus */
	CL_WELCOME_IN_LINE, /* like CL_WELCOME, but the client still waits for that server */
	CL_CLOSED,
	CL_CANCEL, /* the connection carries a CancelRequest */
	CL_CONSOLE,
	CL_READY, /* idle without a server, active with one */
	CL_REJECTING, /* the client's request got an error; the rest of that request is dropped */
	CL_IN_LINE, /* the client's request waits for a server */
	CL_HELD, /* a message waits for replies to messages that were sent earlier */
	CL_RETRYING, /* the request failed, and will be sent again when the Sync after the error is answered */
	CL_IN_DOUBT, /* the server was lost after a COMMIT was sent; the primary is asked what became of the COMMIT */
	CL_CATCHING_UP, /* the request waits until a host has replayed all that the client has seen (relay/reads.h) */
	CL_AWAITING_LISTENER, /* the request waits for the listener, the connection that LISTENs for all clients */
	CL_READY_WITHHELD, /* the client's ReadyForQuery waits for notifications that were committed earlier */
	CL_CLOSE_AFTER_FLUSH, /* the client is closed when it has taken the error that was sent, or after 10 s */
	CL_STATES
};
/* Events in the life of a client: X(value, its name in the log). */
/* clang-format off */
#define CLIENT_EVENTS(X) \
	X(CE_ACCEPT, "accept") X(CE_ASK_PROOF, "ask proof") /* the startup packet was good */ \
	X(CE_WRONG_PROOF, "wrong proof") X(CE_PROVED, "proved") X(CE_ENTER_CONSOLE, "enter console") \
	X(CE_CANCEL, "cancel") X(CE_GREETED, "greeted") /* the client's first ReadyForQuery */ \
	X(CE_NEED_SERVER, "need server") X(CE_GRANTED, "granted") X(CE_REFUSED, "refused") \
	X(CE_REJECTION_OVER, "rejected") /* the end of the refused request was seen */ X(CE_HOLD, "hold") \
	X(CE_RETRY, "retry") X(CE_ANSWERED, "answered") X(CE_DOUBT, "doubt") X(CE_CATCH_UP, "catch") \
	X(CE_CAUGHT_UP, "caught") X(CE_AWAIT_LISTENER, "await") X(CE_WITHHOLD_READY, "keep ready") \
	X(CE_LISTENER_ANSWERED, "listener answered") /* the listener has caught up, or has answered */ \
	X(CE_CLOSE_AFTER_FLUSH, "close after flush") X(CE_CLOSE, "close")
/* clang-format on */
#define CLIENT_EVENT(value, name) value,
enum client_event { CLIENT_EVENTS(CLIENT_EVENT) CE_EVENTS };

/* Returns the state that follows `from` after the event ev; CL_NONE if ev must not happen in the state `from`. */
enum client_state client_state_next(enum client_state from, enum client_event ev);
/* Returns the state's name; has_server chooses between "active" and "idle", which are one state. */
const char *client_state_name(enum client_state s, bool has_server);
const char *client_event_name(enum client_event ev);

/* Returns true before the client's first ReadyForQuery, while login/ reads the input, which may hold a password. */
static inline bool
client_state_is_login(enum client_state s)
{
	return s < CL_CLOSED;
}

/* Returns true if relay/ reads the client's input: the client is logged in, and not to the console. */
static inline bool
client_state_is_relayed(enum client_state s)
{
	return s >= CL_READY;
}

/* Returns true while the client's input is kept, because the client waits for an event. */
static inline bool
client_state_waits(enum client_state s)
{
	return s >= CL_IN_LINE || s == CL_WELCOME_IN_LINE;
}

/* Returns true while the request, or its ReadyForQuery, waits for the listener; and in CL_CLOSE_AFTER_FLUSH. */
static inline bool
client_state_awaits_listener_or_flush(enum client_state s)
{
	return s >= CL_AWAITING_LISTENER;
}
