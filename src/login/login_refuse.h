/*
 * src/login/login_refuse.h - a login that fails.
 */
#pragma once

#include "login/login_state.h"

void login_flush(struct client *c); /* sends l->out */
/* Writes a line to the log, unless there are too many of them. reason is for the log alone; NULL: none. */
void login_note_refusal(struct client *c, const struct fail *why, const char *reason);
/* Counts and logs a failed login, sends the client the error and closes it. */
void login_refuse(struct client *c, const struct fail *why, enum login_result result);
void login_out_of_memory(struct client *c); /* the same with 53200 */
/* The same for one that gets no server for a reason that the log was told with its hint: pool_log.c. */
void login_refuse_unserved(struct client *c, const struct fail *why);
/* The same for refusals at a limit, after login_recount(): a storm of them is logged in a line a second. */
void login_reject(struct client *c, const struct fail *why, enum reject_reason reason);
/* The same for a wrong proof (a password, a certificate): the error is sent late, see login_failure_delay. */
void login_refuse_late(struct client *c, const struct fail *why, enum login_result result);
/* The same without an answer: what the client sent is no startup packet at all. */
void login_refuse_in_silence(struct client *c, const struct fail *why);
