#include "exchange/client_state.h"

static const unsigned char next[CL_STATES][CE_EVENTS] = {
	/* An event that is not listed (0, CL_NONE) must not happen in this state. */
	[CL_NONE] = { [CE_ACCEPT] = CL_STARTUP },
	[CL_STARTUP] = { [CE_ASK_PROOF] = CL_AUTHENTICATION,
			 [CE_WRONG_PROOF] = CL_DELAYED, /* the client's certificate was wrong */
			 [CE_PROVED] = CL_WELCOME, /* the methods trust and cert need no more messages */
			 [CE_ENTER_CONSOLE] = CL_CONSOLE,
			 [CE_CANCEL] = CL_CANCEL,
			 [CE_CLOSE] = CL_CLOSED },
	[CL_AUTHENTICATION] = { [CE_WRONG_PROOF] = CL_DELAYED,
				[CE_PROVED] = CL_WELCOME,
				[CE_ENTER_CONSOLE] = CL_CONSOLE,
				[CE_CLOSE] = CL_CLOSED },
	[CL_DELAYED] = { [CE_CLOSE] = CL_CLOSED },
	[CL_WELCOME] = { [CE_NEED_SERVER] = CL_WELCOME_IN_LINE, [CE_GREETED] = CL_READY, [CE_CLOSE] = CL_CLOSED },
	[CL_WELCOME_IN_LINE] = { [CE_GRANTED] = CL_WELCOME, [CE_REFUSED] = CL_WELCOME, [CE_CLOSE] = CL_CLOSED },
	[CL_CANCEL] = { [CE_CLOSE] = CL_CLOSED },
	[CL_CONSOLE] = { [CE_CLOSE] = CL_CLOSED },
	[CL_READY] = { [CE_NEED_SERVER] = CL_IN_LINE,
		       [CE_REFUSED] = CL_REJECTING,
		       [CE_HOLD] = CL_HELD,
		       [CE_RETRY] = CL_RETRYING,
		       [CE_DOUBT] = CL_IN_DOUBT,
		       [CE_CATCH_UP] = CL_CATCHING_UP,
		       [CE_AWAIT_LISTENER] = CL_AWAITING_LISTENER,
		       [CE_WITHHOLD_READY] = CL_READY_WITHHELD,
		       [CE_CLOSE_AFTER_FLUSH] = CL_CLOSE_AFTER_FLUSH,
		       [CE_CLOSE] = CL_CLOSED },
	[CL_REJECTING] = { [CE_REJECTION_OVER] = CL_READY,
			   [CE_CLOSE_AFTER_FLUSH] = CL_CLOSE_AFTER_FLUSH,
			   [CE_CLOSE] = CL_CLOSED },
	[CL_IN_LINE] = { [CE_GRANTED] = CL_READY, [CE_REFUSED] = CL_REJECTING, [CE_CLOSE] = CL_CLOSED },
	/* The error that causes a retry may come while a later message is held. */
	[CL_HELD] = { [CE_ANSWERED] = CL_READY,
		      [CE_REFUSED] = CL_REJECTING,
		      [CE_RETRY] = CL_RETRYING,
		      [CE_DOUBT] = CL_IN_DOUBT,
		      [CE_CLOSE] = CL_CLOSED },
	[CL_RETRYING] = { [CE_HOLD] = CL_RETRYING, [CE_ANSWERED] = CL_READY, [CE_CLOSE] = CL_CLOSED },
	[CL_IN_DOUBT] = { [CE_ANSWERED] = CL_READY, [CE_REFUSED] = CL_REJECTING, [CE_CLOSE] = CL_CLOSED },
	[CL_CATCHING_UP] = { [CE_CAUGHT_UP] = CL_READY, [CE_REFUSED] = CL_REJECTING, [CE_CLOSE] = CL_CLOSED },
	/* A request may LISTEN to several channels, so this event may come again. After a retry of an earlier request,
	 * the waiting message is handled again. */
	[CL_AWAITING_LISTENER] = { [CE_AWAIT_LISTENER] = CL_AWAITING_LISTENER,
				   [CE_LISTENER_ANSWERED] = CL_READY,
				   [CE_RETRY] = CL_RETRYING,
				   [CE_CLOSE] = CL_CLOSED },
	[CL_READY_WITHHELD] = { [CE_LISTENER_ANSWERED] = CL_READY,
				[CE_CLOSE_AFTER_FLUSH] = CL_CLOSE_AFTER_FLUSH,
				[CE_CLOSE] = CL_CLOSED },
	[CL_CLOSE_AFTER_FLUSH] = { [CE_CLOSE] = CL_CLOSED },
};

enum client_state
client_state_next(enum client_state from, enum client_event ev)
{
	return next[from][ev];
}

const char *
client_state_name(enum client_state s, bool has_server)
{
	static const char *const names[CL_STATES] = {
		[CL_NONE] = "none",
		[CL_STARTUP] = "startup",
		[CL_AUTHENTICATION] = "authentication",
		[CL_DELAYED] = "delayed",
		[CL_WELCOME] = "welcome",
		[CL_WELCOME_IN_LINE] = "welcome, in line",
		[CL_CLOSED] = "closed",
		[CL_CANCEL] = "cancel",
		[CL_CONSOLE] = "console",
		[CL_READY] = "idle",
		[CL_REJECTING] = "rejecting",
		[CL_IN_LINE] = "in line",
		[CL_HELD] = "held",
		[CL_RETRYING] = "retrying",
		[CL_IN_DOUBT] = "in doubt",
		[CL_CATCHING_UP] = "catching up",
		[CL_AWAITING_LISTENER] = "awaiting the listener",
		[CL_READY_WITHHELD] = "ready withheld",
		[CL_CLOSE_AFTER_FLUSH] = "close after flush",
	};

	return s == CL_READY && has_server ? "active" : names[s];
}

#define CLIENT_EVENT_NAME(value, name) [value] = name,
const char *
client_event_name(enum client_event ev)
{
	static const char *const names[CE_EVENTS] = { CLIENT_EVENTS(CLIENT_EVENT_NAME) };

	return names[ev];
}
