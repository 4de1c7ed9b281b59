/*
 * src/restart/handover.h - a hitless restart: the messages between the old process and its successor (restart/link.h).
 *
 * From the old process:
 * - HELLO, LISTENER..., LISTENERS_END: what the successor is to listen on. It reads its configuration meanwhile.
 * - GO, after READY: the old process accepts nobody any more; from here on the successor does.
 * - POOL, TEXT, CLIENT: a client as it is between two requests (restart/client_record.h), with its socket; its pool,
 * and the SQL of its statements, are sent once each.
 * - YOURS or GONE: the old process has let go of that client, after TAKEN; or it has closed it meanwhile, or has waited
 *   too long for TAKEN, and keeps it.
 * - STAYING: which clients it still has, whenever that has changed; for SHOW STATE of the successor.
 *
 * From the successor:
 * - FAILED: it can't start, and why. The old process goes on as if nothing had happened.
 * - READY: all that can fail is done.
 * - TAKEN or REFUSED: it has made that client, but does not read it yet; or it can't, and the client stays where it is.
 *
 * From either, when clients move:
 * - CANCEL: a cancel request for a client that it does not know.
 * - CANCELLED: the cancel request with this number is over.
 * - STOP: it was told to stop, so the other one stops too.
 *
 * Always: at most one of the two reads a client, whichever of them dies when. Until the old process has sent YOURS, the
 * client is its own; a client whose YOURS has not come is dropped by the successor if the old process lives, else kept.
 *
 * Numbers are in network order; strings have a length of 32 bits before them, or a terminator where that is said.
 */
#pragma once

#define HANDOVER_VERSION 2u /* of this conversation; that of client records is apart */
#define HANDOVER_VARIABLE "PGWEIR_PREDECESSOR" /* in the environment: "descriptor:PID of the old process" */

enum handover_message {
	HANDOVER_HELLO = 1, /* version, how often there was a restart (64 bits), whether the sockets are a service
			       manager's (8 bits) */
	HANDOVER_LISTENER, /* 'S' (SQL) or 'H' (HTTP), port (16 bits), host with terminator */
	HANDOVER_LISTENERS_END,
	HANDOVER_FAILED, /* a text */
	HANDOVER_READY, /* version */
	HANDOVER_GO,
	HANDOVER_POOL,
	HANDOVER_TEXT,
	HANDOVER_CLIENT, /* a client record */
	HANDOVER_TAKEN, /* the client's number in the old process (64 bits) */
	HANDOVER_REFUSED, /* the same, and a text */
	HANDOVER_YOURS, /* the number, and notifications that wait for the client */
	HANDOVER_GONE, /* the number */
	HANDOVER_CANCEL, /* a number (64 bits), the PID, the secret */
	HANDOVER_CANCELLED, /* that number */
	HANDOVER_STOP, /* enum shutdown_how (8 bits) */
	HANDOVER_STAYING /* how many clients (64 bits), and a text */
};
