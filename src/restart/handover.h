/*
 * src/restart/handover.h - a hitless restart: the messages between the old process and its successor (restart/link.h).
 *
 * From the old process:
 * - HELLO, LISTENER..., LISTENERS_END: the sockets on which the successor is to listen. Meanwhile, the successor reads
 *   its configuration.
 * - GO, after READY: from now on, the successor accepts new clients, and the old process does not. The successor's ids
 *   of clients and servers begin after the old process's, so that no id is used in both.
 * - POOL, TEXT, CLIENT: CLIENT is the record of a client between two requests (restart/client_record.h), with its
 *   socket. Before it, the client's pool and the SQL of its statements are sent as POOL and TEXT, unless they were sent
 *   already.
 * - YOURS, after TAKEN: the old process has released the client, so the successor reads from it.
 * - GONE: the old process has closed the client, or has waited too long for TAKEN and keeps the client.
 * - STAYING: a description of the clients that are still in the old process, sent when it changes, for the successor's
 *   SHOW STATE.
 *
 * From the successor:
 * - FAILED: the successor can't start, for the reason in the message. The old process goes on as before.
 * - READY: the successor has done everything that can fail.
 * - TAKEN: the successor has made the client, but does not read from it yet.
 * - REFUSED: the successor can't take the client, which stays in the old process.
 *
 * From either process, while clients move:
 * - CANCEL: a CancelRequest for a client that the sender does not have.
 * - CANCELLED: the receiver's CANCEL with this number was handled.
 * - STOP: the sender was told to stop, so the receiver must stop, too.
 *
 * Always: at most one of the two processes reads from a client, even if one of them dies. A client belongs to the old
 *         process until that process has sent YOURS. If the link breaks before YOURS has come, the successor keeps the
 *         client if the old process has died, and drops the client otherwise.
 *
 * Numbers are in network order. A string is preceded by its length in 32 bits, or has a terminator where the list says
 * so.
 */
#pragma once

#define HANDOVER_VERSION 2u /* the version of these messages; client records have a version of their own */
#define HANDOVER_VARIABLE "PGWEIR_PREDECESSOR" /* in the environment: "descriptor:PID of the old process" */

/* The comments list the contents of each message. */
enum handover_message {
	/* version; restarts so far (64 bits); 1 if a service manager has passed the sockets, else 0 (8 bits) */
	HANDOVER_HELLO = 1,
	HANDOVER_LISTENER, /* 'S' (SQL) or 'H' (HTTP), port (16 bits), host with terminator */
	HANDOVER_LISTENERS_END,
	HANDOVER_FAILED, /* a text */
	HANDOVER_READY, /* version */
	HANDOVER_GO, /* the newest id of a client or server (64 bits) */
	HANDOVER_POOL, /* a struct client_record_pool */
	HANDOVER_TEXT, /* a struct client_record_text */
	HANDOVER_CLIENT, /* a struct client_record */
	HANDOVER_TAKEN, /* client_record.number (64 bits) */
	HANDOVER_REFUSED, /* client_record.number, and a text */
	HANDOVER_YOURS, /* client_record.number, and the notifications that wait for the client */
	HANDOVER_GONE, /* client_record.number */
	HANDOVER_CANCEL, /* the sender's number for the cancel (64 bits), the client's PID and secret key */
	HANDOVER_CANCELLED, /* the number of the cancel */
	HANDOVER_STOP, /* enum shutdown_how (8 bits) */
	HANDOVER_STAYING /* the number of clients (64 bits), and a text */
};
