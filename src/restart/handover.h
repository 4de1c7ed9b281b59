/*
 * src/restart/handover.h - a hitless restart: the messages between the old process and its successor (restart/link.h).
 *
 * From the old process:
 * - HELLO, LISTENER..., LISTENERS_END: the sockets on which the successor is to listen. The successor reads its
 *   configuration meanwhile.
 * - GO, after READY: from now on, new clients are accepted by the successor and not by the old process. The successor
 *   numbers clients and servers from where the old process is, so that an id names one client in both of them.
 * - POOL, TEXT, CLIENT: CLIENT is a client as it is between two requests (restart/client_record.h), with its socket.
 *   Its pool and the SQL of its statements are sent before it, each of these only once.
 * - YOURS: after TAKEN, the old process has let go of the client.
 * - GONE: the old process has closed the client meanwhile, or has waited too long for TAKEN and keeps the client.
 * - STAYING: which clients the old process still has, whenever that has changed; for the successor's SHOW STATE.
 *
 * From the successor:
 * - FAILED: the successor can't start, and why. The old process goes on as if nothing had happened.
 * - READY: everything that can fail is done.
 * - TAKEN: the successor has made the client, but does not read it yet.
 * - REFUSED: the successor can't take the client, which stays in the old process.
 *
 * From either, when clients move:
 * - CANCEL: a cancel request for a client that the sender does not know.
 * - CANCELLED: the cancel request with this number is over.
 * - STOP: the sender was told to stop, so the receiver stops, too.
 *
 * Always: at most one of the two reads a client, whichever of them dies, and whenever. A client belongs to the old
 *         process until the old process has sent YOURS. If YOURS has not come, the successor drops the client while the
 *         old process lives, and keeps it if the old process has died.
 *
 * Numbers are in network order; strings have a length of 32 bits before them, or a terminator where the list says so.
 */
#pragma once

#define HANDOVER_VERSION 2u /* the version of this conversation; client records have a version of their own */
#define HANDOVER_VARIABLE "PGWEIR_PREDECESSOR" /* in the environment: "descriptor:PID of the old process" */

enum handover_message {
	/* version, number of restarts so far (64 bits), 1 if a service manager passed the sockets, else 0 (8 bits) */
	HANDOVER_HELLO = 1,
	HANDOVER_LISTENER, /* 'S' (SQL) or 'H' (HTTP), port (16 bits), host with terminator */
	HANDOVER_LISTENERS_END,
	HANDOVER_FAILED, /* a text */
	HANDOVER_READY, /* version */
	HANDOVER_GO, /* the id that a client or a server got last (64 bits) */
	HANDOVER_POOL,
	HANDOVER_TEXT,
	HANDOVER_CLIENT, /* a client record */
	HANDOVER_TAKEN, /* the client's number in the old process (64 bits) */
	HANDOVER_REFUSED, /* that number, and a text */
	HANDOVER_YOURS, /* that number, and the notifications that wait for the client */
	HANDOVER_GONE, /* that number */
	HANDOVER_CANCEL, /* the number of the request (64 bits), the PID, the secret */
	HANDOVER_CANCELLED, /* the number of the request */
	HANDOVER_STOP, /* enum shutdown_how (8 bits) */
	HANDOVER_STAYING /* the number of clients (64 bits), and a text */
};
